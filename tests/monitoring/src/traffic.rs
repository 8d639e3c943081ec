//! A node on which every finding, and every status of encryption, authentication and declaration, has come up.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_harness::{Outside, Pod, Process, SimNode};
use observer_integration::servers::{Certificate, python, python_server, s_server};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};

const ISSUER: &str = "https://issuer.test";
const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: namespace
  edges:
    - from: {serviceAccount: client}
      to: {serviceAccount: server}
      ports: [8080]
      audiences: [server]
";
/// An API server that nobody can reach.
const UNREACHABLE: &str = r#"
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: test}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"#;
/// Answers one datagram with another.
const DNS: &str = "\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 53))
while True:
    query, peer = s.recvfrom(512)
    s.sendto(query[:2] + b'\\x81\\x80' + query[4:], peer)
";
const QUERY: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], 53))
s.send(b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x04test\\x00\\x00\\x01\\x00\\x01')
assert s.recv(512)
";

/// What must have come up, as (metric, label) in `/metrics`.
const SEEN: [(&str, &str, &[&str]); 4] = [
    (
        "observer_findings_total",
        "kind",
        &[
            "unencrypted",
            "unauthenticated",
            "unexpected",
            "credential-in-cleartext",
            "identity-mismatch",
            "invalid-token",
            "wrong-audience",
            "api-audience-token",
            "legacy-token",
            "default-service-account",
        ],
    ),
    ("observer_flows_total", "encryption", &["plaintext", "tls", "mtls", "unknown"]),
    ("observer_flows_total", "declaration", &["allowed", "unexpected", "ungoverned", "unevaluable"]),
    ("observer_requests_total", "authentication", &["none", "present", "verified", "invalid", "unknown"]),
];

/// See the module.
pub struct Traffic {
    /// Its inventory is a file.
    pub daemon: Daemon,
    /// It cannot reach its API server; on its node nothing happens.
    pub lost: Daemon,
    issuer: TokenIssuer,
    server: Pod,
    client: Pod,
    ledger: Pod,
    intruder: Pod,
    /// In no inventory.
    stranger: Pod,
    outside: Outside,
    _servers: Vec<Process>,
    own: Certificate,
    _certificate: Certificate,
    _files: Directory,
    _nodes: [SimNode; 2],
}

impl Traffic {
    /// Starts servers and daemons; nobody talks yet.
    ///
    /// # Errors
    /// A program fails.
    pub fn new() -> Result<Self> {
        let issuer = TokenIssuer::new(ISSUER)?;
        let (certificate, own) = (Certificate::new("server.shop")?, Certificate::new("client.shop")?);
        let files = Directory::new()?;
        let nodes = [SimNode::builder().start()?, SimNode::builder().name("n2").start()?];
        let node = &nodes[0];
        let server = node.pod("shop", "server").deployment("server").start()?;
        let client = node.pod("shop", "client").deployment("client").start()?;
        let ledger = node.pod("bank", "ledger").deployment("ledger").start()?;
        let intruder = node.pod("elsewhere", "default").start()?;
        let outside = node.external("api")?;
        let answer = [(8080, Manners::Answer), (8081, Manners::Answer), (9000, Manners::Sink)];
        let mut servers = Vec::new();
        for place in [&*server, &*client, &*ledger, &*outside] {
            servers.push(wire::listen(place, &answer)?);
        }
        servers.extend(s_server(&server, 8443, &certificate, &["-www", "-verify", "1", "-verify_quiet"])?);
        servers.push(python_server(&server, 53, DNS, &[])?);
        let daemon = Daemon::builder().graph(GRAPH).arguments(issuer.arguments()).start(node)?;
        let stranger = node.pod("shop", "stranger").start()?;
        let kubeconfig = files.write("kubeconfig", UNREACHABLE)?;
        let lost = Daemon::builder().kubeconfig(&kubeconfig).unready().start(&nodes[1])?;
        Ok(Self {
            daemon,
            lost,
            issuer,
            server,
            client,
            ledger,
            intruder,
            stranger,
            outside,
            _servers: servers,
            own,
            _certificate: certificate,
            _files: files,
            _nodes: nodes,
        })
    }

    /// Talks, and waits until the daemon has counted it.
    ///
    /// # Errors
    /// A program fails, or something of what must come up does not.
    pub fn run(&self) -> Result<()> {
        let Self { daemon, issuer, server, client, .. } = self;
        let to_api = Claims { audiences: vec![ISSUER.into()], expires_in: 3600 };
        let token = |pod: &Pod| -> Result<String> { Ok(bearer(&issuer.bound(pod, &to_api)?)) };
        let (plain, own) = (wire::get(&[]), token(client)?);
        let legacy = bearer(&issuer.legacy(client)?);
        let expired = bearer(&issuer.bound(client, &Claims { expires_in: -7200, ..to_api.clone() })?);
        let opaque = bearer("test-fixture");
        let [to_server, to_client, to_ledger, to_outside] =
            [server.ip4, client.ip4, self.ledger.ip4, self.outside.ip4].map(|ip| ip.to_string());
        wire::talk(client, &to_server, 8080, &hear(&[&plain, &own, &legacy, &expired, &opaque]))?;
        wire::talk(client, &to_server, 8080, &hear(&[&plain, &own]))?;
        wire::talk(client, &to_server, 8081, &hear(&[&plain]))?;
        wire::talk(&self.intruder, &to_server, 8080, &hear(&[&own]))?;
        wire::talk(&self.stranger, &to_server, 8080, &hear(&[&plain]))?;
        wire::talk(server, &to_ledger, 8080, &hear(&[&plain, &token(server)?]))?;
        wire::talk(server, &to_client, 8080, &hear(&[&plain, &token(server)?]))?;
        wire::talk(client, &to_outside, 8080, &hear(&[&plain]))?;
        wire::talk(client, &to_server, 9000, &[Step::Send(&wire::noise(100))])?;
        let long = wire::get(&[("X-Long", &"a".repeat(40_000))]);
        wire::talk(client, &to_server, 9000, &[Step::Send(long.as_bytes())])?;
        let url = format!("https://{to_server}:8443/");
        client.run_ok(["curl", "-sSk", "--tlsv1.3", &url])?;
        let [certificate, key] =
            [&self.own.certificate, &self.own.key].map(|path| path.display().to_string());
        client.run_ok(["curl", "-sSk", "--tls-max", "1.2", "--cert", &certificate, "--key", &key, &url])?;
        ensure!(!client.run(["curl", "-sS", &format!("http://{to_server}:7777/")])?.status.success());
        server.run_ok(["curl", "-sS", "http://127.0.0.1:8080/"])?;
        client.run_ok(python(QUERY, &[&to_server]))?;

        // A client's end waits a second for its twin.
        daemon.wait_final("shop/client", "external")?;
        daemon.wait_for("the query", |record| record["protocol"] == "dns")?;
        wait_seen(daemon)?;
        // A survey comes every minute, and when somebody asks.
        daemon.ask(&["posture"]).map(drop)
    }
}

fn wait_seen(daemon: &Daemon) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut missing = Vec::new();
        for (metric, label, values) in SEEN {
            for value in values {
                if daemon.metric(metric, &[&format!("{label}=\"{value}\"")])? == 0.0 {
                    missing.push(format!("{metric}{{{label}={value:?}}}"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{missing:?} did not come up:\n{}", daemon.stdout());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn bearer(token: &str) -> String {
    wire::get(&[("Authorization", &format!("Bearer {token}"))])
}

/// Sends each and waits for an answer.
fn hear<'a>(requests: &[&'a String]) -> Vec<Step<'a>> {
    requests.iter().flat_map(|request| [Step::Send(request.as_bytes()), Step::Hear]).collect()
}
