//! The simulated node with the pods that carry the load.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use observer_harness::{Pod, Process, SimNode};

use crate::process;
use crate::scratch::{Scratch, utf8};

pub const HTTP: u16 = 8080;
pub const H2C: u16 = 8081;
pub const HTTPS: u16 = 8443;
pub const BULK: u16 = 5201;
pub const UDP: u16 = 9000;

/// Open files that servers and clients may have: 11,000 connections.
pub const OPEN_FILES: &str = "--nofile=16384";

/// One process and one thread; its count of requests is asked for through a socket that no kernel program sees.
const NGINX: &str = "
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 32768; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 8080 backlog=4096;
        listen 8081 http2;
        listen 8443 ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        location / { return 200 'hello world\\n'; }
    }
    server {
        listen unix:status.sock;
        location / { stub_status; }
    }
}
";

/// The node, its two pods and the servers in one of them.
pub struct Stage {
    pub node: SimNode,
    pub client: Pod,
    pub server: Pod,
    status: PathBuf,
    _servers: Vec<Process>,
}

/// What nginx has done since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    pub connections: u64,
    pub requests: u64,
}

impl Stage {
    /// Builds all of it; the servers listen when it returns.
    ///
    /// # Errors
    /// If a part cannot be made or does not come to listen.
    pub fn set(scratch: &Scratch) -> Result<Self> {
        let node = SimNode::builder().start()?;
        let client = node.pod("bench", "client").deployment("client").start()?;
        let server = node.pod("bench", "server").deployment("server");
        let server = [("http", HTTP), ("h2c", H2C), ("https", HTTPS), ("bulk", BULK), ("udp", UDP)]
            .into_iter()
            .fold(server, |server, (name, port)| server.container_port(name, port))
            .start()?;
        // A connection a request fills the table of the node's address translation with connections that have ended.
        for wait in ["time_wait", "close", "last_ack", "fin_wait"] {
            node.host().run_ok([
                "sysctl",
                "-q",
                "-w",
                &format!("net.netfilter.nf_conntrack_tcp_timeout_{wait}=1"),
            ])?;
        }
        client.run_ok(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65000"])?;
        certificate(scratch)?;
        let address = server.ip4.to_string();
        let configuration = scratch
            .write("nginx.conf", &NGINX.replace("status.sock", utf8(&scratch.file("status.sock"))?))?;
        let mut servers = Vec::new();
        let log = File::create(scratch.file("servers.log")).context("create servers.log")?;
        let mut start = |words: &[&str]| -> Result<()> {
            let mut command = process::command("prlimit");
            command.arg(OPEN_FILES).args(words);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?);
            servers.push(server.spawn(command)?);
            Ok(())
        };
        start(&["nginx", "-e", "stderr", "-p", utf8(scratch.path())?, "-c", utf8(&configuration)?])?;
        start(&["iperf3", "--server", "--port", &BULK.to_string()])?;
        start(&["sockperf", "server", "--ip", &address, "--port", &UDP.to_string()])?;
        for port in [HTTP, H2C, HTTPS, BULK, UDP] {
            server
                .wait_listening(port)
                .with_context(|| std::fs::read_to_string(scratch.file("servers.log")).unwrap_or_default())?;
        }
        Ok(Self { node, client, server, status: scratch.file("status.sock"), _servers: servers })
    }

    /// What nginx served so far, its answers to this question left out.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn served(&self) -> Result<Served> {
        let mut stream = UnixStream::connect(&self.status).context("nginx does not answer")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("nginx does not answer")?;
        served(&answer).with_context(|| format!("nginx counts no requests: {answer}"))
    }

    /// Processor seconds that the pods' programs used so far, and the kernel for them: what kernel programs cost is in it.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn pods_cpu(&self) -> Result<f64> {
        let path = self.node.cgroup_root().join("kubepods.slice/cpu.stat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<u64>().ok());
        usage.map(|usage| usage as f64 / 1e6).with_context(|| format!("no usage_usec in {}", path.display()))
    }

    /// The server pod's link in the node's namespace.
    ///
    /// # Errors
    /// If it cannot be found.
    pub fn link(&self) -> Result<String> {
        let own = self.server.run_ok(["ip", "-o", "link", "show", "eth0"])?;
        let nodes = self.node.host().run_ok(["ip", "-o", "link"])?;
        other_end(&own, &nodes).with_context(|| format!("the link that ends in {own}"))
    }

    /// A program that makes load, from the client's pod.
    ///
    /// # Errors
    /// If it fails, or runs much longer than `seconds`.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Result<String> {
        self.client.run_ok([&["prlimit", OPEN_FILES, command][..], arguments].concat())
    }

    /// A program of the client's that runs beside the load, with pipes to it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn spawn(&self, mut command: Command) -> Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        self.client.spawn(command)
    }
}

/// `2: eth0@if7: <...>` is the pod's line, and `7: veth3@if2: <...>` one of the node's.
fn other_end(own: &str, nodes: &str) -> Option<String> {
    let index = own.split_once("@if")?.1.split(':').next()?;
    let line = nodes.lines().find_map(|line| line.strip_prefix(index)?.strip_prefix(": "))?;
    line.split(['@', ':']).next().map(str::to_owned)
}

/// ngx_http_stub_status_module: `accepts handled requests`, the numbers on the line below.
fn served(answer: &str) -> Option<Served> {
    let line = answer.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1)?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [connections, _, requests] => Some(Served { connections, requests }),
        _ => None,
    }
}

fn certificate(scratch: &Scratch) -> Result<()> {
    let mut command = process::command("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=server", "-keyout"]).arg(scratch.file("key.pem"));
    command.arg("-out").arg(scratch.file("certificate.pem")).stderr(Stdio::null());
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_link_is_found_by_its_number() {
        let own = "2: eth0@if37: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP mode DEFAULT\\    link/ether x\n";
        let nodes =
            "1: lo: <LOOPBACK> mtu 65536\n3: cni0: <BROADCAST> mtu 1500\n37: veth3@if2: <UP> mtu 1500\n";
        assert_eq!(other_end(own, nodes).as_deref(), Some("veth3"));
        assert_eq!(other_end("1: lo: <LOOPBACK>", nodes), None);
    }

    #[test]
    fn nginx_counts_connections_and_requests() {
        // Of nginx 1.22.
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nActive connections: 1 \n\
                      server accepts handled requests\n 19 19 96525 \nReading: 0 Writing: 1 Waiting: 0 \n";
        let served = served(answer).unwrap();
        assert_eq!((served.connections, served.requests), (19, 96_525));
        assert!(super::served("404 Not Found").is_none());
    }
}
