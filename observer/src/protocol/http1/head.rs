//! Reading one head.

use httparse::{EMPTY_HEADER, Error, ParserConfig, Status};

use super::super::{Credentials, Request};
use super::Awaited;
use super::body::Body;
use crate::model::Protocol;

/// More header lines than any server accepts by default (nginx counts bytes, Apache stops at 100).
const MAX_HEADERS: usize = 256;

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
    let length = match parsed.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Head::Incomplete,
        Err(error) => return Head::Malformed(reason(error)),
    };
    let Ok(body) = Body::of(parsed.headers) else { return Head::Malformed("contradictory-length") };
    let awaited = match parsed.method {
        Some("HEAD") => Awaited::Head,
        Some("CONNECT") => Awaited::Connect,
        _ => Awaited::Other,
    };
    let is = |name: &str, wanted: &str| name.eq_ignore_ascii_case(wanted);
    let authorization = parsed.headers.iter().find(|header| is(header.name, "authorization"));
    let credentials = match authorization {
        Some(header) => Credentials::Authorization(header.value),
        None if parsed
            .headers
            .iter()
            .any(|header| credential_headers.iter().any(|name| is(header.name, name))) =>
        {
            Credentials::Other
        }
        None => Credentials::None,
    };
    let path = parsed.path.map(|target| target.split(['?', '#']).next().unwrap_or_default());
    see(Request { method: parsed.method, path, credentials });
    // Without either header a request has no body (RFC 9112 section 6.3).
    let body = body.unwrap_or(Body::None);
    Head::Whole(RequestHead { version: version(parsed.version), awaited, body }, length)
}

/// Tries to read a response head.
pub fn response(bytes: &[u8]) -> Head<ResponseHead> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    match config.parse_response(&mut parsed, bytes) {
        Ok(Status::Complete(length)) => match (parsed.code, Body::of(parsed.headers)) {
            (Some(status), Ok(body)) => Head::Whole(ResponseHead { status, body }, length),
            _ => Head::Malformed("contradictory-length"),
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
