//! Programs that are built from Go modules. A directory's go.mod names them and pins all that they are made of.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::go::{Go, Version};
use crate::{process, workspace};

/// A line after so many packages: compiling all takes minutes.
const TELL_EVERY: usize = 100;

/// A directory with a go.mod, in this repository.
pub struct GoModule {
    directory: &'static str,
    module: String,
    /// go.mod and go.sum: what was built from the same is the same.
    recipe: String,
}

impl GoModule {
    /// # Errors
    /// go.mod or go.sum cannot be read.
    pub fn read(directory: &'static str) -> Result<Self> {
        let read = |name| {
            let path = workspace::top().join(directory).join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self::of(directory, read("go.mod")?, &read("go.sum")?))
    }

    fn of(directory: &'static str, module: String, sums: &str) -> Self {
        let recipe = format!("{module}{sums}");
        Self { directory, module, recipe }
    }

    /// The version of a module that go.mod requires.
    ///
    /// # Errors
    /// It does not require that one.
    pub fn version(&self, of: &str) -> Result<String> {
        let mut lines = self.module.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let version = lines.find_map(|words| match words[..] {
            [name, version, ..] if name == of && version != "=>" => Some(version.to_owned()),
            _ => None,
        });
        version.with_context(|| format!("{}/go.mod does not require {of}", self.directory))
    }

    /// The compiler that it asks for.
    ///
    /// # Errors
    /// go.mod has no `go` line.
    pub fn compiler(&self) -> Result<Go> {
        let wanted = self.version("go")?;
        let wanted = Version::parse(&wanted).with_context(|| format!("`go {wanted}` is no version"))?;
        Ok(Go { wanted })
    }

    /// Whether these programs were built from just this go.mod.
    pub fn is_built(&self, programs: &[&str]) -> bool {
        programs.iter().all(|program| {
            let stamp = std::fs::read_to_string(stamp(program));
            bin().join(program).is_file() && stamp.is_ok_and(|stamp| stamp == self.recipe)
        })
    }

    /// Builds one program of a package into target/tools/bin.
    ///
    /// # Errors
    /// There is no compiler, or it fails; the message says how to go on by hand.
    pub fn build(&self, package: &str, program: &str, link_flags: &str) -> Result<()> {
        let go = self.compiler()?;
        let compiler = go.program().with_context(|| format!("there is no {}", super::Step::name(&go)))?;
        std::fs::create_dir_all(bin())?;
        self.compile(&compiler, package, program, link_flags)?;
        std::fs::write(stamp(program), &self.recipe).context("cannot note what was built")
    }

    /// Fetches a module that go.mod requires, as go.sum has it: its directory.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn download(&self, of: &str) -> Result<PathBuf> {
        let go = self.compiler()?;
        let compiler = go.program().with_context(|| format!("there is no {}", super::Step::name(&go)))?;
        let mut command = process::command(compiler);
        command.args(["mod", "download", "-json", of]).env("GOTOOLCHAIN", "local");
        let output = command.current_dir(workspace::top().join(self.directory)).output()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let directory = said["Dir"].as_str().with_context(|| {
            let why = said["Error"].as_str().map(str::to_owned);
            let why = why.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned());
            format!("`go mod download {of}` in {} fails: {}", self.directory, why.trim())
        })?;
        Ok(directory.into())
    }

    fn compile(&self, compiler: &Path, package: &str, program: &str, link_flags: &str) -> Result<()> {
        let mut command = process::command(compiler);
        command.args(["build", "-v", "-trimpath", "-ldflags", &format!("-s -w {link_flags}"), "-o"]);
        command.arg(bin().join(program)).arg(package).env("GOTOOLCHAIN", "local");
        command.current_dir(workspace::top().join(self.directory));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("go does not start")?;
        let mut compiled = 0;
        for line in BufReader::new(child.stderr.take().context("no stderr")?).lines() {
            let line = line?;
            // A package's path is one word; whatever else it says is for the user.
            if line.contains(' ') || line.starts_with("go:") {
                eprintln!("{line}");
                continue;
            }
            compiled += 1;
            if compiled % TELL_EVERY == 0 {
                eprintln!("{program}: {compiled} packages compiled, {line}");
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!(
                "go build failed ({status}); once its cause is mended, run: cd {} && go build -o {} {package}",
                self.directory,
                bin().join(program).display()
            );
        }
        Ok(())
    }
}

fn bin() -> PathBuf {
    workspace::tools().join("bin")
}

fn stamp(program: &str) -> PathBuf {
    workspace::tools().join(format!("{program}.go.mod"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "\
module x

go 1.26.0

tool example.org/a/cmd/a

require (
\texample.org/a v4.3.1 // indirect
\texample.org/c v1.0.0 // indirect
)

replace (
\texample.org/b => example.org/b v0.36.3
)
";

    #[test]
    fn versions_are_those_that_go_mod_requires() {
        let module = GoModule::of("x", MODULE.to_owned(), "");
        assert_eq!(module.version("example.org/a").unwrap(), "v4.3.1");
        assert_eq!(module.compiler().unwrap().wanted.to_string(), "1.26.0");
        let error = module.version("example.org/b").unwrap_err().to_string();
        assert_eq!(error, "x/go.mod does not require example.org/b");
    }

    #[test]
    fn another_go_sum_is_another_recipe() {
        let recipe = |sums| GoModule::of("x", MODULE.to_owned(), sums).recipe;
        assert_ne!(recipe("a\n"), recipe("b\n"));
    }
}
