use crate::model::{Hop, Identity, Pod};

/// What is known of a flow's way besides its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// It never leaves its network namespace.
    pub loopback: bool,
    /// The proxy of a mesh stands at one of its ends, on behalf of the pod whose network namespace it is in.
    pub proxied: bool,
}

/// How a flow gets from `client` to `server`, whose socket listens on `port`.
#[must_use]
pub fn hop(client: &Identity, server: &Identity, port: u16, way: Way) -> Hop {
    match (client, server) {
        (Identity::Pod(client), Identity::Pod(server)) if client.uid == server.uid => inside_pod(way),
        // Whatever address the client shows: a proxy may keep that of the client it speaks for.
        (_, Identity::Pod(server)) if way.loopback && has_own_network(server) => inside_pod(way),
        (Identity::Node(_), Identity::Pod(pod)) if pod.probe_ports.contains(&port) => Hop::KubeletProbe,
        (Identity::Node(_), Identity::Pod(_) | Identity::ServiceAccount { .. } | Identity::Node(_))
        | (Identity::Pod(_) | Identity::ServiceAccount { .. }, Identity::Node(_)) => Hop::NodeLocal,
        (
            Identity::Pod(_) | Identity::ServiceAccount { .. },
            Identity::Pod(_) | Identity::ServiceAccount { .. },
        ) => Hop::PodToPod,
        _ => Hop::External,
    }
}

fn inside_pod(way: Way) -> Hop {
    if way.loopback && way.proxied { Hop::Sidecar } else { Hop::IntraPod }
}

fn has_own_network(pod: &Pod) -> bool {
    !pod.host_network
}
