//! The metrics of the outside contract, prefix `observer_`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::edge_metrics::{Budget, EdgeMetrics, EdgeTable, Still};
use super::exempted::Exempted;
use super::families::{Metric, USERSPACE_STAGES, register};
use super::labels::{
    BuildLabels, KindLabels, OVERFLOW, ProbeLabels, ReasonLabels, RefusalLabels, ResourceLabels, StageLabels,
    StateLabels,
};
use super::posture_metrics::PostureMetrics;
use super::refusal::{Refusal, Server};
use super::text;
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgeKey, EncryptionStatus, FindingKind, PostureRow, Timestamp,
};

/// How many different (kind, reason) pairs `exempted_total` may have before reasons become `_overflow`.
const MAX_EXEMPTED: usize = 512;
/// How many reasons `unresolved_flows_total` may have: they are words of this program, and there are half as many.
const MAX_UNRESOLVED: usize = 80;

/// What this program is.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    /// The source's revision, where the build knew it.
    pub revision: Option<&'static str>,
}

/// All metrics. Every method is cheap and takes `&self`: share one in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    edges: Arc<EdgeTable>,
    budget: Arc<Budget>,
    exempted: Exempted,
    declared_edges: Family<StateLabels, Gauge>,
    declared_exceptions: Family<StateLabels, Gauge>,
    lost: Family<StageLabels, Counter>,
    /// The last totals that [`Metrics::lost_total`] was told.
    lost_totals: Mutex<HashMap<&'static str, u64>>,
    truncated: Counter,
    unresolved: Family<ReasonLabels, Counter>,
    unresolved_known: Mutex<HashSet<&'static str>>,
    open_flows: Gauge,
    identities: Family<KindLabels, Gauge>,
    identity_lag: Gauge<f64, AtomicU64>,
    probe_info: Family<ProbeLabels, Gauge>,
    /// The mode in force of each hook, so that a change replaces it.
    probe_modes: Mutex<BTreeMap<&'static str, &'static str>>,
    watch_up: Family<ResourceLabels, Gauge>,
    malformed: Family<KindLabels, Counter>,
    posture: PostureMetrics,
    refused_clients: Family<RefusalLabels, Counter>,
    config_successful: Gauge,
    config_success: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// `series_budget`: samples that an exposition may have at most; at least [`super::MIN_SERIES_BUDGET`].
    #[must_use]
    pub fn new(series_budget: usize, build: BuildInfo) -> Self {
        let series_overflow = Counter::default();
        let budget = Arc::new(Budget::new(series_budget, series_overflow.clone()));
        let edges = Arc::new(EdgeTable::new(budget.clone()));
        let build_info = Family::<BuildLabels, Gauge>::default();
        build_info
            .get_or_create_owned(&BuildLabels { version: build.version, revision: build.revision })
            .set(1);
        let mut metrics = Self {
            registry: Registry::default(),
            edges,
            exempted: Exempted::new(budget.clone(), MAX_EXEMPTED),
            budget,
            declared_edges: Family::default(),
            declared_exceptions: Family::default(),
            lost: Family::default(),
            lost_totals: Mutex::default(),
            truncated: Counter::default(),
            unresolved: Family::default(),
            unresolved_known: Mutex::default(),
            open_flows: Gauge::default(),
            identities: Family::default(),
            identity_lag: Gauge::default(),
            probe_info: Family::default(),
            probe_modes: Mutex::default(),
            watch_up: Family::default(),
            malformed: Family::default(),
            posture: PostureMetrics::default(),
            refused_clients: Family::default(),
            config_successful: Gauge::default(),
            config_success: Gauge::default(),
        };
        metrics.register(series_overflow, build_info);
        for stage in observer_common::Counter::ALL.map(observer_common::Counter::stage) {
            metrics.lost(stage, 0);
        }
        for (stage, _) in USERSPACE_STAGES {
            metrics.lost(stage, 0);
        }
        for labels in Server::ALL.iter().flat_map(|server| Refusal::ALL.map(|why| refusal(*server, why))) {
            metrics.refused_clients.get_or_create_owned(&labels);
        }
        metrics
    }

    fn register(&mut self, series_overflow: Counter, build_info: Family<BuildLabels, Gauge>) {
        let registry = &mut self.registry;
        registry.register_collector(Box::new(self.edges.clone()));
        register(registry, Metric::Exempted, self.exempted.family());
        register(registry, Metric::DeclaredEdges, self.declared_edges.clone());
        register(registry, Metric::DeclaredExceptions, self.declared_exceptions.clone());
        register(registry, Metric::LostEvents, self.lost.clone());
        register(registry, Metric::TruncatedPayloads, self.truncated.clone());
        register(registry, Metric::UnresolvedFlows, self.unresolved.clone());
        register(registry, Metric::SeriesOverflow, series_overflow);
        register(registry, Metric::OpenFlows, self.open_flows.clone());
        register(registry, Metric::Identities, self.identities.clone());
        register(registry, Metric::IdentityLag, self.identity_lag.clone());
        register(registry, Metric::ProbeInfo, self.probe_info.clone());
        register(registry, Metric::WatchUp, self.watch_up.clone());
        register(registry, Metric::MalformedObjects, self.malformed.clone());
        self.posture.register(registry);
        register(registry, Metric::RefusedClients, self.refused_clients.clone());
        register(registry, Metric::ConfigReloadSuccessful, self.config_successful.clone());
        register(registry, Metric::ConfigReloadSuccess, self.config_success.clone());
        register(registry, Metric::BuildInfo, build_info);
    }

    /// The counters of `edge`, or of the overflow edge. Keep the answer with the flow: it needs no look-up again.
    #[must_use]
    pub fn edge(&self, edge: &EdgeKey) -> Arc<EdgeMetrics> {
        self.edges.get(edge)
    }

    /// A flow has settled, or ended before it could: once per flow.
    pub fn flow_settled(&self, edge: &EdgeKey, encryption: EncryptionStatus, declaration: DeclarationStatus) {
        self.edge(edge).flow_settled(encryption, declaration);
    }

    pub fn requests(&self, edge: &EdgeKey, authentication: AuthenticationStatus, n: u64) {
        self.edge(edge).requests(authentication, n);
    }

    /// Once per flow and kind.
    pub fn finding(&self, edge: &EdgeKey, kind: FindingKind) {
        self.edge(edge).finding(kind);
    }

    /// Payload bytes; `sent`: from client to server.
    pub fn bytes(&self, edge: &EdgeKey, sent: u64, received: u64) {
        self.edge(edge).bytes(sent, received);
    }

    pub fn edge_seen(&self, edge: &EdgeKey, time: Timestamp) {
        self.edge(edge).seen(time);
    }

    /// `reason`: a word of this program or of the settings; one too many is counted as `_overflow`.
    pub fn exempted(&self, kind: FindingKind, reason: &str) {
        self.exempted.count(kind, reason);
    }

    /// Gives the series back of what had no update for `idle` and is not there any more; answers how many. Call it from
    /// time to time: it costs a walk over all edges.
    pub fn reap(&self, now: Timestamp, idle: Duration, still: &Still<'_>) -> usize {
        self.edges.reap(now, idle, still.end) + self.exempted.reap(now, idle, still.reason)
    }

    /// The config file was read at `now`; `whole`: all that it says is in force.
    pub fn config_read(&self, now: Timestamp, whole: bool) {
        self.config_successful.set(i64::from(whole));
        if whole {
            self.config_success.set(Duration::from_nanos(now.0).as_secs_f64());
        }
    }

    /// `stage` lost `n` events.
    pub fn lost(&self, stage: &'static str, n: u64) {
        self.lost.get_or_create_owned(&StageLabels { stage }).inc_by(n);
    }

    /// `stage` has lost `total` events since it started: for counters that somebody else keeps.
    pub fn lost_total(&self, stage: &'static str, total: u64) {
        let mut totals = locked(&self.lost_totals);
        let before = totals.insert(stage, total).unwrap_or(0);
        drop(totals);
        // A smaller total is a counter that began again.
        self.lost(stage, if total < before { total } else { total - before });
    }

    /// A client was turned away, or gone on without.
    pub fn refused_client(&self, server: Server, why: Refusal) {
        self.refused_clients.get_or_create_owned(&refusal(server, why)).inc();
    }

    pub fn truncated(&self, n: u64) {
        self.truncated.inc_by(n);
    }

    pub fn unresolved(&self, reason: &'static str) {
        let mut known = locked(&self.unresolved_known);
        let fits = known.contains(reason) || (known.len() < MAX_UNRESOLVED && known.insert(reason));
        drop(known);
        let reason = if fits { reason } else { OVERFLOW };
        self.unresolved.get_or_create_owned(&ReasonLabels { reason }).inc();
    }

    pub fn open_flows(&self, n: usize) {
        self.open_flows.set(gauge(n));
    }

    pub fn identities(&self, kind: &'static str, n: usize) {
        self.identities.get_or_create_owned(&KindLabels { kind }).set(gauge(n));
    }

    pub fn identity_lag(&self, lag: Duration) {
        self.identity_lag.set(lag.as_secs_f64());
    }

    /// `hook` is attached in `mode`, and in no other.
    pub fn probe_info(&self, hook: &'static str, mode: &'static str) {
        let before = locked(&self.probe_modes).insert(hook, mode);
        if let Some(mode) = before {
            self.probe_info.remove(&ProbeLabels { hook, mode });
        }
        self.probe_info.get_or_create_owned(&ProbeLabels { hook, mode }).set(1);
    }

    pub fn watch_up(&self, resource: &'static str, up: bool) {
        self.watch_up.get_or_create_owned(&ResourceLabels { resource }).set(i64::from(up));
    }

    /// An object of this kind could not be used; 0 makes its series.
    pub fn malformed_objects(&self, kind: &'static str, n: u64) {
        self.malformed.get_or_create_owned(&KindLabels { kind }).inc_by(n);
    }

    /// What `observer posture` would tell now.
    pub fn posture(&self, rows: &[PostureRow]) {
        self.posture.set(rows, &self.budget);
    }

    pub fn declared_exceptions(&self, state: &'static str, n: usize) {
        self.declared_exceptions.get_or_create_owned(&StateLabels { state }).set(gauge(n));
    }

    pub fn declared_edges(&self, state: &'static str, n: usize) {
        self.declared_edges.get_or_create_owned(&StateLabels { state }).set(gauge(n));
    }

    /// Everything, in the OpenMetrics text format 1.0.
    #[must_use]
    pub fn openmetrics(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, and no label of ours can.
        let _ = encode(&mut out, &self.registry);
        out
    }

    /// Everything, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn prometheus_text(&self) -> String {
        text::from_openmetrics(&self.openmetrics())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gauge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

const fn refusal(server: Server, why: Refusal) -> RefusalLabels {
    RefusalLabels { server: server.as_str(), reason: why.as_str() }
}
