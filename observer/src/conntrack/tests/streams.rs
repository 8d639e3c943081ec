use proptest::prelude::*;

use super::super::{Piece, Stream};
use super::{Heard, at};

/// A stream that writes down what it delivers.
struct Ear {
    stream: Stream,
    heard: Vec<Heard>,
}

impl Ear {
    fn at(start: u32) -> Self {
        Self { stream: Stream::starting_at(start), heard: Vec::new() }
    }

    fn push(
        &mut self,
        sequence: u32,
        bytes: &[u8],
        turn: bool,
        left_out: u32,
        milliseconds: u64,
    ) -> &mut Self {
        let heard = &mut self.heard;
        let mut hear = |piece: Piece<'_>| heard.push(piece.into());
        self.stream.push(sequence, bytes, turn, left_out, at(milliseconds), &mut hear);
        self
    }

    fn segment(&mut self, sequence: u32, bytes: &[u8]) -> &mut Self {
        self.push(sequence, bytes, false, 0, 0)
    }

    fn tick(&mut self, milliseconds: u64) -> &mut Self {
        self.stream.tick(at(milliseconds), &mut |piece| self.heard.push(piece.into()));
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.stream.finish(&mut |piece| self.heard.push(piece.into()));
        self
    }
}

fn bytes(text: &[u8]) -> Heard {
    Heard::Bytes(text.to_vec(), false)
}

#[test]
fn segments_in_order_are_delivered_as_they_come() {
    let mut ear = Ear::at(u32::MAX - 1);
    ear.segment(u32::MAX - 1, b"abc").segment(1, b"de");
    assert_eq!(ear.heard, [bytes(b"abc"), bytes(b"de")]);
    assert_eq!(ear.stream.sequence_after(10), Some(13));
}

#[test]
fn what_was_delivered_is_not_delivered_again() {
    let mut ear = Ear::at(0);
    ear.segment(0, b"abcd").segment(0, b"abcd").segment(2, b"cdef").segment(1, b"b").segment(4, b"ef");
    assert_eq!(ear.heard, [bytes(b"abcd"), bytes(b"ef")]);
}

#[test]
fn a_later_segment_waits_for_an_earlier_one() {
    let mut ear = Ear::at(0);
    ear.segment(3, b"def").segment(6, b"g");
    assert!(ear.heard.is_empty() && ear.stream.is_waiting());
    ear.segment(0, b"abc");
    assert_eq!(ear.heard, [bytes(b"abc"), bytes(b"def"), bytes(b"g")]);
    assert!(!ear.stream.is_waiting());
}

#[test]
fn a_turn_waits_for_nothing_and_names_what_was_left_out() {
    let mut ear = Ear::at(0);
    ear.segment(0, b"abc").push(1003, b"next", true, 0, 0);
    assert_eq!(ear.heard, [bytes(b"abc"), Heard::Gap(1000), Heard::Bytes(b"next".to_vec(), true)]);
}

#[test]
fn a_turn_delivers_what_was_held_before_it() {
    let mut ear = Ear::at(0);
    ear.segment(10, b"held").push(20, b"next", true, 0, 0);
    let expected = [Heard::Gap(10), bytes(b"held"), Heard::Gap(6), Heard::Bytes(b"next".to_vec(), true)];
    assert_eq!(ear.heard, expected);
}

#[test]
fn bytes_left_out_are_a_gap_of_their_number_right_away() {
    let mut ear = Ear::at(u32::MAX - 4);
    ear.push(u32::MAX - 4, b"abc", true, 1000, 0);
    assert_eq!(ear.heard, [Heard::Bytes(b"abc".to_vec(), true), Heard::Gap(1000)]);
    assert_eq!(ear.stream.sequence_after(0), Some(998));
}

#[test]
fn a_segment_that_a_left_out_end_makes_due_is_delivered_with_it() {
    let mut ear = Ear::at(0);
    ear.segment(103, b"held").push(0, b"abc", true, 100, 0);
    assert_eq!(ear.heard, [Heard::Bytes(b"abc".to_vec(), true), Heard::Gap(100), bytes(b"held")]);
    assert!(!ear.stream.is_waiting());
}

#[test]
fn a_hole_that_nothing_fills_within_200_ms_is_a_gap() {
    let mut ear = Ear::at(0);
    ear.push(5, b"held", false, 0, 100).tick(299);
    assert!(ear.heard.is_empty());
    ear.tick(300);
    assert_eq!(ear.heard, [Heard::Gap(5), bytes(b"held")]);
    // Too late.
    ear.push(0, b"abcde", false, 0, 301);
    assert_eq!(ear.heard.len(), 2);
}

#[test]
fn the_end_of_a_stream_delivers_all_that_is_held() {
    let mut ear = Ear::at(0);
    ear.segment(5, b"f").segment(9, b"j").segment(6, b"g").finish();
    assert_eq!(ear.heard, [Heard::Gap(5), bytes(b"f"), bytes(b"g"), Heard::Gap(2), bytes(b"j")]);
}

#[test]
fn a_seventeenth_held_segment_gives_up_the_first_hole() {
    let mut ear = Ear::at(0);
    for n in 0..16 {
        ear.segment(10 + n * 10, b"x");
    }
    assert!(ear.heard.is_empty());
    ear.segment(500, b"y");
    assert_eq!(ear.heard, [Heard::Gap(10), bytes(b"x")]);
}

