use std::sync::Arc;

use super::*;
use crate::graph::{Declarations, Query};
use crate::model::{
    Declaration, DeclarationStatus, EncryptionStatus, Identity, Pod, RequestCounts, Template,
};
use crate::model::{Kind, Timestamp, Transport};
use crate::sink::fixture::{TempDir, edge_between};
use crate::sink::query::{DeclarationCounts, EncryptionCounts, EndsSeen, PortView};

/// Two flows in clear; each pod is labelled with its ServiceAccount.
fn seen(client: &str, server: &str, port: u16) -> ObservedEdge {
    let key = edge_between(client, server, port);
    let end = |principal: &str| match principal.split_once('/') {
        Some((_, name)) => {
            EndsSeen { labels: vec![[("app".to_owned(), name.to_owned())].into()], ..EndsSeen::default() }
        }
        None => EndsSeen::default(),
    };
    ObservedEdge {
        edge: EdgeView {
            client: (&key.client).into(),
            server: (&key.server).into(),
            port: PortView(key.port),
            transport: key.transport,
            flows: 2,
            requests: RequestCounts { total: 2, none: 2, ..RequestCounts::default() },
            encryption: EncryptionCounts { plaintext: 2, ..EncryptionCounts::default() },
            declaration: DeclarationCounts { ungoverned: 2, ..DeclarationCounts::default() },
            findings: BTreeMap::from([(FindingKind::Unencrypted, 2)]),
            first_seen: Timestamp::from_seconds(1_700_000_000),
            last_seen: Timestamp::from_seconds(1_700_000_060),
        },
        clients: end(client),
        servers: end(server),
    }
}

fn mtls(mut edge: ObservedEdge) -> ObservedEdge {
    edge.edge.encryption = EncryptionCounts { mtls: 2, ..EncryptionCounts::default() };
    edge.edge.findings.clear();
    edge
}

fn made(observed: &[ObservedEdge], format: ExportFormat) -> Export {
    export(observed, &CoverageView::default(), &Scope::default(), format)
}

fn identity(end: &crate::sink::query::EndView, labels: &EndsSeen, uid: u8) -> Identity {
    match end.kind {
        Kind::Pod => Identity::Pod(Arc::new(Pod {
            uid: crate::model::Uid::of(&format!("11111111-1111-1111-1111-1111111111{uid:02}")),
            name: "p".into(),
            template: Arc::new(Template {
                namespace: end.namespace.as_deref().unwrap().into(),
                service_account: end.service_account.as_deref().unwrap().into(),
                labels: labels
                    .labels
                    .iter()
                    .flatten()
                    .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                    // As Istio's injection does it.
                    .chain([("security.istio.io/tlsMode".into(), "istio".into())])
                    .collect(),
                ..Template::default()
            }),
            ..Pod::default()
        })),
        Kind::Node => Identity::Node("n2".into()),
        Kind::External => Identity::External,
        Kind::Unknown => Identity::Unknown("no-pod"),
    }
}

/// What the exported text says, read back by what reads graphs, of the flows of an edge.
fn judged(text: &str, one: &ObservedEdge) -> Declaration {
    let directory = TempDir::new();
    let file = directory.path().join("exported.yaml");
    std::fs::write(&file, text).unwrap();
    let mut declarations = Declarations::default();
    declarations.read(&file).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (graph, warnings) = declarations.compile().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let port = match one.edge.port.0 {
        EdgePort::Number(port) => port,
        EdgePort::Ephemeral => 40_000,
    };
    let first = |seen: &EndsSeen| seen.addresses.first().copied().unwrap_or([10, 0, 0, 1].into());
    let query = Query {
        client: &identity(&one.edge.client, &one.clients, 1),
        client_ip: first(&one.clients),
        server: &identity(&one.edge.server, &one.servers, 2),
        server_ip: first(&one.servers),
        port,
        transport: one.edge.transport,
        encryption: if only_mtls(&one.edge) { EncryptionStatus::Mtls } else { EncryptionStatus::Plaintext },
        http: None,
        authentication: None,
        namespaces: &Named,
    };
    graph.evaluate(&query).declaration
}

