use serde_json::json;

use super::*;
use crate::model::PostureStatus;

#[test]
fn a_service_account_of_several_workloads_is_shared_and_one_of_several_pods_is_not() {
    let mut scene = Scene::new();
    for workload in ["Deployment/orders", "Deployment/orders", "CronJob/report", "Pod/debug", "Pod/debug2"] {
        scene.pod(workload, "shop/orders", TokenMount::Refused);
    }
    scene.pod("Deployment/payments", "shop/payments", TokenMount::Refused);
    scene.pod("Deployment/payments", "shop/payments", TokenMount::Refused);
    // The same name elsewhere is another one.
    scene.pod("Deployment/other", "bank/payments", TokenMount::Refused);
    // The mirror of a static pod has none.
    scene.pod("Node/n1", "kube-system/", TokenMount::Refused);
    scene.pod("Pod/etcd", "kube-system/", TokenMount::Refused);
    let rows = scene.rows(PostureKind::SharedServiceAccount);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].workloads, ["CronJob/report", "Deployment/orders", "Pod/debug", "Pod/debug2"]);
    assert!(rows[0].fix.contains("serviceAccountName"));
}

#[test]
fn who_runs_as_default_is_told_by_workload() {
    let mut scene = Scene::new();
    for workload in ["Deployment/web", "Deployment/web", "Pod/debug"] {
        scene.pod(workload, "shop/default", TokenMount::Unsaid);
    }
    scene.pod("Deployment/orders", "shop/orders", TokenMount::Unsaid);
    let rows = scene.rows(PostureKind::DefaultServiceAccount);
    let workloads: Vec<&str> = rows.iter().map(|row| row.workloads[0].as_str()).collect();
    assert_eq!(workloads, ["Deployment/web", "Pod/debug"]);
}

#[test]
fn secrets_that_a_service_account_lists_are_told_but_not_those_of_a_registry() {
    let account = |secrets: Value| {
        let object = Object::from_value(
            "v1",
            "ServiceAccount",
            json!({"metadata": {"name": "a"}, "secrets": secrets}),
        );
        match object.unwrap().unwrap() {
            Object::ServiceAccount(account) => account.listed_secrets(),
            _ => unreachable!(),
        }
    };
    assert_eq!(account(json!([{"name": "orders-token-x7k2p"}, {"name": "orders-dockercfg-q2w3e"}])), 1);
    assert_eq!(account(json!(null)), 0);
    let mut scene = Scene::new();
    scene.account("shop/orders", None, 1);
    scene.account("shop/payments", None, 0);
    let rows = scene.rows(PostureKind::LegacySecret);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].service_account.as_deref(), Some("orders"));
}

#[test]
fn whoever_can_do_anything_is_an_admin_by_name_by_rules_or_by_group() {
    let anything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let everything_read = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]});
    let role = |name: &str, rule: &Value| json!({"metadata": {"name": name}, "rules": [rule]});
    let mut scene = Scene::new();
    scene.rights("ClusterRole", role("root", &anything));
    scene.rights("ClusterRole", role("reader", &everything_read));
    let mut bind = |kind: &str, name: &str, role: &str, subject: Value| {
        let role = json!({"kind": "ClusterRole", "name": role});
        scene.rights(kind, json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}));
    };
    bind("ClusterRoleBinding", "a", "cluster-admin", subject("ci", "deployer"));
    bind("ClusterRoleBinding", "b", "root", subject("ci", "runner"));
    bind("ClusterRoleBinding", "c", "reader", subject("ci", "reader"));
    bind("RoleBinding", "d", "cluster-admin", subject("shop", "orders"));
    bind(
        "ClusterRoleBinding",
        "e",
        "cluster-admin",
        json!({"kind": "Group", "name": "system:serviceaccounts:dev"}),
    );
    bind("ClusterRoleBinding", "f", "cluster-admin", json!({"kind": "Group", "name": "system:masters"}));
    let rows = scene.rows(PostureKind::ClusterAdmin);
    let told: Vec<&str> = rows.iter().map(|row| row.detail.split(':').next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "ci/deployer can do anything in the whole cluster",
            "ci/runner can do anything in the whole cluster",
            "every ServiceAccount of dev can do anything in the whole cluster",
            "shop/orders can do anything in shop",
        ]
    );
}

#[test]
fn legacy_tokens_are_counted_by_flows() {
    let mut scene = Scene::new();
    let seen = TokenSeen { legacy: true, verified: false, for_api_server: false, in_cleartext: true };
    scene.seen.token(&"shop/orders".into(), seen, at(1));
    scene.seen.token(&"shop/orders".into(), seen, at(2));
    let rows = scene.rows(PostureKind::LegacyToken);
    assert_eq!((rows.len(), rows[0].flows, rows[0].since), (1, Some(2), Some(at(1))));
    let rows = scene.rows(PostureKind::CleartextToken);
    assert!(rows[0].detail.contains("signature not verified"), "{}", rows[0].detail);
}

#[test]
fn what_cannot_be_known_is_unknown_with_the_reason_and_never_nothing() {
    let mut scene = Scene::new();
    let why = Some("not-allowed");
    scene.gaps = Gaps { pods: why, accounts: why, rights: why, api_server: why };
    for kind in [
        PostureKind::ClusterAdmin,
        PostureKind::LegacySecret,
        PostureKind::SharedServiceAccount,
        PostureKind::DefaultServiceAccount,
        PostureKind::UnusedToken,
    ] {
        let rows = scene.rows(kind);
        assert_eq!(rows.len(), 1, "{kind:?}");
        assert_eq!((rows[0].status, rows[0].reason.as_deref()), (PostureStatus::Unknown, why), "{kind:?}");
    }
}
