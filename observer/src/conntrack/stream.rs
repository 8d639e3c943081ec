//! The bytes of one direction, in order.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::model::Timestamp;

/// Segments that arrive before their predecessors are held back: this many at most, per direction.
const MAX_HELD_SEGMENTS: usize = 16;
/// And this many bytes: two full allowances.
const MAX_HELD_BYTES: usize = 32 * 1024;
/// Reordering within a node settles in microseconds, across a network within a retransmission; after this a hole is
/// taken for a loss.
const MAX_HOLD: Duration = Duration::from_millis(200);

/// The most that can be in flight (RFC 7323 section 2.3).
const LARGEST_WINDOW: i32 = 1 << 30;

/// What a direction delivers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// `turn`: the first bytes of this direction since the other end spoke.
    Bytes { bytes: &'a [u8], turn: bool },
    /// So many bytes were sent and are not to be had.
    Gap { len: u64 },
}

struct Held {
    sequence: u32,
    // May hold a credential.
    bytes: Zeroizing<Vec<u8>>,
    since: Timestamp,
}

/// Puts one direction in order: duplicates dropped, reordering mended within bounds, gaps named.
#[derive(Default)]
pub struct Stream {
    /// The sequence number of the next byte; `None` until it is known where the stream starts.
    next: Option<u32>,
    held: Vec<Held>,
}

impl Stream {
    #[must_use]
    pub fn starting_at(sequence: u32) -> Self {
        Self { next: Some(sequence), ..Self::default() }
    }

    /// The sequence number of a position in the stream, `ahead` bytes after the next one.
    #[must_use]
    pub fn sequence_after(&self, ahead: u64) -> Option<u32> {
        // Sequence numbers are the position modulo 2^32 (RFC 9293 section 3.4).
        self.next.map(|next| next.wrapping_add(ahead as u32))
    }

    /// Takes a segment in and hands on all that is in order now.
    ///
    /// `turn`: the peer has answered what came before, so a hole before this segment is no reordering: the kernel
    /// left it out, or it was lost for good. `left_out`: bytes after these that the kernel did not ship.
    pub fn push(
        &mut self,
        sequence: u32,
        bytes: &[u8],
        turn: bool,
        left_out: u32,
        now: Timestamp,
        deliver: &mut impl FnMut(Piece<'_>),
    ) {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next) as i32;
        if turn && ahead < -LARGEST_WINDOW {
            // No retransmission reaches back that far: more than half the sequence space went by unseen.
            self.finish(deliver);
            self.jump(sequence, deliver);
            self.deliver(sequence, bytes, turn, deliver);
        } else if ahead > 0 && !turn {
            self.hold(sequence, bytes, now, deliver);
        } else {
            if ahead > 0 {
                self.skip_to(sequence, deliver);
            }
            self.deliver(sequence, bytes, turn, deliver);
            self.release(deliver);
        }
        if left_out > 0 {
            self.skip_to(sequence.wrapping_add(bytes.len() as u32).wrapping_add(left_out), deliver);
            self.release(deliver);
        }
    }

