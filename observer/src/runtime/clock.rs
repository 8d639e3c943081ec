//! The two clocks: the kernel stamps events with the monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::decode::ClockOffset;
use crate::model::Timestamp;

#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// What to add to CLOCK_MONOTONIC now. Read again from time to time: the wall clock may be set.
#[must_use]
pub fn offset() -> ClockOffset {
    ClockOffset(now().0.saturating_sub(monotonic()))
}

fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// As a Lease has it.
pub fn rfc3339_micros() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
