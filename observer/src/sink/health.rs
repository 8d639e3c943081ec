//! Whether the daemon is ready, and whether its pipeline still runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;

/// A pipeline that was silent for so long is stuck.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);

/// Ready once nothing blocks it any more.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Readiness {
    /// Not ready before the answer is dropped. Take all blockers before the server starts.
    #[must_use = "dropping the blocker means that its part is ready"]
    pub fn block(&self, name: &'static str) -> Blocker {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Blocker { readiness: self.clone(), name }
    }

    /// What is still missing, sorted; empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

/// A part of the daemon that is not ready.
#[derive(Debug)]
pub struct Blocker {
    readiness: Readiness,
    name: &'static str,
}

impl Drop for Blocker {
    fn drop(&mut self) {
        let mut blockers = self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = blockers.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                blockers.remove(self.name);
            }
        }
    }
}

/// The last sign of life of the pipeline.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// The start counts as a beat.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    pub fn beat(&self, now: Timestamp) {
        self.0.store(now.0, Relaxed);
    }

    #[must_use]
    pub fn alive(&self, now: Timestamp) -> bool {
        now.since(Timestamp(self.0.load(Relaxed))) < HEARTBEAT_LIMIT
    }
}
