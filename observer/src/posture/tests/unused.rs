use super::*;
use crate::model::{Identity, PostureStatus};

/// What is said of a token after `watched` seconds without a call.
fn verdict(
    token: TokenMount,
    automount: Option<Option<bool>>,
    watched: u64,
) -> Option<(PostureStatus, Option<String>)> {
    let mut scene = Scene::new();
    scene.pod("Deployment/orders", "shop/orders", token);
    if let Some(automount) = automount {
        scene.account("shop/orders", automount, 0);
    }
    scene.look();
    scene.now = at(watched);
    scene.look();
    let rows = scene.rows(PostureKind::UnusedToken);
    assert!(rows.len() < 2);
    rows.first().map(|row| (row.status, row.reason.as_deref().map(str::to_owned)))
}

#[test]
fn a_token_is_mounted_as_the_pod_says_else_as_its_service_account_says_else_it_is() {
    let unused = Some((PostureStatus::Found, None));
    let unknown = |why: &str| Some((PostureStatus::Unknown, Some(why.to_owned())));
    for (token, automount, watched, expected) in [
        (TokenMount::Unsaid, Some(None), 600, unused.clone()),
        (TokenMount::Unsaid, Some(Some(true)), 600, unused.clone()),
        (TokenMount::Unsaid, Some(Some(false)), 600, None),
        (TokenMount::Wanted, Some(Some(false)), 600, unused.clone()),
        (TokenMount::Refused, Some(Some(true)), 600, None),
        (TokenMount::Volume, Some(Some(false)), 600, unused),
        (TokenMount::Unsaid, Some(None), 599, unknown("observed-too-briefly")),
        (TokenMount::Unsaid, None, 600, unknown("service-account-not-known")),
    ] {
        assert_eq!(verdict(token, automount, watched), expected, "{token:?} {automount:?} {watched}");
    }
}

#[test]
fn who_has_called_the_api_server_uses_its_token_and_so_does_its_workload() {
    let mut scene = Scene::new();
    let leader = scene.pod("Deployment/operator", "shop/operator", TokenMount::Volume);
    scene.pod("Deployment/operator", "shop/operator", TokenMount::Volume);
    scene.pod("Deployment/orders", "shop/orders", TokenMount::Volume);
    scene.look();
    scene.seen.called_api_server(&Identity::Pod(leader), at(10));
    scene.now = at(3_600);
    scene.look();
    let rows = scene.rows(PostureKind::UnusedToken);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].workloads, ["Deployment/orders"]);
    assert_eq!((rows[0].since, rows[0].seconds), (Some(at(0)), Some(3_600)));
    assert!(rows[0].fix.contains("automountServiceAccountToken: false"));
}

#[test]
fn pods_of_other_nodes_are_not_judged() {
    let mut scene = Scene::new();
    let pod = scene.pod("Deployment/orders", "shop/orders", TokenMount::Volume);
    scene.pods = vec![Arc::new(Pod { node: Some("n2".into()), ..(*pod).clone() })];
    scene.look();
    scene.now = at(3_600);
    assert_eq!(scene.rows(PostureKind::UnusedToken), []);
}

#[test]
fn a_call_by_nobody_known_and_a_lost_event_begin_the_time_anew() {
    let breaks: [fn(&mut Seen); 3] = [
        |seen| seen.called_api_server(&Identity::Unknown("pod-not-known"), at(900)),
        |seen| seen.lost(1, at(900)),
        |seen| seen.missed(at(900)),
    ];
    for broken in breaks {
        let mut scene = Scene::new();
        scene.pod("Deployment/orders", "shop/orders", TokenMount::Volume);
        scene.look();
        broken(&mut scene.seen);
        scene.now = at(1_000);
        let rows = scene.rows(PostureKind::UnusedToken);
        assert_eq!(rows[0].reason.as_deref(), Some("observed-too-briefly"));
        assert_eq!(rows[0].since, Some(at(900)));
    }
}

#[test]
fn without_the_api_servers_address_no_token_is_called_unused() {
    let mut scene = Scene::new();
    scene.pod("Deployment/orders", "shop/orders", TokenMount::Volume);
    scene.look();
    scene.now = at(3_600);
    scene.gaps.api_server = Some("api-server-not-known");
    let rows = scene.rows(PostureKind::UnusedToken);
    assert_eq!((rows.len(), rows[0].status), (1, PostureStatus::Unknown));
}
