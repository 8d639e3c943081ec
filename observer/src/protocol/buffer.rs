//! Bytes kept until they can be read whole. They may hold a credential, so no copy outlives its use.

use std::cell::Cell;

use zeroize::Zeroize as _;

/// What the buffers of all flows may take together, in bytes: as many half-sent heads as flows would be a gibibyte.
pub const MOST_KEPT_BY_ALL: usize = 64 << 20;

thread_local! {
    // One thread observes; an argument through all protocols would have to reach every drop as well.
    static KEPT_BY_ALL: Cell<usize> = const { Cell::new(0) };
    static CROWDED_OUT: Cell<u64> = const { Cell::new(0) };
}

/// What all buffers of this thread take, in bytes.
pub fn kept_by_all() -> usize {
    KEPT_BY_ALL.get()
}

/// A flow gave its bytes up, for the buffers take too much.
pub fn crowd_out() {
    CROWDED_OUT.set(CROWDED_OUT.get() + 1);
}

/// How often this thread's flows gave bytes up because all of them kept [`MOST_KEPT_BY_ALL`].
#[must_use]
pub fn crowded_out() -> u64 {
    CROWDED_OUT.get()
}

/// A byte queue whose memory is wiped when bytes leave it, when it grows and when it goes.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn extend(&mut self, more: &[u8]) {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            // Not `reserve`: it would leave the old memory as it is.
            let mut larger = Vec::with_capacity(needed.next_power_of_two());
            larger.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.replace(larger);
        }
        self.bytes.extend_from_slice(more);
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        let left = self.bytes.len() - count;
        self.bytes.copy_within(count.., 0);
        self.bytes[left..].zeroize();
        self.bytes.truncate(left);
    }

    /// Leaves the first `at` bytes here and hands out the others.
    pub fn split_off(&mut self, at: usize) -> Self {
        let at = at.min(self.bytes.len());
        let rest = Self::from(self.bytes[at..].to_vec());
        self.bytes[at..].zeroize();
        self.bytes.truncate(at);
        rest
    }

    /// Drops everything, and the memory with it.
    pub fn clear(&mut self) {
        self.bytes.zeroize();
        self.replace(Vec::new());
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        let kept = KEPT_BY_ALL.get() + bytes.capacity();
        KEPT_BY_ALL.set(kept.saturating_sub(self.bytes.capacity()));
        self.bytes = bytes;
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        let mut buffer = Self::default();
        buffer.replace(bytes);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Nothing is left to count once the thread is at its end.
        let _ = KEPT_BY_ALL.try_with(|kept| kept.set(kept.get().saturating_sub(self.bytes.capacity())));
        self.bytes.zeroize();
    }
}
