//! Each row's meaning is that of the RBAC reference
//! (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/>) and of its good practices.

use serde_json::{Value, json};

use super::*;

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

/// What a token of shop/orders allows with this role; bound in `shop`, or everywhere.
fn told(everywhere: bool, rules: &[Value]) -> Vec<String> {
    let mut scene = Scene::new();
    let kind = if everywhere { "ClusterRole" } else { "Role" };
    scene.rights(kind, json!({"rules": rules}));
    scene.rights(
        if everywhere { "ClusterRoleBinding" } else { "RoleBinding" },
        json!({"roleRef": {"kind": kind, "name": "it"}, "subjects": [subject("shop", "orders")]}),
    );
    scene.leak("shop/orders");
    let rows = scene.rows(PostureKind::CleartextToken);
    assert_eq!(rows.len(), 1);
    rows[0].powers.clone()
}

#[test]
fn rules_are_told_in_plain_words() {
    let rbac = "rbac.authorization.k8s.io";
    let named = |verbs: &[&str]| {
        let mut rule = rule(&[""], &["secrets"], verbs);
        rule["resourceNames"] = json!(["tls", "ca"]);
        rule
    };
    let nothing = "nothing beyond discovery";
    for (everywhere, rule, expected) in [
        (false, rule(&[""], &["secrets"], &["get"]), vec!["can read Secrets in shop"]),
        (true, rule(&[""], &["secrets"], &["list"]), vec!["can read Secrets in every namespace"]),
        (false, rule(&[""], &["secrets"], &["create"]), vec!["can change Secrets in shop"]),
        // A Secret of another group is not the core's.
        (false, rule(&["example.org"], &["secrets"], &["get"]), vec!["can read secrets in shop"]),
        (false, named(&["get"]), vec!["can read Secrets named tls, ca in shop"]),
        // What has no name yet cannot be allowed by name.
        (false, named(&["create"]), vec![nothing]),
        (true, rule(&[""], &["pods"], &["create"]), vec!["can create pods in every namespace"]),
        (false, rule(&[""], &["pods"], &["get", "list"]), vec!["can read pods in shop"]),
        (false, rule(&[""], &["pods/exec"], &["create"]), vec!["can run commands in pods in shop"]),
        (
            false,
            rule(&[""], &["*/exec"], &["create"]),
            vec!["can run commands in pods in shop", "can change */exec in shop"],
        ),
        (
            false,
            rule(&["apps"], &["deployments"], &["patch"]),
            vec!["can create pods through workloads in shop"],
        ),
        (false, rule(&["*"], &["*"], &["*"]), vec!["can do anything in shop"]),
        (true, rule(&["*"], &["*"], &["*"]), vec!["can do anything in every namespace"]),
        (true, rule(&[""], &["users"], &["impersonate"]), vec!["can impersonate users and groups"]),
        // Users are of no namespace.
        (false, rule(&[""], &["users"], &["impersonate"]), vec![nothing]),
        (
            false,
            rule(&[""], &["serviceaccounts"], &["impersonate"]),
            vec!["can impersonate ServiceAccounts in shop"],
        ),
        (
            false,
            rule(&[""], &["serviceaccounts/token"], &["create"]),
            vec!["can make tokens of other ServiceAccounts in shop"],
        ),
        (
            true,
            rule(&[rbac], &["clusterroles"], &["escalate"]),
            vec!["can give itself rights that it does not have in every namespace"],
        ),
        (false, rule(&[rbac], &["rolebindings"], &["create"]), vec!["can hand its rights on in shop"]),
        (
            true,
            rule(&[""], &["nodes/proxy"], &["get"]),
            vec!["can run commands in every pod through the kubelets"],
        ),
        (
            true,
            rule(&["certificates.k8s.io"], &["certificatesigningrequests/approval"], &["update"]),
            vec!["can approve client certificates"],
        ),
        (
            true,
            rule(&["admissionregistration.k8s.io"], &["mutatingwebhookconfigurations"], &["patch"]),
            vec!["can change what the API server admits"],
        ),
        (false, rule(&[""], &["configmaps"], &["watch"]), vec!["can read ConfigMaps in shop"]),
        (false, rule(&["example.org"], &["widgets"], &["delete"]), vec!["can change widgets in shop"]),
        // What everybody may do: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
        (true, json!({"nonResourceURLs": ["/api", "/healthz"], "verbs": ["get"]}), vec![nothing]),
        (true, rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews"], &["create"]), vec![nothing]),
    ] {
        assert_eq!(told(everywhere, std::slice::from_ref(&rule)), expected, "{everywhere} {rule}");
    }
}

#[test]
fn the_worst_comes_first() {
    let powers = told(
        false,
        &[
            rule(&[""], &["configmaps"], &["get"]),
            rule(&[""], &["pods"], &["create"]),
            rule(&[""], &["secrets"], &["get"]),
        ],
    );
    let expected = ["can read Secrets in shop", "can create pods in shop", "can read ConfigMaps in shop"];
    assert_eq!(powers, expected);
}

#[test]
fn rights_come_by_groups_by_user_names_and_by_cluster_roles_in_a_namespace() {
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let user = |name: &str| json!({"kind": "User", "name": name});
    for (subject, has) in [
        (group("system:serviceaccounts"), true),
        (group("system:authenticated"), true),
        (group("system:serviceaccounts:shop"), true),
        (group("system:serviceaccounts:bank"), false),
        (group("system:masters"), false),
        (user("system:serviceaccount:shop:orders"), true),
        (user("orders"), false),
        // Without a namespace it is the binding's own.
        (json!({"kind": "ServiceAccount", "name": "orders"}), false),
        (subject("bank", "orders"), false),
        (subject("shop", "orders"), true),
    ] {
        let mut scene = Scene::new();
        scene.rights("ClusterRole", json!({"rules": [rule(&[""], &["secrets"], &["get"])]}));
        scene.rights(
            "RoleBinding",
            json!({"metadata": {"namespace": "vault"}, "roleRef": {"kind": "ClusterRole", "name": "it"},
                "subjects": [subject]}),
        );
        scene.leak("shop/orders");
        let expected = if has { "can read Secrets in vault" } else { "nothing beyond discovery" };
        assert_eq!(scene.rows(PostureKind::CleartextToken)[0].powers, [expected], "{subject}");
    }
}

#[test]
fn a_role_that_is_not_known_is_named_and_missing_bindings_are_no_innocence() {
    let mut scene = Scene::new();
    scene.rights(
        "RoleBinding",
        json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [subject("shop", "orders")]}),
    );
    scene.leak("shop/orders");
    scene.leak("shop/payments");
    scene.gaps.rights = Some("not-allowed");
    let rows = scene.rows(PostureKind::CleartextToken);
    assert_eq!(
        rows[0].service_account.as_deref(),
        Some("orders"),
        "the one that may do something comes first"
    );
    assert_eq!(rows[0].powers[0], "can do what the ClusterRole view allows (not known here) in shop");
    assert!(rows[0].powers[1].starts_with("perhaps more"));
    assert!(rows[1].powers[0].starts_with("unknown"), "{:?}", rows[1].powers);
    assert!(rows.iter().all(|row| row.reason.as_deref() == Some("not-allowed")));
}

#[test]
fn a_token_for_somebody_else_gives_nothing_at_the_api_server() {
    let mut scene = Scene::new();
    scene.rights("ClusterRole", json!({"rules": [rule(&["*"], &["*"], &["*"])]}));
    scene.rights(
        "ClusterRoleBinding",
        json!({"roleRef": {"kind": "ClusterRole", "name": "it"}, "subjects": [subject("shop", "orders")]}),
    );
    let seen = TokenSeen { legacy: false, verified: true, for_api_server: false, in_cleartext: true };
    scene.seen.token(&"shop/orders".into(), seen, at(0));
    let rows = scene.rows(PostureKind::CleartextToken);
    assert!(rows[0].powers[0].starts_with("nothing at the API server"), "{:?}", rows[0].powers);
}
