use std::collections::{HashMap, VecDeque};

use super::fingerprint::Fingerprint;
use super::verifier::Examined;

/// Tokens whose examination is remembered.
pub const MAX_CACHED_TOKENS: usize = 4_096;
/// What the remembered claims may take together. A ServiceAccount token's take about 600 bytes, so both
/// bounds are near; this one is for a sender who fills claims on purpose.
pub const MAX_CACHED_BYTES: usize = 4 << 20;

/// Examinations by fingerprint. When full, the oldest makes room and is counted: that costs time later, never
/// truth.
pub(super) struct Cache {
    entries: HashMap<Fingerprint, Examined>,
    oldest_first: VecDeque<Fingerprint>,
    bytes: usize,
    evicted: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), oldest_first: VecDeque::new(), bytes: 0, evicted: 0 }
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<&Examined> {
        self.entries.get(fingerprint)
    }

    /// Remembers what is not remembered yet.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, examined: Examined) {
        let size = examined.size();
        while self.entries.len() >= MAX_CACHED_TOKENS || self.bytes + size > MAX_CACHED_BYTES {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.size();
                self.evicted += 1;
            }
        }
        if self.entries.insert(fingerprint, examined).is_none() {
            self.oldest_first.push_back(fingerprint);
            self.bytes += size;
        }
    }

    /// Forgets everything: what was true under other keys.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.oldest_first.clear();
        self.bytes = 0;
    }

    /// Forgets what `keep` does not like.
    pub(super) fn retain(&mut self, keep: impl Fn(&Examined) -> bool) {
        self.entries.retain(|_, examined| keep(examined));
        self.oldest_first.retain(|fingerprint| self.entries.contains_key(fingerprint));
        self.bytes = self.entries.values().map(Examined::size).sum();
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, usize) {
        debug_assert_eq!(self.entries.values().map(Examined::size).sum::<usize>(), self.bytes);
        (self.entries.len(), self.bytes)
    }
}
