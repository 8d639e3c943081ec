//! A small shop with some of everything, and a daemon where `observer` finds it without being told: at its default
//! socket, in a mount namespace of its own, since this machine's may be taken.

use std::fs::{self, File};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Directory, TokenIssuer, release_binary};
use serde_json::Value;

pub const COMMANDS: [&str; 12] = [
    "run",
    "flows",
    "findings",
    "edges",
    "posture",
    "graph check",
    "graph export",
    "graph diff",
    "ui",
    "doctor",
    "explain",
    "completion",
];

/// As the examples of `observer run --help` name them, in the directory where they run.
const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: listed
  edges:
    - from: {serviceAccount: orders}
      to: {serviceAccount: payments}
      ports: [8080]
";
const ISSUER: &str = "https://kubernetes.default.svc";

pub struct Stage {
    node: SimNode,
    daemon: Process,
    directory: Directory,
    _pods: Vec<Pod>,
    _servers: Vec<Process>,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let payments = node.pod("shop", "payments").start()?;
        let orders = node.pod("shop", "orders").start()?;
        let carts = node.pod("shop", "default").start()?;
        let stranger = node.pod("elsewhere", "default").start()?;
        let issuer = TokenIssuer::new(ISSUER)?;
        let forger = TokenIssuer::new(ISSUER)?;
        let directory = Directory::new()?;
        directory.write("cluster.yaml", node.inventory_yaml())?;
        directory.write("shop.yaml", GRAPH)?;
        directory.write("observer.yaml", "output: text\n")?;
        fs::copy(issuer.jwks(), directory.path().join("keys.json"))?;
        for place in [".config/fish/completions", ".zfunc", "bin"] {
            fs::create_dir_all(directory.path().join(place))?;
        }
        std::os::unix::fs::symlink(release_binary()?, directory.path().join("bin/observer"))?;
        let mut servers = vec![wire::listen(
            &payments,
            &[(8080, Manners::Answer), (8081, Manners::Answer), (9000, Manners::Sink)],
        )?];
        servers.push(tls_server(&payments, &directory)?);
        let mut echo = Command::new("python3");
        echo.args(["-c", ECHO]);
        servers.push(payments.spawn(echo)?);
        payments.wait_listening(5000)?;

        let mut daemon = Command::new("unshare");
        daemon.args(["--mount", "--propagation", "private", "sh", "-c"]);
        daemon.arg(format!(
            "mount -t tmpfs tmpfs /run && exec bin/observer run --inventory cluster.yaml --graph shop.yaml \
             --issuer {ISSUER} --jwks keys.json --cgroup-root {}",
            node.cgroup_root().display()
        ));
        daemon.current_dir(directory.path());
        daemon.stdout(File::create(directory.path().join("stdout"))?);
        daemon.stderr(File::create(directory.path().join("stderr"))?);
        let daemon = node.host_spawn(daemon)?;
        let mut stage = Self {
            node,
            daemon,
            directory,
            _pods: vec![payments.clone(), orders.clone(), carts.clone(), stranger.clone()],
            _servers: servers,
        };
        stage.wait_ready()?;

        let claims = Claims { audiences: vec![ISSUER.to_owned()], expires_in: 3600 };
        let ip = payments.ip4.to_string();
        let (good, bad) = (issuer.bound(&orders, &claims)?, forger.bound(&orders, &claims)?);
        let bearer = |token: &str| wire::get(&[("Authorization", &format!("Bearer {token}"))]);
        for (client, head) in [
            (&orders, bearer(&good)),
            (&orders, bearer(&bad)),
            (&orders, wire::get(&[])),
            (&carts, wire::get(&[])),
        ] {
            wire::talk(client, &ip, 8080, &[Step::Send(head.as_bytes()), Step::Hear])?;
        }
        // Not declared.
        wire::talk(&orders, &ip, 8081, &[Step::Send(wire::get(&[]).as_bytes()), Step::Hear])?;
        // Somebody else's token.
        wire::talk(&stranger, &ip, 8080, &[Step::Send(bearer(&good).as_bytes()), Step::Hear])?;
        wire::talk(&orders, &ip, 9000, &[Step::Send(&wire::noise(100))])?;
        orders.run_ok(["curl", "-sSk", &format!("https://{ip}:8443/")])?;
        orders.run_ok(["python3", "-c", DATAGRAM, &ip])?;
        stage.wait_for_records()?;
        Ok(stage)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.node.host().run(["curl", "-sSf", "http://127.0.0.1:9464/readyz"])?.status.success() {
            ensure!(self.daemon.is_running()?, "the daemon ended: {}", self.log());
            ensure!(Instant::now() < deadline, "the daemon is not ready: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Until eight connections have ended, a datagram was seen, and nothing more comes.
    fn wait_for_records(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut before = 0;
        loop {
            thread::sleep(Duration::from_millis(1_500));
            let records = self.records()?;
            let ended =
                records.iter().filter(|record| record["final"] == true && record["transport"] == "tcp");
            let datagram = records.iter().any(|record| record["transport"] == "udp");
            if ended.count() >= 8 && datagram && records.len() == before {
                return Ok(());
            }
            before = records.len();
            let all: Vec<String> = records.iter().map(Value::to_string).collect();
            ensure!(Instant::now() < deadline, "{}\n{}", all.join("\n"), self.log());
        }
    }

    /// Every record so far.
    pub fn records(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.directory.path().join("stdout"))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Runs a line of bash on the node, where `observer` is the program under test and the home directory is empty.
    pub fn run(&self, line: &str) -> Result<Output> {
        self.run_for(line, 30)
    }

    /// Ends it after so many seconds.
    pub fn run_for(&self, line: &str, seconds: u32) -> Result<Output> {
        let directory = self.directory.path().display().to_string();
        // A second daemon needs another port and socket: it gets namespaces of its own for them.
        let apart = if line.starts_with("observer run ") {
            "exec unshare --mount --net --propagation private sh -c \
             'ip link set lo up && mount -t tmpfs tmpfs /run && exec \"$@\"' sh"
        } else {
            "exec"
        };
        let script = format!(
            "cd {directory} && export HOME={directory} PATH={directory}/bin:$PATH && \
             unset KUBECONFIG KUBERNETES_SERVICE_HOST NO_COLOR && {apart} timeout {seconds} bash -c \"$0\""
        );
        let pid = self.daemon.pid().to_string();
        self.node.host().run(["nsenter", "--mount", "--target", &pid, "bash", "-c", &script, line])
    }
}

fn tls_server(pod: &Pod, directory: &Directory) -> Result<Process> {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=payments", "-days", "1"];
    pod.run_ok(["openssl"].iter().chain(&request).copied().chain(["-keyout", &key, "-out", &certificate]))?;
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "8443", "-www", "-quiet", "-key", &key, "-cert", &certificate]);
    let process = pod.spawn(command)?;
    pod.wait_listening(8443)?;
    Ok(process)
}

/// Answers one datagram with another.
const ECHO: &str = "\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 5000))
while True:
    s.sendto(*s.recvfrom(512))
";
const DATAGRAM: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], 5000))
s.send(b'hello')
assert s.recv(512)
";
