//! Where things are.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process;

/// The repository's top directory.
pub fn top() -> PathBuf {
    // Asked at run time first: worktrees may share one target directory, and with it one xtask binary.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), PathBuf::from)
}

/// What setup installs for this project alone: `bin/` in it is on the PATH of everything that xtask starts.
pub fn tools() -> PathBuf {
    top().join("target/tools")
}

/// The directory that cargo builds into.
///
/// # Errors
/// If this program does not know where it lies itself.
pub fn target() -> Result<PathBuf> {
    // xtask lies in <target>/debug, wherever CARGO_TARGET_DIR or a user's configuration put <target>.
    let own = std::env::current_exe().context("cannot find the target directory")?;
    let target = own.parent().and_then(|debug| debug.parent()).context("cannot find the target directory")?;
    Ok(target.to_owned())
}

/// The daemon that `cargo build --release -p observer` puts down.
///
/// # Errors
/// As [`target`].
pub fn release_observer() -> Result<PathBuf> {
    Ok(target()?.join("release/observer"))
}

/// This machine's target triple, as rustc calls it.
///
/// # Errors
/// If there is no rustc.
pub fn host() -> Result<String> {
    let version = process::output(process::command("rustc").arg("-vV")).context("rustc does not start")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Where the integration suite writes its conformance table.
///
/// # Errors
/// As [`target`].
pub fn conformance_table() -> Result<PathBuf> {
    Ok(target()?.join("conformance.txt"))
}
