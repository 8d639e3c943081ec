//! The dynamic table (RFC 7541 sections 2.3.2 and 4): newest first.

use std::collections::VecDeque;

/// An entry as its reader keeps it, with the size that the protocol counts for it.
pub struct Entry<N, V> {
    /// `None`: it was taken from a slot that is not known.
    pub name: Option<N>,
    /// In bytes.
    pub name_length: usize,
    pub value: V,
    size: usize,
}

impl<N, V> Entry<N, V> {
    pub fn new(name: Option<N>, name_length: usize, value: V, value_length: usize) -> Self {
        Self { name, name_length, value, size: name_length + value_length + OVERHEAD }
    }
}

/// What RFC 7541 section 4.1 adds to the lengths of name and value.
const OVERHEAD: usize = 32;
/// SETTINGS_HEADER_TABLE_SIZE before anybody says otherwise (RFC 9113 section 6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// No table of ours is larger, whatever the peers agree upon; what lies beyond is unknown. So an entry's 32 bytes of
/// overhead bound the entries to 2,048.
pub const LARGEST_TABLE: usize = 64 * 1024;

/// What an index stands for.
pub enum Slot<'a, N, V> {
    Known(&'a Entry<N, V>),
    /// It was there before we looked, or what put it there was lost.
    Unknown,
    /// No encoder that is still in step could mean it.
    Nothing,
}

pub struct Table<N, V> {
    entries: VecDeque<Entry<N, V>>,
    size: usize,
    limit: usize,
    /// There may be older entries than ours.
    unknown_tail: bool,
}

impl<N, V> Default for Table<N, V> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: DEFAULT_SIZE, unknown_tail: false }
    }
}

impl<N, V> Table<N, V> {
    /// `index` counts from the newest, which is 0.
    pub fn get(&self, index: usize) -> Slot<'_, N, V> {
        match self.entries.get(index) {
            Some(entry) => Slot::Known(entry),
            None if self.unknown_tail => Slot::Unknown,
            None => Slot::Nothing,
        }
    }

    /// Puts an entry first; each that leaves goes to `gone`, this one too where it is too large.
    ///
    /// An entry whose name is unknown may be taken for smaller than it is. So ours may stay longer than the encoder's:
    /// it never refers to what it dropped, so that does no harm.
    pub fn insert(&mut self, entry: Entry<N, V>, gone: &mut impl FnMut(V)) {
        if entry.size > self.limit {
            self.shrink_to(0, gone);
            return gone(entry.value);
        }
        self.shrink_to(self.limit - entry.size, gone);
        self.size += entry.size;
        self.entries.push_front(entry);
    }

    /// The encoder says how large its table is (RFC 7541 section 6.3).
    pub fn resize(&mut self, limit: usize, gone: &mut impl FnMut(V)) {
        if limit > LARGEST_TABLE {
            // Its entries outlive ours.
            self.unknown_tail = true;
        } else if limit < OVERHEAD {
            // Nothing fits, known or not: encoders empty their tables so.
            self.unknown_tail = false;
        }
        self.limit = limit.min(LARGEST_TABLE);
        self.shrink_to(self.limit, gone);
    }

    /// Entries may have been added or dropped unseen, and the size changed: no position is known any more, but each
    /// new entry's again, since positions count from the newest.
    pub fn forget(&mut self, gone: &mut impl FnMut(V)) {
        self.shrink_to(0, gone);
        self.limit = LARGEST_TABLE;
        self.unknown_tail = true;
    }

    /// What the entries count for, in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry<N, V>> {
        self.entries.iter()
    }

    fn shrink_to(&mut self, size: usize, gone: &mut impl FnMut(V)) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size;
            gone(oldest.value);
        }
    }
}
