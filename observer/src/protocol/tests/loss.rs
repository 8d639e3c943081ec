//! Bytes that were sent and not captured: exact inside a body, `unknown` where they may hide a request.

use proptest::prelude::*;

use super::{Shown, Talk, bearer};
use crate::model::{EncryptionStatus, Protocol};

const GET: &str = "GET /next HTTP/1.1\r\nAuthorization: Bearer one\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn truncated() -> (&'static str, Shown) {
    ("?", Shown::Unknown("head-truncated"))
}

#[test]
fn a_gap_that_ends_inside_a_body_hides_nothing() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n").loses(true, 982);
    talk.client("GET / HTTP/1.1\r\n\r\n").client(GET);
    assert_eq!(talk.requests(), [("POST", Shown::None), ("GET", bearer("one"))]);
    assert_eq!(talk.truncations(), 0);
}

#[test]
fn a_gap_that_ends_with_a_body_hides_nothing() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n").loses(true, 1000).client(GET);
    assert_eq!(talk.requests(), [("POST", Shown::None), ("GET", bearer("one"))]);
    assert_eq!(talk.truncations(), 0);
}

#[test]
fn a_gap_inside_a_chunk_hides_nothing() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for lost in [999, 1000] {
        let mut talk = Talk::default();
        talk.client(format!("{head}3e8\r\n")).loses(true, lost);
        talk.client("x".repeat(1000 - lost as usize)).client("\r\n0\r\n\r\n").client(GET);
        assert_eq!(talk.requests(), [("POST", Shown::None), ("GET", bearer("one"))], "{lost}");
        assert_eq!(talk.truncations(), 0, "{lost}");
    }
}

#[test]
fn a_gap_beyond_a_body_is_one_unknown_request_and_counted() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n").loses(true, 1001);
    talk.client("T / HTTP/1.1\r\n\r\n");
    assert_eq!(talk.requests(), [("POST", Shown::None), truncated()]);
    assert_eq!(talk.truncations(), 1);
}

