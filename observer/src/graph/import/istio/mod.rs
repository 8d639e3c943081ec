//! Istio's policies: AuthorizationPolicy and PeerAuthentication (security.istio.io/v1, v1beta1).
//!
//! Who the client is, is asked of its certificate. Where nothing but plaintext came and a sidecar stands before the
//! server, there is none. Where no sidecar does, nobody asks for one, and what the policy would say is not known.

mod authorization;
mod peer;

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::{Fault, Named};
use crate::graph::condition::{Condition, End, Namespaces, Ports};
use crate::graph::kinds::GraphKind;
use crate::graph::policy::Policy;
use crate::graph::selector::{Expression, Operator, Selector};
use crate::model::Transport;

/// What stands here speaks of the whole mesh (MeshConfig.rootNamespace has this default).
const ROOT_NAMESPACE: &str = "istio-system";

/// Where an ambient mesh's tunnels end: the port that a client asked for is inside.
const TUNNEL_PORT: u16 = 15008;

/// Served by the sidecar itself, and open whatever policies say: merged metrics and probes, readiness, Envoy's metrics
/// (istio.io, "Application Requirements").
const SIDECAR_PORTS: [u16; 3] = [15020, 15021, 15090];

#[derive(Clone, Debug)]
pub(in crate::graph) enum Object {
    /// Needs no other object.
    Authorization(Vec<Policy>),
    Peer(peer::PeerAuthentication),
}

pub(super) fn read(named: &Named, value: &Value) -> Result<Object, Fault> {
    match named.kind {
        GraphKind::IstioPeerAuthentication => peer::read(named, value).map(Object::Peer),
        _ => authorization::read(named, value).map(Object::Authorization),
    }
}

pub(super) fn compile(objects: &[&Object]) -> Vec<Policy> {
    let (mut policies, mut peers) = (Vec::new(), Vec::new());
    for object in objects {
        match object {
            Object::Authorization(own) => policies.extend(own.iter().cloned()),
            Object::Peer(peer) => peers.push(peer),
        }
    }
    policies.extend(peer::compile(peers));
    policies
}

/// Reaches the proxy: TCP alone does (istio.io, "Protocol Selection"), and neither the sidecar's own ports nor probes,
/// which are led around policies.
static PROXIED: LazyLock<Arc<Condition>> = LazyLock::new(|| {
    let own = Condition::PodPort(SIDECAR_PORTS.to_vec());
    let probe = Condition::All(vec![Condition::ProbePort, Condition::OwnNode]);
    Arc::new(Condition::All(vec![
        Condition::Port(Ports { transport: Some(Transport::Tcp), range: None }),
        Condition::Not(Box::new(Condition::Any(vec![own, probe]))),
    ]))
});

/// The label that injection gives to pods whose sidecar takes mutual TLS.
static SIDECAR: LazyLock<Arc<Condition>> = LazyLock::new(|| {
    Arc::new(server_pods(every_namespace(), labelled("security.istio.io/tlsMode", Operator::In, &["istio"])))
});

/// The pod, or its namespace, is in an ambient mesh (istio.io, "Add workloads to the mesh").
static AMBIENT: LazyLock<Arc<Condition>> = LazyLock::new(|| {
    const KEY: &str = "istio.io/dataplane-mode";
    let pod = server_pods(every_namespace(), labelled(KEY, Operator::In, &["ambient"]));
    let namespace = Namespaces::Selected(labelled(KEY, Operator::In, &["ambient"]));
    let of_namespace = server_pods(namespace, labelled(KEY, Operator::NotIn, &["none"]));
    Arc::new(Condition::All(vec![
        Condition::Not(Box::new(Condition::Shared(SIDECAR.clone()))),
        Condition::Any(vec![pod, of_namespace]),
    ]))
});

/// Whether the client has shown a certificate. What a ztunnel took out of its tunnel looks like plaintext to the pod.
static AUTHENTICATED: LazyLock<Arc<Condition>> = LazyLock::new(|| {
    let either = Condition::Any(vec![sidecar(), ambient()]);
    Arc::new(Condition::Any(vec![
        Condition::MutualTls,
        Condition::All(vec![ambient(), Condition::Unseen("ambient-hop")]),
        Condition::All(vec![Condition::Not(Box::new(either)), Condition::Unseen("outside-mesh")]),
    ]))
});

fn proxied() -> Condition {
    Condition::Shared(PROXIED.clone())
}

fn sidecar() -> Condition {
    Condition::Shared(SIDECAR.clone())
}

fn ambient() -> Condition {
    Condition::Shared(AMBIENT.clone())
}

/// The client has shown a certificate, and `named` holds of whom it names.
fn authenticated(named: Condition) -> Condition {
    // Its certificate may name somebody, but that is not seen.
    let nobody = Condition::All(vec![
        Condition::Any(vec![Condition::Node { end: End::Client }, Condition::External { end: End::Client }]),
        Condition::Unseen("certificate-unseen"),
    ]);
    Condition::All(vec![Condition::Shared(AUTHENTICATED.clone()), Condition::Any(vec![named, nobody])])
}

/// A port, or a tunnel that may lead to it.
fn port(number: u16) -> Condition {
    let range = Some((number, number));
    Condition::Any(vec![
        Condition::Port(Ports { transport: None, range }),
        Condition::All(vec![Condition::PodPort(vec![TUNNEL_PORT]), Condition::Unseen("tunnel")]),
    ])
}

fn server_pods(namespaces: Namespaces, pods: Selector) -> Condition {
    Condition::Pods { end: End::Server, namespaces, pods }
}

fn every_namespace() -> Namespaces {
    Namespaces::Selected(Selector::default())
}

fn labelled(key: &str, operator: Operator, values: &[&str]) -> Selector {
    let values = values.iter().map(|value| (*value).into()).collect();
    Selector {
        match_expressions: vec![Expression { key: key.into(), operator, values }],
        ..Selector::default()
    }
}

#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod tests;
