//! HTTP/1.x by hand: RFC 9112 in what captures do not show.

use super::{Interest, Shown, Talk, bearer};
use crate::model::Protocol;

const GET: &str = "GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn methods(talk: &Talk) -> Vec<&str> {
    talk.requests().into_iter().map(|(method, _)| method).collect()
}

#[test]
fn each_request_of_a_connection_shows_its_own_credentials() {
    let mut talk = Talk::default();
    talk.client("GET /a HTTP/1.1\r\nHost: x\r\nauthorization: Bearer one\r\n\r\n").server(OK);
    talk.client("GET /b HTTP/1.1\r\nHost: x\r\n\r\n").server(OK);
    talk.client("GET /c HTTP/1.1\r\nHost: x\r\nAUTHORIZATION:Bearer two\r\n\r\n").server(OK);
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", Shown::None), ("GET", bearer("two"))]);
}

#[test]
fn the_first_authorization_header_is_the_one_that_counts() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nAuthorization: Bearer one\r\nAuthorization: Bearer two\r\n\r\n");
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
}

#[test]
fn an_empty_authorization_header_is_shown_as_it_is() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nAuthorization: \r\n\r\n");
    assert_eq!(talk.requests(), [("GET", Shown::Authorization(String::new()))]);
}

#[test]
fn other_headers_are_credentials_only_where_the_settings_name_them() {
    let request = "GET / HTTP/1.1\r\nX-Api-Key: 1\r\nCookie: a=b\r\n\r\n";
    let mut talk = Talk::default();
    talk.client(request);
    assert_eq!(talk.requests(), [("GET", Shown::None)]);

    let mut talk = Talk::default();
    talk.settings.credential_headers = vec!["x-api-key".into()];
    talk.client(request);
    assert_eq!(talk.requests(), [("GET", Shown::Other)]);

    let mut talk = Talk::default();
    talk.settings.credential_headers = vec!["x-api-key".into()];
    talk.client("GET / HTTP/1.1\r\nX-Api-Key: 1\r\nAuthorization: Bearer one\r\n\r\n");
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
}

#[test]
fn a_path_is_told_without_query_or_fragment() {
    let mut talk = Talk::default();
    talk.client("GET /orders?token=secret#part HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n");
    assert_eq!(talk.paths(), ["/orders", "*"]);
}

#[test]
fn a_body_of_known_length_is_not_read() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n").server(OK);
    talk.client("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n").client("GET / HTTP/1.1\r\n\r\n").server(OK);
    talk.client(GET);
    assert_eq!(methods(&talk), ["POST", "POST", "GET"]);
}

/// The example of RFC 9112 section 7.1.3, with an extension, a trailer and lengths in either case.
#[test]
fn a_chunked_body_ends_where_its_last_chunk_and_trailers_do() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n");
    talk.client("12;name=\"value\"\r\nGET / HTTP/1.1\r\n\r\n\r\n");
    talk.client("0A \r\nGET / HTTP\r\n1a\r\nHTTP/1.1\r\nGET / HTTP/1.1\r\n\r\n");
    talk.client("000;last\r\nExpires: never\r\nGET: /\r\n\r\n");
    talk.client(GET);
    assert_eq!(methods(&talk), ["POST", "GET"]);
    assert_eq!(talk.malformed(), Vec::<&str>::new());
}

#[test]
fn a_chunk_size_that_is_none_hides_what_follows_until_a_turn() {
    let sizes = ["", "x", "-1", "g", " 1", "10000000000000000", "\u{0}"];
    for size in sizes {
        let mut talk = Talk::default();
        talk.client("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        talk.client(format!("{size}\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"));
        assert_eq!(talk.malformed(), ["malformed-chunk"], "{size:?}");
        talk.server(OK).client(GET);
        assert_eq!(methods(&talk), ["POST", "GET"], "{size:?}");
        assert_eq!(talk.paths()[1], "/orders", "{size:?}");
    }
}

#[test]
fn a_transfer_coding_overrides_a_length() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.client("12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n").client(GET);
    assert_eq!(methods(&talk), ["POST", "GET"]);
}

#[test]
fn contradictory_lengths_make_a_request_unknown_and_the_next_turn_is_read_again() {
    for headers in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 0x10",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
    ] {
        let mut talk = Talk::default();
        talk.client(format!("POST / HTTP/1.1\r\n{headers}\r\nAuthorization: Bearer one\r\n\r\n{GET}"));
        let unknown = ("?", Shown::Unknown("contradictory-length"));
        assert_eq!(talk.requests(), std::slice::from_ref(&unknown), "{headers}");
        assert_eq!(talk.malformed(), ["contradictory-length"], "{headers}");
        talk.server(OK).client(GET);
        assert_eq!(talk.requests(), [unknown, ("GET", Shown::None)], "{headers}");
    }
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok").client(GET);
    assert_eq!(methods(&talk), ["POST", "GET"]);
}

