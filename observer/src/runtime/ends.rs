//! Who stands at the two ends of a flow: cgroups and addresses -> identities.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::session::Session;
use crate::conntrack::{Flow, Role};
use crate::identity::{CgroupTree, Index};
use crate::model::{EdgeEnd, EdgeKey, EdgePort, Endpoint, Hop, Identity, Link, Timestamp};
use crate::sink::{EdgeMetrics, Metrics};
use crate::verdict;

/// A flow's ends, resolved once.
pub struct Ends {
    pub client: Identity,
    pub server: Identity,
    pub client_address: Endpoint,
    pub server_address: Endpoint,
    /// The Service that the client dialled.
    pub service: Option<Arc<str>>,
    pub to_api_server: bool,
    pub hop: Hop,
    pub link: Link,
    pub edge: EdgeKey,
    pub metrics: Arc<EdgeMetrics>,
}

pub struct Resolver {
    pub index: Index,
    tree: CgroupTree,
}

impl Resolver {
    /// # Errors
    /// The cgroup directory cannot be read.
    pub fn new(index: Index, cgroup_root: &Path, now: Timestamp) -> io::Result<Self> {
        Ok(Self { index, tree: CgroupTree::open(cgroup_root, now)? })
    }

    /// Resolves both ends, as of the flow's opening.
    pub fn ends(&mut self, flow: &Flow<Session>, metrics: &Metrics) -> Ends {
        let (client_address, server_address) = flow.ends();
        let at = flow.opened;
        let own = self.at_this_end(flow.cgroup, flow.local.ip, at);
        let dialled = match flow.role {
            Role::Client => Some(flow.remote),
            Role::Server => flow.twin.as_ref().map(|twin| twin.dialled),
        };
        let service =
            dialled.and_then(|dialled| self.index.service(dialled.ip, dialled.port, flow.transport));
        let (client, server) = match flow.role {
            Role::Client => {
                let backend = service.as_ref().map(|service| service.backend.clone());
                let server = backend.unwrap_or_else(|| self.far_end(flow.remote.ip, &own, at));
                (own, server)
            }
            Role::Server => match &flow.twin {
                Some(twin) => (self.at_this_end(twin.cgroup, twin.local.ip, at), own),
                None => (self.far_end(flow.remote.ip, &own, at), own),
            },
        };
        let edge = EdgeKey {
            client: EdgeEnd::from(&client),
            server: EdgeEnd::from(&server),
            port: edge_port(&server, server_address.port, service.is_some()),
            transport: flow.transport,
        };
        Ends {
            hop: verdict::hop(&client, &server, server_address.port),
            link: link(&client, &server, flow.twin.is_some()),
            to_api_server: service
                .as_ref()
                .is_some_and(|s| &*s.namespace == "default" && &*s.name == "kubernetes"),
            service: service.map(|service| service.name),
            metrics: metrics.edge(&edge),
            client,
            server,
            client_address,
            server_address,
            edge,
        }
    }

    /// Whoever owns a socket of this node. Its cgroup knows best: addresses are shared by hostNetwork pods and
    /// hidden by translation.
    fn at_this_end(&mut self, cgroup: Option<u64>, ip: IpAddr, at: Timestamp) -> Identity {
        let path = cgroup.and_then(|id| self.tree.path(id, at));
        let by_cgroup = path.and_then(|path| self.index.by_cgroup(&path));
        if let Some(pod @ Identity::Pod(_)) = by_cgroup {
            return pod;
        }
        match self.index.by_address(ip, at) {
            pod @ Identity::Pod(_) => pod,
            other => by_cgroup.unwrap_or(other),
        }
    }

    /// Whoever is at the other end of a connection whose other socket was not seen.
    fn far_end(&self, ip: IpAddr, own: &Identity, at: Timestamp) -> Identity {
        if ip.is_loopback() { own.clone() } else { self.index.by_address(ip, at) }
    }
}

/// Where Linux starts to pick a port nobody asked for (net.ipv4.ip_local_port_range).
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

fn edge_port(server: &Identity, port: u16, is_service: bool) -> EdgePort {
    let declared = server.pod().is_some_and(|pod| pod.ports.iter().any(|known| known.number == port));
    if port >= FIRST_EPHEMERAL_PORT && !declared && !is_service {
        EdgePort::Ephemeral
    } else {
        EdgePort::Number(port)
    }
}

/// Both sockets on one node: nothing below them encrypts.
fn link(client: &Identity, server: &Identity, joined: bool) -> Link {
    let same_node = match (client.pod(), server.pod()) {
        (Some(client), Some(server)) => client.node.is_some() && client.node == server.node,
        _ => false,
    };
    if joined || same_node { Link::None } else { Link::Unknown }
}

/// Whether the server's own observer reports the flow: then the client's end keeps silent.
#[must_use]
pub fn server_reports(server: &Identity, service_dialled: bool) -> bool {
    service_dialled || matches!(server, Identity::Pod(_) | Identity::ServiceAccount { .. })
}
