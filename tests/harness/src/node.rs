//! The node: its network namespace, its cgroups, and what has been started on it.

use std::fmt::{self, Display};
use std::io::PipeWriter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

use crate::cgroup;
use crate::claim::Claim;
use crate::inventory::Inventory;
use crate::netns::{self, Netns};
use crate::outside::{self, Outside};
use crate::place::Place;
use crate::pod::PodBuilder;
use crate::process::Process;
use crate::proxy;
use crate::service::ServiceBuilder;
use crate::subnets::{Network, Subnets};

/// The bridge that pods hang on, in the node's own namespace.
pub const BRIDGE: &str = "cni0";

/// A simulated Kubernetes node. Dropping it ends its processes and removes all that it made.
#[derive(Debug)]
pub struct SimNode {
    node: Arc<Node>,
}

/// How a [`SimNode`] will be.
#[derive(Debug)]
#[must_use]
pub struct NodeBuilder {
    name: String,
    own_address: bool,
}

impl NodeBuilder {
    /// The Node object's name; `n1` unless told.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Gives the node an address that is not the pods' gateway, as most clusters have it. Its processes then call pods
    /// from the gateway's address, which no object mentions, and call Services through SNAT.
    pub const fn own_address(mut self) -> Self {
        self.own_address = true;
        self
    }

    /// Builds the node.
    ///
    /// # Errors
    /// If the process is not root, cgroup2 is not mounted, `ip` or `nft` is missing or fails.
    pub fn start(self) -> Result<SimNode> {
        check_name("node", &self.name)?;
        let context = format!("start the simulated node {}", self.name);
        Node::start(self).map(|node| SimNode { node: Arc::new(node) }).context(context)
    }
}

impl SimNode {
    /// A node to be started.
    pub fn builder() -> NodeBuilder {
        NodeBuilder { name: "n1".to_owned(), own_address: false }
    }

    /// What tells this node's names from others': `obs-<id>` is its network namespace.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.node.id
    }

    pub(crate) fn inner(&self) -> &Node {
        &self.node
    }

    /// The Node object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// The node's address, `InternalIP` in its object.
    #[must_use]
    pub fn ip4(&self) -> Ipv4Addr {
        self.node.ip4
    }

    /// The node's IPv6 address.
    #[must_use]
    pub fn ip6(&self) -> Ipv6Addr {
        self.node.ip6
    }

    /// The addresses of the pods' gateway, which are the node's unless it has its [own](NodeBuilder::own_address).
    #[must_use]
    pub fn gateway(&self) -> (Ipv4Addr, Ipv6Addr) {
        self.node.subnets.host(Network::Pods, 1)
    }

    /// The directory that stands for the cgroup2 root: all pods and the node's own processes lie below it.
    #[must_use]
    pub fn cgroup_root(&self) -> &Path {
        &self.node.cgroup_root
    }

    /// The IPv4 range of the pods, such as `10.200.0.0/24`.
    #[must_use]
    pub fn cluster_cidr(&self) -> String {
        let [cidr4, _] = self.cluster_cidrs();
        cidr4
    }

    /// The IPv4 and IPv6 ranges of the pods.
    #[must_use]
    pub fn cluster_cidrs(&self) -> [String; 2] {
        self.node.subnets.cidrs(Network::Pods)
    }

    /// The IPv4 and IPv6 ranges of the Services.
    #[must_use]
    pub fn service_cidrs(&self) -> [String; 2] {
        self.node.subnets.cidrs(Network::Services)
    }

    /// A pod of this ServiceAccount, to be described and started.
    pub fn pod(&self, namespace: &str, service_account: &str) -> PodBuilder {
        PodBuilder::new(Arc::clone(&self.node), namespace, service_account)
    }

    /// A ClusterIP Service, to be described and started.
    pub fn service(&self, namespace: &str, name: &str) -> ServiceBuilder {
        ServiceBuilder::new(Arc::clone(&self.node), namespace, name)
    }

    /// A host outside the cluster that pods reach through the node, and that reaches pods. Kubernetes knows nothing
    /// of it and its programs run outside [`SimNode::cgroup_root`].
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn external(&self, name: &str) -> Result<Outside> {
        outside::start(&self.node, name).with_context(|| format!("start the outside host {name}"))
    }

    /// The node itself: its namespace, and the cgroup of the kubelet.
    #[must_use]
    pub fn host(&self) -> &Place {
        &self.node.host
    }

    /// Starts one of the node's own processes, as the kubelet is: in its namespace and in no pod's cgroup.
    ///
    /// # Errors
    /// As [`Place::spawn`].
    pub fn host_spawn(&self, command: Command) -> Result<Process> {
        self.node.host.spawn(command)
    }

    /// All objects, as `kubectl get pods,services,endpointslices,nodes,namespaces,serviceaccounts -A -o yaml` prints.
    #[must_use]
    pub fn inventory_yaml(&self) -> String {
        self.node.state().inventory.yaml()
    }

    /// Ends it as dropping does, but says what could not be removed.
    ///
    /// # Errors
    /// If something is left.
    pub fn shut_down(self) -> Result<()> {
        self.node.claim().release()
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        // Pods may be held longer than their node: it goes now, not with the last of them.
        if let Err(error) = self.node.claim().release() {
            eprintln!("observer-harness: {error:#}");
        }
    }
}

