//! What each finding means, in a sentence about the two that it concerns.

use super::cast::KINDS;
use super::record::{Edge, Seen, Sighting};

/// A kind that is found on more edges than this is explained once, and the other edges are listed.
const IN_FULL: usize = 3;

/// One finding on one edge.
pub fn sentence(kind: &str, edge: &Edge, sighting: &Sighting) -> String {
    let Edge { client, server, port } = edge;
    let record = &sighting.last;
    let reason = record.authentication.reason.as_deref();
    let owner = record.authentication.token.as_ref().and_then(|token| token.service_account.as_deref());
    let owner = owner.unwrap_or(client);
    let whose = if owner == client { "its own".to_owned() } else { format!("{owner}'s") };
    let clear = if record.encryption.status == "plaintext" { " in cleartext" } else { "" };
    match kind {
        "identity-mismatch" => {
            let origin = match reason {
                Some("replayed") => {
                    format!("; nobody sent it to {client}, so it was stolen elsewhere and replayed")
                }
                Some("forwarded") => format!("; {client} had received it and passed it on"),
                _ => String::new(),
            };
            format!("{client} showed {server} a genuine token that is {owner}'s{origin}.")
        }
        "unexpected" => format!("No ServiceGraph declares that {client} may call {server} on port {port}."),
        "invalid-token" => {
            let fault = match reason {
                Some("expired") => "that has expired",
                Some("not-yet-valid") => "that is not valid yet",
                Some("bad-signature") => "that the cluster did not sign",
                _ => "that is not good",
            };
            let taken = match record.last_request.status {
                Some(200..=299) => format!(", and {server} served it all the same"),
                _ => String::new(),
            };
            format!("{client} showed {server} a token {fault}{taken}.")
        }
        "wrong-audience" => format!(
            "{client} showed {server} a good token that was made for somebody else, not for {server}."
        ),
        "api-audience-token" => format!(
            "{client} handed its API-server token to {server}{clear}: whoever reads it there can act as {owner} \
             against the API server."
        ),
        "legacy-token" => format!(
            "{client} showed {server} {whose} token from a Secret, which never expires: a copy is good until somebody \
             deletes the Secret."
        ),
        "credential-in-cleartext" => format!(
            "{client} sent {server} {whose} credential so that everybody on the way between them can read and use it."
        ),
        "unauthenticated" => {
            let requests = sighting.ended.keys().next_back().map(|facts| facts.requests);
            let some = requests.filter(|requests| requests.none > 0 && requests.none < requests.total);
            let which = some.map_or_else(String::new, |requests| {
                format!(" with {} of the {} requests of a connection", requests.none, requests.total)
            });
            format!("{client} showed {server} no credential{which}: {server} cannot know who called.")
        }
        "unencrypted" => format!(
            "{client} and {server} talk in plaintext: whoever is between them can read every byte and change it."
        ),
        "default-service-account" => {
            let (who, other) = if server.ends_with("/default") { (server, client) } else { (client, server) };
            format!("{who}, which {other} talks to, is an identity that all pods share that are given none.")
        }
        _ => format!("{kind} between {client} and {server}."),
    }
}

/// All findings, by kind, most serious first; each as its kind and the sentences to be printed below it.
pub fn all(seen: &Seen) -> Vec<(String, Vec<String>)> {
    let found = |kind: &str| -> Vec<(&Edge, &Sighting)> {
        let edges = seen.order.iter().filter_map(|edge| Some((edge, seen.edges.get(edge)?)));
        edges.filter(|(_, sighting)| sighting.findings.contains(kind)).collect()
    };
    let mut kinds: Vec<&str> = KINDS.to_vec();
    for kind in seen.edges.values().flat_map(|sighting| &sighting.findings) {
        if !kinds.contains(&kind.as_str()) {
            kinds.push(kind);
        }
    }
    let mut all = Vec::new();
    for kind in kinds {
        let found = found(kind);
        let full = if found.len() > IN_FULL { 1 } else { found.len() };
        let mut sentences: Vec<_> =
            found[..full].iter().map(|(edge, sighting)| sentence(kind, edge, sighting)).collect();
        if full < found.len() {
            // No-break spaces keep a pair on one line.
            let others: Vec<_> = found[full..]
                .iter()
                .map(|(edge, _)| format!("{}\u{a0}->\u{a0}{}", edge.client, edge.server))
                .collect();
            sentences.push(format!("The same holds for {}.", others.join(", ")));
        }
        if !sentences.is_empty() {
            all.push((kind.to_owned(), sentences));
        }
    }
    all
}
