//! HTTP/2: bytes as they are, or header blocks that are put into frames here, so that HPACK gets its share.

use loona_hpack::Decoder;

use crate::script::{self, Step};
use crate::talk::{self, Setup};
use crate::witness::{Shown, Told};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

pub fn run(input: &[u8]) {
    const BLOCKS: u8 = 0x80;
    let Some((&options, input)) = input.split_first() else { return };
    if options & BLOCKS == 0 {
        talk::play_any_way(&script::read(input), &Setup::read(options));
    } else {
        blocks(input, &Setup { midstream: false, ..Setup::read(options) });
    }
}

/// What a client asks for, in one block.
type Asked = (Option<String>, Vec<Vec<u8>>);

/// Each piece of the script is a header block; another decoder must find in them what ours does.
fn blocks(input: &[u8], setup: &Setup) {
    let say = |client, bytes| Step::Bytes { client, bytes, turn: false };
    let mut steps = vec![say(true, [PREFACE, &SETTINGS].concat()), say(false, SETTINGS.to_vec())];
    let (mut streams, mut theirs, mut sound) = ([1_u32; 2], Decoder::new(), true);
    let mut asked = Vec::new();
    for step in script::read(input) {
        let Step::Bytes { client, bytes: block, turn } = step else { continue };
        let stream = &mut streams[usize::from(client)];
        // Some blocks go on in a second frame.
        let (first, rest) = if turn { block.split_at(block.len() / 2) } else { (&block[..], &[][..]) };
        let mut bytes = frame(HEADERS, if turn { 0 } else { END_HEADERS }, *stream, first);
        if turn {
            bytes.extend(frame(CONTINUATION, END_HEADERS, *stream, rest));
        }
        *stream += 2;
        steps.push(say(client, bytes));
        if client {
            let read = if sound { their_reading(&mut theirs, &block) } else { None };
            sound = read.is_some();
            asked.push(read);
        }
    }
    let notes = talk::play_any_way(&steps, setup);
    let ours = notes.told.iter().filter_map(|told| match told {
        Told::Request { method, credentials, .. } => Some((method, credentials)),
        _ => None,
    });
    for ((method, credentials), theirs) in ours.zip(asked) {
        // Faults are for another test: what both can read they must read alike.
        let Some((their_method, their_authorizations)) = theirs else { return };
        match credentials {
            Shown::Unknown(_) | Shown::Other => {}
            Shown::Authorization(value) => assert!(their_authorizations.iter().all(|theirs| theirs == value)),
            Shown::Several(values) => {
                assert!(values.iter().all(|value| their_authorizations.contains(value)))
            }
            Shown::None => assert!(their_authorizations.is_empty()),
            Shown::Proxy(..) => panic!("that is HTTP/1's"),
        }
        if !matches!(credentials, Shown::Unknown(_)) {
            assert_eq!(method, &their_method);
        }
    }
}

/// `None`: it cannot read the block.
fn their_reading(decoder: &mut Decoder<'_>, block: &[u8]) -> Option<Asked> {
    // A name of ours: the methods that are not registered are cut.
    const LONGEST_METHOD: usize = 32;
    let fields = decoder.decode(block).ok()?;
    let is = |name: &[u8], wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    let method =
        fields.iter().rev().find(|(name, _)| name == b":method").map(|(_, value)| {
            String::from_utf8_lossy(&value[..value.len().min(LONGEST_METHOD)]).into_owned()
        });
    let authorizations = fields.iter().filter(|(name, _)| is(name, "authorization"));
    Some((method, authorizations.map(|(_, value)| value.clone()).collect()))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header blocks as an input: the inverse of what this target does with one.
pub fn write_blocks(blocks: &[(bool, Vec<u8>)]) -> Vec<u8> {
    [vec![0x80], script::write(blocks)].concat()
}
