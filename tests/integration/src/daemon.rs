//! A running `observer run`, and what it says.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer_harness::SimNode;
use serde_json::Value;

use crate::Directory;

/// The contract: it observes within 2 s of its start. The rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Records come within a second of what they tell; the rest is for a busy machine.
const RECORD_WITHIN: Duration = Duration::from_secs(10);

/// The binary under test: `OBSERVER_BIN`, as `cargo xtask test` sets it.
///
/// # Errors
/// It is not set, or not there.
pub fn release_binary() -> Result<PathBuf> {
    let path = std::env::var_os("OBSERVER_BIN")
        .map(PathBuf::from)
        .context("OBSERVER_BIN is not set; run the suite through `cargo xtask test`")?;
    if !path.is_file() {
        bail!("{} is not there; `cargo build --release -p observer` makes it", path.display());
    }
    Ok(path)
}

#[derive(Default)]
pub struct DaemonBuilder {
    graph: Option<String>,
    elsewhere: String,
    socket: Option<PathBuf>,
    arguments: Vec<String>,
    kubeconfig: Option<PathBuf>,
    unready: bool,
    rewrite: Option<Rewrite>,
    under: Vec<String>,
    seccomp: Option<&'static str>,
    cgroup_root: Option<PathBuf>,
    patience: Option<Duration>,
    environment: Vec<(String, String)>,
    stdout: Option<PathBuf>,
}

type Rewrite = Box<dyn Fn(&str) -> String>;

/// What tells a program of an API server.
const API_SERVER_VARIABLES: [&str; 3] = ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];

impl DaemonBuilder {
    /// A ServiceGraph in YAML.
    #[must_use]
    pub fn graph(mut self, yaml: &str) -> Self {
        self.graph = Some(yaml.to_owned());
        self
    }

    /// Objects beside the node's own, as YAML documents: what is on other nodes.
    #[must_use]
    pub fn elsewhere(mut self, yaml: &str) -> Self {
        self.elsewhere = format!("---\n{yaml}");
        self
    }

    /// Changes what the inventory says of this node.
    #[must_use]
    pub fn rewrite(mut self, rewrite: impl Fn(&str) -> String + 'static) -> Self {
        self.rewrite = Some(Box::new(rewrite));
        self
    }

    /// Another path for its socket.
    #[must_use]
    pub fn socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        self
    }

    /// Asks an API server, instead of reading the node's inventory.
    #[must_use]
    pub fn kubeconfig(mut self, path: &Path) -> Self {
        self.kubeconfig = Some(path.to_owned());
        self
    }

    /// Attaches to another directory than the node's own.
    #[must_use]
    pub fn cgroup_root(mut self, path: &Path) -> Self {
        self.cgroup_root = Some(path.to_owned());
        self
    }

    /// How long it may take to become ready, and to write a record; for machines slower than any node.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Does not wait until it is ready, only until it answers.
    #[must_use]
    pub const fn unready(mut self) -> Self {
        self.unready = true;
        self
    }

    /// Starts it through a program that changes its own rights, and then becomes the daemon.
    #[must_use]
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Another `--seccomp` than `kill`, which ends the daemon at the first call that its filter does not know.
    #[must_use]
    pub const fn seccomp(mut self, mode: &'static str) -> Self {
        self.seccomp = Some(mode);
        self
    }

    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where its stdout goes, instead of what [`Daemon::records`] reads.
    #[must_use]
    pub fn stdout(mut self, path: &Path) -> Self {
        self.stdout = Some(path.to_owned());
        self
    }

    /// More arguments of `observer run`.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts it on `node` as that stands now, and waits until it observes.
    ///
    /// # Errors
    /// It ends, or is not ready in time; with what it said.
    pub fn start(self, node: &SimNode) -> Result<Daemon> {
        let directory = Directory::new()?;
        let listen = free_address()?;
        let socket = self.socket.unwrap_or_else(|| directory.path().join("observer.sock"));
        let mut command = match self.under.split_first() {
            None => Command::new(release_binary()?),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(release_binary()?);
                command
            }
        };
        command.args(["run", "--seccomp", self.seccomp.unwrap_or("kill")]);
        command.envs(self.environment).current_dir(directory.path());
        for variable in API_SERVER_VARIABLES {
            command.env_remove(variable);
        }
        match &self.kubeconfig {
            Some(path) => {
                command.env("KUBECONFIG", path);
            }
            None => {
                let of_node = node.inventory_yaml();
                let of_node = self.rewrite.as_ref().map_or(of_node.clone(), |rewrite| rewrite(&of_node));
                let inventory = of_node + &self.elsewhere;
                command.arg("--inventory").arg(directory.write("inventory.yaml", inventory)?);
            }
        }
        let root = self.cgroup_root.as_deref().unwrap_or(node.cgroup_root());
        command.arg("--cgroup-root").arg(root);
        command.args(["--node-name", node.name(), "--listen", &listen.to_string()]);
        command.arg("--socket").arg(&socket);
        for cidr in node.cluster_cidrs().iter().chain(&node.service_cidrs()) {
            command.args(["--cluster-cidr", cidr]);
        }
        if let Some(graph) = &self.graph {
            command.arg("--graph").arg(directory.write("graph.yaml", graph)?);
        }
        command.args(&self.arguments);
        let output = |name: &str| File::create(directory.path().join(name));
        let stdout = match &self.stdout {
            None => output("stdout")?,
            Some(path) => File::options().append(true).create(true).open(path)?,
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(output("stderr")?);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let mut daemon = Daemon { child, directory, listen, socket, patience: self.patience };
        daemon.wait_for_answer(if self.unready { "/healthz" } else { "/readyz" })?;
        Ok(daemon)
    }
}

