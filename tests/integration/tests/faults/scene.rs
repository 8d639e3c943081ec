//! A node whose client downloads the same file again and again, and compares each byte.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Place, Pod, SimNode};
use observer_integration::Daemon;
use observer_integration::downloads::{Downloads, FileServer};
use serde_json::Value;

pub const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Scene {
    pub node: SimNode,
    pub server: Pod,
    pub client: Pod,
    files: FileServer,
}

impl Scene {
    pub fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let files = FileServer::start(&server, PORT)?;
        Ok(Self { node, server, client, files })
    }

    pub fn url(&self) -> String {
        format!("http://{}:{PORT}/small", self.server.ip4)
    }

    pub fn traffic(&self) -> Result<Downloads> {
        self.files.downloads(&self.client, &self.server.ip4.to_string())
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
        // A port may have been a flood's before, whose requests are of HTTP/1.0.
        let record = daemon.wait_for(&format!("final, HTTP/1.1, from port {port}"), |record| {
            record["final"] == true && record["client"]["port"] == port && record["protocol"] == "http/1.1"
        })?;
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
