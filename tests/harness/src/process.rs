//! A program that runs on the node, ended when its handle goes.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running program and its process group. Dropping it kills both.
#[derive(Debug)]
pub struct Process {
    /// What runs and where, for messages: `nginx in shop/payments`.
    label: String,
    child: Child,
    reaped: bool,
}

impl Process {
    pub(crate) const fn new(label: String, child: Child) -> Self {
        Self { label, child, reaped: false }
    }

    /// The program's process id, which is also its process group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The standard library's handle: its `stdin`, `stdout` and `stderr` pipes, if the command asked for them.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(!self.reaped && !self.has_ended()?)
    }

    /// Sends a signal, such as `libc::SIGTERM`, to the program alone.
    ///
    /// # Errors
    /// If it has ended and been waited for.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if self.reaped {
            bail!("{} has ended already", self.label);
        }
        let pid = i32::try_from(self.pid()).context("the process id is out of range")?;
        // SAFETY: kill takes two integers. The process is not reaped, so the id is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("signal {signal} to {}", self.label));
        }
        Ok(())
    }

    /// Waits until the program ends by itself, and kills what it leaves in its process group.
    ///
    /// # Errors
    /// If it still runs after `patience`; it goes on running then.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        while self.is_running()? {
            if Instant::now() > deadline {
                bail!("{} still runs after {patience:?}", self.label);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.reap()
    }

    /// Ends it in good order: SIGTERM, and SIGKILL to the group after `patience`.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        if self.is_running()? {
            self.signal(libc::SIGTERM)?;
        }
        match self.wait(patience) {
            Ok(status) => Ok(status),
            Err(_) => self.reap(),
        }
    }

    /// Collects what the program writes to its pipes until it ends.
    ///
    /// # Errors
    /// If that takes longer than `patience`; it is killed then.
    pub(crate) fn output(mut self, patience: Duration) -> Result<Output> {
        fn drain(pipe: Option<impl io::Read>) -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes)).map(|_| bytes)
        }
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        std::thread::scope(|scope| {
            let stdout = scope.spawn(|| drain(stdout));
            let stderr = scope.spawn(|| drain(stderr));
            let waited = self.wait(patience);
            if waited.is_err() {
                // Closes the pipes that the readers wait for.
                self.reap()?;
            }
            let join = |reader: std::thread::ScopedJoinHandle<'_, io::Result<Vec<u8>>>| {
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let stdout = join(stdout).with_context(|| format!("read the output of {}", self.label))?;
            let stderr = join(stderr).with_context(|| format!("read the output of {}", self.label))?;
            let status = waited.with_context(|| String::from_utf8_lossy(&stderr).trim().to_owned())?;
            Ok(Output { status, stdout, stderr })
        })
    }

    /// Whether the program has ended; it stays a zombie, so that its pid stays its own.
    fn has_ended(&self) -> Result<bool> {
        let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        // SAFETY: an all-zero siginfo_t is valid, and waitid fills it in; the pointer lives across the call.
        let (outcome, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::waitid(libc::P_PID, self.pid(), &raw mut info, flags), info)
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error()).with_context(|| format!("wait for {}", self.label));
        }
        // SAFETY: waitid succeeded, so the field is set: the child's pid, or zero if it has not ended.
        Ok(unsafe { info.si_pid() } != 0)
    }

    /// Kills what is left of the process group, then waits for the program.
    fn reap(&mut self) -> Result<ExitStatus> {
        // An error means that somebody waited for it through `child`: its group's id may be another's by now.
        if !self.reaped && self.has_ended().is_ok() {
            let group = i32::try_from(self.pid()).context("the process id is out of range")?;
            // SAFETY: kill takes two integers. The group's leader is alive or a zombie, so the id is still the group's.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            self.reaped = true;
        }
        self.child.wait().with_context(|| format!("wait for {}", self.label))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.reap();
    }
}

/// How a program ended, for messages: `exit status: 7` or `signal: 9`.
pub(crate) fn describe(output: &Output) -> String {
    let ended =
        output.status.signal().map_or_else(|| output.status.to_string(), |signal| format!("signal {signal}"));
    match String::from_utf8_lossy(&output.stderr).trim() {
        "" => ended,
        stderr => format!("{ended}: {}", stderr.replace('\n', "; ")),
    }
}
