//! The node that all rows share, and what rows do on it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::servers::{self, Certificate, Nginx, authority, python};
use observer_integration::wire::{self, Step};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer, programs};

use crate::row::{On, Row};

pub const NAME: &str = "payments.shop.svc";
pub const SPIFFE: &str = "spiffe://cluster.local/ns/shop/sa/client";
const HOST: &str = "client.shop.svc";
/// Ports of the shared nginx that belong to no row: where tunnels end.
pub const CLEAR: u16 = 80;
pub const ENCRYPTED: u16 = 443;

/// Answers after it has read a body where the path is `/read`, and before where it is not.
const SITE: &str = "
    LISTEN
    ssl_certificate CERTIFICATE; ssl_certificate_key KEY; ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size 0; keepalive_requests 1000000; keepalive_timeout 600; large_client_header_buffers 4 32k;
    location / { return 200 'hello world\\n'; }
    location = /read { proxy_pass http://127.0.0.1:81/; }
    location = /large { root DIRECTORY; }
    location = /unauthorized { return 401; }
    location = /forbidden { return 403; }
}
server {
    listen 127.0.0.1:81;
    client_max_body_size 0;
    return 200 'read\\n';
";

/// See the module.
pub struct Scene {
    pub issuer: TokenIssuer,
    pub certificate: Certificate,
    /// The client's own.
    pub own: Certificate,
    pub server: Pod,
    pub middle: Pod,
    pub client: Pod,
    pub files: Directory,
    pub token: String,
    _nginx: Nginx,
    pub node: SimNode,
}

impl Scene {
    /// `rows` with the ports that they have.
    pub fn new(rows: &[(u16, Row)]) -> Result<Self> {
        let issuer = TokenIssuer::new("https://issuer.test")?;
        let certificate = Certificate::new(NAME)?;
        let own = Certificate::with_names("client", &format!("URI:{SPIFFE},DNS:{HOST}"))?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let middle = node.pod("shop", "middle").start()?;
        let client = node.pod("shop", "client").start()?;
        let own_ports = [(CLEAR, ""), (ENCRYPTED, "ssl")];
        let ports = rows.iter().filter_map(|(port, row)| Some((*port, row.nginx.as_deref()?)));
        let listen: String = own_ports
            .into_iter()
            .chain(ports)
            .map(|(port, more)| format!("listen {port} {more}; listen [::]:{port} {more};\n"))
            .collect();
        let site = SITE
            .replace("LISTEN", &listen)
            .replace("CERTIFICATE", path(&certificate.certificate)?)
            .replace("KEY", path(&certificate.key)?);
        let nginx = servers::nginx(&server, CLEAR, &site)?;
        nginx
            .directory
            .write("large", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".repeat(25_000))?;
        let claims = |expires_in| Claims { audiences: vec!["shop".into()], expires_in };
        let token = issuer.bound(&client, &claims(3600))?;
        let expired = issuer.bound(&client, &claims(-60))?;
        let files = Directory::new()?;
        files.write("token", &token)?;
        files.write("bearer", format!("Authorization: Bearer {token}\n"))?;
        files.write("expired", format!("Authorization: Bearer {expired}\n"))?;
        let bait = "GET /bait HTTP/1.1\r\nHost: bait\r\nAuthorization: Basic YmFpdDpiYWl0\r\nContent-Length: 0\r\n\r\n";
        files.write("bait", &bait.repeat(5_000_000 / bait.len() + 1)[..5_000_000])?;
        files.write("bait-300k", &bait.repeat(300_000 / bait.len() + 1)[..300_000])?;
        files.write("index.html", "hello world\n")?;
        Ok(Self { issuer, certificate, own, server, middle, client, files, token, _nginx: nginx, node })
    }

    pub fn daemon(&self) -> Result<Daemon> {
        let config = self.files.write("config.yaml", "credential_headers: [x-api-key]\n")?;
        let config = ["--config".to_owned(), path(&config)?.to_owned()];
        Daemon::builder().arguments(self.issuer.arguments()).arguments(config).start(&self.node)
    }

    /// The path of a file of the scene.
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// For `curl -H`, so that no token stands on a command line.
    pub fn bearer(&self) -> String {
        format!("@{}", self.file("bearer"))
    }
}

pub fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// The scene, as a row sees it.
pub struct At<'a> {
    pub scene: &'a Scene,
    pub port: u16,
    /// The family that the row speaks over.
    pub six: bool,
    pub on: On,
}

impl Deref for At<'_> {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        self.scene
    }
}

