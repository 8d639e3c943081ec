use anyhow::Result;

use crate::process;

/// # Errors
/// If it does not build, or the index takes more memory than it may.
pub fn run() -> Result<()> {
    process::run(process::cargo().args(["bench", "--package", "observer", "--bench", "identity"]))
}
