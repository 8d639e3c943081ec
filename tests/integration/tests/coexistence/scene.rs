//! A web server and its client, and what has to be told of a request.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::servers::{authority, python, python_server};
use observer_integration::{Daemon, release_binary};
use serde_json::{Value, json};

pub const PORT: u16 = 8080;
pub const CLIENT: &str = "shop/client";
pub const WEB: &str = "shop/web";

/// Answers each request of a connection with two bytes.
const SERVER: &str = "
import socket, sys, threading
def serve(connection):
    seen = b''
    while data := connection.recv(65536):
        seen += data
        while b'\\r\\n\\r\\n' in seen:
            seen = seen.split(b'\\r\\n\\r\\n', 1)[1]
            connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    connection.close()
listener = socket.create_server(('', int(sys.argv[1])), family=socket.AF_INET, backlog=1024)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// One connection: for each line that it reads, fifty requests.
const KEEP_ALIVE: &str = "
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    for _ in range(50):
        s.sendall(b'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n')
        answer = b''
        while not answer.endswith(b'ok'): answer += s.recv(4096)
    print(s.getsockname()[1], flush=True)
";

pub struct Scene {
    pub web: Pod,
    pub client: Pod,
    _server: Process,
    pub node: SimNode,
}

impl Scene {
    pub fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let web = node.pod("shop", "web").start()?;
        let client = node.pod("shop", "client").start()?;
        let server = python_server(&web, PORT, SERVER, &[&PORT.to_string()])?;
        Ok(Self { web, client, _server: server, node })
    }

    pub fn root(&self) -> &Path {
        self.node.cgroup_root()
    }

    /// One request by curl; gives the client's port.
    pub fn request(&self) -> Result<u64> {
        let url = format!("http://{}/", authority(self.web.ip4, PORT));
        let said = self.client.run_ok(["curl", "-sS", "-w", " %{local_port}", &url])?;
        let port = said.strip_prefix("ok ").with_context(|| format!("curl got {said}"))?;
        Ok(port.parse()?)
    }

    /// One request, and its record has all that can be told of it.
    pub fn request_is_told(&self, daemon: &Daemon) -> Result<()> {
        let port = self.request()?;
        check(&daemon.wait_final_from(port)?)
    }

    /// A connection of the client that is kept.
    pub fn keep_alive(&self) -> Result<KeepAlive> {
        let line = python(KEEP_ALIVE, &[&self.web.ip4.to_string(), &PORT.to_string()]);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(KeepAlive(self.client.spawn(command)?))
    }

    pub fn doctor(&self) -> Result<Output> {
        let mut command = Command::new(release_binary()?);
        command.args(["doctor", "--cgroup-root"]).arg(self.root());
        command.output().context("observer doctor")
    }
}

pub struct KeepAlive(Process);

impl KeepAlive {
    /// Fifty requests and their answers; gives the connection's own port.
    pub fn talk(&mut self) -> Result<u64> {
        let child = self.0.child();
        writeln!(child.stdin.as_mut().context("stdin")?)?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("stdout")?).read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

/// Of a request without a credential, seen by both ends from their first byte.
pub fn check(record: &Value) -> Result<()> {
    for (key, value) in [
        ("reporter", json!("server")),
        ("close", json!("fin")),
        ("findings", json!(["unencrypted", "unauthenticated"])),
    ] {
        ensure!(record[key] == value, "{key}: {record:#}");
    }
    ensure!(record["client"]["principal"] == CLIENT && record["server"]["principal"] == WEB, "{record:#}");
    ensure!(record["encryption"]["status"] == "plaintext", "{record:#}");
    ensure!(record["requests"]["total"] == 1 && record["requests"]["none"] == 1, "{record:#}");
    Ok(())
}
