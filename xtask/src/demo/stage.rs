//! The simulated node with the cast's pods, Services and servers on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use observer_harness::{Pod, Process, Service, SimNode};

use super::cast::{Actor, Server, actors};
use super::tokens::openssl;
use crate::process;
use crate::scratch::{Scratch, utf8};

/// Answers every request and keeps the connection open. No name is looked up, as `http.server` would do.
const PYTHON: &str = "
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '3')
        self.end_headers()
        self.wfile.write(b'ok\\n')
    def log_message(self, *args): pass
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
Server(('', int(sys.argv[1])), Handler).serve_forever()
";

/// One process, so that nothing but its own directory is touched.
const NGINX: &str = "
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 8080;
        location / { return 200 'ok\\n'; }
    }
}
";

/// The name in the ledger's certificate: what its clients call it by.
pub const TLS_NAME: &str = "ledger.shop.svc.cluster.local";

/// The node and what runs on it.
pub struct Stage {
    pub node: SimNode,
    pods: BTreeMap<&'static str, Pod>,
    services: BTreeMap<&'static str, Service>,
    _servers: Vec<Process>,
}

impl Stage {
    /// Builds all of it; the servers listen when it returns.
    ///
    /// # Errors
    /// If a part cannot be made or does not come to listen.
    pub fn set(scratch: &Scratch) -> Result<Self> {
        let node = SimNode::builder().start()?;
        let (mut pods, mut services, mut servers) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for actor in actors() {
            let pod = start(&node, actor)?;
            if let Some(server) = actor.serves {
                servers.push(pod.spawn(command(server, actor.deployment, scratch)?)?);
                let service = node
                    .service(&pod.namespace, actor.deployment)
                    .port(server.service_port(), server.port())
                    .backend(&pod)
                    .start()?;
                services.insert(actor.principal, service);
            }
            pods.insert(actor.principal, pod);
        }
        for actor in actors() {
            if let Some(server) = actor.serves {
                pods[actor.principal].wait_listening(server.port())?;
            }
        }
        Ok(Self { node, pods, services, _servers: servers })
    }

    pub fn pod(&self, principal: &str) -> Result<&Pod> {
        self.pods.get(principal).with_context(|| format!("{principal} is not in the cast"))
    }

    pub fn service(&self, principal: &str) -> Result<&Service> {
        self.services.get(principal).with_context(|| format!("{principal} serves nothing"))
    }

    /// Removes everything, and says what could not be removed.
    ///
    /// # Errors
    /// If something is left.
    pub fn strike(self) -> Result<()> {
        self.node.shut_down()
    }
}

fn start(node: &SimNode, actor: &Actor) -> Result<Pod> {
    let (namespace, service_account) =
        actor.principal.split_once('/').with_context(|| format!("{} is no principal", actor.principal))?;
    let mut pod = node.pod(namespace, service_account).deployment(actor.deployment);
    if let Some(server) = actor.serves {
        let name = if server == Server::Openssl { "https" } else { "http" };
        pod = pod.container_port(name, server.port());
    }
    pod.start()
}

fn command(server: Server, name: &str, scratch: &Scratch) -> Result<Command> {
    let port = server.port().to_string();
    let mut command = match server {
        Server::Python => {
            let mut command = process::command("python3");
            command.args(["-c", PYTHON, &port]);
            command
        }
        Server::Nginx => {
            let mut command = process::command("nginx");
            command.args(["-e", "stderr", "-c"]).arg(scratch.write("nginx.conf", NGINX)?);
            command.arg("-p").arg(scratch.path());
            command
        }
        Server::Openssl => {
            let (key, certificate) = (scratch.file("tls.pem"), certificate(scratch));
            make_certificate(&key, &certificate)?;
            let mut command = process::command("openssl");
            command.args(["s_server", "-quiet", "-www", "-accept", &port, "-key"]).arg(key);
            command.arg("-cert").arg(certificate);
            command
        }
    };
    let log = scratch.file(&format!("{name}.log"));
    let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ok(command)
}

/// The file that holds the ledger's certificate.
pub fn certificate(scratch: &Scratch) -> std::path::PathBuf {
    scratch.file("certificate.pem")
}

fn make_certificate(key: &Path, certificate: &Path) -> Result<()> {
    let name = format!("subjectAltName=DNS:{TLS_NAME}");
    let make = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=ledger",
        "-addext",
        &name,
    ];
    let files = ["-keyout", utf8(key)?, "-out", utf8(certificate)?];
    openssl(&[&make[..], &files[..]].concat(), b"")?;
    Ok(())
}
