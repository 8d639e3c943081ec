//! A simulated node with a server for each scenario, and the daemon on it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use observer_harness::{Pod, Process, Service, SimNode};
use observer_integration::servers::{Certificate, s_server};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};

pub const HTTP: u16 = 8080;
pub const TLS: u16 = 8443;
pub const UDP: u16 = 9000;
/// An emulated processor is some thirty times slower than a real one, mostly when the kernel checks the programs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the web servers have at `/index.html`, and its length: a body of many segments.
const LINE: &str = "The quick brown fox jumps over the lazy dog.\n";
const LINES: usize = 20_000;

/// Of what a scenario needs: dropped in the order of the fields, the node last.
pub struct Scene {
    pub daemon: Daemon,
    pub service: Service,
    pub client: Pod,
    pub web: Pod,
    pub web6: Pod,
    pub web2: Pod,
    pub secure: Pod,
    pub echo: Pod,
    pub idle: Pod,
    issuer: TokenIssuer,
    _processes: Vec<Process>,
    _certificate: Certificate,
    _files: Directory,
    _node: SimNode,
}

impl Scene {
    /// The daemon is attached as on a node, to the root of the hierarchy, wherever that is.
    pub fn start() -> Result<Self> {
        let issuer = TokenIssuer::new("https://kubernetes.default.svc")?;
        let certificate = Certificate::new("secure.shop.svc")?;
        let node = SimNode::builder().start()?;
        let pod = |account: &str| node.pod("shop", account).deployment(account).start();
        let (client, web, web6, web2) = (pod("client")?, pod("web")?, pod("web6")?, pod("web2")?);
        let (secure, echo, idle) = (pod("secure")?, pod("echo")?, pod("idle")?);
        let service = node.service("shop", "web").port(80, HTTP).backend(&web).start()?;
        let files = Directory::new()?;
        files.write("index.html", body())?;
        files.write("config.yaml", "udp_idle: 1\n")?;
        let mut processes = Vec::new();
        for pod in [&web, &web6] {
            processes.push(serve(pod, &["httpd", "-f", "-p", "8080", "-h"], Some(files.path()), HTTP)?);
        }
        processes.push(serve(&web2, &["nghttpd", "--no-tls", "8080", "-d"], Some(files.path()), HTTP)?);
        processes.push(serve(&echo, &["vm-scenarios", "echo", "9000"], None, UDP)?);
        processes.extend(s_server(&secure, TLS, &certificate, &["-www"])?);
        let config = files.path().join("config.yaml").display().to_string();
        let daemon = Daemon::builder()
            .patience(PATIENCE)
            .cgroup_root(Path::new("/sys/fs/cgroup"))
            .arguments(issuer.arguments())
            .arguments(["--config", &config])
            .start(&node)?;
        Ok(Self {
            daemon,
            service,
            client,
            web,
            web6,
            web2,
            secure,
            echo,
            idle,
            issuer,
            _processes: processes,
            _certificate: certificate,
            _files: files,
            _node: node,
        })
    }

    /// Runs curl in the client's pod.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        self.client.run_ok([&["curl", "-sS", "--noproxy", "*"], arguments].concat())
    }

    /// The client's own token, good for `audience`.
    pub fn token(&self, audience: &str) -> Result<String> {
        self.issuer.bound(&self.client, &Claims { audiences: vec![audience.to_owned()], expires_in: 3600 })
    }

    /// What curl's `-H` takes for it.
    pub fn token_header(&self, audience: &str) -> Result<String> {
        let path = self.issuer.header_file("header", &self.token(audience)?)?;
        Ok(format!("@{}", path.display()))
    }

    pub fn api_audience(&self) -> &str {
        &self.issuer.url
    }
}

/// What curl has to get, byte for byte.
pub fn body() -> String {
    LINE.repeat(LINES)
}

fn serve(pod: &Pod, line: &[&str], directory: Option<&Path>, port: u16) -> Result<Process> {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).args(directory).stdin(Stdio::null()).stdout(Stdio::null());
    let process = pod.spawn(command)?;
    pod.wait_listening(port)?;
    Ok(process)
}
