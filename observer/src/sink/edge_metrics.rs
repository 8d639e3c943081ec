//! The counters of the edges, and the budget that bounds how many series they make.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{self, Metric};
use super::labels::{AUTHENTICATION, DECLARATION, DIRECTION, ENCRYPTION, EdgeName, EdgeSeries};
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgeEnd, EdgeKey, EncryptionStatus, FindingKind, HashMap, Kind,
    Timestamp,
};

/// Series kept for the families whose labels are words of this program, and for the overflow edge's own.
pub(super) const RESERVED_SERIES: usize = 256;
/// The smallest budget that still shows something.
pub const MIN_SERIES_BUDGET: usize = 1_000;
pub const DEFAULT_SERIES_BUDGET: usize = 50_000;
/// New edges may fill this much of the budget, in tenths. The rest is for edges that are already shown: a finding of
/// theirs must not vanish into the overflow because somebody scanned ports.
const EDGE_TENTHS: usize = 9;

/// How many series may still be made.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// Updates that went to the overflow series.
    overflow: Counter,
}

impl Budget {
    pub fn new(limit: usize, overflow: Counter) -> Self {
        Self { limit: limit.max(MIN_SERIES_BUDGET) - RESERVED_SERIES, used: AtomicUsize::new(0), overflow }
    }

    /// Takes one series out of the budget.
    pub fn claim(&self) -> bool {
        self.claim_below(self.limit)
    }

    pub fn count_overflow(&self) {
        self.overflow.inc();
    }

    fn claim_edge(&self) -> bool {
        self.claim_below(self.limit / 10 * EDGE_TENTHS)
    }

    fn claim_below(&self, limit: usize) -> bool {
        self.used.fetch_update(Relaxed, Relaxed, |used| (used < limit).then_some(used + 1)).is_ok()
    }

    pub fn give_back(&self, series: usize) {
        self.used.fetch_sub(series, Relaxed);
    }
}

/// One number per series that an edge can have; zero: there is no such series yet.
#[derive(Debug, Default)]
struct Cells {
    flows: [[AtomicU64; DECLARATION.len()]; ENCRYPTION.len()],
    requests: [AtomicU64; AUTHENTICATION.len()],
    findings: [AtomicU64; FindingKind::ALL.len()],
    bytes: [AtomicU64; DIRECTION.len()],
    /// Nanoseconds since 1970.
    last_seen: AtomicU64,
}

impl Cells {
    /// The series besides that of `last_seen`.
    fn series(&self) -> usize {
        let cells =
            self.flows.iter().flatten().chain(&self.requests).chain(&self.findings).chain(&self.bytes);
        cells.filter(|cell| cell.load(Relaxed) > 0).count()
    }
}

/// What is still there, and keeps its series however quiet it is.
pub struct Still<'a> {
    /// The pod's end of an edge.
    pub end: &'a dyn Fn(&EdgeEnd) -> bool,
    /// The reason of an exemption.
    pub reason: &'a dyn Fn(&str) -> bool,
}

/// The counters of one edge. Keep it with the flow: an update is then one atomic addition.
#[derive(Debug)]
pub struct EdgeMetrics {
    name: EdgeName,
    cells: Cells,
    /// When it was first looked at by who reaps, in nanoseconds since 1970; zero: not yet.
    known_since: AtomicU64,
    /// Where updates go for which there is no series left; `None` in the overflow edge itself.
    overflow: Option<Arc<EdgeMetrics>>,
    budget: Arc<Budget>,
}

impl EdgeMetrics {
    /// A flow of this edge has settled, or ended before it could: once per flow.
    pub fn flow_settled(&self, encryption: EncryptionStatus, declaration: DeclarationStatus) {
        self.add(1, |cells| &cells.flows[encryption as usize][declaration as usize]);
    }

    pub fn requests(&self, authentication: AuthenticationStatus, n: u64) {
        self.add(n, |cells| &cells.requests[authentication as usize]);
    }

