//! Records of many nodes in the order of their times, as far as that can be had without waiting long.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::Timestamp;

/// How long a record waits for older ones of other nodes.
pub const WINDOW: Duration = Duration::from_millis(500);
/// Records that wait at once; one more, and the oldest goes.
pub const MAX_WAITING: usize = 16 * 1024;

/// Holds each record back for [`WINDOW`]. Times of arrival are of any clock that only goes forward.
#[derive(Debug, Default)]
pub struct InOrder {
    waiting: BTreeMap<(Timestamp, u64), String>,
    /// When they came, and where they are.
    arrivals: VecDeque<(Duration, (Timestamp, u64))>,
    count: u64,
}

impl InOrder {
    pub fn push(&mut self, time: Timestamp, line: String, now: Duration) {
        let place = (time, self.count);
        self.count += 1;
        self.waiting.insert(place, line);
        self.arrivals.push_back((now, place));
    }

    /// The next one, if its time has come: the oldest by its own time, once any has waited long enough.
    pub fn pop(&mut self, now: Duration) -> Option<String> {
        self.forget_gone();
        let (came, _) = self.arrivals.front()?;
        if now < *came + WINDOW && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        self.waiting.pop_first().map(|(_, line)| line)
    }

    /// When [`Self::pop`] will have one.
    pub fn due(&mut self) -> Option<Duration> {
        self.forget_gone();
        self.arrivals.front().map(|(came, _)| *came + WINDOW)
    }

    /// What is left, in order: nobody adds to it.
    pub fn finish(self) -> impl Iterator<Item = String> {
        self.waiting.into_values()
    }

    fn forget_gone(&mut self) {
        while self.arrivals.front().is_some_and(|(_, place)| !self.waiting.contains_key(place)) {
            self.arrivals.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn drain(order: &mut InOrder, now: u64) -> Vec<String> {
        std::iter::from_fn(|| order.pop(ms(now))).collect()
    }

    #[test]
    fn a_record_that_comes_late_by_less_than_the_window_is_in_its_place() {
        let mut order = InOrder::default();
        order.push(Timestamp(30), "30".into(), ms(0));
        order.push(Timestamp(10), "10".into(), ms(100));
        order.push(Timestamp(20), "20".into(), ms(400));
        assert_eq!(order.due(), Some(ms(500)));
        assert!(drain(&mut order, 499).is_empty());
        assert_eq!(drain(&mut order, 500), ["10", "20", "30"]);
        assert_eq!(order.due(), None);
    }

    #[test]
    fn none_waits_longer_than_the_window_whatever_comes_after_it() {
        let mut order = InOrder::default();
        order.push(Timestamp(1000), "first".into(), ms(0));
        for n in 0..10 {
            order.push(Timestamp(n), format!("older {n}"), ms(450));
        }
        let out = drain(&mut order, 500);
        assert_eq!(out.last().map(String::as_str), Some("first"));
        assert_eq!(out.len(), 11);
        order.push(Timestamp(1), "too late".into(), ms(600));
        assert!(drain(&mut order, 1099).is_empty());
        assert_eq!(drain(&mut order, 1100), ["too late"]);
    }

    #[test]
    fn too_many_do_not_wait_and_none_is_lost() {
        let mut order = InOrder::default();
        for n in 0..MAX_WAITING as u64 + 10 {
            order.push(Timestamp(n), n.to_string(), ms(0));
        }
        assert_eq!(drain(&mut order, 1).len(), 10);
        assert_eq!(order.finish().count(), MAX_WAITING);
    }
}
