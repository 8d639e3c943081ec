use crate::model::{Hop, Identity};

/// How a flow gets from `client` to `server`, whose socket listens on `port`.
#[must_use]
pub fn hop(client: &Identity, server: &Identity, port: u16) -> Hop {
    match (client, server) {
        (Identity::Pod(client), Identity::Pod(server)) if client.uid == server.uid => Hop::IntraPod,
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
