//! Garbage: `opaque` or `unknown` with a reason, counted, never a panic and never an accusation.

use proptest::prelude::*;

use super::{Interest, Piece, Session, Settings, Shown, Talk, Told, bearer, cut, plays};
use crate::model::{EncryptionStatus, Protocol};

#[test]
fn nul_bytes_and_noise_are_opaque_and_cost_nothing_more() {
    let noise: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let lying = [b"\x16\x03\x01\xff\xff\x01", &[7; 250][..]].concat();
    for (bytes, reason) in [
        (&[0; 4000][..], "opaque-protocol"),
        (&noise, "high-entropy"),
        (&[0xff; 4000], "opaque-protocol"),
        (&lying, "opaque-protocol"),
    ] {
        let mut talk = Talk::default();
        talk.client(bytes);
        assert_eq!(talk.protocol(), Some(Protocol::Opaque));
        assert_eq!(talk.verdict().unwrap().1.status, EncryptionStatus::Unknown);
        assert_eq!(talk.reason().as_deref(), Some(reason));
        assert_eq!(talk.interest(), Interest::Nothing);
        assert!(talk.requests().is_empty());
    }
}

#[test]
fn a_malformed_head_is_an_unknown_request_counted_and_the_next_turn_is_read() {
    let too_many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(300));
    for head in [
        "GET / HTTP/1.1\r\nAuthorization: Bearer \0\r\n\r\n",
        "GET / HTTP/1.1\r\nAuthorization : Bearer one\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET /\u{7f} HTTP/1.1\r\nA: b\r\n\r\n",
        too_many.as_str(),
    ] {
        let mut talk = Talk::default();
        talk.client(head).client("GET /hidden HTTP/1.1\r\n\r\n");
        let requests = talk.requests();
        assert!(matches!(requests[..], [("?", Shown::Unknown(_))]), "{head:?}: {requests:?}");
        assert_eq!(talk.malformed().len(), 1, "{head:?}");
        talk.server("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n").client("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(talk.requests().last(), Some(&("GET", Shown::None)), "{head:?}");
        assert_eq!(talk.statuses(), [400], "{head:?}");
    }
}

#[test]
fn a_response_that_is_none_ends_the_statuses_until_the_next_turn() {
    let get = "GET / HTTP/1.1\r\n\r\n";
    for garbage in
        ["\0\0\0\0", "HTTP/1.1 abc\r\n\r\n", "HTTP/2 200\r\n\r\n", "<html>\r\nHTTP/1.1 401 No\r\n\r\n"]
    {
        let mut talk = Talk::default();
        talk.client(get).server(garbage).server("\nHTTP/1.1 401 No\r\n\r\n").client(get);
        talk.server("HTTP/1.1 403 No\r\n\r\n");
        assert_eq!(talk.statuses(), [403], "{garbage:?}");
    }
}

/// What a client said before it knew whether it has its tunnel is read before what the server says after its answer.
#[test]
fn a_refused_tunnel_reads_the_same_however_the_answer_was_cut() {
    let refused = "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n";
    for garbage in
        [vec![0; 17_000], vec![b'0'; 17_000], b"\0\n".to_vec(), b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]
    {
        let spoken = [
            (
                true,
                b"CONNECT a:1 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nAuthorization: Bearer one\r\n\r\n".to_vec(),
            ),
            (false, [refused.as_bytes(), &garbage].concat()),
        ];
        let whole = plays(&spoken);
        assert_eq!(whole.requests(), [("CONNECT", Shown::None), ("GET", bearer("one"))]);
        assert_eq!(whole.truncations(), 0);
        for size in [1, refused.len() - 1, refused.len(), refused.len() + 1, 1000] {
            assert_eq!(plays(&cut(&spoken, &[size])).told, whole.told, "{size}");
        }
    }
}

