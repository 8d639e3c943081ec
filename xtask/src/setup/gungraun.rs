//! gungraun's runner: starts benchmarks under valgrind and reads what that counted. It has to be of the library's version.

use anyhow::{Context, Result, anyhow};

use super::{Step, is_noted};
use crate::{process, workspace};

const PROGRAM: &str = "gungraun-runner";

pub struct Gungraun {
    version: String,
}

impl Gungraun {
    /// # Errors
    /// If the workspace does not say which version it builds with.
    pub fn read() -> Result<Self> {
        let manifest = workspace::top().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let version = wanted(&text).context("Cargo.toml has no line `gungraun = \"=VERSION\"`")?;
        Ok(Self { version: version.to_owned() })
    }
}

fn wanted(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| line.strip_prefix("gungraun = \"=")?.strip_suffix('"'))
}

impl Step for Gungraun {
    fn name(&self) -> String {
        format!("{PROGRAM} {}", self.version)
    }

    fn present(&self) -> Result<Option<String>> {
        let note = std::fs::read_to_string(workspace::tools().join(".crates.toml")).unwrap_or_default();
        let there =
            is_noted(&note, PROGRAM, &self.version) && workspace::tools().join("bin").join(PROGRAM).is_file();
        Ok(there.then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        let tools = workspace::tools();
        let build = tools.join("build");
        process::run(
            process::cargo()
                .args(["install", PROGRAM, "--version", &self.version, "--locked", "--force", "--root"])
                .arg(&tools)
                .env("CARGO_TARGET_DIR", &build)
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        )
        .map_err(|_| {
            anyhow!(
                "cargo install failed; once its cause is mended, run: \
                 cargo install {PROGRAM} --version {} --locked --force --root target/tools",
                self.version
            )
        })?;
        let _ = std::fs::remove_dir_all(build);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_of_the_librarys_version() {
        assert_eq!(wanted("divan = \"0.1\"\ngungraun = \"=0.20.0\"\n"), Some("0.20.0"));
        assert!(Gungraun::read().is_ok());
    }
}
