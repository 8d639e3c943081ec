//! Whether what was read of a row is what it expects, and what the two readers say of each other.

use serde_json::{Value, json};

use crate::reading::Reading;
use crate::row::Row;

/// A row with its readings.
pub struct Judged {
    pub observer: String,
    pub tshark: String,
    /// What is wrong; nothing: it is as expected.
    pub faults: Vec<String>,
}

/// `records` are the last ones of all connections of the row.
pub fn judge(row: &Row, records: &[Value], witness: &[Reading]) -> Judged {
    let mut faults = Vec::new();
    if records.len() != row.connections {
        faults.push(format!("{} records, not {}", records.len(), row.connections));
    }
    let mut merge = |who: &str, readings: Vec<Reading>| match Reading::of_all(readings) {
        Ok(reading) => reading,
        Err(error) => {
            faults.push(format!("{who}: {error}"));
            None
        }
    };
    let observer = merge("observer", records.iter().map(Reading::of_record).collect());
    let tshark = merge("tshark", witness.to_vec());
    let text =
        |reading: &Option<Reading>| reading.as_ref().map_or_else(|| "-".to_owned(), Reading::to_string);
    if text(&observer) != row.expected {
        faults.push(format!("expected {}", row.expected));
    }
    if let Some(findings) = &row.findings {
        let wrong = records.iter().map(|record| &record["findings"]).find(|found| **found != json!(findings));
        faults.extend(wrong.map(|wrong| format!("findings {wrong}, not {findings:?}")));
    }
    faults.extend(compare(row, observer.as_ref(), tshark.as_ref()));
    Judged { observer: text(&observer), tshark: text(&tshark), faults }
}

/// A difference that the row does not explain is a fault, and so is an explanation without a difference.
fn compare(row: &Row, observer: Option<&Reading>, tshark: Option<&Reading>) -> Vec<String> {
    let mut faults = Vec::new();
    match (tshark, row.unread) {
        (None, None) if row.unread_at_times.is_some() => {}
        (None, None) => faults.push("tshark read nothing".to_owned()),
        (Some(_), Some(_)) => faults.push("tshark reads it after all".to_owned()),
        _ => {}
    }
    let (Some(observer), Some(tshark)) = (observer, tshark) else { return faults };
    let mut differences = tshark.differences(observer);
    for (what, _) in &row.otherwise {
        if !differences.remove(*what) {
            faults.push(format!("tshark does not read {what} otherwise"));
        }
    }
    faults.extend(differences.into_iter().map(|what| format!("tshark reads {what} otherwise")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Count, Field};
    use crate::row::row;

    fn record() -> Value {
        json!({
            "protocol": "http/1.1",
            "encryption": {"status": "plaintext", "link": "none"},
            "authentication": {"status": "present", "scheme": "basic"},
            "requests": {"total": 3, "none": 1, "present": 2, "verified": 0, "invalid": 0, "unknown": 0, "rejected": 1},
            "last_request": {"method": "GET", "status": 401},
            "findings": ["unencrypted"],
        })
    }

    const EXPECTED: &str =
        "http/1.1 plaintext, 3 requests: 1 none 2 present, 1 rejected, GET 401, present basic";

    fn witness() -> Reading {
        let mut reading = Reading::default();
        reading.set(Field::Protocol, "http/1.1");
        reading.set(Field::LastRequest, "GET 401");
        reading.counts.extend([(Count::Requests, 3), (Count::Credentials, 2), (Count::Rejected, 1)]);
        reading
    }

    fn faults(row: &Row, records: &[Value], witness: &[Reading]) -> Vec<String> {
        judge(row, records, witness).faults
    }

    fn expecting(text: &str) -> Row {
        row("a case", "a client", "a server").reads(text).finds(&["unencrypted"])
    }

    #[test]
    fn a_row_is_fine_where_expectation_observer_and_tshark_agree() {
        let judged = judge(&expecting(EXPECTED), &[record()], &[witness()]);
        assert_eq!(judged.faults, Vec::<String>::new());
        assert_eq!(judged.tshark, "http/1.1, 3 requests: 2 with credentials, 1 rejected, GET 401");
    }

    #[test]
    fn every_word_of_an_expectation_counts() {
        for word in EXPECTED.split(' ') {
            let row = expecting(&EXPECTED.replacen(word, "else", 1));
            assert_eq!(faults(&row, &[record()], &[witness()]).len(), 1, "{word}");
        }
    }

    #[test]
    fn every_value_of_a_record_that_is_told_counts() {
        for pointer in [
            "/protocol",
            "/encryption/status",
            "/authentication/status",
            "/authentication/scheme",
            "/requests/total",
            "/requests/none",
            "/requests/present",
            "/requests/verified",
            "/requests/invalid",
            "/requests/unknown",
            "/requests/rejected",
            "/last_request/method",
            "/last_request/status",
            "/findings",
        ] {
            let mut record = record();
            let value = record.pointer_mut(pointer).unwrap();
            *value = if value.is_number() { json!(99) } else { json!("else") };
            assert!(!faults(&expecting(EXPECTED), &[record], &[witness()]).is_empty(), "{pointer}");
        }
    }

    #[test]
    fn a_missing_record_and_one_too_many_are_faults() {
        assert!(faults(&expecting(EXPECTED), &[], &[witness()])[0].starts_with("0 records"));
        assert!(
            faults(&expecting(EXPECTED), &[record(), record()], &[witness()])[0].starts_with("2 records")
        );
    }

    #[test]
    fn whatever_tshark_reads_otherwise_is_a_fault_unless_the_row_says_why() {
        let mut other = witness();
        other.counts.insert(Count::Requests, 4);
        let row = expecting(EXPECTED);
        assert_eq!(faults(&row, &[record()], &[other.clone()]), ["tshark reads Requests otherwise"]);
        let row = row.otherwise("Requests", "it counts something else");
        assert!(faults(&row, &[record()], &[other]).is_empty());
        assert_eq!(faults(&row, &[record()], &[witness()]), ["tshark does not read Requests otherwise"]);
        let mut other = witness();
        other.set(Field::Sni, "a name");
        assert_eq!(faults(&expecting(EXPECTED), &[record()], &[other]), ["tshark reads Sni otherwise"]);
    }

    #[test]
    fn a_witness_that_is_silent_is_a_fault_unless_the_row_says_why() {
        assert_eq!(faults(&expecting(EXPECTED), &[record()], &[]), ["tshark read nothing"]);
        let row = expecting(EXPECTED).unread("nobody could");
        assert!(faults(&row, &[record()], &[]).is_empty());
        assert_eq!(faults(&row, &[record()], &[witness()]), ["tshark reads it after all"]);
        let row = expecting(EXPECTED).unread_at_times("it is cut off where the server likes");
        assert!(faults(&row, &[record()], &[]).is_empty());
        assert!(faults(&row, &[record()], &[witness()]).is_empty());
        let row = row.otherwise("Requests", "it counts something else");
        assert_eq!(faults(&row, &[record()], &[witness()]), ["tshark does not read Requests otherwise"]);
    }

    #[test]
    fn requests_of_several_connections_are_added_up_and_the_rest_is_the_same_or_a_fault() {
        let row = expecting(
            &EXPECTED.replace("3 requests: 1 none 2 present, 1", "6 requests: 2 none 4 present, 2"),
        );
        let row = row.connections(2);
        assert!(faults(&row, &[record(), record()], &[witness(), witness()]).is_empty());
        let mut other = record();
        other["protocol"] = json!("http/2");
        assert!(faults(&row, &[record(), other], &[witness(), witness()])[0].contains("connections differ"));
    }
}