    /// Once per flow and kind.
    pub fn finding(&self, kind: FindingKind) {
        self.add(1, |cells| &cells.findings[kind as usize]);
    }

    /// Payload bytes; `sent`: from client to server.
    pub fn bytes(&self, sent: u64, received: u64) {
        self.add(sent, |cells| &cells.bytes[0]);
        self.add(received, |cells| &cells.bytes[1]);
    }

    pub fn seen(&self, time: Timestamp) {
        // Its series was claimed when the edge was admitted.
        self.cells.last_seen.fetch_max(time.0, Relaxed);
    }

    /// Whether no flow of it was seen for `idle`.
    fn is_idle(&self, now: Timestamp, idle: Duration) -> bool {
        let _ = self.known_since.compare_exchange(0, now.0, Relaxed, Relaxed);
        // A flow that was counted and has not been written yet has left no time.
        let used = match self.cells.last_seen.load(Relaxed) {
            0 => self.known_since.load(Relaxed),
            seen => seen,
        };
        now.since(Timestamp(used)) >= idle
    }

    fn add(&self, n: u64, cell: impl Fn(&Cells) -> &AtomicU64) {
        if n == 0 {
            return;
        }
        let Some(overflow) = &self.overflow else {
            cell(&self.cells).fetch_add(n, Relaxed);
            self.budget.count_overflow();
            return;
        };
        let own = cell(&self.cells);
        if own.load(Relaxed) > 0 {
            own.fetch_add(n, Relaxed);
        } else if !self.budget.claim() {
            overflow.add(n, cell);
        } else if own.compare_exchange(0, n, Relaxed, Relaxed).is_err() {
            self.budget.give_back(1);
            own.fetch_add(n, Relaxed);
        }
    }
}

/// All edges. Bounded by the budget: an edge is admitted only with a series of its own.
#[derive(Debug)]
pub(super) struct EdgeTable {
    edges: RwLock<HashMap<EdgeKey, Arc<EdgeMetrics>>>,
    overflow: Arc<EdgeMetrics>,
    budget: Arc<Budget>,
}

impl EdgeTable {
    pub fn new(budget: Arc<Budget>) -> Self {
        let overflow = EdgeMetrics {
            name: EdgeName::Overflow,
            cells: Cells::default(),
            known_since: AtomicU64::new(0),
            overflow: None,
            budget: budget.clone(),
        };
        Self { edges: RwLock::default(), overflow: Arc::new(overflow), budget }
    }

    /// The counters of `edge`, or of the overflow edge.
    pub fn get(&self, edge: &EdgeKey) -> Arc<EdgeMetrics> {
        if let Some(known) = self.edges.read().unwrap_or_else(PoisonError::into_inner).get(edge) {
            return known.clone();
        }
        let mut edges = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = edges.get(edge) {
            return known.clone();
        }
        if !self.budget.claim_edge() {
            return self.overflow.clone();
        }
        let fresh = Arc::new(EdgeMetrics {
            name: EdgeName::Edge(edge.clone()),
            cells: Cells::default(),
            known_since: AtomicU64::new(0),
            overflow: Some(self.overflow.clone()),
            budget: self.budget.clone(),
        });
        edges.insert(edge.clone(), fresh.clone());
        fresh
    }

    /// Forgets the edges that nobody holds, that had no flow for `idle`, and that `still` has no pod for; answers how
    /// many series that gave back. One of them that is asked for again starts at zero.
    ///
    /// No update is lost: whoever may still count holds the counters, and nobody gets hold of them meanwhile.
    pub fn reap(&self, now: Timestamp, idle: Duration, still: &dyn Fn(&EdgeEnd) -> bool) -> usize {
        let mut edges = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        let mut given_back = 0;
        edges.retain(|edge, metrics| {
            let stays =
                !metrics.is_idle(now, idle) || Arc::strong_count(metrics) > 1 || is_there(edge, still);
            if !stays {
                // The series that it was admitted with, and its others.
                given_back += 1 + metrics.cells.series();
            }
            stays
        });
        if given_back > 0 {
            let left = edges.len();
            edges.shrink_to(left * 2);
            self.budget.give_back(given_back);
        }
        given_back
    }