    /// What lies from `since` to `until` was counted by the kernel; answers how many bytes of that are news. `None`: bytes
    /// before it are still to come, unless they are `lost`.
    pub fn counted(
        &mut self,
        since: u32,
        until: u32,
        lost: bool,
        deliver: &mut impl FnMut(Piece<'_>),
    ) -> Option<u64> {
        let missing = since.wrapping_sub(self.next?) as i32;
        if missing > 0 {
            if !lost {
                return None;
            }
            self.skip_to(since, deliver);
        }
        let news = until.wrapping_sub(self.next?) as i32;
        if news <= 0 {
            return Some(0);
        }
        self.next = Some(until);
        Some(news as u64)
    }

    /// Nothing before `until` is wanted.
    pub fn pass(&mut self, until: u32) {
        if self.next.is_some_and(|next| (until.wrapping_sub(next) as i32) > 0) {
            self.next = Some(until);
        }
    }

    /// Gives up on holes that nothing filled in time.
    pub fn tick(&mut self, now: Timestamp, deliver: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = self.held.first()
            && now.since(first.since) >= MAX_HOLD
        {
            self.skip_to(first.sequence, deliver);
            self.release(deliver);
        }
    }

    /// Hands on whatever is held: nothing more will come.
    pub fn finish(&mut self, deliver: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = self.held.first() {
            self.skip_to(first.sequence, deliver);
            self.release(deliver);
        }
    }

    /// The stream is over, `total` bytes after its `start`: what was not delivered of them was not captured.
    pub fn end_at(&mut self, start: u32, total: u64, deliver: &mut impl FnMut(Piece<'_>)) {
        // Positions are known modulo 2^32 only.
        let end = start.wrapping_add(total as u32);
        if self.next.is_some_and(|next| (end.wrapping_sub(next) as i32) > 0) {
            self.jump(end, deliver);
        }
    }

    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    fn hold(&mut self, sequence: u32, bytes: &[u8], now: Timestamp, deliver: &mut impl FnMut(Piece<'_>)) {
        let at = self.held.partition_point(|held| (held.sequence.wrapping_sub(sequence) as i32) < 0);
        self.held.insert(at, Held { sequence, bytes: Zeroizing::new(bytes.to_vec()), since: now });
        while self.held.len() > MAX_HELD_SEGMENTS || self.held_bytes() > MAX_HELD_BYTES {
            self.skip_to(self.held[0].sequence, deliver);
            self.release(deliver);
        }
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes.len()).sum()
    }

    /// Delivers held segments that have become due.
    fn release(&mut self, deliver: &mut impl FnMut(Piece<'_>)) {
        while let (Some(first), Some(next)) = (self.held.first(), self.next)
            && (first.sequence.wrapping_sub(next) as i32) <= 0
        {
            let held = self.held.remove(0);
            self.deliver(held.sequence, &held.bytes, false, deliver);
        }
    }

    /// Delivers what of `bytes` is new.
    fn deliver(&mut self, sequence: u32, bytes: &[u8], turn: bool, deliver: &mut impl FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        let known = next.wrapping_sub(sequence) as usize;
        let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) else { return };
        self.next = Some(next.wrapping_add(fresh.len() as u32));
        deliver(Piece::Bytes { bytes: fresh, turn });
    }

    /// A hole up to `sequence`, wherever that lies.
    fn jump(&mut self, sequence: u32, deliver: &mut impl FnMut(Piece<'_>)) {
        if let Some(next) = self.next.replace(sequence) {
            let missing = u64::from(sequence.wrapping_sub(next));
            deliver(Piece::Gap { len: missing });
        }
    }

    /// A hole up to `sequence`, after whatever held segments lie before it.
    fn skip_to(&mut self, sequence: u32, deliver: &mut impl FnMut(Piece<'_>)) {
        while let Some(next) = self.next {
            let to = match self.held.first() {
                Some(first) if (first.sequence.wrapping_sub(sequence) as i32) < 0 => first.sequence,
                _ => sequence,
            };
            let missing = to.wrapping_sub(next) as i32;
            if missing > 0 {
                self.next = Some(to);
                deliver(Piece::Gap { len: missing as u64 });
            }
            if to == sequence {
                return;
            }
            self.release(deliver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on after `total` bytes were sent of which `seen` were captured.
    fn end(start: u32, seen: &[u8], total: u64) -> Vec<(usize, u64)> {
        let mut stream = Stream::starting_at(start);
        let mut pieces = Vec::new();
        let mut deliver = |piece: Piece<'_>| match piece {
            Piece::Bytes { bytes, .. } => pieces.push((bytes.len(), 0)),
            Piece::Gap { len } => pieces.push((0, len)),
        };
        stream.push(start, seen, true, 0, Timestamp(0), &mut deliver);
        stream.end_at(start, total, &mut deliver);
        pieces
    }

    #[test]
    fn bytes_that_were_sent_last_and_not_captured_are_a_gap() {
        assert_eq!(end(1000, b"GET / ", 6), [(6, 0)]);
        assert_eq!(end(1000, b"GET / ", 5000), [(6, 0), (0, 4994)]);
        assert_eq!(end(u32::MAX - 2, b"GET / ", 100), [(6, 0), (0, 94)], "sequence numbers wrap");
        assert_eq!(end(1000, b"GET / ", 0), [(6, 0)], "an RST cut the count short");
    }
}
