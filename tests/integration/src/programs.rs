//! Programs of `tests/fixtures`, in Go, built when a test first asks for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

/// The program of `tests/fixtures/<name>`.
///
/// # Errors
/// It does not build.
pub fn go(name: &'static str) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<&str, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(program) = built.get(name) {
        return Ok(program.clone());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name);
    let program = std::env::temp_dir().join(format!("observer-{name}-{}", std::process::id()));
    let status = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).status();
    let status = status.context("go does not start; `cargo xtask setup` installs it")?;
    ensure!(status.success(), "go build of {name}: {status}");
    built.insert(name, program.clone());
    Ok(program)
}
