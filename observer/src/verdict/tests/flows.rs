use super::{Demand, Demands, Scene, UNKNOWN, node, orders, payments, pod, service_account};
use crate::model::{DeclarationStatus, EncryptionStatus, FindingKind, Identity, Link};

#[test]
fn a_flow_with_nothing_to_say_of_it_has_no_findings() {
    assert!(Scene::default().of_flow().is_empty());
}

#[test]
fn plaintext_alone_is_unencrypted() {
    for (encryption, found) in [
        (EncryptionStatus::Plaintext, true),
        (EncryptionStatus::Tls, false),
        (EncryptionStatus::Mtls, false),
        (EncryptionStatus::Unknown, false),
    ] {
        let scene = Scene { encryption, ..Scene::default() };
        assert_eq!(scene.of_flow() == [FindingKind::Unencrypted], found, "{encryption:?}");
        assert_eq!(scene.of_flow().is_empty(), !found, "{encryption:?}");
    }
}

#[test]
fn plaintext_is_a_finding_unless_the_link_is_known_to_be_encrypted() {
    for (link, found) in
        [(Link::Unknown, true), (Link::None, true), (Link::Wireguard, false), (Link::Ipsec, false)]
    {
        let scene = Scene { encryption: EncryptionStatus::Plaintext, link, ..Scene::default() };
        assert_eq!(scene.of_flow() == [FindingKind::Unencrypted], found, "{link:?}");
    }
}

#[test]
fn plaintext_is_a_finding_between_pods_and_between_pod_and_host_alone() {
    let table: [(Identity, Identity, bool); 11] = [
        (orders(), payments(), true),
        (orders(), service_account(), true),
        (orders(), node(), true),
        (node(), payments(), true),
        (node(), node(), false),
        (orders(), Identity::External, false),
        (Identity::External, payments(), false),
        (UNKNOWN, payments(), false),
        (orders(), UNKNOWN, false),
        (node(), Identity::External, false),
        (UNKNOWN, UNKNOWN, false),
    ];
    for (client, server, found) in table {
        let name = format!("{client:?} -> {server:?}");
        let scene = Scene { client, server, encryption: EncryptionStatus::Plaintext, ..Scene::default() };
        assert_eq!(scene.of_flow() == [FindingKind::Unencrypted], found, "{name}");
        assert_eq!(scene.of_flow().is_empty(), !found, "{name}");
    }
}

#[test]
fn an_edge_declared_without_encryption_may_be_plaintext_and_that_is_counted() {
    let demands = Demands { declared: true, encryption: Demand::Optional, ..Demands::default() };
    let scene = Scene { encryption: EncryptionStatus::Plaintext, demands, ..Scene::default() };
    let (found, exempted) = scene.judge(|situation| super::super::of_flow(situation, &scene.exemptions));
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(exempted, [(FindingKind::Unencrypted, "declared-optional".to_owned())]);
}

#[test]
fn a_declared_edge_asks_for_encryption_wherever_its_ends_are_and_mtls_also_on_an_encrypted_link() {
    let of = |declared, encryption, link, server, status| {
        let demands = Demands { declared, encryption, ..Demands::default() };
        let scene = Scene { server, encryption: status, link, demands, ..Scene::default() };
        scene.of_flow() == [FindingKind::Unencrypted]
    };
    let plaintext = EncryptionStatus::Plaintext;
    let (none, wireguard) = (Link::Unknown, Link::Wireguard);
    assert!(of(true, Demand::Required, none, Identity::External, plaintext));
    assert!(!of(false, Demand::Required, none, Identity::External, plaintext));
    assert!(!of(true, Demand::Required, wireguard, payments(), plaintext));
    assert!(of(true, Demand::Strict, wireguard, payments(), plaintext));
    // TLS 1.3 hides whether the client showed a certificate: that accuses nobody.
    assert!(!of(true, Demand::Strict, none, payments(), EncryptionStatus::Tls));
    assert!(!of(true, Demand::Strict, none, payments(), EncryptionStatus::Unknown));
}

#[test]
fn only_a_flow_that_a_graph_rules_out_is_unexpected() {
    for (declaration, found) in [
        (DeclarationStatus::Unexpected, true),
        (DeclarationStatus::Allowed, false),
        (DeclarationStatus::Ungoverned, false),
        (DeclarationStatus::Unevaluable, false),
    ] {
        let scene = Scene { declaration, ..Scene::default() };
        assert_eq!(scene.of_flow() == [FindingKind::Unexpected], found, "{declaration:?}");
        assert_eq!(scene.of_flow().is_empty(), !found, "{declaration:?}");
    }
}

#[test]
fn a_pod_that_runs_as_default_at_either_end_is_a_finding() {
    let default = || pod("shop", "default", "uid-default");
    let shared = Identity::ServiceAccount { namespace: "shop".into(), name: "default".into() };
    let table = [
        (default(), payments(), true),
        (orders(), default(), true),
        (orders(), shared, true),
        (default(), Identity::External, true),
        (pod("default", "orders", "uid"), payments(), false),
        (pod("shop", "default-2", "uid"), payments(), false),
        (node(), payments(), false),
        (UNKNOWN, payments(), false),
    ];
    for (client, server, found) in table {
        let name = format!("{client:?} -> {server:?}");
        let scene = Scene { client, server, ..Scene::default() };
        assert_eq!(scene.of_flow() == [FindingKind::DefaultServiceAccount], found, "{name}");
    }
}

#[test]
fn findings_of_a_flow_do_not_hide_each_other() {
    let scene = Scene {
        client: pod("shop", "default", "uid"),
        encryption: EncryptionStatus::Plaintext,
        declaration: DeclarationStatus::Unexpected,
        ..Scene::default()
    };
    let all = [FindingKind::Unencrypted, FindingKind::Unexpected, FindingKind::DefaultServiceAccount];
    assert_eq!(scene.of_flow(), all);
}