#[test]
fn pipelined_requests_and_their_answers_are_matched() {
    let mut talk = Talk::default();
    talk.client(
        "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /4 HTTP/1.1\r\n\r\n",
    );
    talk.server(format!(
        "{OK}HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nHTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(talk.paths(), ["/1", "/2", "/3", "/4"]);
    assert_eq!(talk.statuses(), [200, 200, 403, 401]);
}

#[test]
fn bare_line_feeds_end_lines() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\nHost: x\nAuthorization: Bearer one\n\n").server("HTTP/1.1 204 Fine\n\n");
    talk.client(GET).server(OK);
    assert_eq!(talk.requests(), [("GET", bearer("one")), ("GET", Shown::None)]);
    assert_eq!(talk.statuses(), [204, 200]);
}

#[test]
fn empty_lines_before_a_request_mean_nothing() {
    let mut talk = Talk::default();
    talk.client(format!("\r\n\r\n{GET}")).server(OK);
    talk.client("\r\n").client("\n").client(GET).server(OK).client("\r\n").ends();
    assert_eq!(methods(&talk), ["GET", "GET"]);
    assert_eq!(talk.malformed(), Vec::<&str>::new());
}

#[test]
fn interim_responses_answer_nothing() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    talk.server("HTTP/1.1 100 Continue\r\n\r\n").client("ok");
    talk.server("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    talk.server("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").client(GET).server(OK);
    assert_eq!(methods(&talk), ["POST", "GET"]);
    assert_eq!(talk.statuses(), [401, 200]);
}

#[test]
fn answers_to_head_and_with_204_or_304_have_no_body() {
    let mut talk = Talk::default();
    talk.client("HEAD / HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.client(GET).server("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n");
    talk.client(GET).server("HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n");
    talk.client(GET).server(OK);
    assert_eq!(talk.statuses(), [200, 304, 204, 200]);
}

#[test]
fn a_response_without_a_length_lasts_until_the_end() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.0\r\n\r\n").server("HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 401 No\r\n\r\n");
    assert_eq!(talk.statuses(), [200]);
    assert_eq!(talk.protocol(), Some(Protocol::Http10));
}

#[test]
fn after_switching_protocols_nothing_is_a_request() {
    let mut talk = Talk::default();
    talk.client("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nAuthorization: Bearer one\r\n\r\n");
    assert_eq!(talk.interest(), Interest::More);
    talk.server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 401 No\r\n\r\n");
    assert_eq!(talk.interest(), Interest::Nothing);
    talk.client(GET).server(OK).ends();
    assert_eq!(talk.requests(), [("GET", bearer("one"))]);
    assert_eq!(talk.statuses(), [101]);
}

#[test]
fn a_switch_in_the_middle_of_a_head_is_http_with_a_malformed_head() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\n").server("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!((talk.protocol(), talk.malformed()), (Some(Protocol::Http11), vec!["head-incomplete"]));
}

#[test]
fn a_tunnel_begins_with_a_2xx_to_connect_and_only_then() {
    let connect = "CONNECT ledger:443 HTTP/1.1\r\nHost: ledger:443\r\n\r\n";
    let mut talk = Talk::default();
    talk.client(connect).server("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    talk.client(GET).server(OK);
    talk.client(connect).server("HTTP/1.1 200 Connection established\r\n\r\n");
    talk.client(GET).server(OK);
    assert_eq!(methods(&talk), ["CONNECT", "GET", "CONNECT"]);
    assert_eq!(talk.statuses(), [407, 200, 200]);
    assert_eq!(talk.interest(), Interest::Nothing);
}

#[test]
fn a_long_body_is_left_out_within_what_sequence_numbers_can_tell() {
    let mut talk = Talk::default();
    talk.client("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n0123456789");
    assert_eq!(talk.interest(), Interest::AfterClientBytes(99_990));
    talk.loses(true, 99_990);
    assert_eq!(talk.interest(), Interest::More);
    talk.client("POST / HTTP/1.1\r\nContent-Length: 6000000000\r\n\r\n");
    // Sequence numbers compare within 2^31 (RFC 9293 section 3.4).
    let Interest::AfterClientBytes(ahead) = talk.interest() else { panic!("{:?}", talk.interest()) };
    assert!(ahead < 1 << 31, "{ahead}");
    talk.loses(true, 6_000_000_000).client(GET);
    assert_eq!(methods(&talk), ["POST", "POST", "GET"]);
}

#[test]
fn a_head_that_was_given_up_is_malformed_and_no_request() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nHost: x\r\nAuthor").ends();
    assert_eq!(methods(&talk), Vec::<&str>::new());
    assert_eq!(talk.malformed(), ["head-incomplete"]);
    assert_eq!(talk.protocol(), Some(Protocol::Http11));
}

#[test]
fn a_thousand_and_more_pipelined_requests_are_all_seen() {
    let mut talk = Talk::default();
    talk.client(GET.repeat(3000)).server(OK.repeat(3000));
    assert_eq!(methods(&talk).len(), 3000);
    assert_eq!(talk.statuses().len(), 3000);
}
