use super::super::{Exemption, Exemptions, RequestFacts};
use super::{Demands, Scene, authentication, facts, node, orders, payments};
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EncryptionStatus, FindingKind, Hop, Identity, Protocol,
    Timestamp,
};

fn plaintext(exemption: Exemption) -> Scene {
    Scene {
        encryption: EncryptionStatus::Plaintext,
        exemptions: Exemptions::new(vec![Exemption { reason: "agreed".into(), ..exemption }]),
        ..Scene::default()
    }
}

fn of_flow(scene: &Scene) -> super::Outcome {
    scene.judge(|situation| super::super::of_flow(situation, &scene.exemptions))
}

fn exempt(exemption: Exemption) -> bool {
    let (found, exempted) = of_flow(&plaintext(exemption));
    assert_eq!(found.len() + exempted.len(), 1, "found or counted, never both or neither");
    exempted == [(FindingKind::Unencrypted, "agreed".to_owned())]
}

fn exempt_path(prefix: &str, path: Option<&str>) -> bool {
    let scene = plaintext(Exemption { path_prefix: Some(prefix.into()), ..Exemption::default() });
    let present = authentication(AuthenticationStatus::Present);
    let request = RequestFacts { path, ..facts(&present) };
    scene.of_request(&request).is_empty()
}

#[test]
fn hops_inside_a_pod_probes_and_dns_are_exempt_and_counted_by_reason() {
    let cases = [
        (Hop::IntraPod, Protocol::Http11, Some("intra-pod")),
        (Hop::Sidecar, Protocol::Http11, Some("sidecar")),
        (Hop::KubeletProbe, Protocol::Http11, Some("kubelet-probe")),
        (Hop::PodToPod, Protocol::Dns, Some("dns")),
        (Hop::PodToPod, Protocol::Http11, None),
        (Hop::NodeLocal, Protocol::Http11, None),
        (Hop::External, Protocol::Http11, None),
    ];
    for (hop, protocol, reason) in cases {
        let scene = Scene {
            hop,
            protocol,
            encryption: EncryptionStatus::Plaintext,
            declaration: DeclarationStatus::Unexpected,
            ..Scene::default()
        };
        let (found, exempted) = of_flow(&scene);
        let kinds = [FindingKind::Unencrypted, FindingKind::Unexpected];
        match reason {
            Some(reason) => {
                assert!(found.is_empty(), "{hop:?}");
                assert_eq!(exempted, kinds.map(|kind| (kind, reason.to_owned())), "{hop:?}");
            }
            None => {
                assert_eq!(found, kinds, "{hop:?}");
                assert!(exempted.is_empty(), "{hop:?}");
            }
        }
    }
}

#[test]
fn a_flow_without_findings_counts_no_exemption() {
    let scene = Scene { hop: Hop::IntraPod, ..Scene::default() };
    assert_eq!(of_flow(&scene), (Vec::new(), Vec::new()));
}

#[test]
fn an_exemption_that_names_nothing_matches_everything() {
    assert!(exempt(Exemption::default()));
}

#[test]
fn an_exemption_of_a_kind_is_one_of_that_kind_alone() {
    let kinds = FindingKind::ALL
        .into_iter()
        .filter(|kind| exempt(Exemption { kind: Some(*kind), ..Exemption::default() }));
    assert_eq!(kinds.collect::<Vec<_>>(), [FindingKind::Unencrypted]);
}

#[test]
fn an_exemption_names_ends_by_principal_namespace_or_kind() {
    let cases = [
        ("shop/orders", "shop/payments", true),
        ("shop/*", "shop/*", true),
        ("pod", "pod", true),
        ("shop/payments", "shop/orders", false),
        ("shop/orders", "other/*", false),
        ("other/orders", "shop/payments", false),
        ("shop/order", "shop/payments", false),
        ("node", "pod", false),
        ("shop", "pod", false),
        ("unknown", "pod", false),
    ];
    for (client, server, matches) in cases {
        let exemption =
            Exemption { client: Some(client.into()), server: Some(server.into()), ..Exemption::default() };
        assert_eq!(exempt(exemption), matches, "{client} -> {server}");
    }
    let from_node = Exemption { client: Some("node".into()), ..Exemption::default() };
    let scene = Scene { client: node(), ..plaintext(from_node) };
    assert!(scene.of_flow().is_empty());
    let to_outside = Exemption { server: Some("external".into()), ..Exemption::default() };
    let scene = Scene { client: orders(), server: Identity::External, ..plaintext(to_outside) };
    let present = authentication(AuthenticationStatus::Present);
    assert!(scene.of_request(&facts(&present)).is_empty());
}

