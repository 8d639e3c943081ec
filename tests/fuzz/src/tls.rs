//! TLS: as the client's first word, or after the dialogue of a protocol that may ask for it.

use crate::script::{self, Step};
use crate::talk::{self, Setup};

/// Dialogues after which a client says hello.
const DIALOGUES: [&[(bool, &[u8])]; 4] = [
    &[],
    &[(true, b"\0\0\0\x08\x04\xd2\x16\x2f"), (false, b"S")],
    &[
        (false, b"220 mail ESMTP\r\n"),
        (true, b"EHLO a\r\n"),
        (false, b"250 STARTTLS\r\n"),
        (true, b"STARTTLS\r\n"),
        (false, b"220 go\r\n"),
    ],
    &[(true, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")],
];

pub fn run(input: &[u8]) {
    let Some((&options, input)) = input.split_first() else { return };
    let dialogue = DIALOGUES[usize::from(options >> 6)];
    let said =
        |(client, bytes): &(bool, &[u8])| Step::Bytes { client: *client, bytes: bytes.to_vec(), turn: false };
    let mut steps: Vec<Step> = dialogue.iter().map(said).collect();
    steps.extend(script::read(input));
    talk::play_any_way(&steps, &Setup::read(options));
}
