//! `observer graph export`: declarations made of what was seen. The same input gives the same bytes.
//!
//! - Minimal: what was seen and nothing more, as far as the format can say that; where it cannot, a comment says so.
//! - What has findings of somebody else's or of bad tokens is not blessed: it is left out, and said.
//! - Nothing is silenced: no `optional` is written, so plaintext and missing credentials go on to be found.
//! - A server gets a policy only if everything seen of it can be said in that format: half a policy would deny the rest.

mod authorization_policy;
mod network_policy;
mod servers;
mod service_graph;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{EdgePort, FindingKind, Kind, Timestamp};
use crate::sink::query::{CoverageView, EdgeView, ObservedEdge};

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    ServiceGraph,
    NetworkPolicy,
    AuthorizationPolicy,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub since: Option<Timestamp>,
    /// Objects of this namespace alone.
    pub namespace: Option<String>,
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// YAML documents.
    pub text: String,
    /// What whoever reads the documents should know, one line each; in their comments, too. Sorted.
    pub notes: BTreeSet<String>,
    /// Something was left out because of findings.
    pub refused: bool,
}

/// Findings that say that the client may not be who it seems.
const NOT_BLESSED: [FindingKind; 2] = [FindingKind::IdentityMismatch, FindingKind::InvalidToken];

/// `observed` are the edges of one observer.
#[must_use]
pub fn export(
    observed: &[ObservedEdge],
    coverage: &CoverageView,
    scope: &Scope,
    format: ExportFormat,
) -> Export {
    let mut export = Export::default();
    let mut blessed = Vec::new();
    for one in observed.iter().filter(|one| concerns(&one.edge, scope)) {
        let bad: Vec<String> = NOT_BLESSED
            .into_iter()
            .filter_map(|kind| Some((kind, one.edge.findings.get(&kind)?)))
            .map(|(kind, flows)| format!("{} ({})", kind.as_str(), counted(*flows, "flow")))
            .collect();
        if bad.is_empty() {
            blessed.push(one);
            continue;
        }
        export.refused = true;
        let why = format!(
            "left out: {}: {}; `observer explain` tells what to do, then export again",
            call(&one.edge),
            bad.join(", ")
        );
        export.notes.insert(why);
    }
    // What the observer says of itself, and then what there is to say of the calls.
    export.notes.extend(incomplete(coverage, scope));
    let documents = match format {
        ExportFormat::ServiceGraph => service_graph::write(&blessed, scope, &mut export.notes),
        ExportFormat::NetworkPolicy => network_policy::write(&blessed, scope, &mut export.notes),
        ExportFormat::AuthorizationPolicy => authorization_policy::write(&blessed, scope, &mut export.notes),
    };
    if documents.is_empty() {
        export.notes.insert("nothing was seen that this format can say".to_owned());
    }
    let since = scope.since.map_or(coverage.since, |since| since.max(coverage.since));
    let mut text = format!(
        "# Made by `observer graph export` of what one observer saw since {}. Look it over before you apply it.\n",
        second(since)
    );
    for note in &export.notes {
        text.push_str(&format!("# - {}\n", yaml::comment(note)));
    }
    text.push_str(&documents.join("---\n"));
    export.text = text;
    export
}

fn concerns(edge: &EdgeView, scope: &Scope) -> bool {
    let Some(namespace) = scope.namespace.as_deref() else { return true };
    [&edge.client, &edge.server].iter().any(|end| end.namespace.as_deref() == Some(namespace))
}

/// Why what was seen may not be all.
fn incomplete(coverage: &CoverageView, scope: &Scope) -> Vec<String> {
    let mut notes = Vec::new();
    let list = |counts: &BTreeMap<String, u64>| {
        let each: Vec<String> = counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
        each.join(", ")
    };
    if scope.since.is_some_and(|since| since < coverage.since) {
        notes.push(format!(
            "coverage: the observer looks since {} only: what was called before is not here",
            second(coverage.since)
        ));
    }
    if !coverage.lost_events.is_empty() {
        notes.push(format!(
            "coverage: events were lost ({}): calls may be missing",
            list(&coverage.lost_events)
        ));
    }
    if !coverage.unresolved_flows.is_empty() {
        notes.push(format!(
            "coverage: not everything about all flows could be told ({}): see `observer flows`",
            list(&coverage.unresolved_flows)
        ));
    }
    if coverage.truncated_payloads > 0 {
        notes.push(format!(
            "coverage: {} longer than what is captured: their requests are unknown",
            counted(coverage.truncated_payloads, "payload")
        ));
    }
    notes
}

/// `shop/orders -> shop/payments 8080/tcp`.
fn call(edge: &EdgeView) -> String {
    format!("{} -> {} {}", edge.client.principal, edge.server.principal, port(edge))
}

/// `8080/tcp`.
fn port(edge: &EdgeView) -> String {
    format!("{}/{}", edge.port, edge.transport.as_str())
}

/// What was seen of an edge, for a comment.
fn seen(edge: &EdgeView) -> String {
    let counts = |all: &[(&str, u64)]| {
        let there: Vec<String> =
            all.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        there.join(", ")
    };
    let mut parts = vec![
        format!("{}: {}", port(edge), counted(edge.flows, "flow")),
        format!("first {}, last {}", second(edge.first_seen), second(edge.last_seen)),
    ];
    let (encryption, requests) = (&edge.encryption, &edge.requests);
    parts.push(counts(&[
        ("plaintext", encryption.plaintext),
        ("tls", encryption.tls),
        ("mtls", encryption.mtls),
        ("encryption unknown", encryption.unknown),
    ]));
    if requests.total > 0 {
        let by_status = counts(&[
            ("none", requests.none),
            ("present", requests.present),
            ("verified", requests.verified),
            ("invalid", requests.invalid),
            ("unknown", requests.unknown),
        ]);
        parts.push(format!("{}, authentication {by_status}", counted(requests.total, "request")));
    }
    let findings: Vec<&str> = edge
        .findings
        .keys()
        .filter(|kind| **kind != FindingKind::Unexpected)
        .map(|kind| kind.as_str())
        .collect();
    if !findings.is_empty() {
        parts.push(format!("found, and goes on to be: {}", findings.join(", ")));
    }
    if edge.port.0 == EdgePort::Ephemeral {
        parts.push("the kernel picked the port: any is meant".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

fn only_mtls(edge: &EdgeView) -> bool {
    let encryption = &edge.encryption;
    encryption.mtls > 0 && encryption.plaintext + encryption.tls + encryption.unknown == 0
}

fn is_pod(kind: Kind) -> bool {
    kind == Kind::Pod
}

fn second(moment: Timestamp) -> String {
    let text = Timestamp::from_seconds(moment.seconds()).to_string();
    text.replacen(".000000", "", 1)
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests;
