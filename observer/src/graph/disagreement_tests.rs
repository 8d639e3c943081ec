//! Several kinds of sources speak of one flow.

use super::import::trial::{declare, evaluate, verdict};

const NETWORK_POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-orders, namespace: shop}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {matchLabels: {app: orders}}}]}]";

const ISTIO: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: from-orders, namespace: shop}
spec:
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/orders]}}]}]";

const ISTIO_DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  action: DENY
  rules: [{to: [{operation: {ports: ['9901']}}]}]";

const STRICT: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}";

const LINKERD: &str = "
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, port: 8080}";

/// Expected as [`verdict`] has it, and whom it is against.
fn check(objects: &[&str], rows: &[(&str, &str, &[&str])]) {
    let graph = declare(&objects.join("\n---\n")).unwrap();
    for (flow, expected, against) in rows {
        let declaration = evaluate(&graph, flow);
        assert_eq!(verdict(&declaration), *expected, "{flow}");
        let found: Vec<&str> = declaration.against.iter().map(|source| &**source).collect();
        assert_eq!(found, *against, "{flow}");
    }
}

#[test]
fn a_kind_that_does_not_expect_the_flow_wins_and_names_those_that_allow_it() {
    let allows = &["NetworkPolicy shop/from-orders"][..];
    check(
        &[NETWORK_POLICY, ISTIO],
        &[
            (
                "shop/orders{app=orders} -> shop/payments :8080 mtls",
                "allowed NetworkPolicy shop/from-orders",
                &[],
            ),
            // Its labels are those of orders, its ServiceAccount is not.
            ("shop/intruder{app=orders} -> shop/payments :8080 mtls", "unexpected shop/from-orders", allows),
            ("shop/orders{app=orders} -> shop/payments :8080 plain", "unexpected shop/from-orders", allows),
            (
                "shop/orders{app=other} -> shop/payments :8080 mtls",
                "unexpected NetworkPolicy shop/from-orders",
                &["AuthorizationPolicy shop/from-orders"],
            ),
            ("shop/other -> shop/payments :8080 mtls", "unexpected NetworkPolicy shop/from-orders", &[]),
        ],
    );
    check(
        &[NETWORK_POLICY, STRICT],
        &[
            (
                "shop/orders{app=orders} -> shop/payments :8080 plain",
                "unexpected PeerAuthentication shop/default",
                allows,
            ),
            (
                "shop/orders{app=orders} -> shop/payments :8080 mtls",
                "allowed NetworkPolicy shop/from-orders",
                &[],
            ),
        ],
    );
    check(
        &[NETWORK_POLICY, ISTIO, LINKERD],
        &[(
            "shop/orders{app=orders} -> shop/payments :8080 mtls",
            "unexpected Server shop/web",
            &["NetworkPolicy shop/from-orders"],
        )],
    );
}

#[test]
fn a_kind_that_cannot_tell_goes_before_one_that_allows() {
    check(
        &[NETWORK_POLICY, ISTIO],
        &[
            (
                "shop/orders{app=orders} -> shop/payments :8080 tls",
                "unevaluable shop/from-orders client-certificate-unseen",
                &[],
            ),
            // But not before one that does not expect it.
            ("shop/other -> shop/payments :8080 tls", "unexpected NetworkPolicy shop/from-orders", &[]),
        ],
    );
}

#[test]
fn policies_that_only_deny_deny_nothing_else() {
    let denies = "unexpected shop/no-admin";
    check(
        &[ISTIO_DENY],
        &[
            ("a/a -> shop/payments :9901 plain", denies, &[]),
            ("a/a -> shop/payments :8080 plain", "allowed shop/no-admin", &[]),
        ],
    );
    check(
        &[NETWORK_POLICY, ISTIO_DENY],
        &[
            (
                "a/a -> shop/payments :8080 plain",
                "unexpected NetworkPolicy shop/from-orders",
                &["AuthorizationPolicy shop/no-admin"],
            ),
            (
                "shop/orders{app=orders} -> shop/payments :9901 plain",
                denies,
                &["NetworkPolicy shop/from-orders"],
            ),
        ],
    );
}

#[test]
fn an_unknown_client_is_unevaluable_for_every_kind() {
    for object in [NETWORK_POLICY, ISTIO, ISTIO_DENY, STRICT, LINKERD] {
        let graph = declare(object).unwrap();
        let declaration = evaluate(&graph, "unknown -> shop/payments :8080 plain");
        assert!(verdict(&declaration).starts_with("unevaluable "), "{object}");
        assert_eq!(declaration.reason.as_deref(), Some("client-unknown"), "{object}");
    }
}

#[test]
fn no_policy_stands_between_a_pod_and_itself() {
    check(
        &[NETWORK_POLICY, ISTIO, STRICT, LINKERD],
        &[
            ("shop/payments -> shop/payments :8080 plain", "ungoverned", &[]),
            ("shop/other -> shop/payments :8080 plain", "unexpected NetworkPolicy shop/from-orders", &[]),
        ],
    );
}
