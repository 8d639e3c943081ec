//! What the daemon remembers for the CLI: the last records, and sums per edge and per finding. Bounded, no IO.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::net::SocketAddr;
use std::sync::Arc;

use super::ends_seen::Ends;
use super::filter::any;
use super::query::{
    DeclarationCounts, EdgeView, EncryptionCounts, Filter, FindingView, ObservedEdge, PortView,
};
use crate::model::{
    DeclarationStatus, EdgeKey, EncryptionStatus, FindingKind, FlowRecord, HashMap, Reporter, RequestCounts,
    Timestamp, Transport,
};

/// Bounds of the [`Store`]'s tables.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Records kept: a record is about 1.5 KB. The oldest goes first.
    pub records: usize,
    /// Edges summed up: about 0.7 KB each, 2 KB at most. The eighth that was silent longest goes first.
    pub edges: usize,
    /// (edge, kind) pairs summed up, as above.
    pub findings: usize,
    /// Open flows whose share in the sums is known. A flow beyond them is summed up when it ends.
    pub open_flows: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { records: 4_096, edges: 4_096, findings: 8_192, open_flows: 16_384 }
    }
}

/// A flow is told of several times: this is what names it.
#[derive(Hash)]
struct FlowName {
    client: SocketAddr,
    server: SocketAddr,
    transport: Transport,
    server_end: bool,
}

impl From<&FlowRecord> for FlowName {
    fn from(record: &FlowRecord) -> Self {
        Self {
            client: SocketAddr::new(record.client.ip, record.client.port),
            server: SocketAddr::new(record.server.ip, record.server.port),
            transport: record.transport,
            server_end: record.reporter == Reporter::Server,
        }
    }
}

/// A flow's share in the sums so far.
#[derive(Clone, Copy, Debug)]
struct Share {
    requests: RequestCounts,
    encryption: EncryptionStatus,
    declaration: DeclarationStatus,
    /// One bit per kind.
    findings: u16,
}

#[derive(Debug)]
struct EdgeSum {
    flows: u64,
    requests: RequestCounts,
    encryption: EncryptionCounts,
    declaration: DeclarationCounts,
    findings: [u64; FindingKind::ALL.len()],
    first_seen: Timestamp,
    last_seen: Timestamp,
    clients: Ends,
    servers: Ends,
}

#[derive(Debug)]
struct FindingSum {
    flows: u64,
    first_seen: Timestamp,
    last_seen: Timestamp,
    reason: Option<Cow<'static, str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Store {
    limits: StoreLimits,
    records: VecDeque<Arc<FlowRecord>>,
    edges: HashMap<EdgeKey, EdgeSum>,
    findings: HashMap<(EdgeKey, FindingKind), FindingSum>,
    /// By two hashes of their names, which are longer: that two flows have the same ones is less likely than any error.
    open: HashMap<[u64; 2], Share>,
    hashes: [foldhash::quality::RandomState; 2],
}

impl Store {
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Remembers a record. Returns how many sums had to be forgotten for it.
    pub fn add(&mut self, edge: &EdgeKey, record: Arc<FlowRecord>) -> u64 {
        let forgotten = self.sum_up(edge, &record);
        while self.records.len() >= self.limits.records.max(1) {
            self.records.pop_front();
        }
        self.records.push_back(record);
        forgotten
    }

    /// The newest `n` records that the filter lets through, the oldest of them first.
    #[must_use]
    pub fn last(&self, n: usize, filter: &Filter) -> Vec<Arc<FlowRecord>> {
        let mut found: Vec<_> =
            self.records.iter().rev().filter(|record| filter.matches(record)).take(n).cloned().collect();
        found.reverse();
        found
    }

    /// Sorted by kind and edge.
    #[must_use]
    pub fn findings(&self, filter: &Filter) -> Vec<FindingView> {
        let mut found: Vec<_> = self
            .findings
            .iter()
            .filter(|((edge, kind), sum)| {
                any(&filter.finding, |wanted| wanted == kind) && filter.matches_edge(edge, sum.last_seen)
            })
            .collect();
        found.sort_unstable_by(|((a, a_kind), _), ((b, b_kind), _)| (a_kind, a).cmp(&(b_kind, b)));
        found
            .into_iter()
            .map(|((edge, kind), sum)| FindingView {
                kind: *kind,
                client: (&edge.client).into(),
                server: (&edge.server).into(),
                port: PortView(edge.port),
                transport: edge.transport,
                flows: sum.flows,
                first_seen: sum.first_seen,
                last_seen: sum.last_seen,
                reason: sum.reason.clone(),
            })
            .collect()
    }