#[test]
fn an_exemption_ends_at_its_date() {
    // The scene's clock stands at 1000.
    for (until, holds) in [(1_001, true), (1_000, false), (999, false)] {
        let exemption = Exemption { until: Some(Timestamp::from_seconds(until)), ..Exemption::default() };
        assert_eq!(exempt(exemption), holds, "{until}");
    }
}

#[test]
fn a_path_prefix_covers_whole_segments() {
    let cases = [
        ("/healthz", "/healthz", true),
        ("/healthz", "/healthz/live", true),
        ("/healthz/", "/healthz", true),
        ("/healthz/", "/healthz/live", true),
        ("/", "/anything", true),
        ("/healthz", "/healthzoo", false),
        ("/healthz", "/", false),
        ("/healthz", "/admin/healthz", false),
        ("/healthz", "healthz", false),
        ("/healthz", "/HEALTHZ", false),
        ("/", "*", false),
    ];
    for (prefix, path, covered) in cases {
        assert_eq!(exempt_path(prefix, Some(path)), covered, "{prefix} {path}");
    }
}

#[test]
fn a_path_that_climbs_out_of_its_prefix_is_not_below_it() {
    for path in [
        "/healthz/../admin",
        "/healthz/..",
        "/healthz/./../admin",
        "/healthz/%2e%2e/admin",
        "/healthz/%2E./admin",
        "/healthz/..%2fadmin",
        "/healthz/..%5Cadmin",
        "/healthz/..\\admin",
        "/healthz/..;/admin",
    ] {
        assert!(!exempt_path("/healthz", Some(path)), "{path}");
    }
    assert!(exempt_path("/healthz", Some("/healthz/a..b/.hidden/...")));
}

#[test]
fn an_exemption_by_path_covers_neither_unseen_paths_nor_the_flow() {
    assert!(!exempt_path("/healthz", None));
    assert!(!exempt(Exemption { path_prefix: Some("/".into()), ..Exemption::default() }));
}

#[test]
fn paths_are_wanted_only_where_one_is_exempt() {
    let by_path = Exemption { path_prefix: Some("/".into()), ..Exemption::default() };
    assert!(Exemptions::new(vec![Exemption::default(), by_path]).wants_paths());
    assert!(!Exemptions::new(vec![Exemption::default()]).wants_paths());
}

#[test]
fn the_first_exemption_that_matches_gives_the_reason() {
    let scene = Scene {
        server: payments(),
        encryption: EncryptionStatus::Plaintext,
        exemptions: Exemptions::new(vec![
            Exemption {
                kind: Some(FindingKind::Unexpected),
                reason: "not this".into(),
                ..Exemption::default()
            },
            Exemption { reason: "this".into(), ..Exemption::default() },
            Exemption { reason: "too late".into(), ..Exemption::default() },
        ]),
        ..Scene::default()
    };
    assert_eq!(of_flow(&scene).1, [(FindingKind::Unencrypted, "this".to_owned())]);
}

#[test]
fn an_exception_of_a_graph_holds_back_its_kind_for_its_reason() {
    let exceptions: &[(FindingKind, super::super::Reason)] =
        Vec::leak(vec![(FindingKind::Unencrypted, "migration".into())]);
    let demands = Demands { exceptions, ..Demands::default() };
    let scene = Scene {
        encryption: EncryptionStatus::Plaintext,
        declaration: DeclarationStatus::Unexpected,
        demands,
        ..Scene::default()
    };
    let (found, exempted) = of_flow(&scene);
    assert_eq!(found, [FindingKind::Unexpected]);
    assert_eq!(exempted, [(FindingKind::Unencrypted, "migration".to_owned())]);
}
