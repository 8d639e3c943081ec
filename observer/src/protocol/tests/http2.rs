//! HTTP/2 in clear. Header blocks are written as Go's encoder does it, which indexes Authorization: a repeat is one byte.

use proptest::prelude::*;

use super::{Interest, Piece, Shown, Talk, Told, bearer, cut, plays};
use crate::model::{EncryptionStatus, Protocol};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

type Spoken = Vec<(bool, Vec<u8>)>;
type Fields<'a> = [(&'a str, &'a str)];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What is in its table, newest first. Other fields than Authorization go as they are (RFC 7541 section 6.2.2).
#[derive(Default)]
struct Encoder {
    table: Vec<String>,
}

impl Encoder {
    fn new() -> Self {
        Self::default()
    }
}

fn block(encoder: &mut Encoder, fields: &Fields<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    let string = |block: &mut Vec<u8>, text: &str| {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.bytes());
    };
    for &(name, value) in fields {
        match (name, encoder.table.iter().position(|known| known == value)) {
            (":method", _) => block.push(0x82),
            ("authorization", Some(position)) => block.push(0x80 | (62 + u8::try_from(position).unwrap())),
            ("authorization", None) => {
                block.push(0x40 | 23);
                string(&mut block, value);
                encoder.table.insert(0, value.to_owned());
            }
            _ => {
                block.push(0);
                string(&mut block, name);
                string(&mut block, value);
            }
        }
    }
    block
}

fn get(token: &str) -> Vec<(&str, &str)> {
    let mut fields =
        vec![(":method", "GET"), (":path", "/a?secret"), (":scheme", "http"), (":authority", "x")];
    if !token.is_empty() {
        fields.push(("authorization", token));
    }
    fields
}

/// Two encoders, and what they said.
struct Connection {
    client: Encoder,
    server: Encoder,
    stream: u32,
    spoken: Spoken,
}

impl Default for Connection {
    fn default() -> Self {
        let spoken = vec![(true, [PREFACE, &SETTINGS].concat()), (false, SETTINGS.to_vec())];
        Self { client: Encoder::new(), server: Encoder::new(), stream: 1, spoken }
    }
}

impl Connection {
    fn asks(&mut self, fields: &Fields<'_>) -> &mut Self {
        let block = block(&mut self.client, fields);
        self.spoken.push((true, frame(HEADERS, END_HEADERS, self.stream, &block)));
        self.stream += 2;
        self
    }

    fn answers(&mut self, fields: &Fields<'_>, body: usize) -> &mut Self {
        let block = block(&mut self.server, fields);
        let mut bytes = frame(HEADERS, END_HEADERS, self.stream - 2, &block);
        bytes.extend(frame(DATA, 1, self.stream - 2, &vec![b'x'; body]));
        self.spoken.push((false, bytes));
        self
    }
}

fn three_requests() -> Spoken {
    let mut connection = Connection::default();
    for (token, status) in [("Bearer one", "200"), ("Bearer one", "401"), ("", "204")] {
        connection.asks(&get(token)).answers(&[(":status", status)], 300);
    }
    connection.spoken
}

#[test]
fn a_repeated_token_is_known_again_and_none_is_invented() {
    let spoken = three_requests();
    let (first, second) = (spoken[2].1.len(), spoken[4].1.len());
    assert!(second < first - "Bearer one".len(), "the second block refers to the first");
    let talk = plays(&spoken);
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", bearer("one")), ("GET", Shown::None)]);
    assert_eq!(talk.paths(), ["/a"; 3]);
    assert_eq!(talk.statuses(), [200, 401, 204]);
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Http2, EncryptionStatus::Plaintext));
    assert_eq!(talk.told.iter().filter(|told| matches!(told, Told::Kept(_))).count(), 1, "judged once");
}

#[test]
fn every_prefix_tells_a_prefix_of_the_story() {
    let spoken = three_requests();
    let whole = plays(&spoken).told;
    let mut talk = Talk::default();
    for (client, bytes) in &spoken {
        for byte in bytes {
            talk.says(*client, &[*byte]);
            assert!(whole.starts_with(&talk.told));
        }
    }
    assert_eq!(talk.told, whole);
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_same_verdict(sizes in prop::collection::vec(1usize..200, 1..20)) {
        let spoken = three_requests();
        prop_assert_eq!(plays(&cut(&spoken, &sizes)).told, plays(&spoken).told);
    }

    #[test]
    fn random_bytes_after_the_preface_do_no_harm(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..300)), 1..30)
    ) {
        let mut talk = Talk::default();
        talk.client(PREFACE);
        for (client, bytes) in pieces {
            talk.says(client, &bytes);
        }
        talk.ends();
    }
}

