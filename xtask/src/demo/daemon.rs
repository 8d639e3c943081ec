//! The real daemon, as a user would start it, and what it writes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::cast::{GRAPH, ISSUER};
use super::stage::Stage;
use super::tokens::Key;
use crate::process;
use crate::scratch::Scratch;

/// It promises to observe two seconds after its start; a busy machine gets more.
const READY_DEADLINE: Duration = Duration::from_secs(15);
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A running `observer run`. Dropping it kills it.
pub struct Daemon {
    child: Child,
    /// Of its metrics, too.
    pub health: SocketAddr,
    pub socket: PathBuf,
    log: PathBuf,
    /// The lines of its standard output; the sender goes when it ends.
    pub lines: Receiver<String>,
}

impl Daemon {
    /// Starts it over the stage's cgroups alone.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(observer: &Path, stage: &Stage, issuer: &Key, scratch: &Scratch) -> Result<Self> {
        let socket = scratch.file("observer.sock");
        let health = free_address()?;
        let log = scratch.file("observer.log");
        // Even a SIGKILL of this process must not leave it behind.
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(observer).arg("run");
        command.arg("--cgroup-root").arg(stage.node.cgroup_root());
        command.args(["--node-name", stage.node.name(), "--issuer", ISSUER, "--output", "json"]);
        command.args(["--listen", &health.to_string()]).arg("--socket").arg(&socket);
        command.arg("--inventory").arg(scratch.write("inventory.yaml", &stage.node.inventory_yaml())?);
        command.arg("--graph").arg(scratch.write("graph.yaml", GRAPH)?);
        command.arg("--jwks").arg(scratch.write("jwks.json", &issuer.jwks()?)?);
        // Ctrl-C is not for it: it is told in good order, when the traffic has ended.
        command.process_group(0);
        let errors = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().context("setpriv, which starts the observer, does not start")?;
        let output = child.stdout.take().context("the observer's output is not there")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, health, socket, log, lines })
    }

    /// Waits until it says that it observes, or until `stopped`.
    ///
    /// # Errors
    /// If it ends or takes too long; with the end of its log.
    pub fn wait_ready(&mut self, stopped: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        while !is_ready(self.health) && !stopped() {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("the observer is not ready after {READY_DEADLINE:?}{}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// # Errors
    /// If it has ended; with the end of its log.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait().context("wait for the observer")? {
            Some(status) => bail!("the observer ended ({status}){}", self.last_words()),
            None => Ok(()),
        }
    }

    /// Ends it with SIGTERM, after which `lines` has all that is left.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub fn stop(&mut self) -> Result<()> {
        self.check_alive()?;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM).context("SIGTERM to the observer")?;
        let status = self.wait()?;
        if !status.success() {
            bail!("the observer ended badly ({status}){}", self.last_words());
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the observer")? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the observer still runs {STOP_DEADLINE:?} after SIGTERM{}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of its log, for an error message.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(10)..];
        if last.is_empty() { String::new() } else { format!("; its log ends:\n{}", last.join("\n")) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that nobody listens on now.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}

fn is_ready(address: SocketAddr) -> bool {
    let patience = Duration::from_millis(500);
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
