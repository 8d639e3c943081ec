//! The Prometheus text format (prometheus.io, "Exposition formats"), as far as a scraper reads it; and the families of
//! the contract.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Default)]
pub struct Exposition {
    /// By family.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Exposition {
    pub fn parse(body: &str) -> Result<Self> {
        let mut exposition = Self::default();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                if let (Some("TYPE"), Some(name), Some(kind)) = (words.next(), words.next(), words.next()) {
                    let before = exposition.types.insert(name.to_owned(), kind.to_owned());
                    ensure!(before.is_none(), "{name} has two TYPE lines");
                }
            } else if !line.is_empty() {
                exposition.samples.push(sample(line).with_context(|| line.to_owned())?);
            }
        }
        Ok(exposition)
    }

    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let is_wanted = |sample: &&Sample| {
            sample.name == name
                && wanted.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        };
        self.samples.iter().filter(is_wanted).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(set) = rest.strip_prefix('{') {
        rest = set;
        while !rest.starts_with('}') {
            let (key, value) = rest.split_once("=\"").context("a label")?;
            let end = value.find('"').context("the end of a value")?;
            if value[..end].contains('\\') {
                bail!("an escape, which no name of this test has");
            }
            ensure!(labels.insert(key.to_owned(), value[..end].to_owned()).is_none(), "{key} twice");
            rest = value[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next().context("no value")?.parse()?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

pub const EDGE: [&str; 8] = [
    "client_namespace",
    "client_service_account",
    "client_kind",
    "server_namespace",
    "server_service_account",
    "server_kind",
    "server_port",
    "transport",
];

/// Name, type, labels besides [`EDGE`], whether it has those, and whether this suite makes samples of it.
pub const FAMILIES: &[(&str, &str, &[&str], bool, bool)] = &[
    ("observer_flows_total", "counter", &["encryption", "declaration"], true, true),
    ("observer_requests_total", "counter", &["authentication"], true, true),
    ("observer_findings_total", "counter", &["kind"], true, true),
    ("observer_bytes_total", "counter", &["direction"], true, true),
    ("observer_edge_last_seen_timestamp_seconds", "gauge", &[], true, true),
    ("observer_exempted_total", "counter", &["kind", "reason"], false, true),
    ("observer_declared_edges", "gauge", &["state"], false, true),
    ("observer_declared_exceptions", "gauge", &["state"], false, true),
    ("observer_lost_events_total", "counter", &["stage"], false, true),
    ("observer_truncated_payloads_total", "counter", &[], false, true),
    ("observer_unresolved_flows_total", "counter", &["reason"], false, true),
    ("observer_series_overflow_total", "counter", &[], false, true),
    ("observer_open_flows", "gauge", &[], false, true),
    ("observer_identities", "gauge", &["kind"], false, true),
    ("observer_identity_lag_seconds", "gauge", &[], false, true),
    ("observer_probe_info", "gauge", &["hook", "mode"], false, true),
    // Without an API server nothing is watched.
    ("observer_watch_up", "gauge", &["resource"], false, false),
    ("observer_malformed_objects_total", "counter", &["kind"], false, false),
    // Only where something is weak.
    ("observer_posture_findings", "gauge", &["kind", "namespace", "service_account"], false, false),
    ("observer_posture_known", "gauge", &["kind"], false, true),
    ("observer_refused_clients_total", "counter", &["server", "reason"], false, true),
    ("observer_config_last_reload_successful", "gauge", &[], false, true),
    ("observer_config_last_reload_success_timestamp_seconds", "gauge", &[], false, true),
    ("observer_build_info", "gauge", &["version", "revision"], false, true),
];
