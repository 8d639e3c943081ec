//! A conversation told to a session, and what must hold of any.

use observer::model::Protocol;
use observer::protocol::{Interest, MOST_KEPT, Piece, Session, Settings};

use crate::script::{self, Step};
use crate::witness::{Notes, Told};

/// A header of HTTP/2; nothing shorter is a request or a response.
const SHORTEST_MESSAGE: u64 = 9;

/// In which an input is played.
const MOST_PIECES: usize = 256;

/// How a session is set up.
#[derive(Clone)]
pub struct Setup {
    pub settings: Settings,
    pub midstream: bool,
}

impl Setup {
    /// From an input's first byte.
    pub fn read(options: u8) -> Self {
        const MIDSTREAM: u8 = 1;
        const SHORT_HEADS: u8 = 2;
        const CREDENTIAL_HEADERS: u8 = 4;
        let mut settings = Settings::default();
        if options & SHORT_HEADS != 0 {
            settings.head_limit = 64;
        }
        if options & CREDENTIAL_HEADERS != 0 {
            settings.credential_headers = vec!["x-api-key".into(), "a".into()];
        }
        Self { settings, midstream: options & MIDSTREAM != 0 }
    }
}

/// Plays a conversation to its end.
pub fn play(steps: &[Step], setup: &Setup) -> Notes {
    play_cut(steps, setup, usize::MAX)
}

/// The same, in pieces of at most `size` bytes.
fn play_cut(steps: &[Step], setup: &Setup, size: usize) -> Notes {
    let mut notes = Notes::default();
    let mut session = Session::default();
    if setup.midstream {
        session.attach_midstream(&mut notes);
    }
    let mut speaker = None;
    let (mut said, mut lost, mut gaps, mut largest) = (0, 0, 0, 0);
    for step in steps {
        match step {
            Step::Bytes { client, bytes, turn } => {
                said += bytes.len() as u64;
                largest = largest.max(bytes.len().min(size));
                let mut claimed = *turn;
                for bytes in bytes.chunks(size) {
                    let turn = std::mem::take(&mut claimed) || speaker.replace(*client) != Some(*client);
                    session.push(*client, Piece::Bytes { bytes, turn }, &setup.settings, &mut notes);
                }
            }
            Step::Gap { client, len } => {
                speaker = Some(*client);
                (lost, gaps) = (lost + len, gaps + 1);
                session.push(*client, Piece::Gap { len: *len }, &setup.settings, &mut notes);
            }
            Step::Walked { client, walked, only_data } => session.set_walked(*client, *walked, *only_data),
        }
        assert!(session.kept() <= MOST_KEPT + largest, "{} bytes are kept", session.kept());
        if let Interest::AfterClientBytes(ahead) = session.interest() {
            assert!(ahead > 0);
        }
    }
    session.finish(&mut notes);
    assert_eq!((session.interest(), session.kept()), (Interest::Nothing, 0), "it is over");
    let most = (said + lost) / SHORTEST_MESSAGE + gaps + said.min(1);
    assert!(notes.requests() as u64 <= most, "{} requests in {said} bytes", notes.requests());
    assert!(notes.responses() as u64 <= 2 * most, "{} responses in {said} bytes", notes.responses());
    assert!(notes.told.iter().any(|told| matches!(told, Told::Classified(..))), "nobody says what it was");
    notes
}

/// Plays it as it is, and checks that it means the same however it is cut, where nothing of it is missing.
pub fn play_any_way(steps: &[Step], setup: &Setup) -> Notes {
    let notes = play(steps, setup);
    if script::is_whole(steps) && !setup.midstream {
        let whole = script::joined(steps);
        let in_one = play(&whole, setup).told;
        assert_eq!(notes.told, in_one, "cut differently, it reads differently");
        let said: usize = whole.iter().map(Step::len).sum();
        for size in [1, 7, 256] {
            // Each piece costs: more of them are for shorter inputs.
            if said <= size * MOST_PIECES {
                assert_eq!(play_cut(&whole, setup, size).told, in_one, "in pieces of {size}");
            }
        }
    }
    if tls_first(steps) && !setup.midstream {
        assert!(!notes.is_plaintext() && notes.requests() == 0, "TLS is no plaintext: {:?}", notes.told);
    }
    notes
}

/// Whether the client's first words, before anything else is said, start a ClientHello (RFC 8446 sections 4 and 5.1).
fn tls_first(steps: &[Step]) -> bool {
    let mut client = Vec::new();
    for step in steps {
        let Step::Bytes { client: true, bytes, .. } = step else { break };
        client.extend(bytes);
    }
    let [22, 3, minor, high, low, 1, ..] = client[..] else { return false };
    minor <= 4 && (1..=1 << 14).contains(&u16::from_be_bytes([high, low]))
}

/// The protocol that it was last said to be.
pub fn protocol(notes: &Notes) -> Option<Protocol> {
    notes.told.iter().rev().find_map(|told| match told {
        Told::Classified(protocol, _) => Some(*protocol),
        _ => None,
    })
}
