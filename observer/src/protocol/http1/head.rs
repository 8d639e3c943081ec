//! Reading one head.

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Status};

use super::super::buffer::Buffer;
use super::super::{Credentials, Request};
use super::Awaited;
use super::body::Body;
use crate::model::Protocol;

/// More header lines than any server accepts by default (nginx counts bytes, Apache stops at 100).
const MAX_HEADERS: usize = 256;
/// RFC 9110 section 11.6.2 has one at most; of more than these, the rest is not looked at.
const MAX_AUTHORIZATIONS: usize = 8;

/// What a try at a head gives.
pub enum Head<T> {
    Incomplete,
    Malformed(&'static str),
    /// The value and the head's length in bytes.
    Whole(T, usize),
}

pub struct RequestHead {
    pub version: Protocol,
    pub awaited: Awaited,
    pub body: Body,
}

pub struct ResponseHead {
    pub status: u16,
    /// `None`: it does not say.
    pub body: Option<Body>,
    /// It names WebSocket as what it switches to (RFC 6455 section 4.2.2).
    pub to_websocket: bool,
    /// HTTP/2 in clear (RFC 7540 section 3.2).
    pub to_http2: bool,
}

/// What of a head's bytes so far is worth a try: whole lines, so that the verdict is the same however the bytes were
/// cut; everything where the limit is reached.
pub fn lines(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() >= limit {
        return &bytes[..limit];
    }
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    &bytes[..end]
}

fn version(minor: Option<u8>) -> Protocol {
    if minor == Some(0) { Protocol::Http10 } else { Protocol::Http11 }
}

/// Tries to read a request head; shows the request to `see` before it returns.
pub fn request(
    bytes: &[u8],
    credential_headers: &[String],
    see: impl FnOnce(Request<'_>),
) -> Head<RequestHead> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(Status::Complete(length)) => whole(&parsed, length, credential_headers, see),
        Ok(Status::Partial) => Head::Incomplete,
        Err(error) => {
            let Some(unfolded) = unfolded(bytes) else { return Head::Malformed(reason(error)) };
            let mut headers = [EMPTY_HEADER; MAX_HEADERS];
            let mut parsed = httparse::Request::new(&mut headers);
            match parsed.parse(unfolded.bytes()) {
                Ok(Status::Complete(length)) => whole(&parsed, length, credential_headers, see),
                Ok(Status::Partial) => Head::Incomplete,
                Err(error) => Head::Malformed(reason(error)),
            }
        }
    }
}

fn whole(
    parsed: &httparse::Request<'_, '_>,
    length: usize,
    credential_headers: &[String],
    see: impl FnOnce(Request<'_>),
) -> Head<RequestHead> {
    let Ok(body) = Body::of(parsed.headers) else { return Head::Malformed("contradictory-length") };
    let awaited = match parsed.method {
        Some("HEAD") => Awaited::Head,
        Some("CONNECT") => Awaited::Connect,
        _ => Awaited::Other,
    };
    let target = parsed.path.unwrap_or_default();
    let mut values = [&[][..]; MAX_AUTHORIZATIONS];
    let credentials = credentials(parsed.headers, credential_headers, awaited, target, &mut values);
    let path = (awaited != Awaited::Connect).then(|| path(target));
    see(Request { method: parsed.method, path, credentials });
    // Without either header a request has no body (RFC 9112 section 6.3).
    let body = body.unwrap_or(Body::None);
    Head::Whole(RequestHead { version: version(parsed.version), awaited, body }, length)
}

/// What a head's headers show of its sender. `values` is room for Authorization values that differ.
fn credentials<'a>(
    headers: &[Header<'a>],
    credential_headers: &[String],
    awaited: Awaited,
    target: &str,
    values: &'a mut [&'a [u8]; MAX_AUTHORIZATIONS],
) -> Credentials<'a> {
    let named = |wanted: &'static str| {
        let fits = move |header: &&Header<'a>| header.name.eq_ignore_ascii_case(wanted);
        headers.iter().filter(fits).map(|header| header.value)
    };
    let mut count = 0;
    for value in named("authorization") {
        if !values[..count].contains(&value) && count < MAX_AUTHORIZATIONS {
            values[count] = value;
            count += 1;
        }
    }
    let other =
        |header: &Header<'_>| credential_headers.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    match (count, named("proxy-authorization").next()) {
        (1, _) => Credentials::Authorization(values[0]),
        (2.., _) => Credentials::Several(&values[..count]),
        _ if headers.iter().any(other) => Credentials::Other,
        (_, Some(value)) => {
            // Only to a proxy does a client speak of what lies elsewhere (RFC 9112 section 3.2).
            let addressed = awaited == Awaited::Connect || authority_and_path(target).is_some();
            Credentials::Proxy { value, addressed }
        }
        _ => Credentials::None,
    }
}

/// The path of a target in origin-form or absolute-form (RFC 9112 section 3.2), without the query.
fn path(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match authority_and_path(target) {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    }
}

/// What follows `scheme://`.
fn authority_and_path(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return None;
    }
    target.split_once("://").map(|(_, rest)| rest)
}

/// A copy in which lines that go on in the next are one line, as RFC 9112 section 5.2 has a recipient read them. The
/// line ends become blanks, so that every byte keeps its place. `None`: there is nothing to unfold.
fn unfolded(bytes: &[u8]) -> Option<Buffer> {
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    // What follows the request line cannot continue a header.
    let line = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let mut copy: Option<Vec<u8>> = None;
    let first = starts.by_ref().find(|start| *start > line)?;
    let mut before = first;
    for start in starts {
        if matches!(bytes[before..start], [b'\n'] | [b'\r', b'\n']) {
            break;
        }
        before = start;
        if let Some(b' ' | b'\t') = bytes.get(start) {
            let copy = copy.get_or_insert_with(|| bytes.to_vec());
            copy[start - 1] = b' ';
            if copy[start - 2] == b'\r' {
                copy[start - 2] = b' ';
            }
        }
    }
    copy.map(Buffer::from)
}

/// Tries to read a response head.
pub fn response(bytes: &[u8]) -> Head<ResponseHead> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    match config.parse_response(&mut parsed, bytes) {
        Ok(Status::Complete(length)) => match parsed.code {
            Some(status) => {
                // What it does not say, or says twice, lasts until the connection ends (RFC 9112 section 6.3).
                let body = Body::of(parsed.headers).unwrap_or(None);
                let upgrade = |header: &&Header<'_>| header.name.eq_ignore_ascii_case("upgrade");
                let upgrade = parsed.headers.iter().find(upgrade).map(|header| header.value);
                let names = |name: &[u8]| upgrade.is_some_and(|value| value.eq_ignore_ascii_case(name));
                let (to_websocket, to_http2) = (names(b"websocket"), names(b"h2c"));
                Head::Whole(ResponseHead { status, body, to_websocket, to_http2 }, length)
            }
            None => Head::Malformed("malformed-http"),
        },
        Ok(Status::Partial) => Head::Incomplete,
        Err(error) => Head::Malformed(reason(error)),
    }
}

fn reason(error: Error) -> &'static str {
    match error {
        Error::TooManyHeaders => "too-many-headers",
        _ => "malformed-http",
    }
}
