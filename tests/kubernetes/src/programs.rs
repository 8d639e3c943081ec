//! Where kube-apiserver, etcd and kubectl are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The ecosystem's variable for a directory with the programs; it comes first.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// # Errors
/// It is not there, and how to get it.
pub fn find(program: &str) -> Result<PathBuf> {
    let brought = std::env::var_os(ASSETS).map(|directory| PathBuf::from(directory).join(program));
    if let Some(path) = brought.filter(|path| path.is_file()) {
        return Ok(path);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin").join(program);
    if !built.is_file() {
        bail!(
            "{program} is not there; `cargo xtask setup --for test` builds it, or set {ASSETS} to a directory with it"
        );
    }
    Ok(built)
}