/// Every namespace has the label that the API server gives it.
#[derive(Debug)]
struct Named;

impl crate::graph::NamespaceLabels for Named {
    fn labels(&self, namespace: &str) -> Option<&[crate::model::Label]> {
        let label = ("kubernetes.io/metadata.name".into(), namespace.into());
        Some(Box::leak(Box::new([label])))
    }
}

fn with_address(mut edge: ObservedEdge, address: &str) -> ObservedEdge {
    edge.clients.addresses = vec![address.parse().unwrap()];
    edge
}

/// Something of everything, all of which each format can say.
fn traffic() -> Vec<ObservedEdge> {
    let mut udp = seen("shop/orders", "shop/dns", 53);
    udp.edge.transport = Transport::Udp;
    let mut any = seen("shop/orders", "shop/ftp", 1);
    any.edge.port = PortView(EdgePort::Ephemeral);
    vec![
        seen("shop/orders", "shop/payments", 8080),
        seen("shop/orders", "shop/payments", 9090),
        seen("web/front", "shop/payments", 8080),
        with_address(seen("external", "shop/edge", 443), "198.51.100.7"),
        with_address(seen("node", "shop/edge", 443), "192.0.2.4"),
        udp,
        any,
    ]
}

#[test]
fn what_was_seen_is_allowed_by_what_was_made_of_it_and_nothing_else_is() {
    for format in [ExportFormat::ServiceGraph, ExportFormat::NetworkPolicy] {
        let traffic = traffic();
        let export = made(&traffic, format);
        assert!(!export.refused);
        for one in &traffic {
            let judged = judged(&export.text, one);
            assert_eq!(
                judged.status,
                DeclarationStatus::Allowed,
                "{}: {judged:?}\n{}",
                call(&one.edge),
                export.text
            );
        }
        for other in [
            seen("shop/orders", "shop/payments", 8081),
            seen("shop/cart", "shop/payments", 8080),
            seen("web/orders", "shop/payments", 8080),
            with_address(seen("external", "shop/payments", 8080), "198.51.100.7"),
        ] {
            let judged = judged(&export.text, &other);
            assert_eq!(
                judged.status,
                DeclarationStatus::Unexpected,
                "{}\n{}",
                call(&other.edge),
                export.text
            );
        }
    }
}

#[test]
fn certificates_name_callers_where_all_calls_have_one_and_no_policy_stands_where_not() {
    let traffic = [
        mtls(seen("shop/orders", "shop/payments", 8080)),
        mtls(seen("web/front", "shop/payments", 9090)),
        mtls(seen("shop/orders", "shop/cart", 8080)),
        seen("shop/legacy", "shop/cart", 8080),
    ];
    let export = made(&traffic, ExportFormat::AuthorizationPolicy);
    let of = |one: &ObservedEdge| judged(&export.text, one).status;
    assert_eq!(of(&traffic[0]), DeclarationStatus::Allowed, "{}", export.text);
    assert_eq!(of(&traffic[1]), DeclarationStatus::Allowed);
    // Half a policy would deny the other half.
    assert_eq!(
        (of(&traffic[2]), of(&traffic[3])),
        (DeclarationStatus::Ungoverned, DeclarationStatus::Ungoverned)
    );
    assert!(export.notes.iter().any(|note| note.contains("app=cart") && note.contains("mutual TLS")));
    assert_eq!(of(&mtls(seen("shop/cart", "shop/payments", 8080))), DeclarationStatus::Unexpected);
    assert_eq!(of(&mtls(seen("web/front", "shop/payments", 8080))), DeclarationStatus::Unexpected);
    assert_eq!(of(&seen("shop/orders", "shop/payments", 8080)), DeclarationStatus::Unexpected);
}

