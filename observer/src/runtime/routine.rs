//! A request like the one before it, of the same flow, is not weighed again: what was found then stands for a second.

use std::sync::Arc;
use std::time::Duration;

use super::session::{Facts, Outcome};
use crate::model::{AuthenticationStatus, FindingKind, FindingSet, Timestamp};
use crate::token::Judgement;

/// What changes without telling, like labels of a namespace or the end of an exception, is noticed after this long.
const STANDS_FOR: Duration = Duration::from_secs(1);

/// The last request that was weighed.
pub struct Routine {
    judgement: Judgement,
    proxy_credential: bool,
    /// Of everything that flows are weighed against.
    generation: u64,
    weighed: Timestamp,
}

impl Routine {
    /// `None` where the next request may be found to be something else although it looks the same: where the token is
    /// somebody else's, it matters what its sender received in the meantime.
    pub fn of(outcome: &Outcome, found: FindingSet, generation: u64, now: Timestamp) -> Option<Self> {
        let settled = outcome.others.is_empty() && !found.contains(FindingKind::IdentityMismatch);
        settled.then(|| Self {
            judgement: outcome.judgement.clone(),
            proxy_credential: outcome.proxy_credential,
            generation,
            weighed: now,
        })
    }

    /// Whether nothing new can be found in what a flow has said since.
    pub fn covers(facts: &Facts, generation: u64, now: Timestamp) -> bool {
        let Some(last) = &facts.routine else { return false };
        facts.counted.settled
            && !facts.reclassified
            && last.generation == generation
            && now.since(last.weighed) < STANDS_FOR
            && facts.pending.iter().all(|outcome| last.is_like(outcome))
    }

    fn is_like(&self, outcome: &Outcome) -> bool {
        let (last, now) = (&self.judgement, &outcome.judgement);
        let (was, is) = (&last.authentication, &now.authentication);
        let same_token = match (&was.token, &is.token) {
            (Some(was), Some(is)) => Arc::ptr_eq(was, is),
            (was, is) => was.is_none() && is.is_none(),
        };
        is.status != AuthenticationStatus::Unknown
            && (was.status, was.scheme, &was.reason) == (is.status, is.scheme, &is.reason)
            && same_token
            && last.fingerprint == now.fingerprint
            && (last.api_audience, last.legacy) == (now.api_audience, now.legacy)
            && self.proxy_credential == outcome.proxy_credential
            && outcome.others.is_empty()
    }
}
