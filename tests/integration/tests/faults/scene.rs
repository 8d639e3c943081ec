//! A node whose client downloads the same file again and again, and compares each byte.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Place, Pod, Process, SimNode};
use observer_integration::Daemon;
use observer_integration::servers::{Nginx, nginx, python};
use serde_json::Value;

pub const PORT: u16 = 8080;
const FILE_BYTES: usize = 300_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection that is kept and, beside it, a new one for each download. Says the kept one's port, then at its end
/// how many downloads were the same byte for byte; another byte or a broken connection is its failure.
const DOWNLOADS: &str = r#"
import hashlib, http.client, signal, sys, time
host, port, digest = sys.argv[1:]
stop = False
def end(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, end)
def fetch(connection):
    connection.request("GET", "/file")
    body = connection.getresponse().read()
    assert hashlib.sha256(body).hexdigest() == digest, "another file"
kept = http.client.HTTPConnection(host, int(port), timeout=20)
fetch(kept)
print(kept.sock.getsockname()[1], flush=True)
count = 1
while not stop:
    fresh = http.client.HTTPConnection(host, int(port), timeout=20)
    fetch(fresh)
    fresh.close()
    fetch(kept)
    count += 2
    time.sleep(0.05)
print(count, flush=True)
"#;

pub struct Scene {
    pub node: SimNode,
    pub server: Pod,
    pub client: Pod,
    _nginx: Nginx,
    digest: String,
}

impl Scene {
    pub fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let nginx = nginx(
            &server,
            PORT,
            &format!(
                "listen {PORT} backlog=4096; listen [::]:{PORT}; root DIRECTORY; keepalive_requests 1000000;"
            ),
        )?;
        let mut bytes = vec![0; FILE_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let path = nginx.directory.write("file", &bytes)?;
        nginx.directory.write("small", "hello\n")?;
        let sum = Command::new("sha256sum").arg(path).output()?;
        let digest = String::from_utf8(sum.stdout)?.split_whitespace().next().context("a digest")?.to_owned();
        Ok(Self { node, server, client, _nginx: nginx, digest })
    }

    pub fn url(&self) -> String {
        format!("http://{}:{PORT}/small", self.server.ip4)
    }

    /// Downloads go on until the answer is asked for their end.
    pub fn traffic(&self) -> Result<Traffic> {
        let line = python(DOWNLOADS, &[&self.server.ip4.to_string(), &PORT.to_string(), &self.digest]);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = self.client.spawn(command)?;
        let mut said = BufReader::new(process.child().stdout.take().context("a pipe")?);
        let mut first = String::new();
        said.read_line(&mut first)?;
        let kept_port = first.trim().parse().context("the first download failed")?;
        Ok(Traffic { process, said, kept_port })
    }

    /// So many connections with one request each, as fast as they go.
    pub fn flood(&self, connections: u32) -> Result<()> {
        let count = connections.to_string();
        self.client.run_ok(["ab", "-q", "-r", "-n", &count, "-c", "16", &self.url()]).map(drop)
    }

    /// The port that one request more comes from.
    pub fn call(&self, from: &Place) -> Result<u64> {
        let url = self.url();
        Ok(from.run_ok(["curl", "-sS", "-o", "/dev/null", "-w", "%{local_port}", &url])?.trim().parse()?)
    }

    /// The daemon is alive and well, nothing in it panicked, and the next request is told as it should be.
    pub fn is_well(&self, daemon: &Daemon) -> Result<()> {
        self.answers(daemon)?;
        let port = self.call(&self.client)?;
        let record = daemon.wait_final_from(port)?;
        Self::is_right(&record)
    }

    pub fn answers(&self, daemon: &Daemon) -> Result<()> {
        let health = daemon.get("/healthz")?;
        ensure!(health.starts_with("HTTP/1.1 200"), "{health}\n{}", daemon.log());
        ensure!(!daemon.log().contains("panicked"), "{}", daemon.log());
        Ok(())
    }

    pub fn is_right(record: &Value) -> Result<()> {
        ensure!(record["client"]["principal"] == "shop/client", "{record:#}");
        ensure!(record["server"]["principal"] == "shop/server", "{record:#}");
        ensure!(record["protocol"] == "http/1.1" && record["requests"]["none"] == 1, "{record:#}");
        Ok(())
    }
}

/// See [`Scene::traffic`].
pub struct Traffic {
    process: Process,
    said: BufReader<std::process::ChildStdout>,
    /// Where the kept connection comes from.
    pub kept_port: u64,
}

impl Traffic {
    /// How many downloads there were, each the same byte for byte.
    pub fn end(mut self) -> Result<u64> {
        self.process.signal(libc::SIGTERM)?;
        let mut last = String::new();
        self.said.read_to_string(&mut last)?;
        let status = self.process.wait(PATIENCE)?;
        ensure!(status.success(), "the downloads: {status}");
        let count = last.trim().parse()?;
        ensure!(count > 5, "only {count} downloads");
        Ok(count)
    }
}

/// Waits until `truth`, or fails.
pub fn wait_until(what: &str, mut truth: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !truth()? {
        ensure!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// RssAnon of a process, in KiB.
pub fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
