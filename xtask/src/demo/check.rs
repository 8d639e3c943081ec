//! Compares what was seen with what was played, both ways.

use std::collections::BTreeSet;

use super::cast::{Call, KINDS};
use super::record::{Edge, Facts, Seen};

/// The outcome.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Pairs of edge and kind that were expected.
    pub expected: usize,
    /// Those of them that were seen.
    pub seen: usize,
    /// Kinds that were seen where they were expected.
    pub kinds: BTreeSet<&'static str>,
    /// What differs, a sentence each.
    pub problems: Vec<String>,
}

impl Verdict {
    /// `played` has each call and how many connections it made.
    pub fn of(seen: &Seen, played: &[(&'static Call, u64)]) -> Self {
        let mut verdict = Self::default();
        for (call, connections) in played {
            verdict.judge(seen, call, *connections);
        }
        for edge in &seen.order {
            if !played.iter().any(|(call, _)| edge_of(call) == *edge) {
                let findings: Vec<_> = seen.edges[edge].findings.iter().map(String::as_str).collect();
                let findings = if findings.is_empty() {
                    String::new()
                } else {
                    format!(", with {}", findings.join(", "))
                };
                verdict
                    .problems
                    .push(format!("{}: reported, but nobody made this call{findings}", name(edge)));
            }
        }
        verdict
    }

    fn judge(&mut self, seen: &Seen, call: &'static Call, connections: u64) {
        let edge = edge_of(call);
        let name = name(&edge);
        self.expected += call.findings.len();
        let Some(sighting) = seen.edges.get(&edge) else {
            self.problems.push(format!("{name}: no record, of {connections} connections"));
            return;
        };
        for kind in call.findings {
            if sighting.findings.contains(*kind) {
                self.seen += 1;
                self.kinds.extend(KINDS.iter().find(|known| *known == kind));
            } else {
                self.problems.push(format!("{name}: missing finding {kind}"));
            }
        }
        for kind in sighting.findings.iter().filter(|kind| !call.findings.contains(&kind.as_str())) {
            self.problems.push(format!("{name}: unexpected finding {kind}"));
        }
        for (facts, count) in &sighting.ended {
            self.problems
                .extend(differences(call, facts).map(|what| format!("{name}: {what} ({count} flows)")));
        }
        if sighting.flows() != connections {
            self.problems
                .push(format!("{name}: {connections} connections, {} final records", sighting.flows()));
        }
    }

    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.seen == self.expected
    }
}

/// What each single flow of a call shows otherwise than expected.
fn differences(call: &Call, facts: &Facts) -> impl Iterator<Item = String> {
    let differs = |what: &str, wanted: &str, found: &str| {
        (wanted != found).then(|| format!("{what} is {found}, expected {wanted}"))
    };
    let reason = call
        .reason
        .and_then(|wanted| differs("the reason", wanted, facts.reason.as_deref().unwrap_or("absent")));
    let requests = (call.requests != facts.requests)
        .then(|| format!("requests are {:?}, expected {:?}", facts.requests, call.requests));
    let lacking: Vec<_> =
        call.findings.iter().filter(|kind| !facts.findings.contains(**kind)).copied().collect();
    let lacking = (!lacking.is_empty()).then(|| format!("ended without {}", lacking.join(", ")));
    [
        differs("encryption", call.encryption, &facts.encryption),
        differs("declaration", call.declaration, &facts.declaration),
        reason,
        requests,
        lacking,
    ]
    .into_iter()
    .flatten()
}

fn edge_of(call: &Call) -> Edge {
    Edge { client: call.client.to_owned(), server: call.server.to_owned(), port: call.port() }
}

fn name(edge: &Edge) -> String {
    format!("{} -> {}:{}", edge.client, edge.server, edge.port)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::demo::cast::CALLS;

    /// The final record that the observer's contract asks for.
    fn record(call: &Call) -> Value {
        let requests = &call.requests;
        json!({
            "client": {"principal": call.client, "port": 40000},
            "server": {"principal": call.server, "port": call.port()},
            "encryption": {"status": call.encryption},
            "authentication": {"status": "verified", "reason": call.reason},
            "requests": {"total": requests.total, "none": requests.none, "present": requests.present,
                "verified": requests.verified, "invalid": requests.invalid, "unknown": requests.unknown},
            "declaration": {"status": call.declaration},
            "findings": call.findings,
            "final": true,
        })
    }

    fn judge(change: impl Fn(usize, &mut Value), more: &[Value]) -> Verdict {
        let mut seen = Seen::default();
        for (index, call) in CALLS.iter().enumerate() {
            let mut record = record(call);
            change(index, &mut record);
            seen.take(&record.to_string()).unwrap();
        }
        for record in more {
            seen.take(&record.to_string()).unwrap();
        }
        let played: Vec<_> = CALLS.iter().map(|call| (call, 1)).collect();
        Verdict::of(&seen, &played)
    }

    #[test]
    fn what_was_played_and_nothing_else_is_good() {
        let verdict = judge(|_, _| {}, &[]);
        assert!(verdict.is_good(), "{verdict:?}");
        assert_eq!(verdict.kinds.len(), KINDS.len());
    }

    #[test]
    fn a_missing_finding_is_told_with_its_edge() {
        let verdict = judge(
            |index, record| {
                if index == 0 {
                    record["findings"] = json!(["unencrypted"]);
                }
            },
            &[],
        );
        assert!(!verdict.is_good());
        assert_eq!(verdict.seen, verdict.expected - 1);
        let missing = "shop/frontend -> shop/orders:8080: missing finding unauthenticated";
        assert!(verdict.problems.iter().any(|problem| problem == missing), "{:?}", verdict.problems);
    }

    #[test]
    fn a_finding_on_the_wrong_edge_is_told_even_if_only_a_flow_that_goes_on_has_it() {
        let mut open = record(&CALLS[2]);
        open["findings"] = json!(["unencrypted"]);
        open["final"] = json!(false);
        let verdict = judge(|_, _| {}, &[open]);
        assert_eq!(verdict.problems, ["shop/orders -> shop/ledger:8443: unexpected finding unencrypted"]);
    }

    #[test]
    fn an_edge_that_nobody_played_is_told() {
        let mut stranger = record(&CALLS[0]);
        stranger["client"]["principal"] = json!("unknown");
        let verdict = judge(|_, _| {}, &[stranger]);
        assert_eq!(verdict.problems.len(), 1);
        assert!(verdict.problems[0].starts_with("unknown -> shop/orders:8080: reported"));
    }

    #[test]
    fn a_flow_told_twice_or_not_at_all_is_told() {
        let verdict = judge(|_, _| {}, &[record(&CALLS[1])]);
        assert_eq!(verdict.problems, ["shop/orders -> shop/payments:8080: 1 connections, 2 final records"]);
        let verdict = judge(|index, record| record["final"] = json!(index != 1), &[]);
        assert_eq!(verdict.problems, ["shop/orders -> shop/payments:8080: 1 connections, 0 final records"]);
    }

    #[test]
    fn the_facts_of_each_flow_count() {
        let change = |path: [&'static str; 2], value: Value, at: usize| {
            judge(
                move |index, record| {
                    if index == at {
                        record[path[0]][path[1]] = value.clone()
                    }
                },
                &[],
            )
        };
        for (verdict, told) in [
            (change(["encryption", "status"], json!("unknown"), 2), "encryption is unknown, expected tls"),
            (change(["authentication", "reason"], json!("origin-unknown"), 4), "expected replayed"),
            (change(["requests", "none"], json!(3), 6), "requests are"),
            (change(["declaration", "status"], json!("allowed"), 5), "declaration is allowed"),
        ] {
            assert_eq!(verdict.problems.len(), 1, "{told}");
            assert!(verdict.problems[0].contains(told), "{}", verdict.problems[0]);
        }
    }
}
