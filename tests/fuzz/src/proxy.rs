//! A PROXY header is left aside: what follows reads as it does without one.

use crate::script::{self, Step};
use crate::talk::{self, Setup};

pub fn run(input: &[u8]) {
    let Some((&options, input)) = input.split_first() else { return };
    let setup = Setup { midstream: false, ..Setup::read(options) };
    let steps = script::read(input);
    let notes = talk::play_any_way(&steps, &setup);
    if !script::is_whole(&steps) {
        return;
    }
    let mut steps = script::joined(&steps);
    let Some(Step::Bytes { client: true, bytes, .. }) = steps.first_mut() else { return };
    let Some(length) = header(bytes) else { return };
    bytes.drain(..length);
    // One header is left aside, and what may be a second is not.
    if matches!(bytes.first(), Some(b'P' | b'\r')) {
        return;
    }
    if bytes.is_empty() {
        steps.remove(0);
    }
    assert_eq!(notes.told, talk::play(&steps, &setup).told, "without its header it reads differently");
}

/// The length of a whole header (haproxy.org, proxy-protocol.txt, sections 2.1 and 2.2).
fn header(bytes: &[u8]) -> Option<usize> {
    const LONGEST_LINE: usize = 107;
    const LONGEST_BINARY: usize = 4096;
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if let Some([version, family, high, low, ..]) = bytes.strip_prefix(SIGNATURE) {
        let rest = usize::from(u16::from_be_bytes([*high, *low]));
        let known = matches!(version, 0x20 | 0x21) && family >> 4 <= 3 && rest <= LONGEST_BINARY;
        let length = SIGNATURE.len() + 4 + rest;
        return (known && length <= bytes.len()).then_some(length);
    }
    let starts: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
    if !starts.iter().any(|start| bytes.starts_with(start)) {
        return None;
    }
    let end = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')?;
    (bytes[end - 1] == b'\r').then_some(end + 1)
}
