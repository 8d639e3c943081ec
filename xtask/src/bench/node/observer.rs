//! The daemon under load, as its DaemonSet starts it, but for files in the place of an API server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use observer_harness::SimNode;
use rustix::process::{Pid, Signal, kill_process};

use crate::process;
use crate::scratch::Scratch;

const READY_DEADLINE: Duration = Duration::from_secs(20);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// What the client may do is declared, so that every flow is weighed.
const GRAPH: &str = "
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: bench, namespace: bench}
spec:
  edges:
    - from: {serviceAccount: client}
      to: {serviceAccount: server}
      encryption: optional
";

/// A running `observer run`. Dropping it kills it.
pub struct Daemon {
    child: Child,
    listen: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Starts it over the node's cgroups and waits until it observes.
    ///
    /// # Errors
    /// If it ends or takes too long; with the end of its log.
    pub fn start(observer: &Path, node: &SimNode, scratch: &Scratch) -> Result<Self> {
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|port| port.local_addr());
        let listen = listen.context("find a free port")?;
        let log = scratch.file("observer.log");
        // setpriv becomes the daemon, so the process id is the daemon's; a killed benchmark leaves none behind.
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(observer).arg("run");
        command.arg("--cgroup-root").arg(node.cgroup_root()).args(["--node-name", node.name()]);
        command.args(["--listen", &listen.to_string()]).arg("--socket").arg(scratch.file("observer.sock"));
        command.arg("--inventory").arg(scratch.write("inventory.yaml", &node.inventory_yaml())?);
        command.arg("--graph").arg(scratch.write("graph.yaml", GRAPH)?);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).with_context(|| format!("create {}", log.display()))?);
        let child = command.spawn().context("setpriv, which starts the observer, does not start")?;
        let mut daemon = Self { child, listen, log };
        let deadline = Instant::now() + READY_DEADLINE;
        while !daemon.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if let Some(status) = daemon.child.try_wait().context("wait for the observer")? {
                bail!("the observer ended ({status}){}", daemon.last_words());
            }
            if Instant::now() > deadline {
                bail!("the observer is not ready after {READY_DEADLINE:?}{}", daemon.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// If it does not answer.
    pub fn metrics(&self) -> Result<String> {
        self.get("/metrics").with_context(|| format!("the observer's metrics{}", self.last_words()))
    }

    fn get(&self, path: &str) -> Result<String> {
        let patience = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&self.listen, patience)?;
        stream.set_read_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM).context("SIGTERM to the observer")?;
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            match self.child.try_wait().context("wait for the observer")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the observer ended badly ({status}){}", self.last_words()),
                None if Instant::now() > deadline => {
                    bail!("the observer still runs {STOP_DEADLINE:?} after SIGTERM{}", self.last_words())
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
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