    /// Sorted by client, server, port and transport.
    #[must_use]
    pub fn edges(&self, filter: &Filter) -> Vec<EdgeView> {
        self.sums(filter).into_iter().map(|(edge, sum)| sum.view(edge)).collect()
    }

    /// The same edges, with what stood at their ends.
    #[must_use]
    pub fn observed(&self, filter: &Filter) -> Vec<ObservedEdge> {
        let sums = self.sums(filter).into_iter();
        sums.map(|(edge, sum)| ObservedEdge {
            edge: sum.view(edge),
            clients: sum.clients.view(),
            servers: sum.servers.view(),
        })
        .collect()
    }

    fn sums(&self, filter: &Filter) -> Vec<(&EdgeKey, &EdgeSum)> {
        let mut found: Vec<_> = self
            .edges
            .iter()
            .filter(|(edge, sum)| {
                any(&filter.finding, |kind| sum.findings[*kind as usize] > 0)
                    && any(&filter.encryption, |status| sum.encryption.of_status(*status) > 0)
                    && any(&filter.authentication, |status| sum.requests.of_status(*status) > 0)
                    && any(&filter.declaration, |status| sum.declaration.of_status(*status) > 0)
                    && filter.matches_edge(edge, sum.last_seen)
            })
            .collect();
        found.sort_unstable_by_key(|(edge, _)| *edge);
        found
    }

    fn sum_up(&mut self, edge: &EdgeKey, record: &FlowRecord) -> u64 {
        let name = FlowName::from(record);
        let name = self.hashes.each_ref().map(|hash| hash.hash_one(&name));
        let before = if record.last { self.open.remove(&name) } else { self.open.get(&name).copied() };
        if before.is_none() && !record.last && self.open.len() >= self.limits.open_flows {
            return 0;
        }
        let requests = record.requests.unwrap_or_default();
        // Fewer requests than before: another flow between the same two sockets' addresses.
        let before = before.filter(|share| share.requests.total <= requests.total);
        let share = Share {
            requests,
            encryption: record.encryption.status,
            declaration: record.declaration.status,
            findings: record.findings.iter().fold(0, |bits, kind| bits | 1 << (*kind as u16))
                | before.map_or(0, |share| share.findings),
        };
        let mut forgotten = make_room(&mut self.edges, edge, self.limits.edges, |sum| sum.last_seen);
        let sum = self.edges.entry(edge.clone()).or_insert_with(|| EdgeSum::new(record.time));
        sum.add(before.as_ref(), &share, record.time);
        sum.clients.add(&record.client);
        sum.servers.add(&record.server);
        for kind in record.findings.iter().copied() {
            let key = (edge.clone(), kind);
            forgotten += make_room(&mut self.findings, &key, self.limits.findings, |sum| sum.last_seen);
            let sum = self.findings.entry(key).or_insert_with(|| FindingSum {
                flows: 0,
                first_seen: record.time,
                last_seen: record.time,
                reason: None,
            });
            sum.flows += u64::from(before.is_none_or(|share| share.findings & 1 << (kind as u16) == 0));
            sum.first_seen = sum.first_seen.min(record.time);
            sum.last_seen = sum.last_seen.max(record.time);
            sum.reason = reason(kind, record).or_else(|| sum.reason.take());
        }
        if !record.last {
            self.open.insert(name, share);
        }
        forgotten
    }
}

impl EdgeSum {
    fn new(time: Timestamp) -> Self {
        Self {
            flows: 0,
            requests: RequestCounts::default(),
            encryption: EncryptionCounts::default(),
            declaration: DeclarationCounts::default(),
            findings: [0; FindingKind::ALL.len()],
            first_seen: time,
            last_seen: time,
            clients: Ends::default(),
            servers: Ends::default(),
        }
    }