#[test]
fn callers_who_may_be_somebody_else_are_left_out_and_told() {
    let mut bad = seen("shop/thief", "shop/payments", 8080);
    bad.edge.findings.insert(FindingKind::IdentityMismatch, 1);
    let traffic = [seen("shop/orders", "shop/payments", 8080), bad];
    for format in [ExportFormat::ServiceGraph, ExportFormat::NetworkPolicy] {
        let export = made(&traffic, format);
        assert!(export.refused);
        assert_eq!(judged(&export.text, &traffic[0]).status, DeclarationStatus::Allowed);
        assert_eq!(judged(&export.text, &traffic[1]).status, DeclarationStatus::Unexpected);
        let note = "left out: shop/thief -> shop/payments 8080/tcp: identity-mismatch (1 flow)";
        assert!(export.notes.iter().any(|one| one.starts_with(note)), "{:?}", export.notes);
        assert!(export.text.contains(note), "{}", export.text);
    }
}

#[test]
fn nothing_is_silenced_and_no_more_is_asked_than_all_had() {
    let mut good = mtls(seen("shop/orders", "shop/payments", 8080));
    good.edge.requests = RequestCounts { total: 2, verified: 2, ..RequestCounts::default() };
    let export = made(&[good.clone(), seen("shop/cart", "shop/payments", 8080)], ExportFormat::ServiceGraph);
    let lines: Vec<&str> = export.text.lines().map(str::trim).collect();
    assert!(
        !lines.iter().any(|line| line.starts_with("encryption: optional") || line.contains(": optional"))
    );
    assert_eq!(lines.iter().filter(|line| **line == "encryption: mtls").count(), 1, "{}", export.text);
    assert_eq!(lines.iter().filter(|line| **line == "authentication: verified").count(), 1);
    assert!(export.text.contains("found, and goes on to be: unencrypted"), "{}", export.text);
    // One flow in clear on another port of the same edge.
    let export = made(&[good, seen("shop/orders", "shop/payments", 9090)], ExportFormat::ServiceGraph);
    assert!(!export.text.contains("mtls\n") && !export.text.contains("verified\n"), "{}", export.text);
}

#[test]
fn the_same_input_gives_the_same_bytes_in_whatever_order_it_comes() {
    for format in [ExportFormat::ServiceGraph, ExportFormat::NetworkPolicy, ExportFormat::AuthorizationPolicy]
    {
        let traffic = traffic();
        let reversed: Vec<ObservedEdge> = traffic.iter().rev().cloned().collect();
        assert_eq!(made(&traffic, format), made(&traffic, format));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&made(&traffic, format).text), sorted(&made(&reversed, format).text));
    }
}

#[test]
fn a_selector_that_also_means_a_server_without_policy_is_not_written() {
    let mut unsayable = seen("external", "shop/edge", 443);
    unsayable.servers.labels =
        vec![[("app".to_owned(), "payments".to_owned()), ("tier".to_owned(), "edge".to_owned())].into()];
    let traffic = [seen("shop/orders", "shop/payments", 8080), unsayable];
    let export = made(&traffic, ExportFormat::NetworkPolicy);
    assert!(!export.text.contains("kind: NetworkPolicy"), "{}", export.text);
    assert!(
        export
            .notes
            .iter()
            .any(|note| note.contains("the selector also means pods with app=payments,tier=edge"))
    );
}

#[test]
fn coverage_that_was_incomplete_is_told() {
    let coverage = CoverageView {
        since: Timestamp::from_seconds(1_700_000_000),
        lost_events: [("ring".to_owned(), 7)].into(),
        unresolved_flows: [("no-pod".to_owned(), 2)].into(),
        truncated_payloads: 0,
    };
    let scope = Scope { since: Some(Timestamp::from_seconds(1_600_000_000)), namespace: Some("web".into()) };
    let unknown = seen("unknown", "web/front", 80);
    let export = export(&[unknown], &coverage, &scope, ExportFormat::ServiceGraph);
    let notes: Vec<&String> = export.notes.iter().collect();
    for wanted in ["looks since 2023-11-14T22:13:20Z only", "(ring 7)", "(no-pod 2)", "who called is unknown"]
    {
        assert!(notes.iter().any(|note| note.contains(wanted)), "{wanted}: {notes:?}");
        assert!(export.text.contains(wanted), "{}", export.text);
    }
    assert!(export.text.lines().all(|line| line.starts_with('#')), "{}", export.text);
}
