//! As ServiceGraphs: one for each namespace.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scope, call, is_pod, only_mtls, seen, yaml};
use crate::model::{EdgePort, Kind};
use crate::sink::query::ObservedEdge;

/// Edges with the same ends.
type Graph<'a> = BTreeMap<(String, String), Vec<&'a ObservedEdge>>;

pub(super) fn write(observed: &[&ObservedEdge], scope: &Scope, notes: &mut BTreeSet<String>) -> Vec<String> {
    let mut graphs: BTreeMap<&str, Graph<'_>> = BTreeMap::new();
    for one in observed.iter().copied() {
        let (client, server) = (&one.edge.client, &one.edge.server);
        let Some(namespace) = server.namespace.as_deref().or(client.namespace.as_deref()) else {
            notes.insert(format!("left out: {}: a graph speaks for pods", call(&one.edge)));
            continue;
        };
        if scope.namespace.as_deref().is_some_and(|wanted| wanted != namespace) {
            continue;
        }
        let Some(from) = from(one, namespace) else {
            notes.insert(format!("left out: {}: who called is unknown", call(&one.edge)));
            continue;
        };
        let to = to(one);
        if to.is_empty() {
            let why = "the server's addresses are too many, or unknown";
            notes.insert(format!("left out: {}: {why}", call(&one.edge)));
        }
        for to in to {
            graphs.entry(namespace).or_default().entry((to, from.clone())).or_default().push(one);
        }
    }
    if !graphs.is_empty() {
        notes.insert(
            "`encryption` and `authentication` ask for what all flows had; `optional` is never written, so what was \
             found goes on to be found"
                .to_owned(),
        );
    }
    graphs.into_iter().map(|(namespace, graph)| document(namespace, &graph)).collect()
}

fn from(one: &ObservedEdge, namespace: &str) -> Option<String> {
    let client = &one.edge.client;
    match (client.kind, &client.namespace, &client.service_account) {
        (Kind::Pod, Some(own), Some(name)) if own == namespace => {
            Some(format!("{{serviceAccount: {}}}", yaml::scalar(name)))
        }
        (Kind::Pod, Some(own), Some(name)) => {
            Some(format!("{{serviceAccount: {}, namespace: {}}}", yaml::scalar(name), yaml::scalar(own)))
        }
        (Kind::Node, ..) => Some("{node: true}".to_owned()),
        (Kind::External, ..) => Some("{external: true}".to_owned()),
        _ => None,
    }
}

/// Of a node, each of its addresses: there is no word for nodes as servers.
fn to(one: &ObservedEdge) -> Vec<String> {
    let server = &one.edge.server;
    match (server.kind, &server.service_account) {
        (Kind::Pod, Some(name)) => vec![format!("{{serviceAccount: {}}}", yaml::scalar(name))],
        (Kind::External, _) => vec!["{external: true}".to_owned()],
        (Kind::Node, _) if !one.servers.more => one
            .servers
            .addresses
            .iter()
            .map(|ip| format!("{{cidr: \"{}\"}}", ipnet::IpNet::from(*ip)))
            .collect(),
        _ => Vec::new(),
    }
}

fn document(namespace: &str, graph: &Graph<'_>) -> String {
    let mut text = format!(
        "apiVersion: observer.dev/v1alpha1\nkind: ServiceGraph\nmetadata:\n  name: observed\n  namespace: {}\nspec:\n  \
         governs: listed\n  edges:\n",
        yaml::scalar(namespace)
    );
    for ((to, from), observed) in graph {
        for one in observed {
            text.push_str(&format!("    # {}\n", yaml::comment(&seen(&one.edge))));
            for (who, ends) in [("client", &one.clients), ("server", &one.servers)] {
                if !ends.addresses.is_empty() {
                    let each: Vec<String> = ends.addresses.iter().map(ToString::to_string).collect();
                    let more = if ends.more { ", and more" } else { "" };
                    text.push_str(&format!("    #   {who} addresses: {}{more}\n", each.join(", ")));
                }
            }
        }
        text.push_str(&format!("    - from: {from}\n      to: {to}\n"));
        let mut ports = BTreeSet::new();
        let mut any = false;
        for one in observed {
            match one.edge.port.0 {
                EdgePort::Number(port) => {
                    ports.insert(port);
                }
                EdgePort::Ephemeral => any = true,
            }
        }
        if !any {
            let each: Vec<String> = ports.iter().map(ToString::to_string).collect();
            text.push_str(&format!("      ports: [{}]\n", each.join(", ")));
        }
        if is_pod(observed[0].edge.server.kind) {
            if observed.iter().all(|one| only_mtls(&one.edge)) {
                text.push_str("      encryption: mtls\n");
            }
            let requests = observed.iter().map(|one| &one.edge.requests);
            if requests.clone().all(|requests| requests.total > 0 && requests.verified == requests.total) {
                text.push_str("      authentication: verified\n");
            }
        }
    }
    text
}