    /// By name, so that two expositions can be compared; the overflow edge last.
    fn sorted(&self) -> Vec<Arc<EdgeMetrics>> {
        let mut all: Vec<_> =
            self.edges.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all.push(self.overflow.clone());
        all
    }
}

impl Collector for EdgeTable {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let edges = self.sorted();
        let mut counters = |metric, write: &dyn Fn(&EdgeMetrics, &mut Samples<'_>)| {
            families::encode(&mut encoder, metric, |family| {
                let mut result = Ok(());
                for edge in &edges {
                    write(edge, &mut |series, value| {
                        let value = value.load(Relaxed);
                        if value > 0 && result.is_ok() {
                            result = family
                                .encode_family(&series)
                                .and_then(|own| ConstCounter::new(value).encode(own));
                        }
                    });
                }
                result
            })
        };
        counters(Metric::Flows, &|edge, sample| {
            for (encryption, row) in ENCRYPTION.into_iter().zip(&edge.cells.flows) {
                for (declaration, value) in DECLARATION.into_iter().zip(row) {
                    sample(EdgeSeries::Flows(&edge.name, encryption, declaration), value);
                }
            }
        })?;
        counters(Metric::Requests, &|edge, sample| {
            for (authentication, value) in AUTHENTICATION.into_iter().zip(&edge.cells.requests) {
                sample(EdgeSeries::Requests(&edge.name, authentication), value);
            }
        })?;
        counters(Metric::Findings, &|edge, sample| {
            for (kind, value) in FindingKind::ALL.into_iter().zip(&edge.cells.findings) {
                sample(EdgeSeries::Findings(&edge.name, kind), value);
            }
        })?;
        counters(Metric::Bytes, &|edge, sample| {
            for (direction, value) in DIRECTION.into_iter().zip(&edge.cells.bytes) {
                sample(EdgeSeries::Bytes(&edge.name, direction), value);
            }
        })?;
        families::encode(&mut encoder, Metric::EdgeLastSeen, |family| {
            for edge in &edges {
                let nanoseconds = edge.cells.last_seen.load(Relaxed);
                if nanoseconds > 0 {
                    let own = EdgeSeries::Edge(&edge.name);
                    let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
                    ConstGauge::new(seconds).encode(family.encode_family(&own)?)?;
                }
            }
            Ok(())
        })
    }
}

/// Whether an edge can still have flows: all of its pods' ends are there. Without a pod's end nobody knows.
fn is_there(edge: &EdgeKey, still: &dyn Fn(&EdgeEnd) -> bool) -> bool {
    let mut pods = [&edge.client, &edge.server].into_iter().filter(|end| end.kind == Kind::Pod).peekable();
    pods.peek().is_some() && pods.all(still)
}

type Samples<'a> = dyn FnMut(EdgeSeries<'_>, &AtomicU64) + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_counted_in_the_place_that_exports_it() {
        assert!(ENCRYPTION.iter().enumerate().all(|(index, status)| *status as usize == index));
        assert!(DECLARATION.iter().enumerate().all(|(index, status)| *status as usize == index));
        assert!(AUTHENTICATION.iter().enumerate().all(|(index, status)| *status as usize == index));
        assert!(FindingKind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
    }

    #[test]
    fn the_overflow_edge_and_the_fixed_families_fit_what_is_reserved_for_them() {
        let overflow = ENCRYPTION.len() * DECLARATION.len()
            + AUTHENTICATION.len()
            + FindingKind::ALL.len()
            + DIRECTION.len()
            + 1;
        assert!(overflow + 200 < RESERVED_SERIES, "{overflow}");
    }
}
