//! One answer out of those of many observers. Each connection is in one of them alone: a client's own observer leaves it
//! to the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::CliError;
use crate::crd::DeclaredEdge;
use crate::model::{EdgeEnd, EdgeKey, FindingKind, PostureRow, RequestCounts, Timestamp};
use crate::sink::query::{
    CoverageView, DeclarationCounts, EdgeView, EncryptionCounts, EndView, EndsSeen, FindingView,
    ObservedEdge, Request,
};

/// Labels, addresses and ports at one end of an edge, each.
const MAX_SEEN: usize = 64;

/// What was heard so far, as one answer.
pub enum Merging {
    /// The newest so many, by their time.
    Flows(usize, Vec<(Timestamp, String)>),
    Findings(BTreeMap<(FindingKind, EdgeKey), FindingView>),
    Edges(BTreeMap<EdgeKey, EdgeView>),
    Observed(BTreeMap<EdgeKey, ObservedEdge>),
    /// With the places of the rows by what makes them the same.
    Posture(BTreeMap<String, usize>, Vec<PostureRow>),
    /// As they came, each once.
    Declared(BTreeSet<String>, Vec<String>),
    Coverage(Option<CoverageView>),
}

/// Of a flow record, what puts it in its place.
#[derive(Deserialize)]
pub(super) struct Timed {
    pub time: Timestamp,
}

impl Merging {
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Flows(flows) => Self::Flows(flows.last.unwrap_or(usize::MAX), Vec::new()),
            Request::Findings(_) => Self::Findings(BTreeMap::new()),
            Request::Edges(_) => Self::Edges(BTreeMap::new()),
            Request::Observed(_) => Self::Observed(BTreeMap::new()),
            Request::Posture(_) => Self::Posture(BTreeMap::new(), Vec::new()),
            Request::Declared => Self::Declared(BTreeSet::new(), Vec::new()),
            Request::Coverage => Self::Coverage(None),
        }
    }

    /// Takes one observer's answer: all of it, or nothing.
    ///
    /// # Errors
    /// A line is none of this answer.
    pub fn add(&mut self, lines: &[String]) -> Result<(), String> {
        match self {
            Self::Flows(newest, records) => {
                let timed: Vec<Timed> = read(lines)?;
                records.extend(timed.into_iter().map(|timed| timed.time).zip(lines.iter().cloned()));
                records.sort_by_key(|(time, _)| *time);
                let surplus = records.len().saturating_sub(*newest);
                records.drain(..surplus);
            }
            Self::Findings(all) => {
                for finding in read::<FindingView>(lines)? {
                    let key = (finding.kind, findings_edge(&finding));
                    merge(all, key, finding, add_finding);
                }
            }
            Self::Edges(all) => {
                for edge in read::<EdgeView>(lines)? {
                    merge(all, key(&edge), edge, |sum, edge| add_edge(sum, &edge));
                }
            }
            Self::Observed(all) => {
                for observed in read::<ObservedEdge>(lines)? {
                    merge(all, key(&observed.edge), observed, |sum, observed| {
                        add_edge(&mut sum.edge, &observed.edge);
                        add_ends(&mut sum.clients, observed.clients);
                        add_ends(&mut sum.servers, observed.servers);
                    });
                }
            }
            Self::Posture(places, rows) => {
                for row in read::<PostureRow>(lines)? {
                    add_posture((places, rows), row);
                }
            }
            Self::Declared(known, all) => {
                read::<DeclaredEdge>(lines)?;
                all.extend(lines.iter().filter(|line| known.insert((*line).clone())).cloned());
            }
            Self::Coverage(all) => {
                for coverage in read::<CoverageView>(lines)? {
                    match all {
                        Some(sum) => add_coverage(sum, coverage),
                        None => *all = Some(coverage),
                    }
                }
            }
        }
        Ok(())
    }

    /// In the order that one observer's answer has.
    ///
    /// # Errors
    /// A number has no place in JSON.
    pub fn lines(self) -> Result<Vec<String>, CliError> {
        match self {
            Self::Flows(_, records) => Ok(records.into_iter().map(|(_, line)| line).collect()),
            Self::Findings(all) => written(all.values()),
            Self::Edges(all) => written(all.values()),
            Self::Observed(all) => written(all.values()),
            Self::Posture(_, mut rows) => {
                // The worst first; what one observer said in its order.
                rows.sort_by_key(|row| row.kind);
                written(rows.iter())
            }
            Self::Declared(_, lines) => Ok(lines),
            Self::Coverage(all) => written(all.iter()),
        }
    }
}

fn read<T: DeserializeOwned>(lines: &[String]) -> Result<Vec<T>, String> {
    let read = |line: &String| serde_json::from_str(line);
    lines.iter().map(read).collect::<Result<_, _>>().map_err(|error| {
        format!("its observer sent what cannot be read: {error}; use the same version for both")
    })
}

