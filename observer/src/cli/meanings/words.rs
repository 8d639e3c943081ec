//! What the statuses of a flow mean.

use super::Meaning;

const fn word(place: &'static str, word: &'static str, sentence: &'static str) -> Meaning {
    Meaning { word, place, sentence }
}

const ENCRYPTION: &str = "encryption.status";
const AUTHENTICATION: &str = "authentication.status";
const DECLARATION: &str = "declaration.status";

/// Statuses, in the order of their types.
pub const WORDS: &[Meaning] = &[
    word(ENCRYPTION, "plaintext", "The bytes can be read: their protocol is known, and is not encrypted."),
    word(
        ENCRYPTION,
        "tls",
        "Both sides sent encrypted records after a handshake. In TLS 1.3 and in resumed sessions it cannot be seen \
         whether the client showed a certificate.",
    ),
    word(
        ENCRYPTION,
        "mtls",
        "TLS in which the client showed a certificate: `proven` where that was seen, `inferred` where only a mesh's \
         proxies shake hands so.",
    ),
    word(
        ENCRYPTION,
        "unknown",
        "What was seen proves neither; the reason says why. It is not said to be plaintext.",
    ),
    word(AUTHENTICATION, "none", "The request's head was read whole and holds no credential."),
    word(
        AUTHENTICATION,
        "present",
        "There is a credential that was not, or cannot be, checked; the reason says why where it is a token.",
    ),
    word(AUTHENTICATION, "verified", "There is a token whose signature and times are good."),
    word(AUTHENTICATION, "invalid", "There is a token that claims a configured issuer and is not good."),
    word(
        AUTHENTICATION,
        "unknown",
        "The request was not seen whole, or is inside TLS. It is not said to lack a credential.",
    ),
    word(DECLARATION, "allowed", "An edge of a graph allows this client on this port."),
    word(DECLARATION, "unexpected", "A graph governs the server, and none of its edges allows this call."),
    word(DECLARATION, "ungoverned", "No graph says anything about this server."),
    word(DECLARATION, "unevaluable", "A graph governs the server, but what it asks about was not seen."),
    word(
        "client.principal",
        "node",
        "A node of the cluster: its own processes, or somebody whose address it hides.",
    ),
    word("client.principal", "external", "Somebody outside of the cluster."),
    word("client.principal", "unknown", "It is not known who that was; the reason says why."),
];
