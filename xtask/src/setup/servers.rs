//! kube-apiserver and etcd, built from their Go modules at the versions of `tests/kubernetes/servers/go.mod`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::Step;
use super::go::{Go, Version};
use crate::{process, workspace};

/// The ecosystem's variable for a directory with both programs in it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const PROGRAMS: [&str; 2] = ["kube-apiserver", "etcd"];
const APISERVER: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";
/// A line after so many packages: compiling all takes minutes.
const TELL_EVERY: usize = 100;

pub struct Servers {
    apiserver: String,
    etcd: String,
    go: Version,
    /// go.mod and go.sum, which say all that the programs are made of.
    recipe: String,
}

impl Servers {
    /// # Errors
    /// go.mod is missing or lacks a version.
    pub fn read() -> Result<Self> {
        let read = |name| {
            let path = source().join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Self::of(&read("go.mod")?, &read("go.sum")?)
    }

    fn of(module: &str, sums: &str) -> Result<Self> {
        let line = |wanted: &str| {
            let mut words = module.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            words.find_map(|words| match words[..] {
                [name, version, ..] if name == wanted && version != "=>" => Some(version.to_owned()),
                _ => None,
            })
        };
        let version = |name: &str| line(name).with_context(|| format!("go.mod does not require {name}"));
        let go = line("go").as_deref().and_then(Version::parse).context("go.mod names no version of Go")?;
        Ok(Self { apiserver: version(APISERVER)?, etcd: version(ETCD)?, go, recipe: format!("{module}{sums}") })
    }

    /// The compiler that they need; none if they are not to be built.
    pub fn compiler(&self) -> Option<Go> {
        (brought().is_none() && !self.is_built()).then_some(Go { wanted: self.go })
    }

    fn is_built(&self) -> bool {
        let there = PROGRAMS.iter().all(|program| bin().join(program).is_file());
        there && std::fs::read_to_string(stamp()).is_ok_and(|stamp| stamp == self.recipe)
    }

    fn build(&self, go: &Path) -> Result<()> {
        let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion={}", self.apiserver);
        for (package, program) in [(format!("{APISERVER}/cmd/kube-apiserver"), PROGRAMS[0]), (ETCD.to_owned(), PROGRAMS[1])] {
            let mut command = process::command(go);
            command.args(["build", "-v", "-trimpath", "-ldflags", &flags, "-o"]).arg(bin().join(program));
            command.arg(&package).env("GOTOOLCHAIN", "local");
            command.current_dir(source()).stdin(Stdio::null()).stderr(Stdio::piped());
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
                    "go build failed ({status}); once its cause is mended, run: \
                     cd tests/kubernetes/servers && go build -o ../../../target/tools/bin/{program} {package}"
                );
            }
        }
        std::fs::write(stamp(), &self.recipe).context("cannot note what was built")
    }
}

fn source() -> PathBuf {
    workspace::top().join("tests/kubernetes/servers")
}

fn bin() -> PathBuf {
    workspace::tools().join("bin")
}

fn stamp() -> PathBuf {
    workspace::tools().join("kubernetes-servers")
}

/// The directory that the user brings, if it has both programs.
fn brought() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os(ASSETS)?);
    PROGRAMS.iter().all(|program| directory.join(program).is_file()).then_some(directory)
}

impl Step for Servers {
    fn name(&self) -> String {
        format!("kube-apiserver {} and etcd {}", self.apiserver, self.etcd)
    }

    fn present(&self) -> Result<Option<String>> {
        if let Some(directory) = brought() {
            return Ok(Some(format!("{ASSETS} is {}", directory.display())));
        }
        Ok(self.is_built().then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        let go = Go { wanted: self.go };
        let go = go.program().with_context(|| format!("no {}", go.name()))?;
        eprintln!("built from their Go modules once; that takes minutes");
        std::fs::create_dir_all(bin())?;
        self.build(&go)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "\
module x

go 1.26.0

tool (
\tgo.etcd.io/etcd/server/v3
)

require (
\tgo.etcd.io/etcd/server/v3 v3.6.16 // indirect
\tk8s.io/kubernetes v1.36.3 // indirect
)

replace (
\tk8s.io/api => k8s.io/api v0.36.3
)
";

    #[test]
    fn the_versions_are_those_of_go_mod() {
        let servers = Servers::of(MODULE, "").unwrap();
        assert_eq!(servers.name(), "kube-apiserver v1.36.3 and etcd v3.6.16");
        assert_eq!(servers.go.to_string(), "1.26.0");
    }

    #[test]
    fn a_go_mod_without_etcd_is_an_error_that_names_it() {
        let without = MODULE.replace("\tgo.etcd.io/etcd/server/v3 v3.6.16 // indirect\n", "");
        let error = Servers::of(&without, "").err().unwrap().to_string();
        assert!(error.contains("etcd"), "{error}");
    }
}
