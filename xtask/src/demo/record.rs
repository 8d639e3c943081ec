//! What the daemon said, as far as the demo shows and checks it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;

/// One line of the daemon's standard output.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    pub client: Party,
    pub server: Party,
    pub encryption: Encryption,
    #[serde(default)]
    pub authentication: Authentication,
    #[serde(default)]
    pub requests: Requests,
    #[serde(default)]
    pub last_request: LastRequest,
    pub declaration: Declaration,
    pub findings: BTreeSet<String>,
    #[serde(default, rename = "final")]
    pub is_final: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Party {
    pub principal: String,
    pub port: u16,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Encryption {
    pub status: String,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Authentication {
    #[serde(default)]
    pub status: String,
    pub reason: Option<String>,
    pub token: Option<Token>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Token {
    pub service_account: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct LastRequest {
    pub status: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Declaration {
    pub status: String,
}

/// Requests of one connection, by what they showed of their sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Requests {
    pub total: u64,
    pub none: u64,
    pub present: u64,
    pub verified: u64,
    pub invalid: u64,
    pub unknown: u64,
}

impl Requests {
    pub const ZERO: Self = Self { total: 0, none: 0, present: 0, verified: 0, invalid: 0, unknown: 0 };

    /// The counts that are not zero, with their names.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("verified", self.verified),
            ("present", self.present),
            ("invalid", self.invalid),
            ("none", self.none),
            ("unknown", self.unknown),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// Client, server and the server's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub client: String,
    pub server: String,
    pub port: u16,
}

/// What a final record says that the demo knows beforehand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    pub encryption: String,
    pub declaration: String,
    pub requests: Requests,
    pub reason: Option<String>,
    pub findings: BTreeSet<String>,
}

/// Everything that was said of one edge. Does not grow with the number of flows, only with how much they differ.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What was said last, of a final record's if there was one.
    pub last: Record,
    /// Of all records, also of flows that have not ended.
    pub findings: BTreeSet<String>,
    /// How many flows ended with these facts.
    pub ended: BTreeMap<Facts, u64>,
}

impl Sighting {
    pub fn flows(&self) -> u64 {
        self.ended.values().sum()
    }
}

/// The edges that were seen, in the order of their appearance.
#[derive(Default)]
pub struct Seen {
    pub edges: BTreeMap<Edge, Sighting>,
    pub order: Vec<Edge>,
}

impl Seen {
    /// Takes one line of the daemon's output, and says which edge it was about.
    ///
    /// # Errors
    /// If it is not a flow record.
    pub fn take(&mut self, line: &str) -> Result<Edge> {
        let record: Record =
            serde_json::from_str(line).with_context(|| format!("not a flow record: {line}"))?;
        let edge = Edge {
            client: record.client.principal.clone(),
            server: record.server.principal.clone(),
            port: record.server.port,
        };
        let sighting = self.edges.entry(edge.clone()).or_insert_with(|| {
            self.order.push(edge.clone());
            Sighting { last: record.clone(), findings: BTreeSet::new(), ended: BTreeMap::new() }
        });
        sighting.findings.extend(record.findings.iter().cloned());
        if record.is_final {
            *sighting.ended.entry(Facts::of(&record)).or_default() += 1;
        }
        // A flow that has just begun has less to say than one that ended.
        if record.is_final || !sighting.last.is_final {
            sighting.last = record;
        }
        Ok(edge)
    }
}

impl Facts {
    fn of(record: &Record) -> Self {
        Self {
            encryption: record.encryption.status.clone(),
            declaration: record.declaration.status.clone(),
            requests: record.requests,
            reason: record.authentication.reason.clone(),
            findings: record.findings.clone(),
        }
    }
}
