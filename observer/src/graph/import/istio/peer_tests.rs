use super::tests::{agree, peer};

#[test]
fn peer_authentications_forbid_plaintext_where_the_narrowest_is_strict() {
    const REFERENCE: &str = "reference, PeerAuthentication";
    const CONCEPTS: &str = "concepts, Security, Peer authentication";
    let finance = |rest: &str| format!("{{selector: {{matchLabels: {{app: finance}}}}, {rest}}}");
    let tables = [
        (
            REFERENCE,
            peer("foo/default", "{mtls: {mode: STRICT}}"),
            "legacy/sleep -> foo/a :80 plain | unexpected PeerAuthentication foo/default
             bar/sleep -> foo/a :80 mtls | ungoverned
             bar/sleep -> foo/a :80 tls | unevaluable PeerAuthentication foo/default client-certificate-unseen
             bar/sleep -> foo/a :80 unseen | unevaluable PeerAuthentication foo/default encryption-unknown
             legacy/sleep -> bar/a :80 plain | ungoverned
             legacy/sleep -> foo/a{bare} :80 plain | ungoverned
             legacy/sleep -> foo/a{ambient} :80 plain | unevaluable PeerAuthentication foo/default ambient-hop
             unknown -> foo/a :80 plain | unevaluable PeerAuthentication foo/default client-unknown
             node -> foo/a{probed} :80 plain | ungoverned
             legacy/sleep -> foo/a :15021 plain | ungoverned
             legacy/sleep -> foo/a udp:53 plain | ungoverned",
        ),
        (
            REFERENCE,
            [
                peer("foo/default", "{mtls: {mode: PERMISSIVE}}"),
                peer("foo/finance", &finance("mtls: {mode: STRICT}")),
            ]
            .join("\n---\n"),
            "legacy/sleep -> foo/a{app=finance} :80 plain | unexpected PeerAuthentication foo/finance
             legacy/sleep -> foo/a{app=other} :80 plain | ungoverned
             legacy/sleep -> service:foo/a :80 plain | unevaluable PeerAuthentication foo/finance service-backend",
        ),
        (
            REFERENCE,
            peer("foo/default", &finance("mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}")),
            "legacy/sleep -> foo/a{app=finance} :8081 plain | unexpected PeerAuthentication foo/default
             legacy/sleep -> foo/a{app=finance} :8080 plain | ungoverned",
        ),
        (
            REFERENCE,
            [
                peer("istio-system/default", "{mtls: {mode: STRICT}}"),
                peer("foo/default", &finance("mtls: {mode: UNSET}, portLevelMtls: {8080: {mode: DISABLE}}")),
            ]
            .join("\n---\n"),
            "legacy/sleep -> foo/a{app=finance} :8081 plain | unexpected PeerAuthentication istio-system/default
             legacy/sleep -> foo/a{app=finance} :8080 plain | ungoverned
             legacy/sleep -> bar/a :8080 plain | unexpected PeerAuthentication istio-system/default",
        ),
        (
            // The narrowest decides: workload, then namespace, then mesh.
            CONCEPTS,
            [
                peer("istio-system/default", "{mtls: {mode: STRICT}}"),
                peer("foo/default", "{mtls: {mode: PERMISSIVE}}"),
                peer("foo/strict", "{selector: {matchLabels: {app: reviews}}, portLevelMtls: {80: {mode: STRICT}}}"),
            ]
            .join("\n---\n"),
            "legacy/sleep -> foo/a :80 plain | ungoverned
             legacy/sleep -> foo/a{app=reviews} :80 plain | unexpected PeerAuthentication foo/strict
             legacy/sleep -> foo/a{app=reviews} :81 plain | ungoverned
             legacy/sleep -> bar/a :80 plain | unexpected PeerAuthentication istio-system/default",
        ),
        (
            // Of several, the oldest.
            CONCEPTS,
            [
                peer("foo/a", &finance("mtls: {mode: STRICT}"))
                    .replace("namespace: foo", "namespace: foo, creationTimestamp: '2024-05-02T00:00:00Z'"),
                peer("foo/b", &finance("mtls: {mode: PERMISSIVE}"))
                    .replace("namespace: foo", "namespace: foo, creationTimestamp: '2024-05-01T00:00:00Z'"),
            ]
            .join("\n---\n"),
            "legacy/sleep -> foo/a{app=finance} :80 plain | ungoverned",
        ),
        (
            CONCEPTS,
            peer("foo/future", "{mtls: {mode: VERY_STRICT}}"),
            "legacy/sleep -> foo/a :80 plain | unevaluable PeerAuthentication foo/future mode-unknown
             legacy/sleep -> foo/a :80 mtls | ungoverned",
        ),
    ];
    agree(&tables, 24);
}