    fn view(&self, edge: &EdgeKey) -> EdgeView {
        EdgeView {
            client: (&edge.client).into(),
            server: (&edge.server).into(),
            port: PortView(edge.port),
            transport: edge.transport,
            flows: self.flows,
            requests: self.requests,
            encryption: self.encryption,
            declaration: self.declaration,
            findings: FindingKind::ALL
                .into_iter()
                .map(|kind| (kind, self.findings[kind as usize]))
                .filter(|(_, flows)| *flows > 0)
                .collect::<BTreeMap<_, _>>(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        }
    }

    /// Puts a flow's new share in the place of the one `before`.
    fn add(&mut self, before: Option<&Share>, now: &Share, time: Timestamp) {
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
        let empty = RequestCounts::default();
        let old = before.map_or(&empty, |share| &share.requests);
        for (sum, now, old) in [
            (&mut self.requests.total, now.requests.total, old.total),
            (&mut self.requests.none, now.requests.none, old.none),
            (&mut self.requests.present, now.requests.present, old.present),
            (&mut self.requests.verified, now.requests.verified, old.verified),
            (&mut self.requests.invalid, now.requests.invalid, old.invalid),
            (&mut self.requests.unknown, now.requests.unknown, old.unknown),
            (&mut self.requests.rejected, now.requests.rejected, old.rejected),
        ] {
            *sum += now.saturating_sub(old);
        }
        match before {
            // The sum may be younger than the flow, if it had been forgotten.
            Some(share) => {
                let encryption = self.encryption(share.encryption);
                *encryption = encryption.saturating_sub(1);
                let declaration = self.declaration(share.declaration);
                *declaration = declaration.saturating_sub(1);
                self.flows = self.flows.max(1);
            }
            None => self.flows += 1,
        }
        *self.encryption(now.encryption) += 1;
        *self.declaration(now.declaration) += 1;
        let fresh = now.findings & !before.map_or(0, |share| share.findings);
        for kind in FindingKind::ALL {
            self.findings[kind as usize] += u64::from(fresh >> (kind as u16) & 1);
        }
    }

    fn encryption(&mut self, status: EncryptionStatus) -> &mut u64 {
        match status {
            EncryptionStatus::Plaintext => &mut self.encryption.plaintext,
            EncryptionStatus::Tls => &mut self.encryption.tls,
            EncryptionStatus::Mtls => &mut self.encryption.mtls,
            EncryptionStatus::Unknown => &mut self.encryption.unknown,
        }
    }

    fn declaration(&mut self, status: DeclarationStatus) -> &mut u64 {
        match status {
            DeclarationStatus::Allowed => &mut self.declaration.allowed,
            DeclarationStatus::Unexpected => &mut self.declaration.unexpected,
            DeclarationStatus::Ungoverned => &mut self.declaration.ungoverned,
            DeclarationStatus::Unevaluable => &mut self.declaration.unevaluable,
        }
    }
}

/// What the record says about why it has this finding.
fn reason(kind: FindingKind, record: &FlowRecord) -> Option<Cow<'static, str>> {
    match kind {
        FindingKind::Unexpected => record.declaration.reason.clone(),
        // Whose edge asks for it.
        FindingKind::Unencrypted | FindingKind::Unauthenticated => {
            let allowed = record.declaration.status == DeclarationStatus::Allowed;
            record.declaration.source.as_deref().filter(|_| allowed).map(|source| source.to_owned().into())
        }
        FindingKind::IdentityMismatch | FindingKind::InvalidToken | FindingKind::WrongAudience => {
            record.authentication.as_ref().and_then(|authentication| authentication.reason.clone())
        }
        _ => None,
    }
}

/// If `key` needs room in a full table, forgets the eighth that was silent longest; returns how many. One sweep
/// serves many newcomers, so that a flood of them does not cost a sweep each.
fn make_room<K: Hash + Eq, V>(
    table: &mut HashMap<K, V>,
    key: &K,
    limit: usize,
    last_seen: impl Fn(&V) -> Timestamp,
) -> u64 {
    let limit = limit.max(1);
    if table.len() < limit || table.contains_key(key) {
        return 0;
    }
    let mut times: Vec<Timestamp> = table.values().map(&last_seen).collect();
    let excess = (limit / 8).max(1).min(times.len());
    let (_, oldest_kept, _) = times.select_nth_unstable(excess - 1);
    let oldest_kept = *oldest_kept;
    let before = table.len();
    let mut left = excess;
    table.retain(|_, value| {
        let goes = left > 0 && last_seen(value) <= oldest_kept;
        left -= usize::from(goes);
        !goes
    });
    (before - table.len()) as u64
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
