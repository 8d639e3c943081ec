//! Flows whose first bytes were not seen.

use super::{Interest, Shown, Talk, bearer};
use crate::model::{EncryptionStatus, Protocol};

const GET: &str = "GET / HTTP/1.1\r\nAuthorization: Bearer one\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn attached() -> Talk {
    let mut talk = Talk::default();
    talk.session.attach_midstream(&mut talk.told);
    talk
}

#[test]
fn a_flow_that_talked_before_is_unknown_and_says_why() {
    let mut talk = attached();
    talk.client("\x17\x03\x03\0\x20").server("\x17\x03\x03").ends();
    assert_eq!(talk.protocol(), Some(Protocol::Unknown));
    assert_eq!(talk.reason().as_deref(), Some("attached-mid-stream"));
    assert!(talk.requests().is_empty());
}

#[test]
fn a_request_line_at_a_turn_makes_it_http() {
    let mut talk = attached();
    talk.client("of a body\r\n\r\n").client(GET).server(OK);
    assert!(talk.requests().is_empty(), "not at a turn");
    talk.client(GET).server(OK).client("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", Shown::None)]);
    assert_eq!(talk.statuses(), [200]);
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Http11, EncryptionStatus::Plaintext));
}

#[test]
fn a_request_line_split_over_segments_at_a_turn_is_found() {
    for size in 1..GET.len() {
        let mut talk = attached();
        talk.client("of a body\r\n\r\n").server(OK);
        for piece in GET.as_bytes().chunks(size) {
            talk.client(piece);
        }
        assert_eq!(talk.requests(), [("GET", bearer("one"))], "{size}");
        assert_eq!(talk.protocol(), Some(Protocol::Http11), "{size}");
    }
}

#[test]
fn a_line_that_never_ends_is_not_waited_for() {
    let mut talk = attached();
    talk.client("GET /");
    for _ in 0..40 {
        talk.client([b'a'; 1000]);
        assert!(talk.session.kept() <= 16 * 1024, "{}", talk.session.kept());
    }
    talk.client(" HTTP/1.1\r\n\r\n");
    assert!(talk.requests().is_empty());
    talk.server(OK).client(GET);
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
}

/// Start of a frame and of a record of TLS 1.2 alike: the record's length reads as the type HEADERS.
#[test]
fn encrypted_records_of_a_flow_from_before_are_no_http2() {
    for flags in 0..=255 {
        let mut record = vec![0x17, 3, 3, 1, flags];
        record.extend([1; 256]);
        let mut talk = attached();
        for _ in 0..16 {
            talk.client(&record).server(&record);
        }
        talk.ends();
        assert_eq!(talk.reason().as_deref(), Some("attached-mid-stream"), "{flags}");
        assert!(talk.requests().is_empty(), "{flags}");
    }
}

/// Flags that are not assigned are left unset (RFC 9113 section 4.1).
#[test]
fn a_header_block_with_flags_that_nobody_sets_is_no_http2() {
    for (flags, requests) in [(0x05, 1), (0x45, 0), (0x85, 0)] {
        let mut talk = attached();
        talk.client([0, 0, 1, 1, flags, 0, 0, 0, 1, 0x82]);
        assert_eq!(talk.requests().len(), requests, "{flags}");
    }
}

#[test]
fn what_the_server_says_of_requests_that_were_not_seen_is_left_aside() {
    let mut talk = attached();
    talk.server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").client(GET).server(OK);
    assert_eq!(talk.statuses(), [200]);
}

#[test]
fn lost_first_bytes_are_unknown_counted_and_do_not_hide_later_requests() {
    let mut talk = Talk::default();
    talk.loses(true, 100).client("\r\nHost: x\r\n\r\n");
    assert_eq!(talk.protocol(), Some(Protocol::Unknown));
    assert_eq!(talk.reason().as_deref(), Some("first-bytes-lost"));
    assert_eq!(talk.truncations(), 1);
    talk.server(OK).client(GET);
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
}

#[test]
fn a_flow_that_never_turns_out_to_be_http_is_not_captured_for_good() {
    let mut talk = attached();
    for _ in 0..100 {
        talk.client("\x17\x03\x03\0\x01\0").server("\x17\x03\x03\0\x01\0");
    }
    assert_eq!(talk.interest(), Interest::Nothing);
    assert_eq!(talk.reason().as_deref(), Some("attached-mid-stream"));
}

#[test]
fn a_flow_without_bytes_says_so() {
    let mut talk = Talk::default();
    talk.ends();
    assert_eq!(talk.protocol(), Some(Protocol::Unknown));
    assert_eq!(talk.reason().as_deref(), Some("no-data"));
}

#[test]
fn a_server_that_speaks_alone_is_no_verdict() {
    let mut talk = Talk::default();
    talk.server("who are you?\r\n");
    assert_eq!(talk.verdict(), None);
    talk.ends();
    assert_eq!((talk.protocol(), talk.reason().as_deref()), (Some(Protocol::Opaque), Some("no-client-data")));
}

#[test]
fn a_request_to_a_server_that_spoke_first_is_http_only_if_the_server_speaks_it() {
    let mut talk = Talk::default();
    talk.server("who are you?\r\n").client(GET).ends();
    assert_eq!((talk.protocol(), talk.requests().len()), (Some(Protocol::Opaque), 0));
    let mut talk = Talk::default();
    talk.server("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").client(GET).server(OK);
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
}

#[test]
fn http2_with_prior_knowledge_is_plaintext_without_requests() {
    // RFC 9113 section 3.4, and an empty SETTINGS frame.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for piece in 1..preface.len() {
        let mut talk = Talk::default();
        for bytes in preface.chunks(piece) {
            talk.client(bytes);
        }
        let (protocol, encryption) = talk.verdict().unwrap();
        assert_eq!((protocol, encryption.status), (Protocol::Http2, EncryptionStatus::Plaintext));
        assert!(talk.requests().is_empty());
    }
}

#[test]
fn too_few_bytes_prove_nothing() {
    for bytes in ["G", "GET / HT", "PRI * HTTP/2.0\r\n", "\x16\x03\x01", "\r\n"] {
        let mut talk = Talk::default();
        talk.client(bytes).ends();
        assert_eq!(talk.protocol(), Some(Protocol::Opaque), "{bytes:?}");
        assert_eq!(talk.verdict().unwrap().1.status, EncryptionStatus::Unknown, "{bytes:?}");
    }
}
