//! Flows that wait for news of who their ends are.

use std::time::Duration;

use super::session::{Awaited, Session};
use crate::conntrack::Flow;
use crate::model::{Cookie, Endpoint, Timestamp, Transport};

/// How long a flow waits before it is weighed without knowing its ends. A pod's object comes about a second after the
/// pod can speak: its kubelet writes the status once a second.
pub const IDENTITY_WAIT: Duration = Duration::from_millis(1_500);
/// How long a flow waits whose client is known by its address alone: that the address has changed hands is news, too,
/// which the API server tells within some 10 ms. The pod before must not be blamed.
pub const ADDRESS_WAIT: Duration = Duration::from_millis(250);
/// Flows that ended and still wait; one more is weighed without.
const MAX_ENDED: usize = 4_096;
/// Flows that are looked at again later; one more is not corrected.
const MAX_UNKNOWN: usize = 8_192;
/// When a flow that was weighed without is first looked at again; each time after that, it takes twice as long.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(32);

/// Where a flow is found in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub cookie: Cookie,
    pub transport: Transport,
    pub remote: Endpoint,
}

impl Place {
    pub fn of(flow: &Flow<Session>) -> Self {
        Self { cookie: flow.cookie, transport: flow.transport, remote: flow.remote }
    }
}

/// See the module.
#[derive(Default)]
pub struct Late {
    open: Vec<Place>,
    ended: Vec<Flow<Session>>,
    unknown: Vec<Look>,
}

struct Look {
    at: Timestamp,
    again_after: Duration,
    place: Place,
}

impl Late {
    /// Takes note of a flow that was just weighed, if it waits.
    pub fn note(&mut self, flow: &Flow<Session>, before: Awaited, now: Timestamp) {
        let place = Place::of(flow);
        match flow.session.facts.identity {
            after if after == before => {}
            Awaited::No => {}
            Awaited::Before => self.open.push(place),
            Awaited::Since => self.look_later(place, FIRST_LOOK, now),
        }
    }

    /// Keeps a flow that ended; gives it back if there is no room.
    pub fn keep(&mut self, flow: Flow<Session>) -> Option<Flow<Session>> {
        if self.ended.len() >= MAX_ENDED {
            return Some(flow);
        }
        self.ended.push(flow);
        None
    }

    /// The open flows that wait to be weighed; [`Self::wait_on`] puts back the ones that still do.
    pub fn open(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.open)
    }

    pub fn wait_on(&mut self, place: Place) {
        self.open.push(place);
    }

    /// The ended flows that wait to be weighed.
    pub fn ended(&mut self) -> Vec<Flow<Session>> {
        std::mem::take(&mut self.ended)
    }

    /// The flows that were weighed without and are due to be looked at again, each with the time to
    /// [`Self::look_later`] if it is still not known.
    pub fn due(&mut self, now: Timestamp) -> Vec<(Place, Duration)> {
        let mut due = Vec::new();
        self.unknown.retain(|look| {
            let later = look.at > now;
            if !later {
                due.push((look.place, look.again_after));
            }
            later
        });
        due
    }

    pub fn look_later(&mut self, place: Place, after: Duration, now: Timestamp) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(Look { at: now + after, again_after: LAST_LOOK.min(after * 2), place });
        }
    }
}
