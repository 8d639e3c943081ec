use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::model::Uid;

/// A keyed hash of a token: says "the same token again" within one process, and nothing else to anybody.
///
/// Fingerprints of two [`Verifier`](super::Verifier)s do not compare: each has its own random key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) [u64; 2]);

impl fmt::Debug for Fingerprint {
    /// Prints no bits: logs of one process must not become a way to recognise a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// 128 bits from two SipHashes under random keys, so that nobody outside can aim for a collision.
pub(super) struct KeyedHash([RandomState; 2]);

impl KeyedHash {
    pub(super) fn new() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }

    pub(super) fn of(&self, bytes: &[u8]) -> [u64; 2] {
        self.0.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        })
    }

    /// The hash of a fingerprint and a uid together.
    pub(super) fn of_pair(&self, fingerprint: &Fingerprint, uid: &Uid) -> [u64; 2] {
        self.0.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(fingerprint.0[0]);
            hasher.write_u64(fingerprint.0[1]);
            hasher.write(uid.as_bytes());
            hasher.finish()
        })
    }
}
