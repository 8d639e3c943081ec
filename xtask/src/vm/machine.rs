//! One virtual machine, from its start to its end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::accelerator::Accelerator;
use super::console::Told;
use super::kernel::Fetched;
use crate::process;

/// Emulated on two processors that do nothing else, all scenarios take a minute; on busy ones, three.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
const PAUSE: Duration = Duration::from_millis(50);
/// How much of a machine's own log is shown if it failed.
const LAST_LINES: usize = 30;

/// What became of a machine.
pub struct Outcome {
    pub told: Told,
    pub took: Duration,
    /// It did not end by itself.
    pub killed: bool,
}

/// Runs all scenarios on a kernel; prints what is told as it comes.
///
/// # Errors
/// QEMU does not start.
pub fn boot(
    kernel: &Fetched,
    initramfs: &Path,
    accelerator: Accelerator,
    directory: &Path,
) -> Result<Outcome> {
    let log = directory.join(format!("console-{}.log", kernel.kernel.version));
    let start = Instant::now();
    let mut qemu = Qemu::start(kernel, initramfs, accelerator, &log)?;
    let output = qemu.0.stdout.take().context("QEMU has no stdout")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut told = Told::default();
    let killed = loop {
        match lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            Ok(line) => {
                if Told::is_result(&line) {
                    eprintln!("{:<6}{line}", kernel.kernel.version);
                }
                told.hear(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    drop(qemu);
    let outcome = Outcome { told, took: start.elapsed(), killed };
    if outcome.killed || !outcome.told.is_complete() {
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        eprintln!("the machine's last words, of {}:\n{}", log.display(), last.join("\n"));
    }
    Ok(outcome)
}

/// Whether a machine ends by itself within `patience`.
pub fn trial(
    kernel: &Fetched,
    initramfs: &Path,
    accelerator: Accelerator,
    directory: &Path,
    patience: Duration,
) -> bool {
    let Ok(mut qemu) = Qemu::start(kernel, initramfs, accelerator, &directory.join("console-trial.log"))
    else {
        return false;
    };
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Ok(Some(status)) = qemu.0.try_wait() {
            return status.success();
        }
        thread::sleep(PAUSE);
    }
    false
}

/// Killed when dropped.
struct Qemu(Child);

impl Qemu {
    fn start(kernel: &Fetched, initramfs: &Path, accelerator: Accelerator, log: &Path) -> Result<Self> {
        let mut command: Command = process::command("qemu-system-x86_64");
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
                "-m",
                "1024",
                "-smp",
                "2",
            ])
            .args(accelerator.arguments())
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(initramfs)
            // The words of a panic reach the log, and the machine ends.
            .args(["-append", "console=ttyS0 panic=-1 quiet loglevel=4"])
            .arg("-serial")
            .arg(format!("file:{}", log.display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child =
            command.spawn().context("qemu-system-x86_64 does not start: `cargo xtask setup` installs it")?;
        Ok(Self(child))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