#[test]
fn padding_priority_and_continuation_are_no_part_of_a_block() {
    let fields = block(&mut Encoder::new(), &get("Bearer one"));
    let (start, rest) = fields.split_at(5);
    let mut padded = vec![3, 0, 0, 0, 0, 16];
    padded.extend(start);
    padded.extend([0; 3]);
    let mut talk = Talk::default();
    talk.client(PREFACE).client(SETTINGS);
    talk.client(frame(HEADERS, 0x8 | 0x20, 1, &padded));
    talk.client(frame(CONTINUATION, 0, 1, &rest[..4])).client(frame(
        CONTINUATION,
        END_HEADERS,
        1,
        &rest[4..],
    ));
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
    // Trailers are no request.
    let trailers = block(&mut Encoder::new(), &[("x-sum", "1")]);
    talk.client(frame(HEADERS, END_HEADERS | 1, 1, &trailers)).ends();
    assert_eq!((talk.requests().len(), talk.malformed().len()), (1, 0));
}

#[test]
fn authorization_fields_that_differ_are_all_shown() {
    let mut connection = Connection::default();
    let mut fields = get("Bearer one");
    fields.push(("authorization", "Bearer two"));
    connection.asks(&fields).asks(&fields);
    let both = Shown::Several(vec!["Bearer one".into(), "Bearer two".into()]);
    assert_eq!(plays(&connection.spoken).requests(), [("GET", both.clone()), ("GET", both)]);
    // The same one twice is one.
    let mut connection = Connection::default();
    let mut fields = get("Bearer one");
    fields.push(("authorization", "Bearer one"));
    connection.asks(&fields);
    assert_eq!(plays(&connection.spoken).requests(), [("GET", bearer("one"))]);
}

#[test]
fn grpc_is_named_and_its_refusals_are_told() {
    let mut connection = Connection::default();
    let mut fields = get("");
    fields.push(("content-type", "application/grpc+proto"));
    connection.asks(&fields).answers(&[(":status", "200"), ("content-type", "application/grpc")], 5);
    let trailers = block(&mut connection.server, &[("grpc-status", "16")]);
    connection.spoken.push((false, frame(HEADERS, END_HEADERS | 1, 1, &trailers)));
    let talk = plays(&connection.spoken);
    assert_eq!(talk.protocol(), Some(Protocol::Grpc));
    assert_eq!(talk.told.iter().filter(|told| **told == Told::Refused).count(), 1);
    assert_eq!(talk.statuses(), [200]);
}

#[test]
fn lost_requests_are_counted_unknown_and_what_refers_to_them_is() {
    let mut connection = Connection::default();
    for token in ["Bearer one", "Bearer one", "Bearer one", "Bearer one", "Bearer two"] {
        connection.asks(&get(token));
    }
    let client: Vec<_> = connection.spoken.iter().filter(|(client, _)| *client).map(|(_, b)| b).collect();
    let mut talk = Talk::default();
    talk.client(client[0]).client(client[1]);
    let lost = client[2].len() + client[3].len();
    talk.loses(true, lost as u64);
    // The next record is one that starts a frame.
    talk.last_speaker = None;
    talk.client(client[4]).client(client[5]);
    let unknown = |reason| Shown::Unknown(reason);
    assert_eq!(
        talk.requests(),
        [
            ("GET", bearer("one")),
            ("?", unknown("request-lost")),
            ("?", unknown("request-lost")),
            // Its method is the static table's; its token lay in the dynamic one.
            ("GET", unknown("hpack-unknown-slot")),
            ("GET", bearer("two")),
        ]
    );
    assert_eq!(talk.truncations(), 1);
}

#[test]
fn a_connection_from_before_is_read_from_its_next_request_on() {
    let mut connection = Connection::default();
    connection.asks(&get("Bearer one")).asks(&get("Bearer one")).asks(&get("Bearer two"));
    let mut talk = Talk::default();
    talk.session.attach_midstream(&mut talk.told);
    talk.client(&connection.spoken[3].1).server(SETTINGS).client(&connection.spoken[4].1);
    assert_eq!(talk.requests(), [("GET", Shown::Unknown("hpack-unknown-slot")), ("GET", bearer("two"))]);
    assert_eq!(talk.protocol(), Some(Protocol::Http2));
}

#[test]
fn what_the_kernel_leaves_out_of_bodies_hides_nothing() {
    let mut connection = Connection::default();
    connection.asks(&get("Bearer one")).asks(&get("Bearer one"));
    let mut talk = Talk::default();
    talk.client(&connection.spoken[0].1).server(SETTINGS).client(&connection.spoken[2].1);
    talk.client(&frame(DATA, 0, 1, &[0; 500])[..9]);
    talk.session.set_walked(true, true, true);
    // The rest of that frame, and some more after it.
    talk.loses(true, 500 + 3 * 16_393);
    assert_eq!(talk.interest(), Interest::FramesAhead { client: None, server: Some(0) });
    talk.client(&connection.spoken[3].1);
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", bearer("one"))]);
    assert_eq!(talk.truncations(), 0);
}

