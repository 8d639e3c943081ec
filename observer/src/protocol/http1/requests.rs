//! The client's half of a connection.

use super::super::buffer::Buffer;
use super::super::session::{Interest, Piece, Settings};
use super::super::sniff::{Sniffed, http1_request_line};
use super::super::{Credentials, Request, Witness};
use super::Awaited;
use super::body::{Body, Chunks};
use super::head::{self, Head};
use crate::model::Protocol;

/// Bodies beyond this are worth telling the kernel to leave out.
const WORTH_SKIPPING: u64 = 32 * 1024;
/// As far ahead as the kernel can be told: sequence numbers compare within half their range.
const FARTHEST: u64 = 1 << 30;

/// Where the next byte lies.
enum State {
    /// In a head, whose start is in the buffer.
    Head(Buffer),
    Body(u64),
    Chunked(Chunks),
    /// After a request for a tunnel: it is for the response to say what these bytes are. `None`: not all are there.
    Held(Option<Buffer>),
    /// It is not known: until a request line at a turn.
    Lost,
    /// At a turn after being lost: perhaps in a request line, whose start is in the buffer.
    Searching(Buffer),
}

pub struct Requests {
    state: State,
    /// Requests that the last piece held, and its length, if it began with one.
    whole: Option<(u32, u64)>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { state: State::Head(Buffer::default()), whole: None }
    }
}

/// Told of each request: version, how its response is to be read.
pub type Found<'a, W> = &'a mut dyn FnMut(Protocol, Awaited, &mut W);

impl Requests {
    pub fn push<W: Witness>(
        &mut self,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut W,
        found: Found<'_, W>,
    ) {
        match piece {
            Piece::Gap { len } => {
                self.whole = None;
                self.gap(len, witness, found);
            }
            Piece::Bytes { bytes, turn } => {
                self.whole = self.is_between().then_some((0, bytes.len() as u64));
                if turn && matches!(self.state, State::Lost | State::Searching(_)) {
                    self.state = State::Searching(Buffer::default());
                }
                self.bytes(bytes, settings, witness, found);
            }
        }
    }

    /// In bytes, if the last piece was one request, all of it.
    pub fn single(&self) -> Option<u64> {
        let (requests, length) = self.whole?;
        (requests == 1 && self.is_between()).then_some(length)
    }

