//! Who stands at the two ends of a flow: cgroups and addresses -> identities.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use super::senders::Senders;
use super::session::Session;
use crate::conntrack::{Flow, Role};
use crate::identity::{CgroupTree, Index};
use crate::model::{EdgeEnd, EdgeKey, EdgePort, Endpoint, Hop, Identity, Link, Pod, Timestamp, Transport};
use crate::verdict::{self, Way};

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
    /// The client is known by its address alone, which another pod may have by now.
    pub by_address_alone: bool,
}

/// Where API servers listen that no Service leads to: behind a load balancer, or under the node's own address.
const API_SERVER_PORT: u16 = 6443;

impl Ends {
    /// Perhaps by another name than that of the API server's Service.
    #[must_use]
    pub fn may_be_to_api_server(&self) -> bool {
        self.to_api_server || self.server_address.port == API_SERVER_PORT
    }

    /// Whether news from the cluster may still tell who an end is.
    #[must_use]
    pub fn may_become_known(&self) -> bool {
        [&self.client, &self.server].into_iter().any(may_become_known)
    }
}

/// A pod that was just made is known here only once its object has come.
#[must_use]
pub fn may_become_known(identity: &Identity) -> bool {
    const LATE: [&str; 4] =
        ["no-pod-at-address", "pod-not-known", "address-contested", "cluster-cidr-unknown"];
    matches!(identity, Identity::Unknown(reason) if LATE.contains(reason))
}

pub struct Resolver {
    pub index: Index,
    pub senders: Senders,
    tree: CgroupTree,
}

impl Resolver {
    /// # Errors
    /// The cgroup directory cannot be read.
    pub fn new(index: Index, cgroup_root: &Path, now: Timestamp) -> io::Result<Self> {
        Ok(Self { index, senders: Senders::default(), tree: CgroupTree::open(cgroup_root, now)? })
    }

    /// Resolves both ends, as of the flow's opening.
    pub fn ends(&mut self, flow: &Flow<Session>) -> Ends {
        let (client_address, mut server_address) = flow.ends();
        let at = flow.opened;
        let Owner { identity: own, mut proxied, nameless } = self.at_this_end(flow.cgroup, flow.local.ip, at);
        let dialled = match flow.role {
            Role::Client => Some(flow.remote),
            Role::Server => flow.twin.as_ref().map(|twin| twin.dialled),
        };
        let service =
            dialled.and_then(|dialled| self.index.service(dialled.ip, dialled.port, flow.transport));
        let listens_on = server_address;
        if flow.role == Role::Server
            && let Some(dialled) = dialled
        {
            let target = service.as_ref().and_then(|service| service.target_port);
            server_address.port = before_redirect(listens_on, dialled, target);
            // Not to the address that was dialled, and yet not out of the pod.
            proxied |= flow.loopback && (dialled.ip != listens_on.ip || dialled.port != listens_on.port);
        }
        proxied |= client_address.ip == ISTIO_INBOUND;
        let (client, server) = match flow.role {
            Role::Client => {
                let backend = service.as_ref().map(|service| service.backend.clone());
                let server = backend.unwrap_or_else(|| self.far_end(flow.remote.ip, &own, at));
                (own, server)
            }
            Role::Server => match &flow.twin {
                Some(twin) => {
                    let client = self.at_this_end(twin.cgroup, twin.local.ip, at);
                    proxied |= client.proxied;
                    match (client.nameless, nameless) {
                        (false, true) => (client.identity.clone(), client.identity),
                        (true, false) => (own.clone(), own),
                        _ => (client.identity, own),
                    }
                }
                None => (self.sender(flow, &own, at), own),
            },
        };
        let way = Way { loopback: flow.loopback, proxied };
        let edge = EdgeKey {
            client: EdgeEnd::from(&client),
            server: EdgeEnd::from(&server),
            port: edge_port(&server, server_address.port, service.is_some()),
            transport: flow.transport,
        };
        // Both sockets on one node: nothing below them encrypts.
        let link = match flow.twin {
            Some(_) => Link::None,
            None => self.index.link(&client, &server, server_address.ip),
        };
        Ends {
            by_address_alone: flow.role == Role::Server
                && flow.twin.is_none()
                && !client_address.ip.is_loopback()
                && matches!(client, Identity::Pod(_)),
            hop: verdict::hop(&client, &server, server_address.port, way),
            link,
            to_api_server: service
                .as_ref()
                .is_some_and(|s| &*s.namespace == "default" && &*s.name == "kubernetes")
                || self.index.is_api_server(server_address.ip, server_address.port),
            service: service.map(|service| service.name),
            client,
            server,
            client_address,
            server_address,
            edge,
        }
    }

