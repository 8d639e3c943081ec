//! Where things are.

use std::path::PathBuf;

use anyhow::{Context, Result};

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

/// The daemon that `cargo build --release -p observer` puts down.
///
/// # Errors
/// If this program does not know where it lies itself.
pub fn release_observer() -> Result<PathBuf> {
    Ok(target()?.join("release/observer"))
}

/// Where the integration suite writes its conformance table.
///
/// # Errors
/// If this program does not know where it lies itself.
pub fn conformance_table() -> Result<PathBuf> {
    Ok(target()?.join("conformance.txt"))
}

fn target() -> Result<PathBuf> {
    // xtask lies in <target>/debug, wherever CARGO_TARGET_DIR or a user's configuration put <target>.
    let own = std::env::current_exe().context("cannot find the target directory")?;
    let target = own.parent().and_then(|debug| debug.parent()).context("cannot find the target directory")?;
    Ok(target.to_owned())
}
