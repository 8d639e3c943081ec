//! How many flow records a second may be written: so much that no log pipeline chokes on them.

use std::time::{Duration, Instant};

/// Seconds of the rate that may come at once.
const BURST: u32 = 5;
/// The part of a burst that is kept for the last records of flows, which have their totals.
const KEPT_FOR_LAST: f64 = 0.2;

/// A bucket of tokens. Time is an argument.
#[derive(Debug)]
pub(super) struct Rate {
    /// Records a second; zero: as many as come.
    rate: u32,
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// Starts with a full bucket.
    pub fn new(rate: u32, now: Instant) -> Self {
        Self { rate, tokens: full(rate), filled: now }
    }

    /// Changes the rate; what may come at once begins anew.
    pub fn set(&mut self, rate: u32, now: Instant) {
        if rate != self.rate {
            *self = Self::new(rate, now);
        }
    }

    /// Whether one more record may be written; `last`: it is the flow's last.
    pub fn allows(&mut self, last: bool, now: Instant) -> bool {
        if self.rate == 0 {
            return true;
        }
        let passed = now.saturating_duration_since(self.filled);
        // Small steps would be rounded away.
        if passed >= Duration::from_millis(1) {
            self.tokens = full(self.rate).min(self.tokens + passed.as_secs_f64() * f64::from(self.rate));
            self.filled = now;
        }
        let kept = if last { 0.0 } else { full(self.rate) * KEPT_FOR_LAST };
        if self.tokens - 1.0 < kept {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

fn full(rate: u32) -> f64 {
    f64::from(rate) * f64::from(BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `n` records are allowed at once.
    fn allowed(rate: &mut Rate, n: u32, last: bool, now: Instant) -> u32 {
        (0..n).map(|_| u32::from(rate.allows(last, now))).sum()
    }

    #[test]
    fn over_a_long_time_as_many_pass_as_the_rate_says() {
        let start = Instant::now();
        let mut rate = Rate::new(100, start);
        let passed: u32 =
            (0..60_000).map(|n| u32::from(rate.allows(true, start + Duration::from_millis(n)))).sum();
        // A minute's worth, and the bucket that was full at first.
        assert!((6_499..=6_501).contains(&passed), "{passed}");
    }

    #[test]
    fn a_burst_of_five_seconds_passes_at_once_and_its_end_is_kept_for_last_records() {
        let start = Instant::now();
        let mut rate = Rate::new(100, start);
        assert_eq!(allowed(&mut rate, 1_000, false, start), 400);
        assert_eq!(allowed(&mut rate, 1_000, true, start), 100);
        let later = start + Duration::from_secs(1);
        assert_eq!(allowed(&mut rate, 1_000, false, later), 0, "what comes back is for last records first");
        assert_eq!(allowed(&mut rate, 1_000, true, later), 100);
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!(
            allowed(&mut rate, 1_000, true, much_later),
            500,
            "silence saves up no more than one burst"
        );
    }

    #[test]
    fn a_rate_of_one_a_second_lets_records_of_both_sorts_through() {
        let start = Instant::now();
        let mut rate = Rate::new(1, start);
        assert_eq!((allowed(&mut rate, 9, false, start), allowed(&mut rate, 9, true, start)), (4, 1));
    }

    #[test]
    fn zero_limits_nothing_and_a_new_rate_counts_at_once() {
        let start = Instant::now();
        let mut rate = Rate::new(0, start);
        assert_eq!(allowed(&mut rate, 100_000, false, start), 100_000);
        rate.set(10, start);
        assert_eq!(allowed(&mut rate, 100_000, true, start), 50);
        rate.set(10, start);
        assert_eq!(allowed(&mut rate, 10, true, start), 0, "the same again is no change");
    }
}
