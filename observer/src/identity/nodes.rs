use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::lists::Mark;
use super::malformed::{Malformed, Problem, parse_cidr, parse_ip};
use super::node_objects::{CiliumNodeObject, NodeObject};
use crate::model::HashMap;

/// Kubernetes is tested to 5,000.
pub(super) const MAX_NODES: usize = 20_000;

/// The cluster's nodes, its address ranges, and what is known of the links between the nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    configured: Vec<IpNet>,
    nodes: HashMap<Arc<str>, Node>,
    /// What Cilium's agents say of their nodes.
    cilium: HashMap<Arc<str>, Node>,
    addresses: HashMap<IpAddr, Arc<str>>,
    /// The configured and the Nodes' ranges, merged: a question looks at a handful, not at one a node.
    ranges: Vec<IpNet>,
}

#[derive(Debug)]
struct Node {
    addresses: Box<[IpAddr]>,
    ranges: Box<[IpNet]>,
    wireguard: Wireguard,
    listed: Mark,
}

/// Whether a node shows a key, by address family: it encrypts what its pods send to pods of nodes that show one, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wireguard {
    v4: bool,
    v6: bool,
}

impl Wireguard {
    fn of(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Nodes {
    pub(super) fn new(configured: Vec<IpNet>) -> Self {
        let ranges = IpNet::aggregate(&configured);
        Self {
            configured,
            nodes: HashMap::default(),
            cilium: HashMap::default(),
            addresses: HashMap::default(),
            ranges,
        }
    }

    pub(super) fn apply(
        &mut self,
        name: Arc<str>,
        object: &NodeObject,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let text = format!("Node {name}");
        let mut addresses = Vec::new();
        let mut internal = false;
        for entry in &object.status.addresses {
            let (kind, Some(address)) = (entry.kind.as_deref(), &entry.address) else { continue };
            if matches!(kind, Some("InternalIP" | "ExternalIP")) {
                addresses.push(parse_ip(address, &text, "status.addresses")?);
                internal |= kind == Some("InternalIP");
            }
        }
        if !internal {
            return Err(Malformed::new(&text, Problem::NodeWithoutAddress));
        }
        let cidrs = object.spec.pod_cidrs.iter().chain(&object.spec.pod_cidr);
        let ranges =
            cidrs.map(|cidr| parse_cidr(cidr, &text, "spec.podCIDR")).collect::<Result<Box<[_]>, _>>()?;
        // The first address of a range is no pod's: flannel gives it to the node, whose own traffic to other nodes'
        // pods comes from it.
        addresses.extend(ranges.iter().filter(|range| range.addr().is_ipv4()).map(IpNet::network));
        let annotations = &object.metadata.annotations;
        for address in annotations.calico_addresses() {
            addresses.push(parse_ip(address, &text, "metadata.annotations")?);
        }
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&name) {
            return Err(Malformed::new(&text, Problem::Full { bound: MAX_NODES, kind: "Nodes" }));
        }
        let wireguard = Wireguard {
            v4: is_key(annotations.calico_wireguard.as_ref()),
            v6: is_key(annotations.calico_wireguard_v6.as_ref()),
        };
        let old = self.nodes.remove(&name);
        // Heartbeats change a Node every few minutes, and its ranges never.
        let changed = old.as_ref().is_none_or(|old| old.ranges != ranges);
        let node = Node { addresses: addresses.into(), ranges, wireguard, listed };
        self.take_addresses(&name, old.as_ref(), &node);
        self.nodes.insert(name, node);
        if changed {
            self.merge_ranges();
        }
        Ok(())
    }

    pub(super) fn apply_cilium(
        &mut self,
        name: Arc<str>,
        object: &CiliumNodeObject,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let text = format!("CiliumNode {name}");
        let mut addresses = Vec::new();
        for entry in &object.spec.addresses {
            if let (Some("CiliumInternalIP" | "InternalIP" | "ExternalIP"), Some(ip)) =
                (entry.kind.as_deref(), &entry.ip)
            {
                addresses.push(parse_ip(ip, &text, "spec.addresses")?);
            }
        }
        if self.cilium.len() >= MAX_NODES && !self.cilium.contains_key(&name) {
            return Err(Malformed::new(&text, Problem::Full { bound: MAX_NODES, kind: "CiliumNodes" }));
        }
        let key = is_key(object.metadata.annotations.cilium_wireguard.as_ref());
        let wireguard = Wireguard { v4: key, v6: key };
        let old = self.cilium.remove(&name);
        let node = Node { addresses: addresses.into(), ranges: Box::default(), wireguard, listed };
        self.take_addresses(&name, old.as_ref(), &node);
        self.cilium.insert(name, node);
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &str) {
        if let Some(node) = self.nodes.remove(name) {
            self.drop_addresses(name, &node);
            self.merge_ranges();
        }
    }

    pub(super) fn delete_cilium(&mut self, name: &str) {
        if let Some(node) = self.cilium.remove(name) {
            self.drop_addresses(name, &node);
        }
    }

    pub(super) fn mark(&mut self, name: &str, listed: Mark) {
        self.nodes.get_mut(name).into_iter().for_each(|node| node.listed = listed);
    }

    pub(super) fn mark_cilium(&mut self, name: &str, listed: Mark) {
        self.cilium.get_mut(name).into_iter().for_each(|node| node.listed = listed);
    }

    /// The nodes that are not part of this list.
    pub(super) fn unlisted(&self, listed: Mark) -> Vec<Arc<str>> {
        unlisted(&self.nodes, listed)
    }

    /// The CiliumNodes that are not part of this list.
    pub(super) fn unlisted_cilium(&self, listed: Mark) -> Vec<Arc<str>> {
        unlisted(&self.cilium, listed)
    }

    pub(super) fn at(&self, ip: IpAddr) -> Option<&Arc<str>> {
        self.addresses.get(&ip)
    }

    pub(super) fn in_ranges(&self, ip: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&ip))
    }

    /// Private, and of a family of which no range of the cluster is known.
    pub(super) fn cannot_tell(&self, ip: IpAddr) -> bool {
        is_private(ip) && !self.ranges.iter().any(|range| range.addr().is_ipv4() == ip.is_ipv4())
    }

    /// Whether what pods of one node send to `ip`, a pod's on the other, goes through WireGuard: both must show a key
    /// of the same program.
    pub(super) fn share_wireguard(&self, one: &str, other: &str, ip: IpAddr) -> bool {
        let both = |nodes: &HashMap<Arc<str>, Node>| {
            [one, other].iter().all(|name| nodes.get(*name).is_some_and(|node| node.wireguard.of(ip)))
        };
        both(&self.nodes) || both(&self.cilium)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn cilium_len(&self) -> usize {
        self.cilium.len()
    }

    fn take_addresses(&mut self, name: &Arc<str>, old: Option<&Node>, new: &Node) {
        if let Some(old) = old {
            self.drop_addresses(name, old);
        }
        for ip in &new.addresses {
            self.addresses.insert(*ip, name.clone());
        }
    }

    /// A CiliumNode has some of its Node's addresses: the one that stays keeps them.
    fn drop_addresses(&mut self, name: &str, node: &Node) {
        for ip in &node.addresses {
            let others = [&self.nodes, &self.cilium].map(|nodes| nodes.get(name));
            let kept = others.into_iter().flatten().any(|other| other.addresses.contains(ip));
            if !kept && self.addresses.get(ip).is_some_and(|holder| **holder == *name) {
                self.addresses.remove(ip);
            }
        }
    }

    fn merge_ranges(&mut self) {
        let nodes = self.nodes.values().flat_map(|node| &node.ranges);
        let all: Vec<IpNet> = self.configured.iter().chain(nodes).copied().collect();
        self.ranges = IpNet::aggregate(&all);
    }
}

fn unlisted(nodes: &HashMap<Arc<str>, Node>, listed: Mark) -> Vec<Arc<str>> {
    nodes.iter().filter(|(_, node)| node.listed != listed).map(|(name, _)| name.clone()).collect()
}

fn is_key(text: Option<&String>) -> bool {
    text.is_some_and(|key| !key.is_empty())
}

/// Why an address names nobody in particular, if it does not.
pub(super) fn nobodys(ip: IpAddr) -> Option<&'static str> {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    match ip {
        _ if ip.is_unspecified() => Some("unspecified-address"),
        _ if ip.is_loopback() => Some("loopback-address"),
        _ if ip.is_multicast() || broadcast => Some("multicast-address"),
        _ => None,
    }
}

/// Leads to the node's own link: its DNS cache, or the cloud's metadata server.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// RFC 1918, RFC 6598 (which some clouds give to pods) and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
