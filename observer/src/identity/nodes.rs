use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::lists::Mark;
use super::malformed::{Malformed, Problem, parse_cidr, parse_ip};
use super::objects::NodeObject;

/// Kubernetes is tested to 5,000.
pub(super) const MAX_NODES: usize = 20_000;

/// The cluster's nodes and its address ranges.
#[derive(Debug)]
pub(super) struct Nodes {
    configured: Vec<IpNet>,
    nodes: HashMap<Arc<str>, Node>,
    addresses: HashMap<IpAddr, Arc<str>>,
    /// The configured and the Nodes' ranges, merged: a question looks at a handful, not at one a node.
    ranges: Vec<IpNet>,
}

#[derive(Debug)]
struct Node {
    addresses: Vec<IpAddr>,
    ranges: Vec<IpNet>,
    listed: Mark,
}

impl Nodes {
    pub(super) fn new(configured: Vec<IpNet>) -> Self {
        let ranges = IpNet::aggregate(&configured);
        Self { configured, nodes: HashMap::new(), addresses: HashMap::new(), ranges }
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
            cidrs.map(|cidr| parse_cidr(cidr, &text, "spec.podCIDR")).collect::<Result<Vec<_>, _>>()?;
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&name) {
            return Err(Malformed::new(&text, Problem::Full { bound: MAX_NODES, kind: "Nodes" }));
        }
        let old = self.remove(&name);
        for ip in &addresses {
            self.addresses.insert(*ip, name.clone());
        }
        // Heartbeats change a Node every few minutes, and its ranges never.
        let changed = old.is_none_or(|old| old.ranges != ranges);
        self.nodes.insert(name, Node { addresses, ranges, listed });
        if changed {
            self.merge_ranges();
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &str) {
        if self.remove(name).is_some() {
            self.merge_ranges();
        }
    }

    pub(super) fn mark(&mut self, name: &str, listed: Mark) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.listed = listed;
        }
    }

    /// The nodes that are not part of this list.
    pub(super) fn unlisted(&self, listed: Mark) -> Vec<Arc<str>> {
        self.nodes.iter().filter(|(_, node)| node.listed != listed).map(|(name, _)| name.clone()).collect()
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

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn remove(&mut self, name: &str) -> Option<Node> {
        let node = self.nodes.remove(name)?;
        for ip in &node.addresses {
            if self.addresses.get(ip).is_some_and(|holder| **holder == *name) {
                self.addresses.remove(ip);
            }
        }
        Some(node)
    }

    fn merge_ranges(&mut self) {
        let nodes = self.nodes.values().flat_map(|node| &node.ranges);
        let all: Vec<IpNet> = self.configured.iter().chain(nodes).copied().collect();
        self.ranges = IpNet::aggregate(&all);
    }
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
