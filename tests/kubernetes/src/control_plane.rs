//! etcd and kube-apiserver on loopback, with certificates and keys of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer_integration::Directory;
use serde_json::json;

use crate::certificates::{Authority, Pair, signing_key};
use crate::guarded::Guarded;
use crate::kubelet::{Kubelet, KubeletManners};
use crate::objects::Cluster;
use crate::programs;

/// What ServiceAccount tokens name as their issuer.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// An API server starts in 3 to 5 s on two cores; the rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// How a [`ControlPlane`] will be.
#[derive(Debug)]
#[must_use]
pub struct ControlPlaneBuilder {
    service_cidrs: Vec<String>,
    audit: bool,
    kubelets: bool,
    flags: Vec<String>,
}

impl ControlPlaneBuilder {
    /// The ranges of ClusterIPs.
    pub fn service_cidrs(mut self, cidrs: &[String]) -> Self {
        self.service_cidrs = cidrs.to_vec();
        self
    }

    /// Notes each request, for [`ControlPlane::audit_log`].
    pub const fn audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Asks kubelets at the `Hostname` address of their nodes, and trusts those that [`ControlPlane::kubelet`] starts.
    pub const fn kubelets(mut self) -> Self {
        self.kubelets = true;
        self
    }

    /// One more flag of the API server.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Starts both servers and waits until they serve.
    ///
    /// # Errors
    /// A program is missing or does not start; with what it said.
    pub fn start(self) -> Result<ControlPlane> {
        let directory = Directory::new()?;
        let authority = Authority::new(directory.path())?;
        let loopback = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc";
        let serving = authority.sign("serving", "/CN=kube-apiserver", loopback)?;
        let admin = authority.sign("admin", "/O=system:masters/CN=admin", loopback)?;
        let signing = vec![signing_key(&directory, "sa-1")?];
        let [etcd_port, peer_port, port] = free_ports()?;
        let mut control_plane = ControlPlane {
            directory,
            authority,
            serving,
            admin,
            signing,
            etcd_port,
            peer_port,
            port,
            builder: self,
            apiserver: None,
            etcd: None,
            cluster: None,
        };
        control_plane.start_etcd()?;
        control_plane.start_apiserver()?;
        Ok(control_plane)
    }
}

/// A running control plane. Dropping it ends both servers and removes all that they wrote.
#[derive(Debug)]
pub struct ControlPlane {
    // The API server goes first.
    apiserver: Option<Guarded>,
    etcd: Option<Guarded>,
    cluster: Option<Cluster>,
    authority: Authority,
    serving: Pair,
    admin: Pair,
    /// Keys of ServiceAccount tokens; the last one signs, all count.
    signing: Vec<Pair>,
    etcd_port: u16,
    peer_port: u16,
    port: u16,
    builder: ControlPlaneBuilder,
    directory: Directory,
}

impl ControlPlane {
    pub const fn builder() -> ControlPlaneBuilder {
        ControlPlaneBuilder { service_cidrs: Vec::new(), audit: false, kubelets: false, flags: Vec::new() }
    }

    /// `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed the API server's.
    #[must_use]
    pub fn ca(&self) -> &Path {
        self.authority.certificate()
    }

