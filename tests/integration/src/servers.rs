//! Third-party servers, and clients that do what curl cannot.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use observer_harness::{Place, Pod, Process};

use crate::Directory;

/// Debian's own, whatever else the PATH has: a version manager's wrapper would be a process between.
const PYTHON: &str = "/usr/bin/python3";

/// `host:port` as URLs have it.
#[must_use]
pub fn authority(ip: impl Into<IpAddr>, port: u16) -> String {
    SocketAddr::new(ip.into(), port).to_string()
}

/// Both addresses of a pod, IPv4 first.
#[must_use]
pub fn addresses(pod: &Pod) -> [IpAddr; 2] {
    [pod.ip4.into(), pod.ip6.into()]
}

/// The command line that runs a Python script.
#[must_use]
pub fn python(script: &str, arguments: &[&str]) -> Vec<String> {
    let start = [PYTHON, "-c", script];
    start.iter().chain(arguments).map(|&word| word.to_owned()).collect()
}

/// Starts a Python script that listens on `port`, and waits until it does.
///
/// # Errors
/// It does not listen.
pub fn python_server(place: &Place, port: u16, script: &str, arguments: &[&str]) -> Result<Process> {
    let process = start(place, &python(script, arguments))?;
    place.wait_listening(port)?;
    Ok(process)
}

/// Starts a program without stdin; its output goes nowhere.
///
/// # Errors
/// It cannot be started.
pub fn start(place: &Place, line: &[String]) -> Result<Process> {
    let Some((program, arguments)) = line.split_first() else { bail!("no program") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    place.spawn(command)
}

/// A running nginx with one worker, and its files.
pub struct Nginx {
    pub directory: Directory,
    _process: Process,
}

/// Starts nginx with the content of one `server` block, which listens on `port`.
///
/// # Errors
/// It refuses the block, or does not listen.
pub fn nginx(place: &Place, port: u16, server: &str) -> Result<Nginx> {
    let directory = Directory::new()?;
    let path = directory.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
        .collect();
    let config = format!(
        "daemon off; worker_processes 1; user root; pid {path}/nginx.pid; error_log {path}/error.log;
         events {{ worker_connections 512; }}
         http {{ access_log off; {temporary} server {{ {} }} }}",
        server.replace("DIRECTORY", &path)
    );
    let config = directory.write("nginx.conf", config)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&config).arg("-p").arg(directory.path());
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let process = place.spawn(command)?;
    place.wait_listening(port)?;
    Ok(Nginx { directory, _process: process })
}

/// A self-signed certificate and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    _directory: Directory,
}

impl Certificate {
    /// # Errors
    /// openssl fails.
    pub fn new(name: &str) -> Result<Self> {
        Self::with_names(name, "")
    }

    /// One with a subjectAltName as openssl writes it, such as `URI:spiffe://a/b,DNS:c`.
    ///
    /// # Errors
    /// openssl fails.
    pub fn with_names(name: &str, names: &str) -> Result<Self> {
        let directory = Directory::new()?;
        let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "2", "-subj", &format!("/CN={name}")]);
        if !names.is_empty() {
            command.args(["-addext", &format!("subjectAltName={names}")]);
        }
        command.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("openssl req: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self { certificate, key, _directory: directory })
    }

    /// `-cert FILE -key FILE`, as `openssl s_server` takes them.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        vec!["-cert".into(), certificate.to_string(), "-key".into(), key.to_string()]
    }
}

/// Starts `openssl s_server` twice, for it listens on one family at a time.
///
/// # Errors
/// They do not listen.
pub fn s_server(place: &Place, port: u16, certificate: &Certificate, more: &[&str]) -> Result<[Process; 2]> {
    let server = |any: &str| {
        let accept = format!("{any}:{port}");
        let mut line: Vec<String> =
            ["openssl", "s_server", "-quiet", "-accept", &accept].map(str::to_owned).into();
        line.extend(certificate.arguments());
        line.extend(more.iter().map(|&word| word.to_owned()));
        start(place, &line)
    };
    let servers = [server("0.0.0.0")?, server("[::]")?];
    let deadline = Instant::now() + Duration::from_secs(10);
    let filter = format!("sport = :{port}");
    while place.run_ok(["ss", "-Hltn", &filter])?.lines().count() < servers.len() {
        if Instant::now() > deadline {
            bail!("openssl s_server does not listen on port {port} of {place}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(servers)
}
