use std::collections::{HashSet, VecDeque};

use super::fingerprint::{Fingerprint, KeyedHash};
use crate::model::Uid;

/// Pairs of token and receiver that are remembered. A pair costs at most about 50 bytes: 4 MiB in all.
pub const MAX_SIGHTINGS: usize = 65_536;

/// Which pods were seen receiving which token.
///
/// When full, the oldest pair makes room and is counted. So `received` may wrongly say "no" once
/// [`Self::evicted`] is above zero: do not conclude `replayed` from it then.
pub struct Sightings {
    hash: KeyedHash,
    pairs: HashSet<[u64; 2]>,
    oldest_first: VecDeque<[u64; 2]>,
    evicted: u64,
}

impl Sightings {
    #[must_use]
    pub fn new() -> Self {
        Self { hash: KeyedHash::new(), pairs: HashSet::new(), oldest_first: VecDeque::new(), evicted: 0 }
    }

    /// Remembers that the pod with this uid received the token.
    pub fn saw(&mut self, token: Fingerprint, receiver: &Uid) {
        let pair = self.hash.of_pair(&token, receiver);
        if self.pairs.contains(&pair) {
            return;
        }
        // Room first: inserting before would let both collections grow past the bound, and so double.
        if self.pairs.len() >= MAX_SIGHTINGS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.pairs.remove(&oldest);
            self.evicted += 1;
        }
        self.pairs.insert(pair);
        self.oldest_first.push_back(pair);
    }

    /// Whether the pod with this uid was seen receiving the token.
    #[must_use]
    pub fn received(&self, token: &Fingerprint, uid: &Uid) -> bool {
        self.pairs.contains(&self.hash.of_pair(token, uid))
    }

    /// Pairs forgotten for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Pairs remembered now: at most [`MAX_SIGHTINGS`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl Default for Sightings {
    fn default() -> Self {
        Self::new()
    }
}