#[test]
fn held_bytes_never_pass_32_kib() {
    let mut ear = Ear::at(0);
    let mut sent = 0;
    for n in 1..200u32 {
        let length = if n % 2 == 0 { 1 } else { 6000 };
        ear.segment(n * 10_000, &vec![7; length]);
        sent += length;
        let delivered: usize = ear
            .heard
            .iter()
            .map(|heard| if let Heard::Bytes(bytes, _) = heard { bytes.len() } else { 0 })
            .sum();
        assert!(sent - delivered <= 32 * 1024, "{}", sent - delivered);
    }
}

/// A download of 3 GB in one turn: more than half the sequence space.
#[test]
fn a_turn_far_ahead_is_a_gap_and_not_a_retransmission() {
    for skipped in [(1u32 << 31) - 1, 1 << 31, 3_000_000_000] {
        let mut ear = Ear::at(7);
        ear.segment(7, b"a").push(8u32.wrapping_add(skipped), b"next", true, 0, 0);
        let expected = [bytes(b"a"), Heard::Gap(skipped.into()), Heard::Bytes(b"next".to_vec(), true)];
        assert_eq!(ear.heard, expected, "{skipped}");
    }
    // A retransmission stays one, whatever the kernel says of turns.
    let mut ear = Ear::at(0);
    ear.segment(0, b"abcd").push(0, b"abcd", true, 0, 0);
    assert_eq!(ear.heard, [bytes(b"abcd")]);
}

#[test]
fn a_stream_seen_midway_starts_with_its_first_segment() {
    let mut ear = Ear { stream: Stream::default(), heard: Vec::new() };
    assert_eq!(ear.stream.sequence_after(0), None);
    ear.segment(4_000_000_000, b"abc").segment(3_999_999_999, b"?").segment(4_000_000_003, b"d");
    assert_eq!(ear.heard, [bytes(b"abc"), bytes(b"d")]);
}

/// Cuts, repeats and shuffles a stream as a network may: never more held back than the bounds allow.
fn network() -> impl Strategy<Value = (u32, Vec<u8>, Vec<(usize, usize)>)> {
    let cuts = prop::collection::vec((1usize..300, 0usize..6, prop::bool::weighted(0.2)), 1..80);
    (any::<u32>(), cuts).prop_map(|(start, cuts)| {
        let total: usize = cuts.iter().map(|(length, ..)| length).sum();
        let stream = (0..total).map(|n| (n * 31 % 251) as u8).collect();
        let mut segments = Vec::new();
        let mut position = 0;
        for (n, (length, delay, again)) in cuts.iter().enumerate() {
            // An overlap with what comes before, where it is repeated.
            let from = if *again { position - position.min(50) } else { position };
            segments.push((n + delay, from, position + length));
            if *again {
                segments.push((n + delay + 2, position, position + length));
            }
            position += length;
        }
        segments.sort_by_key(|(when, ..)| *when);
        (start, stream, segments.into_iter().map(|(_, from, to)| (from, to)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_segmentation_duplication_and_reordering_delivers_exactly_the_stream(
        (start, stream, segments) in network(),
        near_wrap: bool,
    ) {
        let start = if near_wrap { 0u32.wrapping_sub(start % 2000) } else { start };
        let mut ear = Ear::at(start);
        for (from, to) in segments {
            ear.segment(start.wrapping_add(from as u32), &stream[from..to]);
        }
        let mut delivered = Vec::new();
        for heard in &ear.heard {
            let Heard::Bytes(bytes, false) = heard else { return Err(TestCaseError::fail(format!("{heard:?}"))) };
            delivered.extend_from_slice(bytes);
        }
        prop_assert_eq!(delivered, stream);
        prop_assert!(!ear.stream.is_waiting());
    }

    /// Whatever is lost: every byte is delivered in its place, and gaps have the length of what is missing.
    #[test]
    fn gaps_have_the_length_of_what_was_lost(
        (start, stream, segments) in network(),
        kept in prop::collection::vec(prop::bool::weighted(0.8), 1..100),
    ) {
        let mut ear = Ear::at(start);
        let kept: Vec<_> = segments.iter().zip(kept.iter().cycle()).filter(|(_, kept)| **kept).map(|(s, _)| *s).collect();
        for &(from, to) in &kept {
            ear.segment(start.wrapping_add(from as u32), &stream[from..to]);
        }
        ear.finish();
        let mut position = 0;
        for heard in &ear.heard {
            match heard {
                Heard::Gap(length) => position += *length as usize,
                Heard::Bytes(bytes, _) => {
                    prop_assert_eq!(bytes, &stream[position..position + bytes.len()]);
                    position += bytes.len();
                }
            }
        }
        prop_assert_eq!(position, kept.iter().map(|(_, to)| *to).max().unwrap_or(0));
    }

    #[test]
    fn no_segments_make_a_stream_panic_or_hold_more_than_its_bound(
        pushes in prop::collection::vec((any::<u32>(), 0usize..5000, any::<bool>(), prop::option::of(any::<u32>())), 0..60),
    ) {
        let mut ear = Ear { stream: Stream::default(), heard: Vec::new() };
        let (mut pushed, zeros) = (0, vec![0; 5000]);
        for (n, (sequence, length, turn, left_out)) in pushes.into_iter().enumerate() {
            ear.push(sequence, &zeros[..length], turn, left_out.unwrap_or(0), n as u64);
            pushed += length;
        }
        ear.finish();
        prop_assert!(!ear.stream.is_waiting());
        let heard = |heard: &Heard| if let Heard::Bytes(bytes, _) = heard { bytes.len() } else { 0 };
        prop_assert!(ear.heard.iter().map(heard).sum::<usize>() <= pushed);
    }
}