    /// Whoever owns a socket of this node. Its cgroup knows best: addresses are shared by hostNetwork pods and
    /// hidden by translation.
    fn at_this_end(&mut self, cgroup: Option<u64>, ip: IpAddr, at: Timestamp) -> Owner {
        let path = cgroup.map(|id| self.tree.path(id, at));
        let not_found = matches!(path, Some(None));
        let by_cgroup = path.flatten().and_then(|path| self.index.by_cgroup(&path));
        let by_address = self.index.by_address(ip, at);
        let identity = match (by_cgroup, by_address) {
            // Ambient's proxy works in the network namespaces of the pods it speaks for, with their addresses.
            (Some(Identity::Pod(proxy)), by_address) if is_ztunnel(&proxy) && !has(&proxy, ip) => {
                let nameless = ip.is_loopback();
                let identity = if nameless { Identity::Pod(proxy) } else { by_address };
                return Owner { identity, proxied: true, nameless };
            }
            (Some(pod @ Identity::Pod(_)), _) | (_, pod @ Identity::Pod(_)) => pod,
            // It may be a pod's that has the node's address.
            (None, Identity::Node(_)) if not_found => Identity::Unknown("cgroup-not-found"),
            (by_cgroup, other) => by_cgroup.unwrap_or(other),
        };
        Owner { identity, proxied: false, nameless: false }
    }

    /// Whoever is at the other end of a connection whose other socket was not seen.
    fn far_end(&self, ip: IpAddr, own: &Identity, at: Timestamp) -> Identity {
        if ip.is_loopback() { own.clone() } else { self.index.by_address(ip, at) }
    }

    /// The client of a flow whose other socket was not seen. Of a TCP connection it answered at its address; a datagram
    /// says what its sender likes.
    fn sender(&self, flow: &Flow<Session>, own: &Identity, at: Timestamp) -> Identity {
        let claimed = self.far_end(flow.remote.ip, own, at);
        let is_here = claimed.pod().is_some_and(|pod| self.index.is_of_this_node(pod));
        if flow.transport == Transport::Udp
            && is_here
            && !flow.remote.ip.is_loopback()
            && !self.senders.vouch(flow.cookie, flow.remote, flow.local)
        {
            return Identity::Unknown("sender-unseen");
        }
        claimed
    }
}

/// Who owns a socket.
struct Owner {
    identity: Identity,
    /// A mesh's proxy holds it, for the pod in whose network namespace it is.
    proxied: bool,
    /// On loopback, which is every pod's: it is the one at the other end.
    nameless: bool,
}

/// Envoy's source address towards the program in its own pod, since Istio 1.10.
const ISTIO_INBOUND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// Ambient's proxy of a node, as Istio's chart labels it.
fn is_ztunnel(pod: &Pod) -> bool {
    pod.label("app") == Some("ztunnel")
}

fn has(pod: &Pod, ip: IpAddr) -> bool {
    pod.ips.contains(ip.to_canonical())
}

/// The port that the program behind a redirection of its pod listens on: what was dialled at the pod's own address,
/// or what the dialled Service sends its clients to.
fn before_redirect(listens_on: Endpoint, dialled: Endpoint, target_port: Option<u16>) -> u16 {
    if dialled.ip == listens_on.ip {
        dialled.port
    } else if listens_on.ip.is_loopback() {
        listens_on.port
    } else {
        target_port.unwrap_or(listens_on.port)
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

/// Whether the server's own observer reports the flow: then the client's end keeps silent.
#[must_use]
pub fn server_reports(server: &Identity, service_dialled: bool) -> bool {
    service_dialled || matches!(server, Identity::Pod(_) | Identity::ServiceAccount { .. })
}
