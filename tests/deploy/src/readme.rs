//! What the README tells people to type.

use std::path::Path;

use anyhow::{Result, ensure};

/// The commands of its console blocks that begin so, each without that beginning, in words.
///
/// # Errors
/// There is none.
pub fn commands(beginning: &str) -> Result<Vec<Vec<String>>> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"))?;
    let prompt = format!("$ {beginning}");
    let commands: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix(&prompt))
        .map(|rest| rest.split_whitespace().map(str::to_owned).collect())
        .collect();
    ensure!(!commands.is_empty(), "README.md has no command `{beginning}`");
    Ok(commands)
}
