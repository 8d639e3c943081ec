//! Who takes part, who calls whom, and what the observer has to say of each call.

use super::record::Requests;

/// Of the demo's cluster: what `iss` says in its tokens, and what their API server takes as an audience.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// All that the observer is expected to find, most serious first.
pub const KINDS: [&str; 10] = [
    "identity-mismatch",
    "unexpected",
    "invalid-token",
    "wrong-audience",
    "api-audience-token",
    "legacy-token",
    "credential-in-cleartext",
    "unauthenticated",
    "unencrypted",
    "default-service-account",
];

/// The declared edges. `attack/*` and `shop/batch` are not among them, and nobody governs `server-ns`.
pub const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: listed
  edges:
    - {from: {serviceAccount: frontend}, to: {serviceAccount: orders}, ports: [8080]}
    - {from: {serviceAccount: invoices}, to: {serviceAccount: orders}, ports: [8080]}
    - {from: {serviceAccount: importer}, to: {serviceAccount: orders}, ports: [8080]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080]}
    - {from: {serviceAccount: checkout}, to: {serviceAccount: payments}, ports: [8080]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: ledger}, ports: [8443]}
    - {from: {serviceAccount: reports}, to: {serviceAccount: payments}, ports: [8080], audiences: [payments]}
";

/// A Deployment of one pod.
pub struct Actor {
    /// `namespace/service-account`.
    pub principal: &'static str,
    pub deployment: &'static str,
    pub serves: Option<Server>,
}

/// What a pod listens with. Its Service bears the Deployment's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// HTTP/1.1 on port 8080, by Python's standard library.
    Python,
    /// HTTP/1.1 on port 8080.
    Nginx,
    /// HTTPS on port 8443, by `openssl s_server`.
    Openssl,
}

impl Server {
    pub const fn port(self) -> u16 {
        match self {
            Self::Python | Self::Nginx => 8080,
            Self::Openssl => 8443,
        }
    }

    /// Of its Service.
    pub const fn service_port(self) -> u16 {
        match self {
            Self::Python | Self::Nginx => 80,
            Self::Openssl => 443,
        }
    }
}

pub const ACTORS: [Actor; 12] = [
    actor("shop/frontend", "frontend", None),
    actor("shop/orders", "orders", Some(Server::Python)),
    actor("shop/payments", "payments", Some(Server::Nginx)),
    actor("shop/ledger", "ledger", Some(Server::Openssl)),
    actor("shop/checkout", "checkout", None),
    actor("shop/invoices", "invoices", None),
    actor("shop/importer", "importer", None),
    actor("shop/batch", "batch", None),
    actor("shop/reports", "reports", None),
    actor("server-ns/default", "receiver", Some(Server::Python)),
    actor("client-ns/curl-sa", "curl", None),
    actor("attack/intruder", "intruder", None),
];

/// Has no ServiceAccount's key: signs its own tokens.
pub const FORGER: Actor = actor("attack/forger", "forger", None);

const fn actor(principal: &'static str, deployment: &'static str, serves: Option<Server>) -> Actor {
    Actor { principal, deployment, serves }
}

pub fn actors() -> impl Iterator<Item = &'static Actor> {
    ACTORS.iter().chain([&FORGER])
}

/// What the client's requests carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    None,
    /// Its own token, made for this audience.
    For(&'static str),
    /// Its own token for the API server: what is mounted in every pod.
    ApiServer,
    /// The token that this other principal shows the server.
    StolenFrom(&'static str),
    /// Its own, an hour too late.
    Expired,
    /// Its own, signed with a key of its own making.
    Forged,
    /// Its ServiceAccount's, from a Secret.
    Legacy,
}

/// One edge of the demo: each round makes one connection of it.
pub struct Call {
    pub client: &'static str,
    pub server: &'static str,
    pub credential: Credential,
    /// The requests of one connection: first those with the credential, then `none` without.
    pub requests: Requests,
    pub encryption: &'static str,
    pub declaration: &'static str,
    /// What `authentication.reason` has to be, where it matters.
    pub reason: Option<&'static str>,
    pub findings: &'static [&'static str],
}

