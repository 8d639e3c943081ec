//! As NetworkPolicies (networking.k8s.io/v1): ingress, one policy for each server's labels.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::servers::{Labels, Names, Server, gather, match_labels};
use super::{Scope, seen, yaml};
use crate::model::{EdgePort, Kind, Transport};
use crate::sink::query::ObservedEdge;

/// The rules of a policy: whose calls, to which ports, with what was seen of them.
type Rules = BTreeMap<String, (BTreeSet<(Transport, Option<u16>)>, Vec<String>)>;

pub(super) fn write(observed: &[&ObservedEdge], scope: &Scope, notes: &mut BTreeSet<String>) -> Vec<String> {
    let servers = gather(observed, scope, notes, cannot);
    for one in observed.iter().filter(|one| one.edge.client.kind == Kind::Unknown) {
        notes.insert(format!(
            "left out: {}: who called is unknown; the policy would deny it",
            super::call(&one.edge)
        ));
    }
    if !servers.is_empty() {
        notes.insert(
            "ingress alone: what pods may call is not limited; how a call is encrypted or authenticated, a \
             NetworkPolicy cannot say"
                .to_owned(),
        );
    }
    let mut names = Names::default();
    let documents = servers.iter().map(|((namespace, labels), server)| {
        document(&names.next(namespace, server), namespace, labels, server)
    });
    documents.flatten().collect()
}

/// Why the caller cannot be named by labels or addresses.
fn cannot(one: &ObservedEdge) -> Option<String> {
    let clients = &one.clients;
    let why = match one.edge.client.kind {
        Kind::Unknown => return None,
        _ if clients.more => "its clients are more than are remembered",
        Kind::Pod if clients.unlabelled => "its client's pods have no labels that tell them from others",
        Kind::Pod if clients.labels.is_empty() && clients.addresses.is_empty() => {
            "its client's pods are not known"
        }
        Kind::Node | Kind::External if clients.addresses.is_empty() => "its client's addresses are not known",
        _ => return None,
    };
    Some(why.to_owned())
}

/// Nothing, where nobody called whom a rule could name: it would deny everybody.
fn document(name: &str, namespace: &str, labels: &Labels, server: &Server<'_>) -> Option<String> {
    let mut rules = Rules::new();
    for one in &server.edges {
        let peers = peers(one, namespace);
        if peers.is_empty() {
            continue;
        }
        let (ports, comments) = rules.entry(peers).or_default();
        let port = match one.edge.port.0 {
            EdgePort::Number(port) => Some(port),
            EdgePort::Ephemeral => None,
        };
        ports.insert((one.edge.transport, port));
        comments.push(format!("from {}, {}", one.edge.client.principal, seen(&one.edge)));
    }
    if rules.is_empty() {
        return None;
    }
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
         podSelector:\n{}  policyTypes: [Ingress]\n  ingress:\n",
        yaml::scalar(name),
        yaml::scalar(namespace),
        match_labels(labels, 4)
    );
    for (peers, (ports, comments)) in rules {
        for comment in comments {
            text.push_str(&format!("    # {}\n", yaml::comment(&comment)));
        }
        text.push_str(&format!("    - from:\n{peers}      ports:\n"));
        for (transport, port) in ports {
            let transport = transport.as_str().to_uppercase();
            text.push_str(&format!("        - protocol: {transport}\n"));
            if let Some(port) = port {
                text.push_str(&format!("          port: {port}\n"));
            }
        }
    }
    Some(text)
}

fn peers(one: &ObservedEdge, namespace: &str) -> String {
    let client = &one.edge.client;
    let mut text = String::new();
    if client.kind == Kind::Unknown {
        return text;
    }
    for labels in &one.clients.labels {
        let own = client.namespace.as_deref().filter(|own| *own != namespace);
        let begin = match own {
            Some(own) => format!(
                "        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: {}\n          podSelector:\n",
                yaml::scalar(own)
            ),
            None => "        - podSelector:\n".to_owned(),
        };
        text.push_str(&begin);
        text.push_str(&match_labels(labels, 12));
    }
    for address in &one.clients.addresses {
        text.push_str(&format!("        - ipBlock:\n            cidr: \"{}\"\n", IpNet::from(*address)));
    }
    text
}
