//! What the status of a ServiceGraph should say; pure.

use serde_json::{Value, json};

use super::ledger::{Refused, Standing};
use crate::model::Timestamp;

const ACCEPTED: &str = "Accepted";
/// The API takes no longer message.
const MAX_MESSAGE: usize = 32_768;

/// The status that has to be written; `None`: it is there already.
pub fn wanted(standing: &Standing, refused: Option<&Refused>, now: Timestamp) -> Option<Value> {
    let (status, reason, message) = match refused {
        None => ("True", ACCEPTED, "in force"),
        Some(refused) => ("False", refused.reason, refused.message.as_str()),
    };
    let message: String = message.chars().take(MAX_MESSAGE / 4).collect();
    let over = |until: &&Option<String>| {
        until
            .as_deref()
            .and_then(|until| until.parse::<jiff::Timestamp>().ok())
            .is_some_and(|until| u64::try_from(until.as_nanosecond()).unwrap_or_default() <= now.0)
    };
    let expired = standing.until.iter().filter(over).count();
    let there = standing.status["conditions"].as_array().into_iter().flatten();
    let there = there.into_iter().find(|condition| condition["type"] == ACCEPTED);
    let since = match there {
        Some(there) if there["status"] == status => there["lastTransitionTime"].clone(),
        _ => rfc3339(now).into(),
    };
    let wanted = json!({
        "observedGeneration": standing.generation,
        "edges": standing.edges,
        "exceptions": standing.until.len() - expired,
        "expiredExceptions": expired,
        "conditions": [{
            "type": ACCEPTED, "status": status, "reason": reason, "message": message,
            "observedGeneration": standing.generation, "lastTransitionTime": since,
        }],
    });
    (wanted != standing.status).then_some(wanted)
}

/// Whether two statuses differ in nothing but since when that is so.
pub fn says_the_same(one: &Value, other: &Value) -> bool {
    let timeless = |status: &Value| {
        let mut status = status.clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = Value::Null;
        }
        status
    };
    timeless(one) == timeless(other)
}

/// In whole seconds, as conditions have it.
fn rfc3339(now: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(now.0))
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600 * 1_000_000_000); // 2026-01-01T00:00:00Z

    #[test]
    fn a_status_that_was_wanted_a_second_later_says_the_same() {
        let standing = Standing { generation: Some(2), edges: 3, ..Standing::default() };
        let later = Timestamp(NOW.0 + 1_000_000_000);
        let (one, other) = (wanted(&standing, None, NOW).unwrap(), wanted(&standing, None, later).unwrap());
        assert_ne!(one, other);
        assert!(says_the_same(&one, &other));
        let refused = Refused { reason: "Invalid", message: String::new() };
        assert!(!says_the_same(&one, &wanted(&standing, Some(&refused), NOW).unwrap()));
    }

    #[test]
    fn a_status_is_written_once_and_again_when_it_says_something_else() {
        let mut standing = Standing { generation: Some(2), edges: 3, ..Standing::default() };
        standing.until = vec![None, Some("2025-12-31T00:00:00Z".into()), Some("2027-01-01T00:00:00Z".into())];
        let first = wanted(&standing, None, NOW).unwrap();
        assert_eq!(first["observedGeneration"], 2);
        assert_eq!((&first["edges"], &first["exceptions"]), (&json!(3), &json!(2)));
        assert_eq!(first["expiredExceptions"], 1);
        assert_eq!(first["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(first["conditions"][0]["status"], "True");
        standing.status = first;
        let later = Timestamp(NOW.0 + 3_600_000_000_000);
        assert_eq!(wanted(&standing, None, later), None);
        let refused = Refused { reason: "Invalid", message: "spec.edges[0].from: is wrong".into() };
        let second = wanted(&standing, Some(&refused), later).unwrap();
        assert_eq!(second["conditions"][0]["status"], "False");
        assert_eq!(second["conditions"][0]["reason"], "Invalid");
        assert_eq!(second["conditions"][0]["message"], "spec.edges[0].from: is wrong");
        assert_eq!(second["conditions"][0]["lastTransitionTime"], "2026-01-01T01:00:00Z");
        // An exception that is over changes the counts, and not since when the graph is accepted.
        let year = Timestamp(NOW.0 + 400 * 24 * 3_600_000_000_000);
        let third = wanted(&standing, None, year).unwrap();
        assert_eq!(third["expiredExceptions"], 2);
        assert_eq!(third["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    }
}
