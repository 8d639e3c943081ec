//! Hosts outside the cluster.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use anyhow::Result;

use crate::cgroup;
use crate::node::{Node, check_name};
use crate::place::Place;
use crate::subnets::Network;

/// A host outside the cluster; programs are started on it through [`Place`].
#[derive(Clone, Debug)]
pub struct Outside {
    pub name: String,
    pub ip4: Ipv4Addr,
    pub ip6: Ipv6Addr,
    place: Place,
}

pub fn start(node: &Node, name: &str) -> Result<Outside> {
    check_name("host", name)?;
    let _alive = node.alive()?;
    let number = node.state().next_host(Network::Outside)?;
    let (ip4, ip6) = node.subnets.host(Network::Outside, number);
    // Kubernetes names hold no underscore: this is no pod's.
    let netns = node.end_host(&format!("obs-{}_{name}", node.id))?;
    let (link, host_netns) = (format!("out{number}"), node.host.netns());
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
    // IPv6 hosts ask for neighbours only at the link where the address is: the node answers to a link-local one.
    node.ip(
        host_netns,
        &format!(
            "address add fe80::1/64 dev {link} nodad\n\
         link set {link} up\n\
         route add {ip4}/32 dev {link} src {}\n\
         route add {ip6}/128 dev {link} src {}\n",
            node.ip4, node.ip6,
        ),
    )?;
    node.ip(
        &netns,
        &format!(
            "route add default via {} dev eth0 onlink\n\
         route add default via fe80::1 dev eth0 onlink\n",
            node.ip4,
        ),
    )?;
    let cgroup = node.cgroup_outside.join(format!("{name}.service"));
    cgroup::create(&cgroup)?;
    Ok(Outside {
        name: name.to_owned(),
        ip4,
        ip6,
        place: Place::new(format!("outside host {name}"), netns, cgroup),
    })
}

impl Deref for Outside {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}
