//! As Istio's AuthorizationPolicies (security.istio.io/v1): who may call, by certificate. Only calls with mutual TLS have one;
//! a server that is also called without gets no policy, since no rule could name those callers.

use std::collections::{BTreeMap, BTreeSet};

use super::servers::{Labels, Names, Server, gather, match_labels};
use super::{Scope, is_pod, only_mtls, seen, yaml};
use crate::model::{EdgePort, Kind, Transport};
use crate::sink::query::ObservedEdge;

/// MeshConfig.trustDomain has this default.
const TRUST_DOMAIN: &str = "cluster.local";

pub(super) fn write(observed: &[&ObservedEdge], scope: &Scope, notes: &mut BTreeSet<String>) -> Vec<String> {
    let servers = gather(observed, scope, notes, cannot);
    for one in observed.iter().filter(|one| is_pod(one.edge.server.kind)) {
        let call = super::call(&one.edge);
        if one.edge.transport == Transport::Udp {
            notes.insert(format!("left out: {call}: Istio's policies speak of TCP alone"));
        } else if one.edge.client.kind == Kind::Unknown {
            notes.insert(format!("left out: {call}: who called is unknown; the policy would deny it"));
        }
    }
    if !servers.is_empty() {
        notes.insert(format!("the trust domain is taken for {TRUST_DOMAIN}, which is Istio's default"));
    }
    let mut names = Names::default();
    let documents = servers.iter().map(|((namespace, labels), server)| {
        document(&names.next(namespace, server), namespace, labels, server)
    });
    documents.flatten().collect()
}

fn cannot(one: &ObservedEdge) -> Option<String> {
    let edge = &one.edge;
    let why = match edge.client.kind {
        _ if edge.transport == Transport::Udp => return None,
        Kind::Unknown => return None,
        // The sidecar answers probes itself, whatever policies say.
        Kind::Node if is_probe(one) => return None,
        Kind::Pod if only_mtls(edge) => return None,
        Kind::Pod => "not all of it is mutual TLS",
        Kind::Node | Kind::External => "its client has no certificate of the mesh",
    };
    Some(why.to_owned())
}

fn is_probe(one: &ObservedEdge) -> bool {
    matches!(one.edge.port.0, EdgePort::Number(port) if one.servers.probe_ports.contains(&port))
}

/// Nothing, where nobody called whom a rule could name.
fn document(name: &str, namespace: &str, labels: &Labels, server: &Server<'_>) -> Option<String> {
    let mut rules: BTreeMap<String, (BTreeSet<u16>, bool, Vec<String>)> = BTreeMap::new();
    for one in &server.edges {
        let edge = &one.edge;
        let (true, Some(of), Some(account)) = (
            edge.transport == Transport::Tcp && only_mtls(edge),
            &edge.client.namespace,
            &edge.client.service_account,
        ) else {
            continue;
        };
        let principal = format!("{TRUST_DOMAIN}/ns/{of}/sa/{account}");
        let (ports, any, comments) = rules.entry(principal).or_default();
        match edge.port.0 {
            EdgePort::Number(port) => {
                ports.insert(port);
            }
            EdgePort::Ephemeral => *any = true,
        }
        comments.push(format!("from {}, {}", edge.client.principal, seen(edge)));
    }
    if rules.is_empty() {
        return None;
    }
    let mut text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
         selector:\n{}  action: ALLOW\n  rules:\n",
        yaml::scalar(name),
        yaml::scalar(namespace),
        match_labels(labels, 4)
    );
    for (principal, (ports, any, comments)) in rules {
        for comment in comments {
            text.push_str(&format!("    # {}\n", yaml::comment(&comment)));
        }
        text.push_str(&format!(
            "    - from:\n        - source:\n            principals: [{}]\n",
            serde_json::Value::from(principal)
        ));
        if !any {
            let each: Vec<String> = ports.iter().map(|port| format!("\"{port}\"")).collect();
            text.push_str(&format!(
                "      to:\n        - operation:\n            ports: [{}]\n",
                each.join(", ")
            ));
        }
    }
    Some(text)
}
