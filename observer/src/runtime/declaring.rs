//! What the cluster's objects declare: heard, read and compiled beside the observing thread, which takes each new graph
//! over between two events.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;

use super::clock;
use super::ledger::{Ledger, Taken};
use super::standing;
use super::writer::{Wanted, Writer};
use crate::cluster::{self, Access, Collection as _, Declaring, Heard, Leases, WatchState, Watches};
use crate::graph::{Declarations, Graph, GraphKind, SourceKind};
use crate::sink::Metrics;
use crate::sink::health::Blocker;

/// News that wait; the watches then wait too. A graph can be long.
const MAX_WAITING: usize = 256;
/// Metrics are brought up to date, and statuses looked through for exceptions that are over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
const LOOK_THROUGH: Duration = Duration::from_secs(10);

/// Warnings that were given and are not repeated; then all may be.
const MAX_TOLD: usize = 1024;

/// The graph that the observing thread has not taken over yet.
type Slot = Arc<Mutex<Option<Arc<Graph>>>>;

/// The observing thread's end.
#[derive(Debug)]
pub struct Declared {
    slot: Slot,
    /// Taken over, and not yet held against who there is.
    unchecked: Option<Arc<Graph>>,
    told: HashSet<String>,
}

impl Declared {
    /// The graph that is in force from now on, if it is another.
    pub fn take(&mut self) -> Option<Arc<Graph>> {
        let graph = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.unchecked = Some(graph.clone());
        Some(graph)
    }

    /// Warns of names that nobody has; `known(namespace, name)` tells whether the cluster has the ServiceAccount.
    pub fn check_names(&mut self, known: &dyn Fn(&str, &str) -> bool) {
        let Some(graph) = self.unchecked.take() else { return };
        let warnings: Vec<String> = match graph.names_nobody(known) {
            Ok(warnings) => warnings.iter().map(ToString::to_string).collect(),
            Err(nobody) => vec![nobody.to_string()],
        };
        for warning in warnings {
            if self.told.len() >= MAX_TOLD {
                self.told.clear();
            }
            if self.told.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
    }
}

/// What is listened to, and from whom.
pub struct Sources<'a> {
    pub access: &'a Access,
    pub kinds: &'a [SourceKind],
    /// What files declare.
    pub files: Declarations,
    pub node: &'a str,
}

/// Starts to listen.
pub fn start(sources: Sources<'_>, metrics: Arc<Metrics>, blocker: Blocker, runtime: &Handle) -> Declared {
    let Sources { access, kinds, files, node } = sources;
    let kinds: Vec<GraphKind> =
        GraphKind::ALL.into_iter().filter(|kind| kinds.contains(&kind.source())).collect();
    let watches = Watches::default();
    let (heard, news) = channel(MAX_WAITING);
    for kind in &kinds {
        let (client, resource) = (access.client.clone(), Declaring(*kind));
        runtime.spawn(cluster::watch(client, resource, watches.clone(), heard.clone(), clock::now));
        metrics.malformed_objects(kind.kind(), 0);
    }
    let (wanted, wants) = watch::channel(Wanted::new());
    if kinds.contains(&GraphKind::ServiceGraph) {
        let leases = Leases::of(access.client.clone(), &access.namespace);
        runtime.spawn(Writer::new(leases, node, wants).run());
    }
    let slot = Slot::default();
    let listener = Listener {
        news,
        watches,
        ledger: Ledger::new(files, kinds, Instant::now()),
        metrics,
        blocker: Some(blocker),
        slot: slot.clone(),
        in_force: None,
        wanted,
        echoed: false,
        shown: BTreeSet::new(),
    };
    runtime.spawn(listener.run());
    Declared { slot, unchecked: None, told: HashSet::new() }
}

struct Listener {
    news: Receiver<Heard<Declaring>>,
    watches: Watches<Declaring>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    blocker: Option<Blocker>,
    slot: Slot,
    /// Kept so that the observing thread is not the one that takes a large graph apart.
    in_force: Option<Arc<Graph>>,
    wanted: watch::Sender<Wanted>,
    /// A status was heard of since the statuses were looked through.
    echoed: bool,
    /// Watches that were up once: what a cluster never had is not told of.
    shown: BTreeSet<&'static str>,
}

impl Listener {
    async fn run(mut self) {
        let (mut kept, mut looked) = (Instant::now(), Instant::now());
        loop {
            let now = Instant::now();
            if self.ledger.due(now).is_some_and(|due| due <= now) {
                let Some(new) = self.put_in_force().await else { return };
                self = new;
                self.look_through();
            }
            let now = Instant::now();
            if now - kept >= HOUSEKEEPING {
                kept = now;
                self.keep_house(now);
            }
            // Soon enough that the writer does not take what was written for what is still to be written.
            if now - looked >= LOOK_THROUGH || self.echoed && now - looked >= HOUSEKEEPING {
                self.echoed = false;
                looked = now;
                self.look_through();
            }
            let wake = self.ledger.due(now).unwrap_or(now + HOUSEKEEPING).min(kept + HOUSEKEEPING);
            tokio::select! {
                heard = self.news.recv() => match heard {
                    None => return,
                    Some(heard) => self.take(heard),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    fn take(&mut self, Heard { resource, change, .. }: Heard<Declaring>) {
        match self.ledger.take(resource, change, Instant::now()) {
            Taken::Fine => {}
            Taken::Status => self.echoed = true,
            Taken::Broken(complaint) => {
                self.metrics.malformed_objects(resource.kind(), 1);
                if let Some(complaint) = complaint {
                    tracing::warn!("malformed object: {complaint}");
                }
            }
        }
    }

    /// `None`: the process ends.
    async fn put_in_force(mut self) -> Option<Self> {
        let compiling = tokio::task::spawn_blocking(move || {
            let compiled = self.ledger.compile();
            (self, compiled)
        });
        let (mut listener, compiled) = compiling
            .await
            .inspect_err(|error| tracing::error!(%error, "declared graphs are not looked after any more"))
            .ok()?;
        match compiled {
            Ok((graph, warnings)) => {
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                listener.metrics.declared_edges("loaded", graph.declared_edges());
                tracing::debug!(edges = graph.declared_edges(), "declared graphs in force");
                listener.in_force = Some(graph.clone());
                *listener.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(graph);
            }
            Err(error) => tracing::error!("{error}; what was in force before stays"),
        }
        listener.blocker = None;
        Some(listener)
    }

    fn keep_house(&mut self, now: Instant) {
        for (resource, state) in self.watches.all() {
            if state == WatchState::Up {
                self.shown.insert(resource.name());
            }
            let was_there = self.shown.contains(resource.name());
            if was_there || matches!(state, WatchState::Denied | WatchState::Down { .. }) {
                self.metrics.watch_up(resource.name(), state == WatchState::Up);
            }
        }
        if self.ledger.is_settled(now) && self.ledger.due(now).is_none() {
            self.blocker = None;
        }
    }

    /// What the statuses should say.
    fn look_through(&self) {
        let now = clock::now();
        let wanted: Wanted = self
            .ledger
            .graphs()
            .filter_map(|(name, standing, refused)| {
                Some((name.clone(), standing::wanted(standing, refused, now)?))
            })
            .collect();
        self.wanted.send_if_modified(|known| {
            let differs = *known != wanted;
            *known = wanted;
            differs
        });
    }
}
