//! promtool, run from the repository's root.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs `promtool ARGUMENTS` with `input`; answers what it said on stdout and stderr.
///
/// # Errors
/// It cannot be run, or does not exit with 0: with all that it said.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().context("promtool does not start: `cargo xtask setup` installs prometheus")?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    if !output.status.success() {
        bail!("promtool {}: {}\n{said}", arguments.join(" "), output.status);
    }
    Ok(said)
}
