//! Pods.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cgroup::{self, Qos};
use crate::entropy;
use crate::netns;
use crate::node::{BRIDGE, Node, check_name};
use crate::place::Place;
use crate::subnets::Network;

/// A running pod of one container. A clone is another handle to the same pod; programs are started through [`Place`].
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub service_account: String,
    /// 64 hexadecimal digits, as in the cgroup's name.
    pub container_id: String,
    /// The node's for a pod with `hostNetwork`.
    pub ip4: Ipv4Addr,
    pub ip6: Ipv6Addr,
    pub host_network: bool,
    pub(crate) labels: BTreeMap<String, String>,
    place: Place,
    node: Arc<Node>,
}

/// How a [`Pod`] will be.
#[derive(Debug)]
#[must_use]
pub struct PodBuilder {
    node: Arc<Node>,
    namespace: String,
    service_account: String,
    name: Option<String>,
    uid: Option<String>,
    spec: PodSpec,
}

/// What a pod's object says beyond its identity.
#[derive(Debug, Default)]
pub struct PodSpec {
    pub deployment: Option<(String, String)>,
    pub labels: BTreeMap<String, String>,
    pub qos: Qos,
    pub host_network: bool,
    pub probe_port: Option<u16>,
    pub ports: Vec<(String, u16)>,
}

impl PodSpec {
    /// `<deployment>-<pod-template-hash>`.
    pub fn replica_set(&self) -> Option<String> {
        self.deployment.as_ref().map(|(name, hash)| format!("{name}-{hash}"))
    }
}

impl PodBuilder {
    pub(crate) fn new(node: Arc<Node>, namespace: &str, service_account: &str) -> Self {
        Self {
            node,
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            name: None,
            uid: None,
            spec: PodSpec::default(),
        }
    }

    /// The pod's name. By default `<deployment>-<hash>-<suffix>`, or `<service account>-<suffix>` without a Deployment.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Makes a Deployment's ReplicaSet the owner, and sets the label `pod-template-hash`.
    pub fn deployment(mut self, name: &str) -> Self {
        let hash = entropy::template_hash(&self.namespace, name);
        self.spec.labels.insert("pod-template-hash".to_owned(), hash.clone());
        self.spec.deployment = Some((name.to_owned(), hash));
        self
    }

