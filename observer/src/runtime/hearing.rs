//! News of the cluster reach the observing thread in small portions, so that capture never waits for them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use crate::cluster::{Change, Heard, Resource, WatchState, Watches};
use crate::identity::{Index, ObjectKind};
use crate::model::Timestamp;
use crate::posture::Rights;
use crate::sink::Metrics;
use crate::sink::health::Blocker;

/// News that wait; the watches then wait, and with them the API server. A slim pod takes about 2 KiB.
pub const MAX_WAITING: usize = 2048;
/// The longest that one portion may take.
const PORTION: Duration = Duration::from_millis(2);
/// How many news between two looks at the clock.
const BETWEEN_LOOKS: usize = 16;
/// Ready without the first lists after so long: what is seen is `unknown`, and that is said.
const LISTS_WITHIN: Duration = Duration::from_secs(30);
/// Objects whose malformedness was told; then all may be told again.
const MAX_TOLD: usize = 1024;

/// See the module.
pub struct Hearing {
    news: Receiver<Heard>,
    watches: Watches,
    /// Resources whose first list is not complete.
    unsettled: HashSet<Resource>,
    blocker: Option<Blocker>,
    since: Instant,
    /// When the latest news were heard that wait no more, if others still do.
    behind: Option<Timestamp>,
    told: HashSet<String>,
}

impl Hearing {
    #[must_use]
    pub fn new(news: Receiver<Heard>, watches: Watches, blocker: Blocker, metrics: &Metrics) -> Self {
        for resource in Resource::all() {
            metrics.watch_up(resource.name(), false);
            metrics.malformed_objects(resource.kind(), 0);
        }
        Self {
            news,
            watches,
            unsettled: Resource::all().collect(),
            blocker: Some(blocker),
            since: Instant::now(),
            behind: None,
            told: HashSet::new(),
        }
    }

    /// Takes a portion of the news in; answers how many.
    pub fn listen(&mut self, index: &mut Index, rights: &mut Rights, metrics: &Metrics) -> usize {
        let start = Instant::now();
        let mut taken = 0;
        while let Ok(heard) = self.news.try_recv() {
            taken += 1;
            self.behind = Some(heard.at);
            self.take(heard, index, rights, metrics);
            if taken % BETWEEN_LOOKS == 0 && start.elapsed() >= PORTION {
                return taken;
            }
        }
        self.behind = None;
        taken
    }

    fn take(&mut self, heard: Heard, index: &mut Index, rights: &mut Rights, metrics: &Metrics) {
        let Heard { at, resource, change } = heard;
        match change {
            Change::Begin => {
                index.begin_list(resource.0);
                rights.begin_list(resource.0);
            }
            Change::Apply(object) => {
                let taken = index.apply(&object, at).map_err(|malformed| malformed.to_string());
                let taken = taken.and_then(|()| rights.apply(&object).map_err(|full| full.to_string()));
                if let Err(problem) = taken {
                    self.malformed(resource, problem, metrics);
                }
            }
            Change::Delete(object) => {
                index.delete(&object, at);
                rights.delete(resource.0, object.metadata());
            }
            Change::End => {
                let vanished = index.end_list(resource.0, at) + rights.end_list(resource.0);
                tracing::debug!(resource = resource.name(), vanished, "list complete");
            }
            Change::Malformed { object, metadata, problem } => {
                index.still_there(resource.0, &metadata);
                rights.still_there(resource.0, &metadata);
                self.malformed(resource, format!("{object}: {problem}"), metrics);
            }
            Change::Settled => {
                self.unsettled.remove(&resource);
                if self.unsettled.is_empty() && self.blocker.take().is_some() {
                    let seconds = self.since.elapsed().as_secs_f64();
                    tracing::info!(
                        seconds,
                        pods = index.counts().pods,
                        "first lists of the cluster complete"
                    );
                }
            }
        }
    }

    /// The same object is told of once, for it may change every second.
    fn malformed(&mut self, resource: Resource, problem: String, metrics: &Metrics) {
        metrics.malformed_objects(resource.kind(), 1);
        if self.told.len() >= MAX_TOLD {
            self.told.clear();
        }
        if !self.told.contains(&problem) {
            tracing::warn!("malformed object: {problem}");
            self.told.insert(problem);
        }
    }

    /// Why not all objects of these kinds are known, in a word.
    #[must_use]
    pub fn gap(&self, kinds: &[ObjectKind]) -> Option<&'static str> {
        let states = self.watches.all();
        let mut gaps = kinds.iter().map(|kind| {
            let state = states.iter().find(|(resource, _)| resource.0 == *kind).map(|(_, state)| state);
            match state {
                Some(WatchState::Denied) => Some("not-allowed"),
                Some(WatchState::Absent) => Some("not-served"),
                _ if self.unsettled.contains(&Resource(*kind)) => Some("not-listed-yet"),
                _ => None,
            }
        });
        gaps.find_map(|gap| gap)
    }

    /// Brings the metrics up to date, and gives up on first lists that do not come.
    pub fn keep_house(&mut self, index: &Index, metrics: &Metrics, now: Timestamp) {
        for (resource, state) in self.watches.all() {
            metrics.watch_up(resource.name(), state == WatchState::Up);
        }
        let waiting = self.behind.map_or(Duration::ZERO, |at| now.since(at));
        metrics.identity_lag(self.watches.lag(now).max(waiting));
        let counts = index.counts();
        metrics.identities("pod", counts.pods);
        metrics.identities("service", counts.services);
        metrics.identities("node", counts.nodes);
        metrics.identities("namespace", counts.namespaces);
        metrics.identities("service_account", counts.service_accounts);
        if self.since.elapsed() >= LISTS_WITHIN && self.blocker.take().is_some() {
            let missing: Vec<&str> = self.unsettled.iter().map(|resource| resource.name()).collect();
            tracing::warn!(?missing, "ready without these lists: whoever they would name is unknown");
        }
    }
}
