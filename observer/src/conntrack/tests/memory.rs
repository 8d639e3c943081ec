use super::super::{Flow, Settings, Table};
use super::{at, note, open, payload, pod, table};
use crate::model::{Cookie, Direction, Payload};

#[test]
fn a_flow_at_rest_is_smaller_than_a_kibibyte() {
    assert!(size_of::<Flow<()>>() <= 640, "{}", size_of::<Flow<()>>());
}

/// A sender that never fills its holes: what is not delivered is held, in either direction.
#[test]
fn what_a_flow_holds_back_is_bounded() {
    let mut table: Table<usize> = Table::new(Settings::default());
    table.open(open(1, false, pod(3, 8080), pod(2, 47538), (0, 0)), |_, _, _| {});
    let (mut pushed, segment) = (0, [7; 4000]);
    for n in 1..500u32 {
        for direction in [Direction::Received, Direction::Sent] {
            pushed += segment.len();
            table.payload(&payload(1, direction, n * 10_000, &segment), |told, _, piece| {
                if let super::Piece::Bytes { bytes, .. } = piece {
                    *told += bytes.len();
                }
            });
        }
        let told = table.get(Cookie(1)).unwrap().session;
        assert!(pushed - told <= 2 * 32 * 1024, "{} bytes are held", pushed - told);
    }
}

#[test]
fn segments_without_a_connection_are_bounded_counted_and_the_oldest_goes_first() {
    let mut table = table();
    let segment = |port, bytes| Payload {
        ends: Some((pod(3, 8080), pod(2, port))),
        at_listener: true,
        turn: true,
        ..payload(50, Direction::Received, 2_000, bytes)
    };
    for port in 0..1_030 {
        table.payload(&segment(port, b"x"), note);
    }
    assert_eq!(table.refused(), 6);
    for (cookie, port, adopted) in [(1, 5, 0), (2, 6, 1), (3, 1_029, 1)] {
        table.open(open(cookie, false, pod(3, 8080), pod(2, port), (1_000, 2_000)), note);
        assert_eq!(table.get(Cookie(cookie)).unwrap().session.len(), adopted, "port {port}");
    }
    table.tick(at(60_000), note);
}
