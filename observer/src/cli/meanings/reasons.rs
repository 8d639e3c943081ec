//! What the reasons of records, of `observer posture` and of `observer graph check` mean.

use super::Meaning;

const fn why(place: &'static str, word: &'static str, sentence: &'static str) -> Meaning {
    Meaning { word, place, sentence }
}

const PRINCIPAL: &str = "client.reason, server.reason";
const ENCRYPTION: &str = "encryption.reason";
const AUTHENTICATION: &str = "authentication.reason";
const DECLARATION: &str = "declaration.reason";
const POSTURE: &str = "observer posture, reason";
const CHECK: &str = "observer graph check, reason";

/// By the place where they stand.
pub const REASONS: &[Meaning] = &[
    why(
        PRINCIPAL,
        "no-pod-at-address",
        "An address of the cluster that no pod, node or Service is known to have had then.",
    ),
    why(
        PRINCIPAL,
        "address-contested",
        "Several pods can have had the address then, and their times do not tell which.",
    ),
    why(PRINCIPAL, "pod-not-known", "A pod's cgroup of this node, but its object has not come."),
    why(
        PRINCIPAL,
        "cgroup-not-found",
        "The node's address, but the socket's cgroup came and went unseen or cannot be read: the node's own or a hostNetwork pod's.",
    ),
    why(
        PRINCIPAL,
        "service-address",
        "The address is a Service's, and no server answered that would tell which pod was meant.",
    ),
    why(
        PRINCIPAL,
        "service-backend",
        "A Service was dialled and no server answered, and its endpoints do not share one ServiceAccount.",
    ),
    why(
        PRINCIPAL,
        "cluster-cidr-unknown",
        "A private address, and no range of the cluster is known for its family: give --cluster-cidr.",
    ),
    why(
        PRINCIPAL,
        "sender-unseen",
        "Datagrams came under the address of a pod of this node, and none of its sockets was seen sending them: anybody can write another's address.",
    ),
    why(PRINCIPAL, "loopback-address", "An address of the loopback interface: nobody's in particular."),
    why(PRINCIPAL, "link-local-address", "A link-local address: nobody's in particular."),
    why(PRINCIPAL, "multicast-address", "A multicast address: nobody's in particular."),
    why(PRINCIPAL, "unspecified-address", "The address 0.0.0.0 or ::, which is nobody's."),
    why(
        ENCRYPTION,
        "attached-mid-stream",
        "The connection talked before the observer started, and what came since does not tell. It settles with new connections.",
    ),
    why(
        ENCRYPTION,
        "first-bytes-lost",
        "The first bytes were not captured; what came after them does not tell.",
    ),
    why(
        ENCRYPTION,
        "buffers-full",
        "The halves of messages of all flows took 64 MiB together; what this one had begun to say was given up.",
    ),
    why(ENCRYPTION, "no-data", "Nobody has sent anything."),
    why(ENCRYPTION, "no-client-data", "Only the server has spoken."),
    why(
        ENCRYPTION,
        "not-established",
        "The connection never came about: it was refused, timed out or given up.",
    ),
    why(ENCRYPTION, "too-few-bytes", "It ended before there was enough to tell."),
    why(
        ENCRYPTION,
        "opaque-protocol",
        "The bytes belong to no protocol that is known here, and are no text.",
    ),
    why(
        ENCRYPTION,
        "high-entropy",
        "The bytes look like noise: encrypted in a way that is not known here, or compressed.",
    ),
    why(ENCRYPTION, "handshake-failed", "A TLS handshake ended with an alert."),
    why(
        ENCRYPTION,
        "handshake-incomplete",
        "A TLS handshake was begun, and the connection ended before both sides sent encrypted records.",
    ),
    why(ENCRYPTION, "handshake-truncated", "A part of the TLS handshake was not captured."),
    why(ENCRYPTION, "hello-too-long", "A message of the TLS handshake is longer than what is kept of it."),
    why(ENCRYPTION, "malformed-tls", "It began like TLS and went on with what no TLS is."),
    why(
        ENCRYPTION,
        "upgrade-pending",
        "The client asked for TLS within the connection, and the answer has not been seen.",
    ),
    why(
        ENCRYPTION,
        "upgrade-refused",
        "The client asked for TLS within the connection, the server refused, and nothing was said after that which would tell.",
    ),
    why(
        ENCRYPTION,
        "upgrade-not-taken",
        "TLS was agreed upon within the connection, and what came then is no TLS.",
    ),
    why(
        ENCRYPTION,
        "upgrade-unseen",
        "TLS was agreed upon within the connection, and what came then was not captured.",
    ),
    why(
        ENCRYPTION,
        "malformed-upgrade",
        "What followed the request for TLS within the connection is not what its protocol has there.",
    ),
    why(
        ENCRYPTION,
        "tunnel-unanswered",
        "A CONNECT was not answered, so that nothing of the tunnel is known.",
    ),
    why(ENCRYPTION, "tunnel-unused", "A CONNECT tunnel was opened, and nothing went through it."),
    why(
        ENCRYPTION,
        "line-too-long",
        "A line of its protocol is longer than what is kept of it, before anything could be told.",
    ),
    why(ENCRYPTION, "gss-encryption", "Postgres with GSSAPI encryption, which is no TLS and is not read."),
    why(ENCRYPTION, "sasl-layer", "LDAP with SASL, which may encrypt what follows."),
    why(ENCRYPTION, "ssh-encryption", "SSH, which encrypts in its own way."),
    why(AUTHENTICATION, "encrypted", "The requests are inside TLS, where nothing is read."),
    why(AUTHENTICATION, "expired", "The token's time (`exp`) is over."),
    why(AUTHENTICATION, "not-yet-valid", "The token's time (`nbf`) has not begun. Look at the clocks."),
    why(AUTHENTICATION, "bad-signature", "The issuer's key with the token's key id did not sign it."),
    why(AUTHENTICATION, "alg-none", "The token claims a configured issuer and is unsigned."),
    why(
        AUTHENTICATION,
        "alg-hmac",
        "The token claims a configured issuer and is signed with a shared secret, which that issuer does not do.",
    ),
    why(
        AUTHENTICATION,
        "foreign-issuer",
        "The token's issuer is not configured, so that it cannot be checked: see `issuers` in the file of --config.",
    ),
    why(
        AUTHENTICATION,
        "unverified",
        "The issuer's keys that are known do not include the token's, or cannot check it.",
    ),
    why(AUTHENTICATION, "no-issuer", "The token names no issuer."),
    why(
        AUTHENTICATION,
        "no-issuer-configured",
        "No issuer's keys are known: no token can be checked. See --issuer and --jwks.",
    ),
    why(AUTHENTICATION, "malformed-header", "It looks like a JWT, but its header cannot be read."),
    why(AUTHENTICATION, "malformed-claims", "It looks like a JWT, but its claims cannot be read."),
    why(AUTHENTICATION, "token-too-long", "The token is longer than what is looked into."),
    why(
        AUTHENTICATION,
        "claims-omitted",
        "The token is good; some of its claims were too long or too many to be told.",
    ),
    why(AUTHENTICATION, "empty-credential", "There is an Authorization header, with nothing in it."),
    why(
        AUTHENTICATION,
        "duplicate-authorization",
        "The request has several Authorization headers that differ: which of them counts is the server's affair.",
    ),
    why(
        AUTHENTICATION,
        "proxy-authorization",
        "The credential is for a proxy on the way (Proxy-Authorization), not for the server.",
    ),
    why(
        AUTHENTICATION,
        "credential-forgotten",
        "The client referred to a credential that it had sent earlier, and what was known of it was forgotten to save memory.",
    ),
    why(
        AUTHENTICATION,
        "hpack-unknown-slot",
        "A header was sent as a reference to an earlier one that was not seen: it may be Authorization.",
    ),
    why(AUTHENTICATION, "request-lost", "A request's head was not captured."),
    why(AUTHENTICATION, "head-truncated", "A part of the request's head was not captured."),
    why(AUTHENTICATION, "head-too-long", "The request's head is longer than what is kept of it."),
    why(
        AUTHENTICATION,
        "contradictory-length",
        "The request says in contradicting ways how long its body is, so that nobody knows where the next one starts.",
    ),
    why(AUTHENTICATION, "too-many-headers", "The request has more headers than are read."),
    why(AUTHENTICATION, "malformed-http", "The request's head is not what HTTP allows."),
    why(AUTHENTICATION, "malformed-hpack", "The request's head is not what HPACK allows."),
    why(AUTHENTICATION, "forwarded", "The token is another's, and its sender was seen receiving it before."),
    why(
        AUTHENTICATION,
        "replayed",
        "The token is another's; since the observer started everything its sender received was seen in clear, and the token was not among it. What the sender held before is not known.",
    ),
    why(
        AUTHENTICATION,
        "origin-unknown",
        "The token is another's, and it cannot be told where its sender has it from.",
    ),
    why(
        DECLARATION,
        "http-unseen",
        "Client and port are allowed; the edge also asks for a method or path, which was not seen.",
    ),
    why(DECLARATION, "client-unknown", "A graph governs the server, and it is not known who called."),
    why(DECLARATION, "server-unknown", "It is not known who was called."),
    why(
        DECLARATION,
        "service-port",
        "A Service was dialled and no server answered: which port of the server's would have been called is not known.",
    ),
    why(POSTURE, "not-allowed", "The observer may not read what would tell: see `observer doctor`."),
    why(POSTURE, "not-served", "The API server does not have the objects that would tell."),
    why(POSTURE, "not-in-inventory", "The files of --inventory do not hold the objects that would tell."),
    why(POSTURE, "not-listed-yet", "The first list of the objects that would tell has not come."),
    why(
        POSTURE,
        "observed-too-briefly",
        "It has not been observed for long enough: see `token_unused_after`.",
    ),
    why(
        POSTURE,
        "api-server-not-known",
        "The address of the API server is not known, so that calls of it cannot be told from others.",
    ),
    why(
        POSTURE,
        "service-account-not-known",
        "The pod's ServiceAccount object is not known, which says whether a token is mounted.",
    ),
    why(
        POSTURE,
        "rights-incomplete",
        "Some Roles or Bindings could not be kept or read, so that there may be more to it.",
    ),
    why(POSTURE, "too-many", "There are more rows of this kind than are shown."),
    why(CHECK, "no-inventory", "Whom `*` means is not known without --inventory."),
    why(CHECK, "no-pods", "The inventory has no pod that the edge means."),
    why(CHECK, "address-unknown", "It depends on an address that is not known, such as that of `external`."),
    why(CHECK, "port-unknown", "It depends on the port: the edge names none, nor does the server's pod."),
    why(CHECK, "node-unknown", "It depends on which node calls, and the server's is not known."),
];
