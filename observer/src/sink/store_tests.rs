use super::*;
use crate::model::{Authentication, AuthenticationStatus, Declaration};
use crate::sink::fixture::{edge, edge_between, record};

fn add(store: &mut Store, record: FlowRecord) {
    store.add(&edge(), Arc::new(record));
}

fn everything() -> Filter {
    Filter::default()
}

/// The same flow, told of `n` seconds in, with so many requests.
fn told(n: u64, requests: u64, last: bool) -> FlowRecord {
    let mut record = record(1);
    record.time = record.time + std::time::Duration::from_secs(n);
    record.requests = Some(RequestCounts { total: requests, none: requests, ..RequestCounts::default() });
    record.last = last;
    record
}

#[test]
fn a_flow_is_summed_up_once_however_often_it_is_told_of() {
    let mut store = Store::default();
    let mut first = told(0, 1, false);
    first.encryption.status = EncryptionStatus::Unknown;
    add(&mut store, first);
    let mut second = told(1, 3, false);
    second.findings = vec![FindingKind::Unencrypted];
    add(&mut store, second);
    let mut third = told(2, 7, true);
    third.findings = vec![FindingKind::Unencrypted, FindingKind::Unauthenticated];
    add(&mut store, third.clone());
    let edges = store.edges(&everything());
    let [edge] = edges.as_slice() else { panic!("{edges:?}") };
    assert_eq!((edge.flows, edge.requests.total, edge.requests.none), (1, 7, 7));
    assert_eq!(edge.encryption, EncryptionCounts { plaintext: 1, ..EncryptionCounts::default() });
    assert_eq!(edge.declaration, DeclarationCounts { ungoverned: 1, ..DeclarationCounts::default() });
    assert_eq!(edge.findings[&FindingKind::Unencrypted], 1);
    assert_eq!(edge.findings[&FindingKind::Unauthenticated], 1);
    assert_eq!(edge.last_seen.since(edge.first_seen).as_secs(), 2);
    // The next connection from the same port is another flow.
    add(&mut store, third);
    let edges = store.edges(&everything());
    assert_eq!((edges[0].flows, edges[0].requests.total), (2, 14));
    assert_eq!(edges[0].findings[&FindingKind::Unencrypted], 2);
    assert!(store.open.is_empty());
}

#[test]
fn findings_are_aggregated_by_edge_and_kind_with_the_last_reason() {
    let mut store = Store::default();
    for (n, reason) in [(1, "expired"), (2, "bad-signature")] {
        let mut record = record(n);
        record.findings = vec![FindingKind::InvalidToken, FindingKind::Unencrypted];
        record.authentication = Some(Authentication {
            status: AuthenticationStatus::Invalid,
            reason: Some(reason.into()),
            ..Authentication::default()
        });
        add(&mut store, record);
    }
    let findings = store.findings(&everything());
    let kinds: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.flows)).collect();
    assert_eq!(kinds, [(FindingKind::Unencrypted, 2), (FindingKind::InvalidToken, 2)]);
    assert_eq!(findings[0].reason, None);
    assert_eq!(findings[1].reason.as_deref(), Some("bad-signature"));
    assert_eq!(findings[1].last_seen.since(findings[1].first_seen).as_secs(), 1);
}

#[test]
fn an_unexpected_calls_reason_is_the_declarations() {
    let mut store = Store::default();
    let mut record = record(1);
    record.findings = vec![FindingKind::Unexpected];
    record.declaration = Declaration {
        status: DeclarationStatus::Unexpected,
        source: Some("ServiceGraph shop/shop".into()),
        reason: Some("port".into()),
        ..Declaration::default()
    };
    add(&mut store, record);
    assert_eq!(store.findings(&everything())[0].reason.as_deref(), Some("port"));
}

#[test]
fn dumps_are_sorted_so_that_two_can_be_compared() {
    let mut store = Store::default();
    for client in ["shop/b", "external", "shop/a", "alpha/z"] {
        let mut record = record(1);
        record.findings = vec![FindingKind::Unauthenticated];
        store.add(&edge_between(client, "shop/payments", 8080), Arc::new(record));
    }
    let clients: Vec<_> = store.edges(&everything()).into_iter().map(|edge| edge.client.principal).collect();
    assert_eq!(clients, ["external", "alpha/z", "shop/a", "shop/b"]);
    let clients: Vec<_> =
        store.findings(&everything()).into_iter().map(|finding| finding.client.principal).collect();
    assert_eq!(clients, ["external", "alpha/z", "shop/a", "shop/b"]);
}