#[test]
fn the_kernel_is_told_where_frames_start_as_long_as_it_does_not_know() {
    let mut talk = Talk::default();
    talk.client([PREFACE, &SETTINGS, &frame(DATA, 0, 1, &[0; 50_000])[..109]].concat());
    assert_eq!(talk.interest(), Interest::FramesAhead { client: Some(49_900), server: Some(0) });
    talk.session.set_walked(true, true, false);
    talk.session.set_walked(false, true, false);
    assert_eq!(talk.interest(), Interest::More);
}

#[test]
fn a_head_too_long_is_unknown_and_the_connection_goes_on() {
    let mut talk = Talk::default();
    talk.client(PREFACE).client(SETTINGS).client(frame(HEADERS, 0, 1, b"\x82"));
    for _ in 0..100 {
        talk.client(frame(CONTINUATION, 0, 1, &[0x82; 4096]));
    }
    talk.client(frame(CONTINUATION, END_HEADERS, 1, b"\x82"));
    assert_eq!(talk.requests(), [("?", Shown::Unknown("head-too-long"))]);
    let next = block(&mut Encoder::new(), &get("Bearer one"));
    talk.client(frame(HEADERS, END_HEADERS, 3, &next));
    assert_eq!(talk.requests()[1], ("GET", bearer("one")));
}

#[test]
fn a_block_interrupted_by_another_frame_is_malformed() {
    let mut talk = Talk::default();
    talk.client(PREFACE)
        .client(SETTINGS)
        .client(frame(HEADERS, 0, 1, b"\x82"))
        .client(frame(DATA, 0, 1, b"x"));
    assert_eq!(talk.requests(), [("?", Shown::Unknown("malformed-http2"))]);
    assert!(talk.malformed().contains(&"malformed-http2"));
    // RFC 9113 section 5.4.1: both ends give it up, and nothing is looked for any more.
    assert_eq!(talk.interest(), Interest::Nothing);
}

#[test]
fn a_server_may_speak_first() {
    let spoken = three_requests();
    let mut talk = Talk::default();
    talk.server(SETTINGS);
    for (client, bytes) in spoken.iter().filter(|(_, bytes)| **bytes != SETTINGS) {
        talk.says(*client, bytes);
    }
    assert_eq!(talk.requests().len(), 3);
    assert_eq!(talk.statuses(), [200, 401, 204]);
}

#[test]
fn an_upgraded_request_counts_once_and_is_answered_in_http2() {
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut server = Encoder::new();
    let answer = frame(HEADERS, END_HEADERS | 1, 1, &block(&mut server, &[(":status", "200")]));
    let next = frame(HEADERS, END_HEADERS | 1, 3, &block(&mut Encoder::new(), &get("Bearer two")));
    let spoken = vec![
        (true, upgrade.as_bytes().to_vec()),
        (false, [&switching[..], &SETTINGS, &answer].concat()),
        (true, [PREFACE, &SETTINGS, &next].concat()),
    ];
    let talk = plays(&spoken);
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", bearer("two"))]);
    assert_eq!(talk.statuses(), [101, 200]);
    assert_eq!(talk.protocol(), Some(Protocol::Http2));
    for size in 1..40 {
        assert_eq!(plays(&cut(&spoken, &[size])).told, talk.told, "{size}");
    }
}

#[test]
fn a_connection_keeps_no_bytes_of_a_credential() {
    let mut talk = Talk::default();
    let spoken = three_requests();
    talk.says(true, &spoken[0].1);
    talk.session.push(
        true,
        Piece::Bytes { bytes: &spoken[2].1, turn: false },
        &talk.settings,
        &mut talk.told,
    );
    // What a table holds for it is a handle: the witness alone was shown the value.
    assert_eq!(
        talk.told.iter().filter(|told| matches!(told, Told::Kept(value) if value == "Bearer one")).count(),
        1
    );
}

#[test]
fn a_connection_that_was_lost_in_an_upload_is_let_be_and_found_again() {
    let mut connection = Connection::default();
    connection.asks(&get("Bearer one")).asks(&get("Bearer two"));
    let mut talk = Talk::default();
    talk.client(&connection.spoken[0].1).server(SETTINGS).client(&connection.spoken[2].1);
    talk.loses(true, 100_000);
    // An upload whose turns start in the middle of DATA, as WINDOW_UPDATEs of the server make them.
    let mut rests = Vec::new();
    for _ in 0..1000 {
        talk.server(SETTINGS).client([b'x'; 1000]);
        if let Interest::AfterClientBytes(rest) = talk.interest() {
            rests.push(rest);
            talk.loses(true, rest);
        }
    }
    let (first, most) = (256 << 10, 16 << 20);
    assert_eq!(rests[0], first);
    assert!(rests.is_sorted_by(|rest, next| *next == most.min(rest * 2)), "{rests:?}");
    assert_eq!(rests.last(), Some(&most));
    talk.server(SETTINGS).client(&connection.spoken[3].1);
    assert_eq!(talk.requests().last(), Some(&("GET", bearer("two"))));
    assert_eq!(talk.truncations(), 1);
}
