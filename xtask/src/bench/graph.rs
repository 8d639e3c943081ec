use anyhow::Result;

use crate::process;

/// # Errors
/// If it does not build, or reading and compiling takes longer than it may.
pub fn run() -> Result<()> {
    process::run(process::cargo().args(["bench", "--package", "observer", "--bench", "graph"]))
}