fn written<'a, T: Serialize + 'a>(items: impl Iterator<Item = &'a T>) -> Result<Vec<String>, CliError> {
    let line = |item| serde_json::to_string(item).map(|line| line + "\n");
    items.map(line).collect::<Result<_, _>>().map_err(|error| CliError::Failed(error.to_string()))
}

fn merge<K: Ord, V>(all: &mut BTreeMap<K, V>, key: K, new: V, add: impl FnOnce(&mut V, V)) {
    match all.entry(key) {
        std::collections::btree_map::Entry::Occupied(mut sum) => add(sum.get_mut(), new),
        std::collections::btree_map::Entry::Vacant(place) => {
            place.insert(new);
        }
    }
}

fn key(edge: &EdgeView) -> EdgeKey {
    edge_key(&edge.client, &edge.server, edge.port.0, edge.transport)
}

fn findings_edge(finding: &FindingView) -> EdgeKey {
    edge_key(&finding.client, &finding.server, finding.port.0, finding.transport)
}

fn edge_key(
    client: &EndView,
    server: &EndView,
    port: crate::model::EdgePort,
    transport: crate::model::Transport,
) -> EdgeKey {
    let end = |view: &EndView| EdgeEnd {
        namespace: Arc::from(view.namespace.as_deref().unwrap_or_default()),
        service_account: Arc::from(view.service_account.as_deref().unwrap_or_default()),
        kind: view.kind,
    };
    EdgeKey { client: end(client), server: end(server), port, transport }
}

fn add_finding(sum: &mut FindingView, new: FindingView) {
    sum.flows += new.flows;
    sum.first_seen = sum.first_seen.min(new.first_seen);
    if new.last_seen >= sum.last_seen {
        sum.last_seen = new.last_seen;
        sum.reason = new.reason;
    }
}

fn add_edge(sum: &mut EdgeView, new: &EdgeView) {
    sum.flows += new.flows;
    add_requests(&mut sum.requests, &new.requests);
    let EncryptionCounts { plaintext, tls, mtls, unknown } = new.encryption;
    sum.encryption.plaintext += plaintext;
    sum.encryption.tls += tls;
    sum.encryption.mtls += mtls;
    sum.encryption.unknown += unknown;
    let DeclarationCounts { allowed, unexpected, ungoverned, unevaluable } = new.declaration;
    sum.declaration.allowed += allowed;
    sum.declaration.unexpected += unexpected;
    sum.declaration.ungoverned += ungoverned;
    sum.declaration.unevaluable += unevaluable;
    for (kind, flows) in &new.findings {
        *sum.findings.entry(*kind).or_default() += flows;
    }
    sum.first_seen = sum.first_seen.min(new.first_seen);
    sum.last_seen = sum.last_seen.max(new.last_seen);
}

fn add_requests(sum: &mut RequestCounts, new: &RequestCounts) {
    // Named one by one, so that a new count is not forgotten here.
    let RequestCounts { total, none, present, verified, invalid, unknown, rejected } = new;
    sum.total += total;
    sum.none += none;
    sum.present += present;
    sum.verified += verified;
    sum.invalid += invalid;
    sum.unknown += unknown;
    sum.rejected += rejected;
}

fn add_ends(sum: &mut EndsSeen, new: EndsSeen) {
    sum.more |= new.more;
    sum.unlabelled |= new.unlabelled;
    sum.host_network |= new.host_network;
    sum.more |= unite(&mut sum.labels, new.labels);
    sum.more |= unite(&mut sum.addresses, new.addresses);
    sum.more |= unite(&mut sum.probe_ports, new.probe_ports);
}

/// Sorted, each once. Answers whether some were left out.
fn unite<T: Ord>(all: &mut Vec<T>, new: Vec<T>) -> bool {
    all.extend(new);
    all.sort();
    all.dedup();
    let too_many = all.len() > MAX_SEEN;
    all.truncate(MAX_SEEN);
    too_many
}

/// What is true of the whole cluster comes from each node, and is told once; what is true of a node names it.
fn add_posture((places, rows): (&mut BTreeMap<String, usize>, &mut Vec<PostureRow>), new: PostureRow) {
    let same = PostureRow { flows: None, since: None, seconds: None, ..new.clone() };
    let place = *places.entry(serde_json::to_string(&same).unwrap_or_default()).or_insert(rows.len());
    let Some(row) = rows.get_mut(place) else {
        rows.push(new);
        return;
    };
    row.flows = match (row.flows, new.flows) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    };
    row.since = match (row.since, new.since) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    row.seconds = row.seconds.max(new.seconds);
}

/// All have looked since the last of them began.
fn add_coverage(sum: &mut CoverageView, new: CoverageView) {
    sum.since = sum.since.max(new.since);
    for (stage, lost) in new.lost_events {
        *sum.lost_events.entry(stage).or_default() += lost;
    }
    for (reason, flows) in new.unresolved_flows {
        *sum.unresolved_flows.entry(reason).or_default() += flows;
    }
    sum.truncated_payloads += new.truncated_payloads;
}

#[cfg(test)]
#[path = "merging_tests.rs"]
mod tests;
