//! Network namespaces, and the `ip` and `nft` commands that furnish them.

use std::fs::{self, File};
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

/// A named network namespace; a clone is another handle to the same one.
#[derive(Clone, Debug)]
pub struct Netns {
    name: Arc<str>,
    file: Arc<OwnedFd>,
}

impl Netns {
    /// Makes the namespace, as `ip netns add` does. `alive` as in [`ip`].
    pub fn create(name: &str, alive: &PipeWriter) -> Result<Self> {
        ip(None, &format!("netns add {name}"), alive)?;
        let path = Path::new("/run/netns").join(name);
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self { name: name.into(), file: Arc::new(file.into()) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A second descriptor of the namespace, for a command that will enter it.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    /// Runs `work` on a thread of its own inside the namespace.
    ///
    /// `/proc/net` and `/proc/sys/net` follow the process's first thread: use `/proc/thread-self/net` inside; paths
    /// below `/proc/sys/net` do follow the thread.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let thread = || {
            use std::os::fd::AsFd;
            enter(self.file.as_fd()).with_context(|| format!("enter the network namespace {}", self.name))?;
            work()
        };
        let outcome = std::thread::scope(|scope| scope.spawn(thread).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Writes settings below `/proc/sys/net`, as sysctl(8) would: `("ipv4/ip_forward", "1")`.
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                // Bridge settings exist only where the kernel has br_netfilter.
                if key.starts_with("bridge/") && !path.exists() {
                    continue;
                }
                fs::write(&path, value).with_context(|| format!("write {value} to {}", path.display()))?;
            }
            Ok(())
        })
    }
}

/// Moves the calling thread into a network namespace.
pub fn enter(netns: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes a descriptor, borrowed and so open, and a flag; it changes this thread only.
    match unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs lines of `ip` in a namespace, or in the machine's own. The command inherits `alive`, the guardian's pipe.
pub fn ip(netns: Option<&Netns>, lines: &str, alive: &PipeWriter) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    feed(command, netns, lines, alive)
}

/// Loads an nftables ruleset into a namespace, all or nothing.
pub fn nft(netns: &Netns, ruleset: &str, alive: &PipeWriter) -> Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]);
    feed(command, Some(netns), ruleset, alive)
}

fn feed(mut command: Command, netns: Option<&Netns>, input: &str, alive: &PipeWriter) -> Result<()> {
    let tool = command.get_program().display().to_string();
    // Debian leaves them out of an ordinary user's PATH, which `sudo -E` may keep.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let netns = netns.map(Netns::descriptor).transpose().context("duplicate a namespace descriptor")?;
    let alive = alive.as_raw_fd();
    // SAFETY: fcntl and setns are async-signal-safe; both descriptors are open in the new process, which is a copy.
    unsafe {
        command.pre_exec(move || {
            use std::os::fd::AsFd;
            if libc::fcntl(alive, libc::F_SETFD, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            netns.as_ref().map_or(Ok(()), |netns| enter(netns.as_fd()))
        });
    }
    let mut child = command.spawn().with_context(|| {
        let package = if tool == "nft" { "nftables" } else { "iproute2" };
        format!("start `{tool}` (on Debian: apt-get install {package})")
    })?;
    let mut stdin = child.stdin.take().context("the command has no stdin")?;
    // A tool that stops early closes the pipe; what it says on stderr tells more than the write's error.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("wait for `{tool}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        // `ip` names the line by its number only.
        let line = said.rsplit_once("Command failed -:").and_then(|(_, number)| number.parse::<usize>().ok());
        let line = line.and_then(|number| input.lines().nth(number - 1)).map(|line| format!(" (`{line}`)"));
        bail!("`{tool}` failed ({}): {said}{}", output.status, line.unwrap_or_default());
    }
    Ok(())
}
