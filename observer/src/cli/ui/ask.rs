//! What the page may ask for. It only reads, and only what ends.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Answered, Answers};
use crate::cli::CliError;
use crate::crd::DeclaredEdge;
use crate::model::Timestamp;
use crate::review::{self, Against, Difference, SeenEdge};
use crate::sink::query::{CoverageView, FilterRequest, FlowsRequest, ObservedEdge, Request};

/// Records in one answer, at most.
const MAX_RECORDS: usize = 500;

/// A request of the page: the socket's own, as far as the page needs them, and one more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Ask {
    /// The lines of `observer edges -o json`.
    Edges(FilterRequest),
    /// The lines of `observer flows -o json`, without `--follow`.
    Flows(FlowsRequest),
    /// The lines of `observer graph diff -o json` that tell what is declared and was not seen.
    Unseen,
    Coverage,
}

/// The lines that answer it.
///
/// # Errors
/// Nobody answers.
pub(super) fn ask(answers: &dyn Answers, ask: Ask) -> Result<Answered, CliError> {
    match ask {
        Ask::Edges(request) => answers.ask(&Request::Edges(request)),
        Ask::Flows(request) => {
            let last = request.last.map_or(MAX_RECORDS, |last| last.min(MAX_RECORDS));
            answers.ask(&Request::Flows(FlowsRequest { follow: false, last: Some(last), ..request }))
        }
        Ask::Coverage => answers.ask(&Request::Coverage),
        Ask::Unseen => unseen(answers),
    }
}

fn unseen(answers: &dyn Answers) -> Result<Answered, CliError> {
    let declared = answers.ask(&Request::Declared)?;
    let observed = answers.ask(&Request::Observed(FilterRequest::default()))?;
    let coverage = answers.ask(&Request::Coverage)?;
    let seen: Vec<SeenEdge> =
        read::<ObservedEdge>(&observed.lines)?.into_iter().map(SeenEdge::from).collect();
    // Of several observers, all have looked since the last of them began.
    let since = read::<CoverageView>(&coverage.lines)?.iter().map(|one| one.since).max();
    let declared_edges: Vec<DeclaredEdge> = read(&declared.lines)?;
    let against = Against { declared: &declared_edges, is_in_force: true };
    let rows = review::diff(against, &seen, (since.unwrap_or(Timestamp::default()), None), None);
    let mut lines = String::new();
    for row in rows.iter().filter(|row| row.difference == Difference::Stale) {
        lines += &serde_json::to_string(row).map_err(|error| CliError::Failed(error.to_string()))?;
        lines.push('\n');
    }
    let mut silent = [declared.silent, observed.silent, coverage.silent].concat();
    silent.sort();
    silent.dedup();
    Ok(Answered { lines, silent })
}

fn read<T: DeserializeOwned>(lines: &str) -> Result<Vec<T>, CliError> {
    let read = |line| serde_json::from_str(line);
    lines.lines().map(read).collect::<Result<_, _>>().map_err(|error| {
        CliError::Failed(format!(
            "the observer sent what cannot be read: {error}; use the same version for both"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    /// Knows one answer for each kind of request, and notes what it was asked.
    #[derive(Default)]
    struct Known {
        asked: Mutex<Vec<Request>>,
    }

    impl Answers for Known {
        fn ask(&self, request: &Request) -> Result<Answered, CliError> {
            self.asked.lock().unwrap().push(request.clone());
            let end = |name: &str| json!({"principal": format!("shop/{name}"), "kind": "pod", "namespace": "shop", "service_account": name});
            let edge = |from: &str, to: &str, port: u16| {
                json!({"source": "ServiceGraph shop/shop", "clause": "spec.edges[0]", "namespace": "shop",
                    "edge": {"from": {"serviceAccount": from, "namespace": "shop"}, "to": {"serviceAccount": to, "namespace": "shop"}, "ports": [port]}})
            };
            let lines = match request {
                Request::Declared => vec![edge("orders", "payments", 8080), edge("orders", "mail", 25)],
                Request::Observed(_) => vec![json!({
                    "edge": {"client": end("orders"), "server": end("payments"), "port": 8080, "transport": "tcp", "flows": 1,
                        "requests": {"total": 0, "none": 0, "present": 0, "verified": 0, "invalid": 0, "unknown": 0, "rejected": 0},
                        "encryption": {"plaintext": 1, "tls": 0, "mtls": 0, "unknown": 0},
                        "declaration": {"allowed": 1, "unexpected": 0, "ungoverned": 0, "unevaluable": 0},
                        "findings": {}, "first_seen": "2026-01-01T00:00:01Z", "last_seen": "2026-01-01T00:00:02Z"},
                    "clients": {}, "servers": {}})],
                Request::Coverage => ["2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"]
                    .map(|since| json!({"since": since, "lost_events": {}, "unresolved_flows": {}, "truncated_payloads": 0}))
                    .to_vec(),
                _ => Vec::new(),
            };
            let lines = lines.iter().map(|line| format!("{line}\n")).collect();
            Ok(Answered { lines, silent: vec!["n2".to_owned()] })
        }
    }

    #[test]
    fn what_is_declared_and_was_not_seen_is_told_with_the_time_since_which_all_looked() {
        let answered = ask(&Known::default(), Ask::Unseen).unwrap();
        let rows: Vec<serde_json::Value> = read(&answered.lines).unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((&rows[0]["client"], &rows[0]["server"]), (&json!("shop/orders"), &json!("shop/mail")));
        assert!(
            rows[0]["not_seen_since"].as_str().is_some_and(|since| since.starts_with("2026-01-01T00:00:05"))
        );
        assert_eq!(answered.silent, ["n2"]);
    }

    #[test]
    fn records_come_to_an_end_whatever_is_asked_for() {
        let known = Known::default();
        for last in [None, Some(7), Some(1_000_000)] {
            let request = FlowsRequest { follow: true, last, ..FlowsRequest::default() };
            ask(&known, Ask::Flows(request)).unwrap();
        }
        let asked = known.asked.into_inner().unwrap();
        let lasts: Vec<_> = asked
            .iter()
            .map(|request| match request {
                Request::Flows(flows) => (flows.follow, flows.last),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lasts, [(false, Some(500)), (false, Some(7)), (false, Some(500))]);
    }

    #[test]
    fn the_page_cannot_ask_for_more_than_it_needs() {
        let read = |text: &str| serde_json::from_str::<Ask>(text);
        assert_eq!(read(r#"{"edges":{}}"#).unwrap(), Ask::Edges(FilterRequest::default()));
        assert_eq!(read(r#""unseen""#).unwrap(), Ask::Unseen);
        for text in [r#"{"posture":{}}"#, r#"{"edges":{"nonsense":1}}"#, "{}", "1", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