pub const CALLS: [Call; 11] = [
    Call {
        client: "shop/frontend",
        server: "shop/orders",
        credential: Credential::None,
        requests: Requests { total: 2, none: 2, ..Requests::ZERO },
        findings: &["unencrypted", "unauthenticated"],
        ..DECLARED
    },
    Call {
        client: "shop/orders",
        server: "shop/payments",
        credential: Credential::For("payments"),
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        findings: &["unencrypted", "credential-in-cleartext"],
        ..DECLARED
    },
    // Inside TLS nothing is seen, so nothing is counted.
    Call { client: "shop/orders", server: "shop/ledger", encryption: "tls", findings: &[], ..DECLARED },
    Call {
        client: "client-ns/curl-sa",
        server: "server-ns/default",
        credential: Credential::ApiServer,
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        declaration: "ungoverned",
        findings: &[
            "unencrypted",
            "credential-in-cleartext",
            "api-audience-token",
            "default-service-account",
        ],
        ..DECLARED
    },
    Call {
        client: "attack/intruder",
        server: "shop/payments",
        credential: Credential::StolenFrom("shop/orders"),
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        declaration: "unexpected",
        reason: Some("replayed"),
        findings: &["unencrypted", "credential-in-cleartext", "identity-mismatch", "unexpected"],
        ..DECLARED
    },
    Call {
        client: "shop/batch",
        server: "shop/payments",
        credential: Credential::For("payments"),
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        declaration: "unexpected",
        findings: &["unencrypted", "credential-in-cleartext", "unexpected"],
        ..DECLARED
    },
    Call {
        client: "shop/checkout",
        server: "shop/payments",
        credential: Credential::For("payments"),
        requests: Requests { total: 10, verified: 6, none: 4, ..Requests::ZERO },
        findings: &["unencrypted", "credential-in-cleartext", "unauthenticated"],
        ..DECLARED
    },
    Call {
        client: "shop/invoices",
        server: "shop/orders",
        credential: Credential::Expired,
        requests: Requests { total: 1, invalid: 1, ..Requests::ZERO },
        reason: Some("expired"),
        findings: &["unencrypted", "credential-in-cleartext", "invalid-token"],
        ..DECLARED
    },
    Call {
        client: "shop/importer",
        server: "shop/orders",
        credential: Credential::Legacy,
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        // It names no audience: the API server takes it.
        findings: &["unencrypted", "credential-in-cleartext", "legacy-token", "api-audience-token"],
        ..DECLARED
    },
    // Good, but made for somebody else.
    Call {
        client: "shop/reports",
        server: "shop/payments",
        credential: Credential::For("warehouse"),
        requests: Requests { total: 1, verified: 1, ..Requests::ZERO },
        findings: &["unencrypted", "credential-in-cleartext", "wrong-audience"],
        ..DECLARED
    },
    Call {
        client: "attack/forger",
        server: "shop/orders",
        credential: Credential::Forged,
        requests: Requests { total: 1, invalid: 1, ..Requests::ZERO },
        declaration: "unexpected",
        reason: Some("bad-signature"),
        findings: &["unencrypted", "credential-in-cleartext", "invalid-token", "unexpected"],
        ..DECLARED
    },
];

const DECLARED: Call = Call {
    client: "",
    server: "",
    credential: Credential::None,
    requests: Requests::ZERO,
    encryption: "plaintext",
    declaration: "allowed",
    reason: None,
    findings: &[],
};

impl Call {
    /// The port that the server's socket listens on.
    pub fn port(&self) -> u16 {
        actors()
            .find(|actor| actor.principal == self.server)
            .and_then(|actor| actor.serves)
            .map_or(0, Server::port)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_cast_covers_every_kind_and_only_those() {
        let expected: BTreeSet<_> = CALLS.iter().flat_map(|call| call.findings).collect();
        assert_eq!(expected, KINDS.iter().collect());
    }

    #[test]
    fn every_edge_is_called_once_between_actors_of_whom_one_serves() {
        let edges: BTreeSet<_> = CALLS.iter().map(|call| (call.client, call.server)).collect();
        assert_eq!(edges.len(), CALLS.len());
        for call in &CALLS {
            assert!(actors().any(|actor| actor.principal == call.client), "{}", call.client);
            assert_ne!(call.port(), 0, "{}", call.server);
        }
    }

    #[test]
    fn the_graph_declares_just_the_calls_that_are_expected_to_be_allowed() {
        let name = |principal: &'static str| principal.rsplit('/').next().unwrap_or_default();
        let mut allowed = 0;
        for call in CALLS.iter().filter(|call| call.declaration == "allowed") {
            let edge = format!(
                "- {{from: {{serviceAccount: {}}}, to: {{serviceAccount: {}}}, ports: [{}]",
                name(call.client),
                name(call.server),
                call.port()
            );
            assert!(GRAPH.contains(&edge), "{edge}");
            allowed += 1;
        }
        assert_eq!(GRAPH.matches("- {from").count(), allowed);
    }
}
