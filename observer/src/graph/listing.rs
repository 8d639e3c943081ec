//! The edges of all graphs, for people to read and to hold against what was seen.

use std::sync::Arc;

use super::compile::{Declared, Graph};
use super::service_graph::{Client, Edge, Server};
use crate::crd::{self, DeclaredEdge};

impl Graph {
    /// By source, in the order in which each graph has them.
    #[must_use]
    pub fn listing(&self) -> Vec<DeclaredEdge> {
        let mut all: Vec<(usize, usize, DeclaredEdge)> = Vec::new();
        let mut add = |namespace: &Arc<str>, declared: &Declared| {
            let listed = DeclaredEdge {
                source: self.sources[declared.source].text.clone(),
                clause: declared.clause.clone(),
                namespace: namespace.clone(),
                edge: as_written(&declared.edge, namespace),
            };
            all.push((declared.source, place(&declared.clause), listed));
        };
        for (name, namespace) in &self.namespaces {
            let named = namespace.servers.values().flat_map(|governed| &governed.edges);
            named.chain(&namespace.to_all).for_each(|declared| add(name, declared));
        }
        for (name, edges) in &self.outside {
            edges.iter().for_each(|declared| add(name, declared));
        }
        all.sort_by_key(|(source, place, _)| (*source, *place));
        all.into_iter().map(|(_, _, listed)| listed).collect()
    }
}

/// The number in `spec.edges[12]`.
fn place(clause: &str) -> usize {
    clause.trim_end_matches(']').rsplit('[').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn as_written(edge: &Edge, namespace: &Arc<str>) -> crd::Edge {
    let or_any = |name: &Option<Arc<str>>| Some(name.clone().unwrap_or_else(|| "*".into()));
    let from = match &edge.from {
        Client::Anybody => crd::Client { anybody: Some(true), ..crd::Client::default() },
        Client::ServiceAccount { namespace, name } => crd::Client {
            service_account: or_any(name),
            namespace: or_any(namespace),
            ..crd::Client::default()
        },
        Client::Node => crd::Client { node: Some(true), ..crd::Client::default() },
        Client::External => crd::Client { external: Some(true), ..crd::Client::default() },
        Client::Range(range) => crd::Client { cidr: Some(range.to_string()), ..crd::Client::default() },
    };
    let to = match &edge.to {
        Server::ServiceAccount(name) => crd::Server {
            service_account: or_any(name),
            namespace: Some(namespace.clone()),
            ..crd::Server::default()
        },
        Server::External => crd::Server { external: Some(true), ..crd::Server::default() },
        Server::Range(range) => crd::Server { cidr: Some(range.to_string()), ..crd::Server::default() },
    };
    let http = edge.http.iter().map(|rule| crd::HttpRule {
        methods: rule.methods.clone(),
        path_prefix: rule.path_prefix.as_ref().map(|prefix| match &**prefix {
            "" => "/".to_owned(),
            prefix => prefix.to_owned(),
        }),
    });
    crd::Edge {
        from,
        to,
        ports: edge.ports.clone(),
        http: http.collect(),
        encryption: edge.encryption,
        authentication: edge.authentication,
        audiences: edge.audiences.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::ServiceGraph;

    #[test]
    fn an_edge_is_listed_with_its_namespaces_and_reads_back_as_itself() {
        let graph = json!({
            "metadata": {"namespace": "shop", "name": "shop"},
            "spec": {"edges": [
                {"from": {"serviceAccount": "orders"}, "to": {"serviceAccount": "payments"}, "ports": [8080],
                 "http": [{"methods": ["POST"], "pathPrefix": "/charge/"}], "encryption": "mtls"},
                {"from": "node", "to": "*"},
                {"from": {"serviceAccount": "*"}, "to": {"cidr": "192.0.2.0/24"}},
            ]},
        });
        let of = |value| ServiceGraph::from_value("f".into(), "observer.dev/v1alpha1", value).unwrap();
        let (graph, _) = Graph::compile(vec![of(graph)]).unwrap();
        let listed = graph.listing();
        let edges = serde_json::to_value(listed.iter().map(|one| &one.edge).collect::<Vec<_>>()).unwrap();
        assert_eq!(edges[0]["from"], json!({"serviceAccount": "orders", "namespace": "shop"}));
        assert_eq!(edges[0]["http"][0]["pathPrefix"], "/charge");
        assert_eq!(edges[1]["to"], json!({"serviceAccount": "*", "namespace": "shop"}));
        let clauses: Vec<&str> = listed.iter().map(|one| &*one.clause).collect();
        assert_eq!(clauses, ["spec.edges[0]", "spec.edges[1]", "spec.edges[2]"]);
        let again = of(json!({"metadata": {"namespace": "shop", "name": "shop"}, "spec": {"edges": edges}}));
        let (again, _) = Graph::compile(vec![again]).unwrap();
        assert_eq!(format!("{:?}", again.listing()), format!("{listed:?}"));
    }
}
