//! Where a program can run: a network namespace with a cgroup.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::netns::{Netns, enter};
use crate::process::{Process, describe};

/// How long [`Place::run`] lets a program run.
const RUN_DEADLINE: Duration = Duration::from_secs(60);
/// How long [`Place::wait_listening`] waits.
const LISTEN_DEADLINE: Duration = Duration::from_secs(10);
/// Proxy settings of the machine that no pod would have inherited.
const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A network namespace and a cgroup that programs can be started in: a pod's, the node's own, or an outside host's.
#[derive(Clone, Debug)]
pub struct Place {
    label: String,
    netns: Netns,
    cgroup: PathBuf,
}

impl Place {
    pub(crate) const fn new(label: String, netns: Netns, cgroup: PathBuf) -> Self {
        Self { label, netns, cgroup }
    }

    pub(crate) const fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The name that `ip netns exec` takes.
    #[must_use]
    pub fn netns_name(&self) -> &str {
        self.netns.name()
    }

    /// The absolute path of the cgroup directory.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Starts a program inside. It enters the namespace and the cgroup before it executes, so its first socket is
    /// already the pod's. It leads a process group of its own, and inherits none of the machine's proxy settings.
    ///
    /// The machine's other namespaces stay: same files, same process ids. `Command::uid` would take the right to enter
    /// away; use `setpriv` as the program instead.
    ///
    /// # Errors
    /// If the program cannot be started, or the place is gone.
    pub fn spawn(&self, mut command: Command) -> Result<Process> {
        let label = format!("{} in {self}", command.get_program().display());
        for variable in PROXY_VARIABLES {
            if !command.get_envs().any(|(name, _)| name == OsStr::new(variable)) {
                command.env_remove(variable);
            }
        }
        let procs = self.cgroup.join("cgroup.procs");
        let procs = OpenOptions::new().write(true).open(&procs).with_context(|| format!("{self} is gone"))?;
        let netns = self.netns.descriptor().with_context(|| format!("enter {self}"))?;
        command.process_group(0);
        // SAFETY: write and setns are async-signal-safe, nothing is allocated, and the closure owns both descriptors.
        // The guardian's pipe closes only at exec: until the process is in the cgroup, the guardian waits for it.
        unsafe {
            command.pre_exec(move || {
                // cgroups(7): zero stands for the writer.
                if libc::write(procs.as_raw_fd(), b"0".as_ptr().cast(), 1) != 1 {
                    return Err(io::Error::last_os_error());
                }
                enter(netns.as_fd())
            });
        }
        let child = command.spawn().with_context(|| format!("start {label}"))?;
        Ok(Process::new(label, child))
    }

    /// Runs a program to its end, at most a minute, with empty stdin, and returns what it wrote and how it ended.
    ///
    /// # Errors
    /// If it cannot be started or does not end. A failing status is no error here, see [`Place::run_ok`].
    pub fn run<S: AsRef<OsStr>>(&self, command_line: impl IntoIterator<Item = S>) -> Result<Output> {
        let mut words = command_line.into_iter();
        let mut command = Command::new(words.next().context("the command line is empty")?);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn(command)?.output(RUN_DEADLINE)
    }

    /// As [`Place::run`], for programs that must succeed: returns what it wrote to stdout, as text.
    ///
    /// # Errors
    /// Also if it ends with anything but success: the error has the command line, the status and its stderr.
    pub fn run_ok<S: AsRef<OsStr>>(&self, command_line: impl IntoIterator<Item = S>) -> Result<String> {
        let words: Vec<S> = command_line.into_iter().collect();
        let output = self.run(&words)?;
        if !output.status.success() {
            let line: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
            bail!("`{}` in {self}: {}", line.join(" "), describe(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until somebody listens on a TCP port, or has bound a UDP port, over IPv4 or IPv6.
    ///
    /// # Errors
    /// After ten seconds; at once if no process is left here that could come to listen.
    pub fn wait_listening(&self, port: u16) -> Result<()> {
        let deadline = Instant::now() + LISTEN_DEADLINE;
        self.netns.inside(|| {
            while !is_listening(port)? {
                if self.is_empty()? {
                    bail!("{self} does not listen on port {port}: its programs have ended");
                }
                if Instant::now() > deadline {
                    bail!("{self} does not listen on port {port} after {LISTEN_DEADLINE:?}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        })
    }

    fn is_empty(&self) -> Result<bool> {
        let procs = fs::read_to_string(self.cgroup.join("cgroup.procs"))
            .with_context(|| format!("{self} is gone"))?;
        Ok(procs.is_empty())
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// Looks through the socket tables of the thread's network namespace.
fn is_listening(port: u16) -> Result<bool> {
    // State 0A is TCP_LISTEN; 07 (TCP_CLOSE) is a UDP socket that has no peer.
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let path = Path::new("/proc/thread-self/net").join(table);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        if text.lines().skip(1).any(|line| has_listener(line, port, state)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// proc_pid_net(5): `sl local_address rem_address st ...`, the port in hexadecimal after the colon.
fn has_listener(line: &str, port: u16, state: &str) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (local, _, found) = (fields.next(), fields.next(), fields.next());
    let local = local
        .and_then(|address| address.rsplit_once(':'))
        .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    local == Some(port) && found == Some(state)
}