#[test]
fn every_table_keeps_its_bound_and_forgets_the_oldest() {
    let limits = StoreLimits { records: 10, edges: 16, findings: 24, open_flows: 8 };
    let mut store = Store::new(limits);
    let mut forgotten = 0;
    for n in 0..1_000 {
        let mut record = record(n);
        record.last = n % 2 == 0;
        record.findings = vec![FindingKind::Unencrypted, FindingKind::Unauthenticated];
        let edge = edge_between(&format!("ns{n}/caller"), "shop/payments", 8080);
        forgotten += store.add(&edge, Arc::new(record));
        assert!(store.records.len() <= 10);
        assert!(store.edges.len() <= 16);
        assert!(store.findings.len() <= 24);
        assert!(store.open.len() <= 8);
    }
    assert_eq!(store.last(100, &everything()).len(), 10);
    assert_eq!(store.last(1, &everything())[0].time, record(999).time);
    // What is left and what was forgotten are all that came: 500 that ended and the 8 open ones that had room.
    let came = 508 * 3;
    assert_eq!(forgotten + (store.edges.len() + store.findings.len()) as u64, came);
    let newest = edge_between("ns998/caller", "shop/payments", 8080);
    assert!(store.edges.contains_key(&newest));
}

#[test]
fn a_flow_beyond_the_table_of_open_flows_is_summed_up_when_it_ends() {
    let mut store = Store::new(StoreLimits { open_flows: 0, ..StoreLimits::default() });
    add(&mut store, told(0, 2, false));
    assert!(store.edges(&everything()).is_empty());
    add(&mut store, told(1, 5, true));
    let edges = store.edges(&everything());
    assert_eq!((edges[0].flows, edges[0].requests.total), (1, 5));
}

#[test]
fn filters_are_met_together() {
    let mut store = Store::default();
    let mut bad = record(5);
    bad.findings = vec![FindingKind::Unencrypted];
    add(&mut store, record(1));
    add(&mut store, bad);
    let filter = |text: &str| serde_json::from_str::<Filter>(text).unwrap();
    let count = |text: &str| {
        let filter = filter(text);
        (store.last(10, &filter).len(), store.findings(&filter).len(), store.edges(&filter).len())
    };
    assert_eq!(count("{}"), (2, 1, 1));
    assert_eq!(count(r#"{"namespace":["shop"]}"#), (2, 1, 1));
    assert_eq!(count(r#"{"namespace":["sho"]}"#), (0, 0, 0));
    assert_eq!(count(r#"{"namespace":[""]}"#), (0, 0, 0));
    assert_eq!(count(r#"{"from":["shop/orders"],"to":["shop/payments"]}"#), (2, 1, 1));
    assert_eq!(count(r#"{"from":["shop/payments"]}"#), (0, 0, 0));
    assert_eq!(count(r#"{"to":["shop/orders"]}"#), (0, 0, 0));
    assert_eq!(count(r#"{"finding":["unencrypted"]}"#), (1, 1, 1));
    assert_eq!(count(r#"{"finding":["legacy-token"]}"#), (0, 0, 0));
    // 1700000000 is 2023-11-14T22:13:20Z (date -u).
    assert_eq!(count(r#"{"since":"2023-11-14T22:13:25Z"}"#), (1, 1, 1));
    assert_eq!(count(r#"{"since":"2023-11-14T22:13:26Z"}"#), (0, 0, 0));
}

#[test]
fn a_principal_that_is_no_pod_is_found_by_its_word() {
    let mut store = Store::default();
    store.add(&edge_between("external", "node", 22), Arc::new(record(1)));
    let from = |from: &str| Filter { from: vec![from.into()], ..Filter::default() };
    assert_eq!(store.edges(&from("external")).len(), 1);
    assert_eq!(store.edges(&from("node")).len(), 0);
    assert_eq!(store.edges(&from("/")).len(), 0);
}

#[test]
fn an_edge_is_chosen_by_what_it_has_carried() {
    let mut store = Store::default();
    add(&mut store, record(1));
    let mut good = record(2);
    good.encryption.status = EncryptionStatus::Tls;
    good.declaration.status = DeclarationStatus::Allowed;
    good.requests = Some(RequestCounts { total: 1, verified: 1, ..RequestCounts::default() });
    store.add(&edge_between("shop/carts", "shop/payments", 8443), Arc::new(good));
    let clients = |text: &str| -> Vec<String> {
        let filter: Filter = serde_json::from_str(text).unwrap();
        store.edges(&filter).into_iter().map(|edge| edge.client.principal).collect()
    };
    for (text, expected) in [
        (r#"{"encryption":["plaintext"]}"#, &["shop/orders"][..]),
        (r#"{"encryption":["tls","mtls"]}"#, &["shop/carts"]),
        (r#"{"encryption":["tls","plaintext"]}"#, &["shop/carts", "shop/orders"]),
        (r#"{"encryption":["unknown"]}"#, &[]),
        (r#"{"authentication":["none"]}"#, &["shop/orders"]),
        (r#"{"authentication":["verified"]}"#, &["shop/carts"]),
        (r#"{"declaration":["ungoverned"]}"#, &["shop/orders"]),
        (r#"{"port":[8443]}"#, &["shop/carts"]),
        (r#"{"transport":["udp"]}"#, &[]),
        (r#"{"from":["shop/"],"encryption":["tls"]}"#, &["shop/carts"]),
    ] {
        assert_eq!(clients(text), expected, "{text}");
    }
}
