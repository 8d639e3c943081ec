//! The daemon as one static file.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Where the Dockerfile expects it.
pub const IN_DOCKERFILE: &str = "target/image/observer";

pub struct Built {
    pub binary: PathBuf,
    /// The commit, `-dirty` if files differ from it; none outside of a git repository.
    pub revision: Option<String>,
    /// Of the commit, in RFC 3339: the same source gives the same image.
    pub time: String,
}

/// Builds it for this machine's architecture.
///
/// # Errors
/// If it cannot be built.
pub fn build() -> Result<Built> {
    let host = workspace::host()?;
    let revision = revision();
    // glibc's own static library needs no further compiler. With a --target, the flag reaches neither build scripts nor
    // procedural macros; in the variable, it does not replace what a user's RUSTFLAGS say.
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--locked", "--release", "--package", "observer", "--target", &host])
        .env("RUSTFLAGS", format!("{flags} -C target-feature=+crt-static").trim_start())
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    if let Some(revision) = &revision {
        cargo.env("OBSERVER_REVISION", revision);
    }
    process::run(&mut cargo)?;
    let target = workspace::target()?;
    let binary = target.join("image/observer");
    fs::create_dir_all(target.join("image"))?;
    let built = target.join(host).join("release/observer");
    fs::copy(&built, &binary).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(Built { binary, revision, time: time() })
}

fn revision() -> Option<String> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let differs = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    Some(if differs { format!("{commit}-dirty") } else { commit })
}

fn time() -> String {
    git(&["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"])
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let mut git = process::command("git");
    // In CI the directory may belong to another user than the one who runs this.
    git.args(["-c", "safe.directory=*"]).args(arguments).env("TZ", "UTC");
    process::output(&mut git).map(|answer| answer.trim().to_owned())
}