    /// A label beside the default one, `app: <deployment or service account>`, or in its place.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.spec.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Burstable unless told.
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.spec.qos = qos;
        self
    }

    /// Runs in the node's namespace, with a pod's cgroup.
    pub const fn host_network(mut self) -> Self {
        self.spec.host_network = true;
        self
    }

    /// Declares an HTTP liveness probe on this port. Nobody calls it by itself; see [`crate::SimNode::host`].
    pub const fn probe_port(mut self, port: u16) -> Self {
        self.spec.probe_port = Some(port);
        self
    }

    /// Declares a TCP port of the container.
    pub fn container_port(mut self, name: &str, port: u16) -> Self {
        self.spec.ports.push((name.to_owned(), port));
        self
    }

    /// The object's uid; a random one unless told.
    pub fn uid(mut self, uid: &str) -> Self {
        self.uid = Some(uid.to_owned());
        self
    }

    /// Makes the pod.
    ///
    /// # Errors
    /// If a name is not one that the API server would take, or is taken; if the node is full or gone.
    pub fn start(self) -> Result<Pod> {
        let context = format!("start a pod of {}/{}", self.namespace, self.service_account);
        self.build().context(context)
    }

    fn build(mut self) -> Result<Pod> {
        let app = self.spec.deployment.as_ref().map_or(&self.service_account, |(name, _)| name).clone();
        let base = self.spec.replica_set().unwrap_or_else(|| self.service_account.clone());
        let name = match self.name {
            Some(name) => name,
            None => format!("{base}-{}", entropy::suffix()?),
        };
        check_name("namespace", &self.namespace)?;
        check_name("service account", &self.service_account)?;
        check_name("pod", &name)?;
        self.spec.labels.entry("app".to_owned()).or_insert(app);
        let uid = match self.uid {
            Some(uid) => uid,
            None => entropy::uuid()?,
        };
        check_name("uid", &uid)?;
        let container_id = entropy::hex::<32>()?;

        let node = self.node;
        let label = format!("pod {}/{name}", self.namespace);
        let cgroup = node.cgroup_root.join(cgroup::container_path(self.spec.qos, &uid, &container_id));
        // Nothing may be made that nobody would remove.
        let _alive = node.alive()?;
        node.state().inventory.check_free("Pod", &self.namespace, &name)?;
        let (netns, (ip4, ip6)) = if self.spec.host_network {
            (node.host.netns().clone(), (node.ip4, node.ip6))
        } else {
            let number = node.state().next_host(Network::Pods)?;
            // No namespace name holds a dot, so two different pods never share this name.
            let netns = node.end_host(&format!("obs-{}-{}.{name}", node.id, self.namespace))?;
            let (ip4, ip6) = node.subnets.host(Network::Pods, number);
            let (gateway4, gateway6) = node.subnets.host(Network::Pods, 1);
            let (link, host_netns) = (format!("veth{number}"), node.host.netns());
            // Addresses without a subnet: all traffic, also to pods on the same bridge, passes the node, whose NAT
            // must see both directions. For the same reason no frame ever leaves by the port that it came from, and
            // the bridge needs no hairpin mode.
            node.ip(
                &netns,
                &format!(
                    "link set lo up\n\
                 link add eth0 type veth peer name {link} netns {}\n\
                 address add {ip4}/32 dev eth0\n\
                 address add {ip6}/128 dev eth0 nodad\n\
                 link set eth0 up\n",
                    host_netns.name(),
                ),
            )?;
            node.ip(host_netns, &format!("link set {link} master {BRIDGE}\nlink set {link} up\n"))?;
            node.ip(
                &netns,
                &format!(
                    "route add default via {gateway4} dev eth0 onlink\n\
                 route add default via {gateway6} dev eth0 onlink\n"
                ),
            )?;
            (netns, (ip4, ip6))
        };
        cgroup::create(&cgroup)?;

        let pod = Pod {
            namespace: self.namespace,
            name,
            uid,
            service_account: self.service_account,
            container_id,
            ip4,
            ip6,
            host_network: self.spec.host_network,
            labels: self.spec.labels.clone(),
            place: Place::new(label, netns, cgroup),
            node,
        };
        let own = (pod.node.name.as_str(), pod.node.ip4, pod.node.ip6);
        pod.node.state().inventory.add_pod(own, &pod, &self.spec)?;
        Ok(pod)
    }
}

impl Pod {
    /// Deletes the pod: kills its programs, removes its namespace and cgroups, and takes it out of the inventory.
    /// Services keep forwarding to its address, as they do until kube-proxy hears of the deletion.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn delete(self) -> Result<()> {
        let context = format!("delete {}", self.place);
        self.remove().context(context)
    }

    fn remove(self) -> Result<()> {
        self.node.state().inventory.remove_pod(&self.uid);
        let scope = self.place.cgroup();
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_populated(scope)? {
            if Instant::now() > deadline {
                bail!("processes are left in {}", scope.display());
            }
            kill_all(scope)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        let slice = scope.parent().context("the container's cgroup has no parent")?;
        for directory in [scope, slice] {
            fs::remove_dir(directory).with_context(|| format!("remove {}", directory.display()))?;
        }
        if !self.host_network {
            netns::ip(None, &format!("netns delete {}", self.place.netns_name()), &self.node.alive()?)?;
        }
        Ok(())
    }
}

impl Deref for Pod {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// cgroup.events lists `populated 1` while a process is alive in the cgroup or below it.
fn is_populated(cgroup: &Path) -> Result<bool> {
    let path = cgroup.join("cgroup.events");
    let events = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(events.lines().any(|line| line == "populated 1"))
}

fn kill_all(cgroup: &Path) -> Result<()> {
    let path = cgroup.join("cgroup.procs");
    let procs = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for pid in procs.lines().filter_map(|line| line.parse().ok()) {
        // SAFETY: kill takes two integers. Only programs of this pod are in its cgroup, and they stay zombies until
        // their parent has waited for them; the two lines above are the window in which a pid could change hands.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    Ok(())
}
