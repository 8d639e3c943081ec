//! HTTP/1.x by hand: RFC 9112 in what captures do not show.

use super::{Interest, Shown, Talk, bearer};
use crate::model::{EncryptionStatus, Protocol};

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
fn authorization_headers_that_differ_are_all_shown_and_equal_ones_once() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\nAuthorization: Bearer one\r\nauthorization: Bearer two\r\n\r\n")
        .server(OK);
    talk.client("GET / HTTP/1.1\r\nAuthorization: Bearer one\r\nAuthorization: Bearer one\r\n\r\n");
    let both = Shown::Several(vec!["Bearer one".into(), "Bearer two".into()]);
    assert_eq!(talk.requests(), [("GET", both), ("GET", bearer("one"))]);
}

#[test]
fn more_authorization_headers_than_anybody_sends_cost_nothing_more() {
    let mut talk = Talk::default();
    let lines: String = (0..100).map(|n| format!("Authorization: Bearer {n}\r\n")).collect();
    talk.client(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
    let requests = talk.requests();
    assert!(matches!(&requests[..], [("GET", Shown::Several(values))] if values.len() == 8), "{requests:?}");
}

/// RFC 9112 section 5.2: a recipient replaces each obs-fold with blanks.
#[test]
fn a_folded_header_is_one_line_and_keeps_its_length() {
    for fold in ["\r\n ", "\r\n\t", "\n ", "\r\n \r\n  "] {
        let head = format!("GET / HTTP/1.1\r\nA: b\r\nAuthorization: Bearer{fold}one\r\nC: d\r\n\r\n");
        for cut in 1..head.len() {
            let mut talk = Talk::default();
            talk.client(&head[..cut]).client(&head[cut..]).client(GET);
            let (first, second) = match &talk.requests()[..] {
                [("GET", Shown::Authorization(value)), ("GET", second)] => (value.clone(), second.clone()),
                other => panic!("{head:?}: {other:?}"),
            };
            assert_eq!(first.split_whitespace().collect::<Vec<_>>(), ["Bearer", "one"]);
            assert_eq!(second, Shown::None);
            assert!(talk.malformed().is_empty());
        }
    }
}

#[test]
fn blanks_right_after_the_request_line_are_no_fold() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\n Authorization: Bearer one\r\n\r\n");
    assert!(matches!(talk.requests()[..], [("?", Shown::Unknown(_))]));
    assert_eq!(talk.malformed(), ["malformed-http"]);
}

#[test]
fn bare_line_feeds_end_lines_and_heads() {
    let mut talk = Talk::default();
    talk.client(
        "POST / HTTP/1.1\nHost: x\nAuthorization: Bearer one\nContent-Length: 3\n\nabcGET / HTTP/1.1\n\n",
    );
    talk.server("HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 403 No\n\n");
    assert_eq!(talk.requests(), [("POST", bearer("one")), ("GET", Shown::None)]);
    assert_eq!(talk.statuses(), [200, 403]);
}

/// RFC 9110 section 11.7.2.
#[test]
fn a_credential_for_the_proxy_is_told_apart_from_one_for_the_server() {
    let for_proxy = |addressed| Shown::Proxy { value: "Basic dTpw".into(), addressed };
    let header = "Proxy-Authorization: Basic dTpw\r\n";
    for (line, more, shown) in [
        ("CONNECT ledger:443 HTTP/1.1", "", for_proxy(true)),
        ("GET http://orders/ HTTP/1.1", "", for_proxy(true)),
        ("GET /orders?at=http://x/ HTTP/1.1", "", for_proxy(false)),
        ("GET http://orders/ HTTP/1.1", "Authorization: Bearer one\r\n", bearer("one")),
    ] {
        let mut talk = Talk::default();
        talk.client(format!("{line}\r\nHost: x\r\n{header}{more}\r\n"));
        assert_eq!(talk.requests()[0].1, shown, "{line}");
    }
}

/// RFC 9112 section 3.2.
#[test]
fn a_path_is_the_same_in_origin_form_and_in_absolute_form() {
    let mut talk = Talk::default();
    for target in
        ["http://orders:8080/charge?x=1", "http://orders", "http://orders?x=1", "/a://b/c", "ledger:443"]
    {
        let method = if target == "ledger:443" { "CONNECT" } else { "GET" };
        talk.client(format!("{method} {target} HTTP/1.1\r\n\r\n"));
    }
    assert_eq!(talk.paths(), ["/charge", "/", "/", "/a://b/c", "?"]);
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

/// RFC 9112 section 6.3, fourth and fifth case.
#[test]
fn a_response_whose_length_cannot_be_told_is_an_answer_all_the_same() {
    for header in ["Transfer-Encoding: gzip", "Content-Length: 5\r\nContent-Length: 6"] {
        let mut talk = Talk::default();
        talk.client("GET / HTTP/1.1\r\n\r\n");
        talk.server(format!("HTTP/1.1 401 No\r\n{header}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(talk.statuses(), [401], "{header}");
    }
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
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Websocket, EncryptionStatus::Plaintext));
}

#[test]
fn a_switch_in_the_middle_of_a_head_is_http_with_a_malformed_head() {
    let mut talk = Talk::default();
    talk.client("GET / HTTP/1.1\r\n").server("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!((talk.protocol(), talk.malformed()), (Some(Protocol::Http11), vec!["head-incomplete"]));
}

const CONNECT: &str = "CONNECT ledger:443 HTTP/1.1\r\nHost: ledger:443\r\n\r\n";
const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[test]
fn a_tunnel_begins_with_a_2xx_to_connect_and_only_then() {
    let mut talk = Talk::default();
    talk.client(CONNECT).server("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.protocol(), Some(Protocol::Http11));
    talk.client(GET).server(OK);
    talk.client(CONNECT).server(TUNNEL);
    talk.client(GET).server(OK);
    assert_eq!(methods(&talk), ["CONNECT", "GET", "CONNECT", "GET"]);
    assert_eq!(talk.statuses(), [407, 200, 200, 200]);
}

#[test]
fn what_a_client_says_before_it_has_its_tunnel_is_read_as_what_it_turns_out_to_be() {
    for refused in [true, false] {
        let mut talk = Talk::default();
        talk.client(CONNECT).client(GET);
        assert_eq!(methods(&talk), ["CONNECT"]);
        talk.server(if refused { "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" } else { TUNNEL }).server(OK);
        assert_eq!(methods(&talk), ["CONNECT", "GET"]);
        assert_eq!(talk.statuses(), [if refused { 403 } else { 200 }, 200]);
    }
}

#[test]
fn a_request_for_a_tunnel_alone_is_no_verdict() {
    let mut talk = Talk::default();
    talk.client(CONNECT);
    assert_eq!(talk.verdict(), None);
    talk.ends();
    assert_eq!(talk.reason().as_deref(), Some("tunnel-unanswered"));
    let mut talk = Talk::default();
    talk.client(CONNECT).server(TUNNEL).ends();
    assert_eq!((talk.protocol(), talk.reason().as_deref()), (Some(Protocol::Http11), Some("tunnel-unused")));
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