/// A daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    directory: Directory,
    listen: SocketAddr,
    socket: PathBuf,
    patience: Option<Duration>,
}

impl Daemon {
    #[must_use]
    pub fn builder() -> DaemonBuilder {
        DaemonBuilder::default()
    }

    /// # Errors
    /// See [`DaemonBuilder::start`].
    pub fn start(node: &SimNode) -> Result<Self> {
        Self::builder().start(node)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it serves `/metrics`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time; with what it said.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.wait_for_answer("/readyz")
    }

    fn wait_for_answer(&mut self, path: &str) -> Result<()> {
        let patience = self.patience.unwrap_or(READY_WITHIN);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended with {status}:\n{}", self.log());
            }
            if self.get(path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the daemon is not ready after {patience:?}:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A GET of its health server: the whole answer.
    ///
    /// # Errors
    /// It does not answer.
    pub fn get(&self, path: &str) -> Result<String> {
        self.get_as(path, "*/*")
    }

    /// A GET with an Accept header.
    ///
    /// # Errors
    /// It does not answer.
    pub fn get_as(&self, path: &str, accept: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.listen, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The sum of the samples of `metric` whose labels hold all of `labels`, each written `name="value"`.
    ///
    /// # Errors
    /// `/metrics` does not answer.
    pub fn metric(&self, metric: &str, labels: &[&str]) -> Result<f64> {
        let body = self.get_as("/metrics", "text/plain")?;
        let samples = body.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, set) = series.split_once('{').unwrap_or((series, ""));
            (name == metric && labels.iter().all(|label| set.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }

    /// Every record so far.
    ///
    /// # Errors
    /// A line is no JSON object.
    pub fn records(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.directory.path().join("stdout"))?;
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits for the first record that `wanted` likes.
    ///
    /// # Errors
    /// None came in time; with all that came.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + self.patience.unwrap_or(RECORD_WITHIN);
        loop {
            let records = self.records()?;
            if let Some(record) = records.iter().find(|record| wanted(record)) {
                return Ok(record.clone());
            }
            if Instant::now() > deadline {
                let all: Vec<String> = records.iter().map(Value::to_string).collect();
                bail!("no record: {what}; there are\n{}\n{}", all.join("\n"), self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the last record of the first flow between two principals.
    ///
    /// # Errors
    /// None came in time.
    pub fn wait_final(&self, client: &str, server: &str) -> Result<Value> {
        self.wait_for(&format!("final, {client} -> {server}"), |record| {
            record["final"] == true
                && record["client"]["principal"] == client
                && record["server"]["principal"] == server
        })
    }

    /// Waits for the last record of the flow whose client speaks from `port`.
    ///
    /// # Errors
    /// None came in time.
    pub fn wait_final_from(&self, port: u64) -> Result<Value> {
        self.wait_for(&format!("final, from port {port}"), |record| {
            record["final"] == true && record["client"]["port"] == port
        })
    }

    /// All last records between two principals, so far.
    ///
    /// # Errors
    /// A line is no JSON object.
    pub fn finals(&self, client: &str, server: &str) -> Result<Vec<Value>> {
        let mut records = self.records()?;
        records.retain(|record| {
            record["final"] == true
                && record["client"]["principal"] == client
                && record["server"]["principal"] == server
        });
        Ok(records)
    }

    /// Runs a command that asks this daemon.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(release_binary()?);
        command.args(arguments).arg("--socket").arg(&self.socket);
        command.output().with_context(|| format!("{command:?}"))
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.directory.path().join("stdout")).unwrap_or_default()
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a signal and waits for the end.
    ///
    /// # Errors
    /// It does not end within 10 s.
    pub fn end(&mut self, signal: i32) -> Result<ExitStatus> {
        let pid = libc::pid_t::try_from(self.child.id())?;
        let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status()?;
        if !status.success() {
            bail!("kill: {status}");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("the daemon did not end after signal {signal}:\n{}", self.log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of loopback that nobody listens on now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
