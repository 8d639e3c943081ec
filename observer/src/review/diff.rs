//! `observer graph diff`: declared but not seen, and seen but not declared.

use std::net::IpAddr;

use serde::Serialize;

use super::matching::{Match, edge_means};
use crate::crd::DeclaredEdge;
use crate::model::{EdgePort, Kind, Timestamp, Transport};
use crate::sink::query::{DeclarationCounts, EndView, ObservedEdge, PortView};

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Seen, and no declared edge means it.
    Undeclared,
    /// Declared, and not seen.
    Stale,
}

impl Difference {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::Stale => "stale",
        }
    }
}

/// An edge that was seen, on one node or by all observers of a cluster.
#[derive(Clone, Debug)]
pub struct SeenEdge {
    pub client: EndView,
    pub server: EndView,
    pub port: PortView,
    pub transport: Transport,
    pub declaration: DeclarationCounts,
    pub last_seen: Timestamp,
    /// As far as they are known.
    pub client_addresses: Vec<IpAddr>,
    pub server_addresses: Vec<IpAddr>,
}

impl From<ObservedEdge> for SeenEdge {
    fn from(observed: ObservedEdge) -> Self {
        let ObservedEdge { edge, clients, servers } = observed;
        Self {
            client: edge.client,
            server: edge.server,
            port: edge.port,
            transport: edge.transport,
            declaration: edge.declaration,
            last_seen: edge.last_seen,
            client_addresses: clients.addresses,
            server_addresses: servers.addresses,
        }
    }
}

/// One difference. What does not apply is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffRow {
    pub difference: Difference,
    pub client: String,
    pub server: String,
    /// Of a stale edge, those that were not seen, if it names some.
    pub ports: Vec<PortView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Of a stale edge: where it is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clause: Option<String>,
    /// Since when nothing was seen, as far as anybody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_seen_since: Option<Timestamp>,
    /// Whether it was seen before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Of an undeclared edge: its flows that were `unexpected` and `ungoverned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexpected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ungoverned: Option<u64>,
}

/// What the edges that were seen are held against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    pub declared: &'a [DeclaredEdge],
    /// The observers' own graph: what another kind of source allowed there is declared, too.
    pub is_in_force: bool,
}

/// `looked_since`: when whoever saw these edges began to look. `since`: what was seen before counts as not seen.
/// `namespace`: edges with an end there alone. Sorted.
#[must_use]
pub fn diff(
    against: Against<'_>,
    seen: &[SeenEdge],
    (looked_since, since): (Timestamp, Option<Timestamp>),
    namespace: Option<&str>,
) -> Vec<DiffRow> {
    let declared = against.declared;
    // An observer may tell of more than whoever asks it has watched it for.
    let from = since.unwrap_or_default();
    let silent_since = from.max(looked_since);
    let mut rows = Vec::new();
    for edge in seen.iter().filter(|edge| edge.last_seen >= from && is_of(edge, namespace)) {
        let told = edge.declaration.unexpected + edge.declaration.ungoverned;
        let best = declared.iter().map(|one| means(one, edge)).max().unwrap_or(Match::No);
        // Where nobody could say who called, nobody can say whether that was declared.
        if best == Match::No && (told > 0 || !against.is_in_force) && edge.client.kind != Kind::Unknown {
            rows.push(DiffRow {
                difference: Difference::Undeclared,
                client: edge.client.principal.clone(),
                server: edge.server.principal.clone(),
                ports: vec![edge.port],
                transport: Some(edge.transport),
                source: None,
                clause: None,
                not_seen_since: None,
                last_seen: Some(edge.last_seen),
                unexpected: Some(edge.declaration.unexpected),
                ungoverned: Some(edge.declaration.ungoverned),
            });
        }
    }
    for one in declared.iter().filter(|one| is_declared_of(one, namespace)) {
        rows.extend(stale(one, seen, from, silent_since));
    }
    rows.sort_by(|a, b| {
        let key = |row: &DiffRow| {
            (row.difference, row.client.clone(), row.server.clone(), row.source.clone(), row.clause.clone())
        };
        key(a).cmp(&key(b)).then_with(|| ports_of(a).cmp(&ports_of(b)))
    });
    rows
}

fn ports_of(row: &DiffRow) -> Vec<EdgePort> {
    row.ports.iter().map(|port| port.0).collect()
}

fn means(one: &DeclaredEdge, seen: &SeenEdge) -> Match {
    edge_means(
        &one.edge,
        (&seen.client, &seen.client_addresses),
        (&seen.server, &seen.server_addresses),
        seen.port.0,
    )
}

/// The ports of an edge on which nothing was seen.
fn stale(one: &DeclaredEdge, seen: &[SeenEdge], from: Timestamp, silent_since: Timestamp) -> Option<DiffRow> {
    // What may have been it is no reason to call it stale.
    let of_it: Vec<&SeenEdge> = seen.iter().filter(|edge| means(one, edge) > Match::No).collect();
    let last = |port: Option<u16>| {
        let on = |edge: &&&SeenEdge| port.is_none_or(|port| edge.port.0 == EdgePort::Number(port));
        of_it.iter().filter(on).map(|edge| edge.last_seen).max()
    };
    let silent = |last: Option<Timestamp>| last.is_none_or(|last| last < from);
    let ports: Vec<u16> = one.edge.ports.iter().copied().filter(|port| silent(last(Some(*port)))).collect();
    let is_stale = if one.edge.ports.is_empty() { silent(last(None)) } else { !ports.is_empty() };
    is_stale.then(|| DiffRow {
        difference: Difference::Stale,
        client: client(one),
        server: server(one),
        last_seen: match ports.as_slice() {
            [] => last(None),
            ports => ports.iter().filter_map(|port| last(Some(*port))).max(),
        },
        ports: ports.into_iter().map(|port| PortView(EdgePort::Number(port))).collect(),
        transport: None,
        source: Some(one.source.to_string()),
        clause: Some(one.clause.to_string()),
        not_seen_since: Some(silent_since),
        unexpected: None,
        ungoverned: None,
    })
}