#[test]
fn a_gap_in_a_head_is_one_unknown_request_never_one_without_credentials() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nHost: x\r\n").loses(true, 40).client("Accept: */*\r\n\r\n");
    assert_eq!(talk.requests(), [truncated()]);
    assert_eq!(talk.truncations(), 1);
}

#[test]
fn a_gap_in_place_of_a_head_is_one_unknown_request() {
    let mut talk = Talk::default();
    talk.client(GET).server(OK).loses(true, 1).client("\n\n").server(OK).client(GET);
    assert_eq!(talk.requests(), [("GET", bearer("one")), truncated(), ("GET", bearer("one"))]);
}

#[test]
fn the_lost_end_of_a_chunked_body_is_counted_and_the_next_turn_is_read() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n").loses(true, 100);
    talk.client("\r\nGET /hidden HTTP/1.1\r\n\r\n");
    assert_eq!(talk.truncations(), 1);
    talk.server(OK).client(GET);
    assert_eq!(talk.requests(), [("POST", Shown::None), ("GET", bearer("one"))]);
}

#[test]
fn after_a_loss_body_text_inside_a_turn_is_no_request() {
    let mut talk = Talk::default();
    talk.client(GET).server(OK).loses(true, 500).client("GET /hidden HTTP/1.1\r\n\r\n");
    assert_eq!(talk.requests(), [("GET", bearer("one")), truncated()]);

    let mut talk = Talk::default();
    talk.client(GET).client("GET / HT").loses(true, 500).client("GET /hidden HTTP/1.1\r\n\r\n");
    assert_eq!(talk.requests(), [("GET", bearer("one")), truncated()]);
}

#[test]
fn after_a_loss_a_turn_that_is_no_request_line_leaves_it_lost_without_a_request() {
    for text in
        ["hello", "hello there\r\n", "GET", "\0\0", "{\"a\": 1}\n", "POST it\r\nGET / HTTP/1.1\r\n\r\n"]
    {
        let mut talk = Talk::default();
        talk.client(GET).client("GET / HT").loses(true, 500).server(OK);
        talk.client(text).client("more text\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n").server(OK).client(GET);
        let requests = [("GET", bearer("one")), truncated(), ("GET", bearer("one"))];
        assert_eq!(talk.requests(), requests, "{text:?}");
        assert_eq!(talk.malformed(), Vec::<&str>::new(), "{text:?}");
    }
}

#[test]
fn after_a_loss_a_request_line_at_a_turn_may_come_in_pieces() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\n").loses(true, 500).server(OK);
    for byte in GET.bytes() {
        talk.client([byte]);
    }
    assert_eq!(talk.requests(), [truncated(), ("GET", bearer("one"))]);
}

#[test]
fn a_lost_response_is_no_status_and_the_next_one_is_read() {
    let mut talk = Talk::default();
    talk.client(GET).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n").loses(false, 5000);
    talk.client(GET).server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    talk.client(GET).loses(false, 300).server("HTTP/1.1 401 in the body\r\n\r\n");
    talk.client(GET).server("HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n").loses(false, 10);
    talk.client(GET).server(OK);
    assert_eq!(talk.statuses(), [200, 403, 404, 200]);
}

#[test]
fn after_a_lost_response_a_status_line_at_a_turn_may_come_in_pieces() {
    let mut talk = Talk::default();
    talk.client(GET).loses(false, 300).client(GET);
    for byte in OK.bytes() {
        talk.server([byte]);
    }
    assert_eq!(talk.statuses(), [200]);
}

#[test]
fn the_request_that_a_lost_answer_belonged_to_does_not_decide_how_a_later_one_is_read() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\n");
    talk.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n").loses(false, 5000);
    talk.client(GET).server(OK).client(GET).server(OK);
    assert_eq!(talk.requests().len(), 4);
    assert_eq!(talk.statuses(), [200, 200, 200]);
}

#[test]
fn a_head_beyond_the_limit_is_one_unknown_request_and_later_ones_are_read() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nX: ");
    // A megabyte in one header line, of which the allowance of a turn is captured.
    for _ in 0..16 {
        talk.client("x".repeat(1024));
    }
    talk.loses(true, 1 << 20).server("HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.requests(), [("?", Shown::Unknown("head-too-long"))]);
    assert_eq!(talk.truncations(), 1);
    talk.client(GET).server(OK);
    assert_eq!(talk.requests(), [("?", Shown::Unknown("head-too-long")), ("GET", bearer("one"))]);
    assert_eq!(talk.statuses(), [431, 200]);
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Http11, EncryptionStatus::Plaintext));
}

#[test]
fn a_head_of_exactly_the_limit_is_read_and_a_longer_one_is_not_however_they_come() {
    for (length, whole) in [(1023, true), (1024, true), (1025, false), (3000, false)] {
        for piece in [1, 100, 1000, 4000] {
            let mut talk = Talk::default();
            talk.settings.head_limit = 1024;
            let (start, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
            let head = format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()));
            for piece in head.as_bytes().chunks(piece) {
                talk.client(piece);
            }
            let expected = if whole { ("GET", Shown::None) } else { ("?", Shown::Unknown("head-too-long")) };
            assert_eq!(talk.requests(), [expected], "{length} in pieces of {piece}");
        }
    }
}

proptest! {
    /// Whatever is lost of a connection in which every request has a credential, none is said to have none.
    #[test]
    fn no_loss_makes_a_request_with_a_credential_one_without(
        pieces in prop::collection::vec((1usize..120, prop::bool::weighted(0.2)), 1..60),
    ) {
        let post = "POST / HTTP/1.1\r\nAuthorization: Bearer one\r\nContent-Length: 30\r\n\r\n------------------------------";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer one\r\n\r\n5\r\n-----\r\n0\r\n\r\n";
        let mut talk = Talk::default();
        let mut pieces = pieces.into_iter().cycle();
        for round in 0..20 {
            let mut rest = [GET, post, chunked][round % 3].as_bytes();
            while !rest.is_empty() {
                let Some((size, lost)) = pieces.next() else { break };
                let (here, there) = rest.split_at(size.min(rest.len()));
                if lost { talk.loses(true, here.len() as u64) } else { talk.client(here) };
                rest = there;
            }
            talk.server(OK);
        }
        for (_, shown) in talk.requests() {
            prop_assert!(!matches!(shown, Shown::None), "{:?}", talk.told);
        }
    }
}
