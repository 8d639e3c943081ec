//! A record of the ring with the head of a request in it.

use std::hint::black_box;

use observer::decode::{ClockOffset, event};
use observer::model::Event;
use observer_common::{flag, kind};

use super::Case;
use super::talk::GET;

pub fn decode() -> Case {
    let record = record(GET.as_bytes());
    Box::new(move || match event(black_box(&record), ClockOffset(1)) {
        Ok(Event::Payload(payload)) => assert_eq!(black_box(payload.bytes).len(), GET.len()),
        other => panic!("{other:?}"),
    })
}

/// As `observer_common::Data` has it.
fn record(bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(kind::TCP_DATA.to_ne_bytes());
    record.extend((flag::SERVER | flag::TURN).to_ne_bytes());
    record.extend((bytes.len() as u32).to_ne_bytes());
    for word in [4_711_u64, 1_000_000_000, 42] {
        record.extend(word.to_ne_bytes());
    }
    record.extend([0; 40]);
    record.extend(7_u32.to_ne_bytes());
    record.extend(0_u32.to_ne_bytes());
    record.extend(bytes);
    record
}
