//! A server that ends with whoever started it, however that ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Kills the server at the end of its own input, which is there when the owner lets go of it or dies.
const GUARDIAN: &str = r#"
exec 3<&0
log=$1
shift
"$@" </dev/null 3<&- >>"$log" 2>&1 &
server=$!
(cat <&3; kill -9 "$server") >/dev/null 2>&1 &
killer=$!
wait "$server"
kill "$killer" 2>/dev/null
"#;

#[derive(Debug)]
pub struct Guarded {
    guardian: Child,
}

impl Guarded {
    /// Starts `command`, its output in `log`.
    ///
    /// # Errors
    /// No shell, or no such file.
    pub fn start(command: &Command, log: &Path) -> Result<Self> {
        File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
        let mut guardian = Command::new("sh");
        guardian.args(["-c", GUARDIAN, "guardian"]).arg(log);
        guardian.arg(command.get_program()).args(command.get_args());
        guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { guardian: guardian.spawn().context("sh does not start")? })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.guardian.try_wait(), Ok(None))
    }

    /// Kills it, as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