    /// The cluster's objects, as an administrator.
    ///
    /// # Panics
    /// Before the start, which nobody sees.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("the control plane has been started")
    }

    /// A kubeconfig that holds `token`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.kubeconfig_in("default", name, token)
    }

    /// One of somebody whose namespace is `namespace`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_in(&self, namespace: &str, name: &str, token: &str) -> Result<PathBuf> {
        let ca = self.ca().display();
        let (url, file) = (self.url(), format!("{name}.kubeconfig"));
        self.directory.write(
            &file,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
                 clusters: [{{name: test, cluster: {{server: \"{url}\", certificate-authority: \"{ca}\"}}}}]\n\
                 users: [{{name: test, user: {{token: \"{token}\"}}}}]\n\
                 contexts: [{{name: test, context: {{cluster: test, user: test, namespace: {namespace}}}}}]\n"
            ),
        )
    }

    /// Starts the kubelet of a node, as far as there is one here, and tells the API server where it is.
    ///
    /// # Errors
    /// There is no such Node object, or the API server was not [told](ControlPlaneBuilder::kubelets) to ask any.
    pub fn kubelet(&self, node: &str, manners: KubeletManners) -> Result<Kubelet> {
        anyhow::ensure!(self.builder.kubelets, "start the control plane with `.kubelets()`");
        let kubelet = Kubelet::start(&self.serving, manners)?;
        let path = format!("/api/v1/nodes/{node}");
        let mut status = self.cluster().get(&path)?["status"].take();
        let mut addresses = status["addresses"].as_array().cloned().unwrap_or_default();
        addresses.retain(|address| address["type"] != "Hostname");
        addresses.push(json!({"type": "Hostname", "address": "127.0.0.1"}));
        status["addresses"] = addresses.into();
        status["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": kubelet.port()}});
        // Web sockets go on to it as they are, as to each kubelet from 1.36 on; older ones get SPDY.
        status["declaredFeatures"] = json!(["ExtendWebSocketsToKubelet"]);
        self.cluster().patch(&format!("{path}/status"), &json!({"status": status}))?;
        Ok(kubelet)
    }

    /// Each request so far that the API server has noted, a JSON object a line.
    ///
    /// # Errors
    /// It was not asked to.
    pub fn audit_log(&self) -> Result<String> {
        std::fs::read_to_string(self.audit_path()).context("no audit log; start it with `.audit()`")
    }

    /// Kills the API server as a crash does.
    pub fn kill_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the API server again, at the same port.
    ///
    /// # Errors
    /// It does not serve in time.
    pub fn start_apiserver(&mut self) -> Result<()> {
        let log = self.log("kube-apiserver");
        self.apiserver = Some(Guarded::start(&self.apiserver_command(self.port)?, &log)?);
        let cluster = Cluster::connect(&self.url(), self.ca(), &self.admin.certificate, &self.admin.key)?;
        let deadline = Instant::now() + READY_WITHIN;
        while let Err(error) = cluster.ready() {
            if !self.apiserver.as_mut().is_some_and(Guarded::is_running) || Instant::now() > deadline {
                bail!("kube-apiserver does not serve: {error:#}\n{}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.cluster = Some(cluster);
        Ok(())
    }

    /// Makes changes while this API server is down, through another one on the same etcd: when this one is back, what
    /// its clients last saw is too old for it.
    ///
    /// # Errors
    /// The other one does not start, or `changes` fail.
    pub fn meanwhile(&mut self, changes: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
        let port = self.port;
        [self.port] = free_ports()?;
        let outcome = self.start_apiserver().and_then(|()| changes(self.cluster()));
        self.kill_apiserver();
        self.port = port;
        outcome
    }

    /// Signs with a new key from the next start on; tokens of the old ones stay good.
    ///
    /// # Errors
    /// openssl fails.
    pub fn rotate_signing_key(&mut self) -> Result<()> {
        let key = signing_key(&self.directory, &format!("sa-{}", self.signing.len() + 1))?;
        self.signing.push(key);
        Ok(())
    }

    fn start_etcd(&mut self) -> Result<()> {
        let (client, peer) =
            (format!("https://127.0.0.1:{}", self.etcd_port), format!("http://127.0.0.1:{}", self.peer_port));
        let mut command = Command::new(programs::find("etcd")?);
        command.arg("--data-dir").arg(self.directory.path().join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}"), "--log-level", "warn"]);
        command.arg("--trusted-ca-file").arg(self.ca()).arg("--client-cert-auth");
        command.arg("--cert-file").arg(&self.serving.certificate).arg("--key-file").arg(&self.serving.key);
        // What it keeps is gone with the test.
        command.arg("--unsafe-no-fsync");
        self.etcd = Some(Guarded::start(&command, &self.log("etcd"))?);
        Ok(())
    }

    fn apiserver_command(&self, port: u16) -> Result<Command> {
        let mut command = Command::new(programs::find("kube-apiserver")?);
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        command.arg(format!("--etcd-servers=https://127.0.0.1:{}", self.etcd_port));
        command.arg(flag("etcd-cafile", self.ca()));
        command.arg(flag("etcd-certfile", &self.admin.certificate));
        command.arg(flag("etcd-keyfile", &self.admin.key));
        command.args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
        command.args(["--external-hostname=127.0.0.1", "--endpoint-reconciler-type=none"]);
        command.arg(flag("cert-dir", self.directory.path()));
        command.arg(flag("tls-cert-file", &self.serving.certificate));
        command.arg(flag("tls-private-key-file", &self.serving.key));
        command.arg(flag("client-ca-file", self.ca()));
        command.arg(format!("--service-account-issuer={ISSUER}"));
        for key in &self.signing {
            command.arg(flag("service-account-key-file", &key.certificate));
        }
        let signing = self.signing.last().context("no signing key")?;
        command.arg(flag("service-account-signing-key-file", &signing.key));
        command.args(["--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false"]);
        let ranges = if self.builder.service_cidrs.is_empty() {
            "10.96.0.0/16".to_owned()
        } else {
            self.builder.service_cidrs.join(",")
        };
        command.arg(format!("--service-cluster-ip-range={ranges}"));
        if self.builder.audit {
            let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";
            command.arg(flag("audit-policy-file", &self.directory.write("audit-policy.yaml", policy)?));
            command.arg(flag("audit-log-path", &self.audit_path()));
        }
        if self.builder.kubelets {
            command.arg(flag("kubelet-certificate-authority", self.ca()));
            command.arg(flag("kubelet-client-certificate", &self.admin.certificate));
            command.arg(flag("kubelet-client-key", &self.admin.key));
            command.arg("--kubelet-preferred-address-types=Hostname");
        }
        command.args(&self.builder.flags);
        Ok(command)
    }

    fn audit_path(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    fn log(&self, program: &str) -> PathBuf {
        self.directory.path().join(format!("{program}.log"))
    }
}

/// Ports of loopback that nobody listens on now.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known, so that they differ.
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(30).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
