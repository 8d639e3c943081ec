//! A Go compiler that is new enough. Debian's is older than what the API server asks for; but every version of Go is
//! a module too, which any other version can fetch.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use super::Step;
use crate::{process, workspace};

/// A Go at least as new as `wanted`: the machine's own, or one below target/tools.
pub struct Go {
    pub wanted: Version,
}

/// `1.26.0`; parts that are left out are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

impl Version {
    /// Of `1.26`, `1.26.8` or `go1.26rc1`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("go");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = [0; 3];
        for (part, digits) in parts.iter_mut().zip(text[..end].split('.')) {
            *part = digits.parse().ok()?;
        }
        Some(Self(parts))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Go {
    /// The program that is new enough, if there is one.
    pub fn program(&self) -> Option<PathBuf> {
        [process::find("go"), Some(own())].into_iter().flatten().find(|go| self.accepts(go))
    }

    fn accepts(&self, go: &Path) -> bool {
        version_of(go).is_some_and(|version| version >= self.wanted)
    }
}

/// Its own version, not that of another Go which it would start.
fn version_of(go: &Path) -> Option<Version> {
    let mut command = process::command(go);
    command.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").current_dir("/");
    Version::parse(&process::output(&mut command)?)
}

fn directory() -> PathBuf {
    workspace::tools().join("go")
}

fn own() -> PathBuf {
    directory().join("bin/go")
}

/// Go's names for this machine.
fn platform() -> Result<String> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("linux-amd64".to_owned()),
        "aarch64" => Ok("linux-arm64".to_owned()),
        other => bail!("no released Go is known here for {other}"),
    }
}

impl Step for Go {
    fn name(&self) -> String {
        format!("Go {} or newer", self.wanted)
    }

    fn present(&self) -> Result<Option<String>> {
        Ok(self.program().and_then(|go| Some(format!("{} is {}", go.display(), version_of(&go)?))))
    }

    fn install(&self) -> Result<()> {
        let wanted = self.wanted;
        let by_hand = format!(
            "go install golang.org/dl/go{wanted}@latest && ~/go/bin/go{wanted} download && \
             export PATH=~/sdk/go{wanted}/bin:$PATH"
        );
        let Some(old) = process::find("go") else {
            bail!(
                "there is no Go; install any version of it, say `apt-get install golang-go`, then run: {by_hand}"
            );
        };
        fetch(&old, wanted)
            .map_err(|error| anyhow!("{error:#}; once its cause is mended, run: {by_hand}"))?;
        match self.accepts(&own()) {
            true => Ok(()),
            false => bail!("{} does not run; run: {by_hand}", own().display()),
        }
    }
}

/// Has an old Go fetch a newer one as the module that it is, checked against Go's checksum database.
fn fetch(old: &Path, wanted: Version) -> Result<()> {
    let module = format!("golang.org/toolchain@v0.0.1-go{wanted}.{}", platform()?);
    let output = process::command(old)
        .args(["mod", "download", "-json", &module])
        .env("GOTOOLCHAIN", "local")
        .env("GO111MODULE", "on")
        .env("GOFLAGS", "-mod=mod")
        // Outside of any module.
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("go does not start")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(source) = answer["Dir"].as_str().filter(|_| output.status.success()) else {
        bail!("go mod download {module}: {}", answer["Error"].as_str().unwrap_or("failed"));
    };
    let target = directory();
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir_all(workspace::tools())?;
    // Modules hold no executables, and nothing that can be written to.
    let script = "cp -r \"$1\" \"$2\" && chmod -R u+w \"$2\" && chmod 755 \"$2\"/bin/* && \
                  find \"$2/pkg/tool\" -type f -exec chmod 755 {} +";
    process::run(Command::new("sh").args(["-c", script, "sh", source]).arg(&target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_not_by_letter() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("go1.9.7") < version("1.26.0"));
        assert_eq!(version("go1.26"), version("1.26.0"));
        assert_eq!(version("go1.26rc2\n"), version("1.26"));
        assert_eq!(version("go1.26.8 X:nodwarf5").to_string(), "1.26.8");
        assert_eq!(Version::parse("devel +abc"), None);
    }
}
