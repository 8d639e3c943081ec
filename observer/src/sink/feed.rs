//! Where records meet those who ask for them: the store, and whoever follows.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast;

use super::query::Filter;
use super::store::{Store, StoreLimits};
use crate::model::{EdgeKey, FlowRecord};

/// Records that a follower may lag behind before it loses the oldest.
pub const FOLLOWER_BACKLOG: usize = 1_024;

/// A record and, once somebody asked for it, its line of JSON.
#[derive(Debug)]
pub struct Entry {
    pub record: Arc<FlowRecord>,
    line: OnceLock<Arc<str>>,
}

impl Entry {
    #[must_use]
    pub fn new(record: Arc<FlowRecord>) -> Self {
        Self { record, line: OnceLock::new() }
    }

    /// The record as one line of JSON with its newline; made once, shared by all.
    pub fn line(&self) -> Arc<str> {
        self.line.get_or_init(|| line(&self.record)).clone()
    }
}

/// One line of JSON, with its newline.
pub(super) fn line(value: &impl serde::Serialize) -> Arc<str> {
    // Our own types hold nothing that JSON cannot: no map but of strings, no failing Serialize.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line.into()
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    store: Mutex<Store>,
    followers: broadcast::Sender<Arc<Entry>>,
}

impl Feed {
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self { store: Mutex::new(Store::new(limits)), followers: broadcast::Sender::new(FOLLOWER_BACKLOG) }
    }

    /// Keeps the record and wakes who follows. Returns how many sums were forgotten for it.
    pub fn publish(&self, edge: &EdgeKey, entry: Arc<Entry>) -> u64 {
        let mut store = self.store();
        let forgotten = store.add(edge, entry.record.clone());
        // Under the store's lock: a follower that begins now gets each record either from there or from here.
        if self.followers.receiver_count() > 0 {
            // It fails only when the last follower has just left.
            let _ = self.followers.send(entry);
        }
        forgotten
    }

    /// The kept records and, without gap or repetition, all that follow them.
    #[must_use]
    pub fn follow(
        &self,
        last: usize,
        filter: &Filter,
    ) -> (Vec<Arc<FlowRecord>>, broadcast::Receiver<Arc<Entry>>) {
        let store = self.store();
        (store.last(last, filter), self.followers.subscribe())
    }

    /// Reads the store; do not hold it longer than that.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
