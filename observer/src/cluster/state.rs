use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Resource;
use super::collection::Collection;
use crate::model::Timestamp;

/// How it stands with one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Not heard of yet.
    Starting { since: Timestamp },
    /// What the API server tells is heard at once.
    Up,
    /// Nothing is heard since.
    Down { since: Timestamp },
    /// The API server does not let us.
    Denied,
    /// The cluster has no such resource.
    Absent,
}

/// How it stands with each watch, for metrics.
#[derive(Clone, Debug)]
pub struct Watches<C = Resource>(Arc<Mutex<HashMap<C, WatchState>>>);

impl<C> Default for Watches<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C: Collection> Watches<C> {
    pub fn set(&self, resource: C, state: WatchState) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match (states.get(&resource), &state) {
            // Down since the first failure, not since the latest.
            (Some(WatchState::Down { .. } | WatchState::Starting { .. }), WatchState::Down { .. }) => return,
            _ => state,
        };
        states.insert(resource, kept);
    }

    #[must_use]
    pub fn all(&self) -> Vec<(C, WatchState)> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|(resource, state)| (*resource, state.clone())).collect()
    }

    /// How far what was heard lies behind: the time since the API server fell silent. A resource that it refuses to
    /// tell of does not count: that does not pass with time, and `watch_up` says it.
    #[must_use]
    pub fn lag(&self, now: Timestamp) -> Duration {
        let silent = |(_, state): (C, WatchState)| match state {
            WatchState::Starting { since } | WatchState::Down { since } => Some(now.since(since)),
            WatchState::Up | WatchState::Denied | WatchState::Absent => None,
        };
        self.all().into_iter().filter_map(silent).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ObjectKind;

    const PODS: Resource = Resource(ObjectKind::Pod);
    const NODES: Resource = Resource(ObjectKind::Node);

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn the_lag_is_that_of_the_resource_that_was_silent_for_longest() {
        let watches: Watches = Watches::default();
        watches.set(PODS, WatchState::Up);
        watches.set(NODES, WatchState::Down { since: at(10) });
        watches.set(NODES, WatchState::Down { since: at(15) });
        assert_eq!(watches.lag(at(20)), Duration::from_secs(10));
        watches.set(NODES, WatchState::Up);
        assert_eq!(watches.lag(at(20)), Duration::ZERO);
    }

    #[test]
    fn what_is_refused_does_not_lag() {
        let watches: Watches = Watches::default();
        watches.set(PODS, WatchState::Denied);
        assert_eq!(watches.lag(at(20)), Duration::ZERO);
    }
}