impl At<'_> {
    /// Where the row's server runs.
    pub fn pod(&self) -> &Pod {
        match self.on {
            On::Server => &self.scene.server,
            On::Middle => &self.scene.middle,
        }
    }

    pub fn ip(&self) -> IpAddr {
        if self.six { self.pod().ip6.into() } else { self.pod().ip4.into() }
    }

    /// `host:port` of the row's server.
    pub fn to(&self) -> String {
        authority(self.ip(), self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.to())
    }

    /// Runs a client to its good end.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        self.client.run_ok(line)
    }

    /// Runs a client; how it fares is not the point.
    pub fn talk(&self, line: &[&str]) -> Result<()> {
        self.client.run(["timeout", "10"].iter().chain(line)).map(drop)
    }

    /// One curl, one connection: a request of each list of words.
    pub fn curl(&self, requests: &[&[&str]]) -> Result<()> {
        let mut line = vec!["curl"];
        for request in requests {
            if line.len() > 1 {
                line.push("--next");
            }
            line.extend(["-sSk", "-o", "/dev/null", "-w", "%{num_connects}"]);
            line.extend(*request);
        }
        let connects = self.run(&line)?;
        ensure!(connects.starts_with('1') && !connects[1..].contains('1'), "curl connected {connects}");
        Ok(())
    }

    /// Sends bytes in one write, hears an answer and goes.
    pub fn say(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.steps(&[Step::Send(bytes.as_ref()), Step::Hear])
    }

    pub fn steps(&self, steps: &[Step<'_>]) -> Result<()> {
        wire::talk(&self.client, &self.ip().to_string(), self.port, steps)
    }

    /// Runs a Python script as the client, with host and port before `arguments`.
    pub fn python(&self, script: &str, arguments: &[&str]) -> Result<String> {
        let (host, port) = (self.ip().to_string(), self.port.to_string());
        self.client.run_ok(python(script, &[&[host.as_str(), &port], arguments].concat()))
    }

    /// Starts a server in the row's pod and waits until it listens.
    pub fn serve(&self, line: &[&str]) -> Result<Process> {
        self.serve_in(self.pod(), self.port, line)
    }

    /// As [`At::serve`], elsewhere.
    pub fn serve_in(&self, pod: &Pod, port: u16, line: &[&str]) -> Result<Process> {
        let said = self.write(&format!("{port}.log"), "")?;
        let (program, arguments) = line.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let process = pod.spawn(command)?;
        let listens = pod.wait_listening(port);
        listens.with_context(|| format!("{program}: {}", fs::read_to_string(&said).unwrap_or_default()))?;
        Ok(process)
    }

    /// A Python script as the server, with the port before `arguments`.
    pub fn serve_python(&self, script: &str, arguments: &[&str]) -> Result<Process> {
        let port = self.port.to_string();
        let line = python(script, &[&[port.as_str()], arguments].concat());
        self.serve(&line.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A server of bytes and lines, see [`wire::listen`].
    pub fn listen(&self, manners: wire::Manners) -> Result<Process> {
        wire::listen(self.pod(), &[(self.port, manners)])
    }

    pub fn s_server(&self, more: &[&str]) -> Result<Process> {
        let (port, certificate) = (self.port.to_string(), self.certificate.arguments());
        let certificate: Vec<&str> = certificate.iter().map(String::as_str).collect();
        self.serve(&[&["openssl", "s_server", "-quiet", "-accept", &port], &certificate[..], more].concat())
    }

    /// `openssl s_client`, which may fail.
    pub fn s_client(&self, more: &[&str]) -> Result<bool> {
        let to = self.to();
        let line = [["timeout", "10", "openssl", "s_client", "-connect", &to].as_slice(), more].concat();
        Ok(self.client.run(line)?.status.success())
    }

    /// `-cert FILE -key FILE` of the client's own.
    pub fn own_arguments(&self) -> Vec<String> {
        self.own.arguments()
    }

    /// A file of this row alone.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        self.files.write(&format!("{}-{name}", self.port), content)
    }

    pub fn go(&self, name: &'static str) -> Result<String> {
        Ok(programs::go(name)?.display().to_string())
    }

    /// haproxy in the middle pod, between the row's port there and here.
    pub fn haproxy(&self, mode: &str, server: &str) -> Result<Process> {
        let port = self.port;
        let config = self.write(
            "haproxy.cfg",
            format!(
                "defaults\n mode {mode}\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
                 listen row\n bind :::{port} v4v6\n server s {server}\n"
            ),
        )?;
        self.serve_in(&self.middle, port, &["haproxy", "-f", path(&config)?])
    }

    /// Starts a client that says a line once it has talked and goes on when it hears one.
    pub fn begin(&self, line: &[String]) -> Result<Process> {
        let (program, arguments) = line.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = self.client.spawn(command)?;
        let stdout = process.child().stdout.take().context("stdout")?;
        let mut stdout = BufReader::new(stdout);
        let mut said = String::new();
        stdout.read_line(&mut said)?;
        // What it says later must find somebody who listens.
        process.child().stdout = Some(stdout.into_inner());
        ensure!(!said.is_empty(), "{program} did not begin");
        Ok(process)
    }

    /// As [`At::begin`], a Python script with host and port before `arguments`.
    pub fn begin_python(&self, script: &str, arguments: &[&str]) -> Result<Process> {
        let (host, port) = (self.ip().to_string(), self.port.to_string());
        self.begin(&python(script, &[&[host.as_str(), &port], arguments].concat()))
    }
}
