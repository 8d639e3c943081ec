//! What somebody read of a row's traffic, in the same words whoever read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use anyhow::{Result, ensure};
use serde_json::Value;

/// In the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Protocol,
    Encryption,
    /// `proven` or `inferred`.
    Evidence,
    Reason,
    Version,
    Mesh,
    Sni,
    Alpn,
    Identity,
    LastRequest,
    Authentication,
}

/// Of the connections of a row, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    Requests,
    /// Requests that showed something, good or bad; told as what they showed, where that is known.
    Credentials,
    None,
    Present,
    Verified,
    Invalid,
    Unknown,
    Rejected,
}

impl Count {
    const VERDICTS: [(Self, &'static str); 5] = [
        (Self::None, "none"),
        (Self::Present, "present"),
        (Self::Verified, "verified"),
        (Self::Invalid, "invalid"),
        (Self::Unknown, "unknown"),
    ];
}

/// What is not in it was not read; an empty text was looked for and not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub texts: BTreeMap<Field, String>,
    pub counts: BTreeMap<Count, u64>,
}

impl Reading {
    pub fn set(&mut self, field: Field, text: impl Into<String>) {
        self.texts.insert(field, text.into());
    }

    fn text(&self, field: Field) -> &str {
        self.texts.get(&field).map_or("", String::as_str)
    }

    fn count(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or(0)
    }

    /// Of a flow's last record.
    pub fn of_record(record: &Value) -> Self {
        let mut reading = Self::default();
        let encryption = &record["encryption"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words = |value: &Value| {
            value.as_array().map(|all| all.iter().map(word).collect::<Vec<_>>().join(" ")).unwrap_or_default()
        };
        reading.set(Field::Protocol, word(&record["protocol"]));
        reading.set(Field::Encryption, word(&encryption["status"]));
        for (field, key) in [
            (Field::Evidence, "evidence"),
            (Field::Reason, "reason"),
            (Field::Version, "version"),
            (Field::Mesh, "mesh"),
            (Field::Sni, "sni"),
        ] {
            reading.set(field, word(&encryption[key]));
        }
        reading.set(Field::Alpn, words(&encryption["alpn"]));
        reading.set(Field::Identity, words(&encryption["client_identity"]));
        if let Some(requests) = record["requests"].as_object() {
            let number = |key: &str| requests.get(key).and_then(Value::as_u64).unwrap_or(0);
            reading.counts.insert(Count::Requests, number("total"));
            reading.counts.insert(Count::Rejected, number("rejected"));
            for (count, key) in Count::VERDICTS {
                reading.counts.insert(count, number(key));
            }
            let shown = number("present") + number("verified") + number("invalid");
            reading.counts.insert(Count::Credentials, shown);
        }
        if let Some(last) = record["last_request"].as_object() {
            let status = last.get("status").map_or_else(|| "unanswered".to_owned(), Value::to_string);
            let method = last.get("method").map_or_else(|| "?".to_owned(), word);
            reading.set(Field::LastRequest, format!("{method} {status}"));
        }
        // Where nothing can be read `unknown` says nothing new.
        let authentication = &record["authentication"];
        if record.get("requests").is_some()
            || !matches!(word(&authentication["status"]).as_str(), "unknown" | "")
        {
            let told = ["status", "scheme", "reason"].map(|key| word(&authentication[key]));
            reading
                .set(Field::Authentication, told.join(" ").split_whitespace().collect::<Vec<_>>().join(" "));
        }
        reading
    }

    /// One reading of several connections: requests are added up, and the rest has to be the same.
    pub fn of_all(readings: impl IntoIterator<Item = Self>) -> Result<Option<Self>> {
        let mut all: Option<Self> = None;
        for reading in readings {
            let Some(sum) = &mut all else {
                all = Some(reading);
                continue;
            };
            ensure!(sum.texts == reading.texts, "connections differ: `{sum}` and `{reading}`");
            for (count, number) in reading.counts {
                *sum.counts.entry(count).or_default() += number;
            }
        }
        Ok(all)
    }

    /// What `self`, a witness, read otherwise than `other`; what it did not read is no difference.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let texts = self.texts.iter().filter(|(field, text)| other.text(**field) != *text);
        let counts = self.counts.iter().filter(|(count, number)| other.count(**count) != **number);
        let texts = texts.map(|(field, _)| format!("{field:?}"));
        texts.chain(counts.map(|(count, _)| format!("{count:?}"))).collect()
    }
}

impl Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [Field::Protocol, Field::Encryption, Field::Evidence, Field::Reason, Field::Version];
        let head = head.map(|field| self.text(field)).join(" ");
        f.write_str(&head.split_whitespace().collect::<Vec<_>>().join(" "))?;
        for (field, label) in
            [(Field::Mesh, "mesh"), (Field::Sni, "sni"), (Field::Alpn, "alpn"), (Field::Identity, "of")]
        {
            if !self.text(field).is_empty() {
                write!(f, ", {label} {}", self.text(field))?;
            }
        }
        if let Some(total) = self.counts.get(&Count::Requests) {
            write!(f, ", {total} request{}:", if *total == 1 { "" } else { "s" })?;
            let verdicts = Count::VERDICTS.iter().filter(|(count, _)| self.count(*count) > 0);
            for (count, name) in verdicts {
                write!(f, " {} {name}", self.count(*count))?;
            }
            if !self.counts.contains_key(&Count::None) {
                write!(f, " {} with credentials", self.count(Count::Credentials))?;
            }
            if self.count(Count::Rejected) > 0 {
                write!(f, ", {} rejected", self.count(Count::Rejected))?;
            }
        }
        for field in [Field::LastRequest, Field::Authentication] {
            if !self.text(field).is_empty() {
                write!(f, ", {}", self.text(field))?;
            }
        }
        Ok(())
    }
}
