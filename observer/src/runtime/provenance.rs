//! Where a token may have come from that its sender does not own.

use std::collections::HashSet;

use crate::model::{Pod, Uid};
use crate::token::{Fingerprint, Sightings};
use crate::verdict::Provenance;

/// Pods that received something unseen; beyond it every pod counts as one.
const MAX_UNCLEAR: usize = 65_536;

/// What was seen of what each pod received.
#[derive(Default)]
pub struct Received {
    sightings: Sightings,
    /// Uids of pods with an inbound flow that was not seen whole, in clear.
    unclear: HashSet<Uid>,
    /// Something was lost that may have belonged to any pod.
    blind: bool,
}

impl Received {
    /// A pod received a token.
    pub fn token(&mut self, token: Fingerprint, receiver: &Pod) {
        self.sightings.saw(token, &receiver.uid);
    }

    /// A pod received what could not be read.
    pub fn unclear(&mut self, receiver: &Pod) {
        if self.unclear.contains(&receiver.uid) {
            return;
        }
        if self.unclear.len() >= MAX_UNCLEAR {
            self.blind = true;
        } else {
            self.unclear.insert(receiver.uid);
        }
    }

    /// Evidence was lost, nobody knows whose.
    pub fn lost(&mut self) {
        self.blind = true;
    }

    #[must_use]
    pub fn provenance(&self, token: Option<Fingerprint>, sender: &Pod) -> Provenance {
        let received = token.is_some_and(|token| self.sightings.received(&token, &sender.uid));
        let saw_all = !self.blind && !self.unclear.contains(&sender.uid) && self.sightings.evicted() == 0;
        match (received, saw_all) {
            (true, _) => Provenance::Forwarded,
            (false, true) => Provenance::Replayed,
            (false, false) => Provenance::Unknown,
        }
    }

    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.sightings.evicted()
    }
}
