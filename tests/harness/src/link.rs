//! Two nodes of one cluster: what a CNI does so that pods of each reach those of the other, by their own addresses.

use anyhow::{Result, ensure};

use crate::node::{Node, SimNode};
use crate::subnets::Network;

/// The same name in both hosts.
const LINK: &str = "peer";

/// Joins the nodes by a link of their hosts, which goes with either.
fn join(one: &Node, other: &Node) -> Result<()> {
    ensure!(one.id != other.id, "a node is not joined to itself");
    let (one_host, other_host) = (one.host.netns(), other.host.netns());
    one.ip(one_host, &format!("link add {LINK} type veth peer name {LINK} netns {}\n", other_host.name()))?;
    for (node, netns, own, far, neighbour) in
        [(one, one_host, "fe80::a", "fe80::b", other), (other, other_host, "fe80::b", "fe80::a", one)]
    {
        let [pods4, pods6] = neighbour.subnets.cidrs(Network::Pods);
        node.ip(
            netns,
            &format!(
                "address add {own}/64 dev {LINK} nodad\n\
                 link set {LINK} up\n\
                 route add {pods4} via {} dev {LINK} onlink src {}\n\
                 route add {pods6} via {far} dev {LINK} src {}\n",
                neighbour.ip4, node.ip4, node.ip6,
            ),
        )?;
    }
    Ok(())
}

impl SimNode {
    /// Lets the pods of both nodes reach each other.
    ///
    /// # Errors
    /// One of them has such a link already, or was shut down.
    pub fn join(&self, other: &Self) -> Result<()> {
        join(self.inner(), other.inner())
    }
}