fn client(one: &DeclaredEdge) -> String {
    let from = &one.edge.from;
    match (&from.service_account, &from.cidr) {
        (Some(name), _) => format!("{}/{name}", from.namespace.as_deref().unwrap_or("*")),
        (None, Some(cidr)) => cidr.clone(),
        (None, None) if from.node == Some(true) => "node".to_owned(),
        (None, None) if from.external == Some(true) => "external".to_owned(),
        (None, None) => "*".to_owned(),
    }
}

fn server(one: &DeclaredEdge) -> String {
    let to = &one.edge.to;
    match (&to.service_account, &to.cidr) {
        (Some(name), _) => format!("{}/{name}", one.namespace),
        (None, Some(cidr)) => cidr.clone(),
        (None, None) => "external".to_owned(),
    }
}

fn is_of(edge: &SeenEdge, namespace: Option<&str>) -> bool {
    let Some(namespace) = namespace else { return true };
    [&edge.client, &edge.server].iter().any(|end| end.namespace.as_deref() == Some(namespace))
}

fn is_declared_of(one: &DeclaredEdge, namespace: Option<&str>) -> bool {
    let Some(namespace) = namespace else { return true };
    *one.namespace == *namespace || one.edge.from.namespace.as_deref() == Some(namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sink::fixture::edge_between;

    fn declared(edges: serde_json::Value) -> Vec<DeclaredEdge> {
        let all: Vec<crate::crd::Edge> = serde_json::from_value(edges).unwrap();
        let one = |(place, edge)| DeclaredEdge {
            source: "ServiceGraph shop/shop".into(),
            clause: format!("spec.edges[{place}]").into(),
            namespace: "shop".into(),
            edge,
        };
        all.into_iter().enumerate().map(one).collect()
    }

    fn seen(client: &str, server: &str, port: u16, second: u64) -> SeenEdge {
        let key = edge_between(client, server, port);
        SeenEdge {
            client: (&key.client).into(),
            server: (&key.server).into(),
            port: PortView(key.port),
            transport: key.transport,
            declaration: DeclarationCounts { unexpected: 1, ..DeclarationCounts::default() },
            last_seen: Timestamp::from_seconds(second),
            client_addresses: Vec::new(),
            server_addresses: Vec::new(),
        }
    }

    fn short(rows: &[DiffRow]) -> Vec<String> {
        let port = |row: &DiffRow| row.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        rows.iter()
            .map(|row| format!("{} {} {} {}", row.difference.as_str(), row.client, row.server, port(row)))
            .collect()
    }

    fn diff(
        declared: &[DeclaredEdge],
        seen: &[SeenEdge],
        times: (Timestamp, Option<Timestamp>),
        namespace: Option<&str>,
    ) -> Vec<DiffRow> {
        super::diff(Against { declared, is_in_force: true }, seen, times, namespace)
    }

    #[test]
    fn what_was_not_seen_is_stale_by_port_and_what_was_seen_undeclared_is_told() {
        let declared = declared(json!([
            {"from": {"serviceAccount": "orders", "namespace": "shop"},
             "to": {"serviceAccount": "payments", "namespace": "shop"}, "ports": [8080, 8081]},
            {"from": {"serviceAccount": "*", "namespace": "web"},
             "to": {"serviceAccount": "cart", "namespace": "shop"}},
        ]));
        let seen = [
            seen("shop/orders", "shop/payments", 8080, 100),
            seen("shop/orders", "shop/payments", 9090, 100),
            seen("web/front", "shop/cart", 80, 100),
            seen("unknown", "shop/cart", 80, 100),
        ];
        let at = Timestamp::from_seconds;
        let rows = diff(&declared, &seen, (at(50), None), None);
        assert_eq!(
            short(&rows),
            ["undeclared shop/orders shop/payments 9090", "stale shop/orders shop/payments 8081"]
        );
        assert_eq!((rows[1].not_seen_since, rows[1].last_seen), (Some(at(50)), None));
        // Seen, but not lately.
        let rows = diff(&declared, &seen, (at(50), Some(at(101))), None);
        assert_eq!(short(&rows), ["stale shop/orders shop/payments 8080,8081", "stale web/* shop/cart "]);
        assert_eq!(rows[1].last_seen, Some(at(100)));
        assert_eq!(
            short(&diff(&declared, &seen, (at(50), Some(at(101))), Some("web"))),
            ["stale web/* shop/cart "]
        );
    }

    #[test]
    fn an_address_that_is_not_known_makes_no_difference() {
        let declared = declared(json!([{
            "from": {"cidr": "192.0.2.0/24"}, "to": {"serviceAccount": "cart", "namespace": "shop"},
        }]));
        let mut edge = seen("external", "shop/cart", 80, 100);
        let at = (Timestamp::default(), None);
        assert_eq!(short(&diff(&declared, std::slice::from_ref(&edge), at, None)), [""; 0]);
        edge.client_addresses = vec!["198.51.100.1".parse().unwrap()];
        let both = ["undeclared external shop/cart 80", "stale 192.0.2.0/24 shop/cart "];
        assert_eq!(short(&diff(&declared, std::slice::from_ref(&edge), at, None)), both);
        edge.client_addresses.push("192.0.2.9".parse().unwrap());
        assert_eq!(short(&diff(&declared, &[edge], at, None)), [""; 0]);
    }
}