/// What the node shares with its pods and Services.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub name: String,
    pub ip4: Ipv4Addr,
    pub ip6: Ipv6Addr,
    pub subnets: Subnets,
    pub cgroup_root: PathBuf,
    /// Outside hosts' cgroups: beside the node's root, not below it.
    pub cgroup_outside: PathBuf,
    pub host: Place,
    claim: Mutex<Claim>,
    state: Mutex<State>,
}

/// What changes while the node lives.
#[derive(Debug)]
pub struct State {
    pub inventory: Inventory,
    last_host: [u8; 3],
}

impl State {
    /// The next free host number of a network.
    pub fn next_host(&mut self, network: Network) -> Result<u8> {
        let (index, what) = match network {
            Network::Pods => (0, "pods"),
            Network::Services => (1, "Services"),
            Network::Outside | Network::Nodes => (2, "outside hosts"),
        };
        let last = &mut self.last_host[index];
        if *last == 254 {
            bail!("the node's /24 for {what} is full");
        }
        *last += 1;
        Ok(*last)
    }
}

impl Node {
    fn start(builder: NodeBuilder) -> Result<Self> {
        let claim = Claim::take()?;
        let alive = claim.alive()?;
        let id = claim.id().to_owned();
        let subnets = Subnets::new(claim.slot())?;
        let (gateway4, gateway6) = subnets.host(Network::Pods, 1);
        let (ip4, ip6) =
            if builder.own_address { subnets.host(Network::Nodes, 1) } else { (gateway4, gateway6) };

        let mount = cgroup::mount()?;
        let cgroup_root = mount.join(format!("observer-node-{id}"));
        let cgroup_outside = mount.join(format!("observer-outside-{id}"));
        let kubelet = cgroup_root.join("system.slice/kubelet.service");
        claim.record_cgroup(&cgroup_root)?;
        claim.record_cgroup(&cgroup_outside)?;
        cgroup::create(&kubelet)?;

        let netns_name = format!("obs-{id}");
        claim.record_netns(&netns_name)?;
        let netns = Netns::create(&netns_name, &alive)?;
        netns.set(&[
            ("ipv4/ip_forward", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            // Pods that talk through the node arrive and leave on the same link: that is no detour to report.
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            ("ipv6/conf/all/disable_ipv6", "0"),
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/conf/default/accept_dad", "0"),
            // Frames between the bridge and its ports would otherwise pass the tables twice.
            ("bridge/bridge-nf-call-iptables", "0"),
            ("bridge/bridge-nf-call-ip6tables", "0"),
        ])?;

        let [services4, services6] = subnets.cidrs(Network::Services);
        let own_address = if builder.own_address {
            format!("address add {ip4}/32 dev lo\naddress add {ip6}/128 dev lo nodad\n")
        } else {
            String::new()
        };
        // The bridge's own address stays when ports come: by default it would be the lowest port's, and pods' neighbour
        // entries would go stale. The route to Services only lets the node's own connections begin; DNAT reroutes them.
        let lines = format!(
            "link set lo up\n\
             link add {BRIDGE} address {mac} type bridge forward_delay 0 mcast_snooping 0\n\
             address add {gateway4}/24 dev {BRIDGE}\n\
             address add {gateway6}/64 dev {BRIDGE} nodad\n\
             {own_address}\
             link set {BRIDGE} up\n\
             route add {services4} dev {BRIDGE} src {ip4}\n\
             route add {services6} dev {BRIDGE} src {ip6}\n",
            mac = "02:0b:5e:00:00:01",
        );
        netns::ip(Some(&netns), &lines, &alive)?;
        let pod_cidrs = subnets.cidrs(Network::Pods);
        netns::nft(&netns, &proxy::base(&pod_cidrs, (IpAddr::V4(ip4), IpAddr::V6(ip6))), &alive)?;

        let inventory = Inventory::new(&builder.name, ip4, ip6, &pod_cidrs)?;
        let host = Place::new(format!("node {}", builder.name), netns, kubelet);
        Ok(Self {
            id,
            name: builder.name,
            ip4,
            ip6,
            subnets,
            cgroup_root,
            cgroup_outside,
            host,
            claim: Mutex::new(claim),
            state: Mutex::new(State { inventory, last_host: [1; 3] }),
        })
    }

    pub fn claim(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this is held, the node is not removed. An error once it has been shut down.
    pub fn alive(&self) -> Result<PipeWriter> {
        self.claim().alive()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a namespace with settings that suit an end host: addresses work at once and redirects count for nothing.
    pub fn end_host(&self, name: &str) -> Result<Netns> {
        let alive = self.alive()?;
        self.claim().record_netns(name)?;
        let netns = Netns::create(name, &alive)?;
        netns.set(&[
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/accept_redirects", "0"),
            ("ipv4/conf/default/accept_redirects", "0"),
            ("ipv6/conf/all/disable_ipv6", "0"),
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/accept_redirects", "0"),
        ])?;
        Ok(netns)
    }

    /// Runs `ip` in a namespace of this node.
    pub fn ip(&self, netns: &Netns, lines: &str) -> Result<()> {
        netns::ip(Some(netns), lines, &self.alive()?)
    }

    /// Adds to the node's nftables.
    pub fn nft(&self, ruleset: &str) -> Result<()> {
        netns::nft(self.host.netns(), ruleset, &self.alive()?)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What the API server asks of names (RFC 1123 labels and subdomains); they also become file and chain names here.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if name.len() > 63 || !edge(name.chars().next()) || !edge(name.chars().last()) || !name.chars().all(inner)
    {
        bail!("{name:?} is no {what} name: use lower-case letters, digits, `-` and `.`, at most 63");
    }
    Ok(())
}