/// The answer came before the request was whole: a client that is told off for its slowness.
#[test]
fn a_request_in_pieces_around_an_answer_reads_the_same_however_it_was_cut() {
    let spoken = [
        (true, b"GE".to_vec()),
        (false, b"HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (true, b"T / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        (false, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ];
    let whole = plays(&spoken);
    assert_eq!((whole.requests().len(), whole.statuses()), (1, vec![408, 401]));
    for size in 1..20 {
        assert_eq!(plays(&cut(&spoken, &[size])).told, whole.told, "{size}");
    }
}

#[test]
fn a_limit_is_the_same_however_what_exceeds_it_was_cut() {
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(17_000));
    let after_a_malformed_head = vec![
        (true, b"GET / HTTP/1.1\r\nno colon\r\n\r\n".to_vec()),
        (false, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n".to_vec()),
        (true, long_line.into_bytes()),
    ];
    // LDAP's request for TLS (RFC 4511 section 4.14), longer than anybody's, and answered before its end.
    let name = [b"\x80\x16", &b"1.3.6.1.4.1.1466.20037"[..]].concat();
    let mut request = [b"\x30\x82\x17\x70\x02\x01\x01\x77\x82\x17\x69", &name[..]].concat();
    request.resize(6004, 0);
    let rest = request.split_off(200);
    let answer = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0".to_vec();
    for spoken in [after_a_malformed_head, vec![(true, request), (false, answer), (true, rest)]] {
        let whole = plays(&spoken).told;
        for size in [1, 100, 4096, 5000] {
            assert_eq!(plays(&cut(&spoken, &[size])).told, whole, "{size}");
        }
    }
}

/// Something that starts like a protocol and goes on as it pleases.
fn utterance() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        &b""[..],
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        b"\x16\x03\x01\x00\x20\x01\x00\x00\x1c\x03\x03",
        b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
        b"\x15\x03\x03\x00\x02\x01\x70",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"\r\n\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c123456789012",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x20\0\x03\0\0user\0",
        b"S",
        b"N",
        b"220 mail ESMTP\r\n",
        b"EHLO a\r\n",
        b"250-a\r\n250 STARTTLS\r\n",
        b"STARTTLS\r\n",
        b"220 go\r\n",
        b"MAIL FROM:<>\r\n",
        b"* OK ready\r\n",
        b"a STARTTLS\r\n",
        b"a OK\r\n",
        b"+OK\r\n",
        b"STLS\r\n",
        b"PING\r\n",
        b"+PONG\r\n",
        b"INFO {}\r\n",
        b"CONNECT {}\r\n",
        b"get a\r\n",
        b"END\r\n",
        b"a line of text, and so on\r\n",
        b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
    ]);
    let ascii = prop::collection::vec(prop::sample::select(b"0a: \r\n;,HTP/1.\0\x16\x03".to_vec()), 0..200);
    let tail = prop_oneof![prop::collection::vec(any::<u8>(), 0..200), ascii];
    (start, tail).prop_map(|(start, tail)| [start, &tail].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn arbitrary_bytes_tell_the_same_however_they_are_cut(
        spoken in prop::collection::vec((any::<bool>(), utterance()), 1..12),
        sizes in prop::collection::vec(1usize..60, 1..8),
    ) {
        let spoken: Vec<_> = spoken.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        prop_assert_eq!(plays(&cut(&spoken, &sizes)).told, plays(&spoken).told);
    }

    #[test]
    fn nothing_makes_a_session_panic(
        pieces in prop::collection::vec(
            (any::<bool>(), any::<bool>(), prop::option::weighted(0.8, utterance()), any::<u64>(), any::<bool>()), 1..40),
        head_limit in 0usize..300,
        midstream: bool,
    ) {
        let settings = Settings { head_limit, credential_headers: vec!["a".into()] };
        let mut told: Vec<Told> = Vec::new();
        let mut session = Session::default();
        if midstream {
            session.attach_midstream(&mut told);
        }
        for (client, turn, bytes, len, far) in pieces {
            let piece = match &bytes {
                Some(bytes) => Piece::Bytes { bytes, turn },
                None => Piece::Gap { len: if far { len } else { len % 64 } },
            };
            session.push(client, piece, &settings, &mut told);
            let _ = session.interest();
        }
        session.finish(&mut told);
        prop_assert_eq!(session.interest(), Interest::Nothing);
        prop_assert!(told.iter().any(|told| matches!(told, Told::Classified(..))));
    }
}
