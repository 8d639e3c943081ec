//! Edges that say what another says already, or whose demands another edge lifts.

use super::{CheckRow, Level};
use crate::crd::DeclaredEdge;
use crate::review::matching;

/// Pairs that are compared: the square of a graph's edges.
const MAX_PAIRS: usize = 4_000_000;

pub(super) fn look(edges: &[DeclaredEdge], rows: &mut Vec<CheckRow>) {
    let mut pairs = 0;
    for (place, one) in edges.iter().enumerate() {
        for (other_place, other) in edges.iter().enumerate() {
            if place == other_place || one.namespace != other.namespace {
                continue;
            }
            pairs += 1;
            if pairs > MAX_PAIRS {
                let message = format!(
                    "more than {MAX_PAIRS} pairs of edges: not all are compared; check namespaces one by one"
                );
                rows.push(CheckRow::new(Level::Warning, message));
                return;
            }
            if !covers(other, one) {
                continue;
            }
            let both = covers(one, other);
            // Of two that are alike, the later one; within a graph, reading has told of it already.
            if both && (place < other_place || one.source == other.source) {
                continue;
            }
            if let Some(message) = judge(one, other, both) {
                rows.push(CheckRow {
                    object: Some(one.source.to_string()),
                    key: Some(one.clause.to_string()),
                    ..CheckRow::new(Level::Warning, message)
                });
            }
        }
    }
}

/// Whatever `inner` allows, `outer` allows.
fn covers(outer: &DeclaredEdge, inner: &DeclaredEdge) -> bool {
    let (outer, inner) = (&outer.edge, &inner.edge);
    let ports = outer.ports.is_empty()
        || (!inner.ports.is_empty() && inner.ports.iter().all(|port| outer.ports.contains(port)));
    // Requests are compared only as wholes.
    let http = outer.http.is_empty();
    ports
        && http
        && matching::client_covers(&outer.from, &inner.from)
        && matching::server_covers(&outer.to, &inner.to)
}

fn judge(one: &DeclaredEdge, other: &DeclaredEdge, alike: bool) -> Option<String> {
    let place = format!("{} {}", other.source, other.clause);
    let (inner, outer) = (&one.edge, &other.edge);
    let lifted = outer.encryption < inner.encryption || outer.authentication < inner.authentication;
    let lifted = lifted || (!inner.audiences.is_empty() && outer.audiences != inner.audiences);
    if lifted || !inner.http.is_empty() {
        return Some(format!(
            "asks for more than {place}, which covers it: the weaker of the two counts; narrow that one"
        ));
    }
    let weaker = inner.encryption < outer.encryption || inner.authentication < outer.authentication;
    if weaker {
        return alike
            .then(|| format!("has the ends and ports of {place}: the weaker of the two counts; keep one"));
    }
    Some(format!("says nothing that {place} does not say; leave it out"))
}
