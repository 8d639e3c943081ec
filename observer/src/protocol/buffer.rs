//! Bytes kept until they can be read whole. They may hold a credential, so no copy outlives its use.

use zeroize::Zeroize as _;

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
            self.bytes = larger;
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
        let rest = Self { bytes: self.bytes[at..].to_vec() };
        self.bytes[at..].zeroize();
        self.bytes.truncate(at);
        rest
    }

    /// Drops everything, and the memory with it.
    pub fn clear(&mut self) {
        self.bytes.zeroize();
        self.bytes = Vec::new();
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