    /// All requests that began are over.
    fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(buffer) if buffer.is_empty())
    }

    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    pub fn take_held(&mut self) -> Option<Buffer> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Held(buffer) => buffer,
            _ => None,
        }
    }

    /// What was held back can be told for nothing.
    pub fn lose(&mut self, witness: &mut impl Witness) {
        if self.take_held().is_none_or(|held| !held.is_empty()) {
            witness.truncated();
        }
    }

    /// There is no tunnel: what was held back is more of the same.
    pub fn go_on<W: Witness>(&mut self, settings: &Settings, witness: &mut W, found: Found<'_, W>) {
        if let Some(held) = self.take_held() {
            self.state = State::Head(Buffer::default());
            self.bytes(held.bytes(), settings, witness, found);
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        if let State::Head(buffer) = &self.state
            && !buffer.is_empty()
        {
            // The client gave up in the middle of a head: no server ever acted on it.
            witness.malformed("head-incomplete");
        }
        self.state = State::Lost;
    }

    pub fn kept(&self) -> usize {
        match &self.state {
            State::Head(buffer) | State::Held(Some(buffer)) | State::Searching(buffer) => buffer.len(),
            State::Body(_) | State::Chunked(_) | State::Held(None) | State::Lost => 0,
        }
    }

    pub fn interest(&self) -> Interest {
        match self.state {
            State::Body(left) | State::Chunked(Chunks::Data(left)) if left > WORTH_SKIPPING => {
                Interest::AfterClientBytes(left.min(FARTHEST))
            }
            _ => Interest::More,
        }
    }

    fn gap<W: Witness>(&mut self, len: u64, witness: &mut W, found: Found<'_, W>) {
        self.state = match &mut self.state {
            State::Body(left) if *left > len => State::Body(*left - len),
            State::Body(left) if *left == len => State::Head(Buffer::default()),
            State::Chunked(Chunks::Data(left)) if *left > len => State::Chunked(Chunks::Data(*left - len)),
            State::Chunked(Chunks::Data(left)) if *left == len => State::Chunked(Chunks::DataEnd),
            // The rest of a chunked body, or more: where it ended is not known, and a request only may be hidden.
            State::Chunked(_) => {
                witness.truncated();
                State::Lost
            }
            State::Held(_) => State::Held(None),
            State::Lost | State::Searching(_) => State::Lost,
            // A head, or its start, is hidden: at least one request.
            State::Head(_) | State::Body(_) => {
                witness.truncated();
                unknown_request("head-truncated", witness, found);
                State::Lost
            }
        };
    }

    fn bytes<W: Witness>(
        &mut self,
        mut bytes: &[u8],
        settings: &Settings,
        witness: &mut W,
        found: Found<'_, W>,
    ) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Lost | State::Held(None) => return,
                State::Held(Some(buffer)) => {
                    buffer.extend(bytes);
                    if buffer.len() > settings.head_limit {
                        self.state = State::Held(None);
                    }
                    return;
                }
                State::Searching(buffer) => {
                    buffer.extend(bytes);
                    let start = &buffer.bytes()[..buffer.len().min(settings.head_limit)];
                    match http1_request_line(start) {
                        Sniffed::Incomplete if buffer.len() < settings.head_limit => {}
                        Sniffed::Http1 => {
                            let line = std::mem::take(buffer);
                            self.state = State::Head(Buffer::default());
                            self.bytes(line.bytes(), settings, witness, found);
                        }
                        _ => self.state = State::Lost,
                    }
                    return;
                }
                State::Body(left) => {
                    let here = (*left).min(bytes.len() as u64);
                    bytes = &bytes[here as usize..];
                    self.state = if *left == here {
                        State::Head(Buffer::default())
                    } else {
                        State::Body(*left - here)
                    };
                }
                State::Chunked(chunks) => {
                    let Some(walked) = chunks.walk(bytes) else {
                        witness.malformed("malformed-chunk");
                        self.state = State::Lost;
                        return;
                    };
                    bytes = &bytes[walked..];
                    if *chunks == Chunks::Over {
                        self.state = State::Head(Buffer::default());
                    }
                }
                State::Head(buffer) => {
                    if buffer.is_empty() {
                        // Empty lines before a request mean nothing (RFC 9112 section 2.2).
                        let line = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
                        bytes = &bytes[line.unwrap_or(bytes.len())..];
                    }
                    match self.head(bytes, settings, witness, found) {
                        Some(consumed) => bytes = &bytes[consumed..],
                        None => return,
                    }
                }
            }
        }
    }

    /// Reads a head that ends in `bytes`; says how many of them it took. `None`: all, and it is not over.
    fn head<W: Witness>(
        &mut self,
        bytes: &[u8],
        settings: &Settings,
        witness: &mut W,
        found: Found<'_, W>,
    ) -> Option<usize> {
        let State::Head(buffer) = &mut self.state else { return None };
        let before = buffer.len();
        // Most heads come whole, and are read where they lie.
        let so_far = if before == 0 {
            bytes
        } else {
            buffer.extend(bytes);
            buffer.bytes()
        };
        let read = if before == 0 || bytes.contains(&b'\n') || so_far.len() >= settings.head_limit {
            head::request(head::lines(so_far, settings.head_limit), &settings.credential_headers, |request| {
                witness.request(request);
            })
        } else {
            Head::Incomplete
        };
        match read {
            Head::Whole(head, length) => {
                if let Some((requests, _)) = &mut self.whole {
                    *requests += 1;
                }
                found(head.version, head.awaited, witness);
                self.state = match head.body {
                    _ if head.awaited == Awaited::Connect => State::Held(Some(Buffer::default())),
                    Body::None | Body::Sized(0) => State::Head(Buffer::default()),
                    Body::Sized(length) => State::Body(length),
                    Body::Chunked(chunks) => State::Chunked(chunks),
                };
                Some(length.saturating_sub(before))
            }
            Head::Incomplete if so_far.len() >= settings.head_limit => {
                witness.truncated();
                unknown_request("head-too-long", witness, found);
                self.state = State::Lost;
                None
            }
            Head::Incomplete => {
                if before == 0 {
                    buffer.extend(bytes);
                }
                None
            }
            Head::Malformed(reason) => {
                witness.malformed(reason);
                unknown_request(reason, witness, found);
                // A server may be less strict, so what it answers and what follows still counts.
                self.state = State::Lost;
                None
            }
        }
    }
}

fn unknown_request<W: Witness>(reason: &'static str, witness: &mut W, found: Found<'_, W>) {
    witness.request(Request { method: None, path: None, credentials: Credentials::Unknown(reason) });
    found(Protocol::Http11, Awaited::Other, witness);
}
