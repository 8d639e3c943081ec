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

/// Where the next byte lies.
enum State {
    /// In a head, whose start is in the buffer.
    Head(Buffer),
    Body(u64),
    Chunked(Chunks),
    /// It is not known: until a request line at a turn.
    Lost,
    /// A malformed head: nothing after it can be trusted.
    Broken,
}

pub struct Requests {
    state: State,
}

impl Default for Requests {
    fn default() -> Self {
        Self { state: State::Head(Buffer::default()) }
    }
}

/// Told of each request: version, how its response is to be read.
type Found<'a, W> = &'a mut dyn FnMut(Protocol, Awaited, &mut W);

impl Requests {
    pub fn push<W: Witness>(
        &mut self,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut W,
        found: Found<'_, W>,
    ) {
        match piece {
            Piece::Gap { len } => self.gap(len, witness, found),
            Piece::Bytes { bytes, turn } => self.bytes(bytes, turn, settings, witness, found),
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        if let State::Head(buffer) = &self.state
            && !buffer.is_empty()
        {
            // The client gave up in the middle of a head: no server ever acted on it.
            witness.malformed("head-incomplete");
        }
        self.state = State::Broken;
    }

    pub fn interest(&self) -> Interest {
        match self.state {
            State::Body(left) if left > WORTH_SKIPPING => Interest::AfterClientBytes(left),
            State::Chunked(Chunks::Data(left)) if left > WORTH_SKIPPING => Interest::AfterClientBytes(left),
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
            State::Chunked(_) | State::Lost => State::Lost,
            State::Broken => State::Broken,
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
        turn: bool,
        settings: &Settings,
        witness: &mut W,
        found: Found<'_, W>,
    ) {
        if matches!(self.state, State::Lost) && turn && http1_request_line(bytes) != Sniffed::Opaque {
            self.state = State::Head(Buffer::default());
        }
        while !bytes.is_empty() {
            match &mut self.state {
                State::Lost | State::Broken => return,
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
                State::Head(_) => match self.head(bytes, settings, witness, found) {
                    Some(consumed) => bytes = &bytes[consumed..],
                    None => return,
                },
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
        let whole = if before == 0 {
            bytes
        } else {
            buffer.extend(bytes);
            buffer.bytes()
        };
        let mut seen = false;
        let read = head::request(whole, &settings.credential_headers, |request| {
            seen = true;
            witness.request(request);
        });
        match read {
            Head::Whole(head, length) => {
                found(head.version, head.awaited, witness);
                self.state = match head.body {
                    Body::None | Body::Sized(0) => State::Head(Buffer::default()),
                    Body::Sized(length) => State::Body(length),
                    Body::Chunked(chunks) => State::Chunked(chunks),
                    Body::UntilClose => State::Broken,
                };
                Some(length - before)
            }
            Head::Incomplete if whole.len() >= settings.head_limit => {
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
                self.state = State::Broken;
                None
            }
        }
    }
}

fn unknown_request<W: Witness>(reason: &'static str, witness: &mut W, found: Found<'_, W>) {
    witness.request(Request { method: None, path: None, credentials: Credentials::Unknown(reason) });
    found(Protocol::Http11, Awaited::Other, witness);
}
