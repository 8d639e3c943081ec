//! Other programs that watch a node: packages that everybody can install, or whatever the user names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use observer_harness::Process;

use super::load::Load;
use super::meter::Meter;
use super::stage::Stage;
use crate::process;
use crate::scratch::Scratch;

/// A program, as a line for the shell. `$LINK` is the server pod's link in the node's namespace, where each packet
/// passes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub command: String,
    /// Whether each line of its output is one request that it saw.
    pub tells_requests: bool,
}

/// Until it watches.
const STARTS: Duration = Duration::from_secs(3);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Packets, copied into user space and thrown away.
const TCPDUMP: &str = "exec tcpdump -n -s 0 -i \"$LINK\" -w /dev/null";
/// A line for each request that it reads, of HTTP/1 and HTTP/2: who, whom, what, with which credential.
const TSHARK: &str = "exec tshark -n -l -Q -s 2048 -i \"$LINK\" -f 'tcp or udp' -d tcp.port==8081,http2 \
    -Y 'http.request or (http2.type == 1 and http2.headers.method)' -T fields -e frame.time_epoch -e ip.src \
    -e ip.dst -e tcp.dstport -e http.request.method -e http.authorization -e http2.headers.method";

impl Peer {
    pub fn tcpdump() -> Self {
        Self { name: "tcpdump".to_owned(), command: TCPDUMP.to_owned(), tells_requests: false }
    }

    pub fn tshark() -> Self {
        Self { name: "tshark".to_owned(), command: TSHARK.to_owned(), tells_requests: true }
    }

    /// Of `NAME=COMMAND`.
    ///
    /// # Errors
    /// If there is no name or no command.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
                Ok(Self { name: name.to_owned(), command: command.to_owned(), tells_requests: false })
            }
            _ => Err("NAME=COMMAND is wanted, such as 'agent=exec agent --listen 127.0.0.1:1'".to_owned()),
        }
    }

    /// Starts it in the node's network namespace, as a DaemonSet with hostNetwork.
    ///
    /// # Errors
    /// If it ends at once; with what it said.
    pub fn start(&self, stage: &Stage, scratch: &Scratch) -> Result<Watching> {
        let (output, errors) = (scratch.file("peer.out"), scratch.file("peer.err"));
        let create = |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "TERM", "sh", "-c", &self.command]).env("LINK", stage.link()?);
        // tshark keeps there what it has not read yet.
        command.env("TMPDIR", scratch.path());
        command.stdin(Stdio::null()).stdout(create(&output)?).stderr(create(&errors)?);
        let mut process = stage.node.host_spawn(command)?;
        thread::sleep(STARTS);
        if !process.is_running()? {
            let said = fs::read_to_string(&errors).unwrap_or_default();
            bail!("{} ended at once: {}", self.name, said.trim().lines().last().unwrap_or("it said nothing"));
        }
        Ok(Watching { process, output: self.tells_requests.then_some(output) })
    }
}

/// A peer that watches. Dropping it kills it.
pub struct Watching {
    process: Process,
    output: Option<PathBuf>,
}

impl Watching {
    pub fn meter(&self) -> Meter {
        Meter::of(self.process.pid())
    }

    /// Requests that it told of so far.
    pub fn requests(&self, load: Load) -> Option<u64> {
        let output = self.output.as_ref().filter(|_| load.has_visible_requests())?;
        let lines = fs::read(output).ok()?.iter().filter(|byte| **byte == b'\n').count();
        u64::try_from(lines).ok()
    }

    /// # Errors
    /// If it cannot be ended.
    pub fn stop(self) -> Result<()> {
        self.process.stop(STOP_PATIENCE).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_and_all_that_follows() {
        let peer = Peer::parse("agent=exec agent --option=1").unwrap();
        assert_eq!((peer.name.as_str(), peer.command.as_str()), ("agent", "exec agent --option=1"));
        assert!(Peer::parse("agent").is_err() && Peer::parse("=x").is_err() && Peer::parse("x= ").is_err());
    }
}
