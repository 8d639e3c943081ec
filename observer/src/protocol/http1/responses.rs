//! The server's half of a connection: only the statuses matter.

use std::collections::VecDeque;

use super::super::Witness;
use super::super::buffer::Buffer;
use super::super::session::{Piece, Settings};
use super::body::{Body, Chunks};
use super::head::{self, Head, ResponseHead};
use super::{Awaited, SwitchedTo, Turned};

enum State {
    Head(Buffer),
    Body(u64),
    Chunked(Chunks),
    /// Until a status line at a turn.
    Lost,
    /// At a turn after being lost: perhaps in a status line, whose start is in the buffer.
    Searching(Buffer),
    UntilClose,
}

pub struct Responses {
    state: State,
    /// Heads that the server's last turn has held so far, if it began with one.
    whole: Option<u32>,
}

impl Default for Responses {
    fn default() -> Self {
        Self { state: State::Head(Buffer::default()), whole: None }
    }
}

/// Every response starts with it (RFC 9112 section 4).
const STATUS_LINE: &[u8] = b"HTTP/1.";

impl Responses {
    /// Takes a piece in, up to where the connection may become something else; answers that, and how many bytes at the
    /// end of the piece come after it.
    pub fn push(
        &mut self,
        piece: Piece<'_>,
        awaited: &mut VecDeque<Awaited>,
        settings: &Settings,
        witness: &mut impl Witness,
    ) -> Option<(Turned, usize)> {
        match piece {
            Piece::Gap { len } => {
                self.gap(len);
                None
            }
            Piece::Bytes { bytes, turn } => self.bytes(bytes, turn, awaited, settings, witness),
        }
    }

    /// The server's last turn was one response, all of it.
    pub fn is_single(&self) -> bool {
        self.whole == Some(1) && self.is_between()
    }

    /// All responses that began are over.
    fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(buffer) if buffer.is_empty())
    }

    /// Responses like the last one were left out, and are over.
    pub fn pass(&mut self) {
        self.state = State::Head(Buffer::default());
    }

    pub fn kept(&self) -> usize {
        if let State::Head(buffer) | State::Searching(buffer) = &self.state { buffer.len() } else { 0 }
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    fn gap(&mut self, len: u64) {
        self.state = match &self.state {
            State::Body(left) if *left > len => State::Body(*left - len),
            State::Body(left) if *left == len => State::Head(Buffer::default()),
            State::Chunked(Chunks::Data(left)) if *left > len => State::Chunked(Chunks::Data(*left - len)),
            State::Chunked(Chunks::Data(left)) if *left == len => State::Chunked(Chunks::DataEnd),
            State::UntilClose => State::UntilClose,
            _ => State::Lost,
        };
    }

    fn bytes(
        &mut self,
        mut bytes: &[u8],
        turn: bool,
        awaited: &mut VecDeque<Awaited>,
        settings: &Settings,
        witness: &mut impl Witness,
    ) -> Option<(Turned, usize)> {
        if turn {
            self.whole = self.is_between().then_some(0);
        }
        // The client spoke again, so the last response is over wherever it was lost.
        if turn && matches!(self.state, State::Lost | State::Searching(_)) {
            self.state = State::Searching(Buffer::default());
        }
        while !bytes.is_empty() {
            match &mut self.state {
                State::Lost | State::UntilClose => return None,
                State::Searching(buffer) => {
                    buffer.extend(bytes);
                    if buffer.bytes().starts_with(STATUS_LINE) {
                        // Which of the earlier requests were answered meanwhile is not known; the last one was not.
                        awaited.drain(..awaited.len().saturating_sub(1));
                        let line = std::mem::take(buffer);
                        self.state = State::Head(Buffer::default());
                        return self.bytes(line.bytes(), false, awaited, settings, witness);
                    }
                    if !STATUS_LINE.starts_with(buffer.bytes()) {
                        self.state = State::Lost;
                    }
                    return None;
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
                        self.state = State::Lost;
                        return None;
                    };
                    bytes = &bytes[walked..];
                    if *chunks == Chunks::Over {
                        self.state = State::Head(Buffer::default());
                    }
                }
                State::Head(buffer) => {
                    let before = buffer.len();
                    // Most heads come whole, and are read where they lie.
                    let so_far = if before == 0 {
                        bytes
                    } else {
                        buffer.extend(bytes);
                        buffer.bytes()
                    };
                    match head::response(head::lines(so_far, settings.head_limit)) {
                        Head::Whole(head, length) => {
                            bytes = &bytes[length.saturating_sub(before)..];
                            if let Some(turned) = self.answered(&head, awaited, witness) {
                                return Some((turned, bytes.len()));
                            }
                        }
                        Head::Incomplete if so_far.len() < settings.head_limit => {
                            if before == 0 {
                                buffer.extend(bytes);
                            }
                            return None;
                        }
                        Head::Incomplete | Head::Malformed(_) => {
                            self.state = State::Lost;
                            return None;
                        }
                    }
                }
            }
        }
        None
    }

    /// A head was read. Answers what the connection becomes, if it may stop being HTTP/1.
    fn answered(
        &mut self,
        head: &ResponseHead,
        awaited: &mut VecDeque<Awaited>,
        witness: &mut impl Witness,
    ) -> Option<Turned> {
        const SWITCHING_PROTOCOLS: u16 = 101;
        if let Some(heads) = &mut self.whole {
            *heads += 1;
        }
        if (100..200).contains(&head.status) && head.status != SWITCHING_PROTOCOLS {
            self.state = State::Head(Buffer::default());
            return None;
        }
        let awaited = awaited.pop_front();
        witness.response(head.status);
        if head.status == SWITCHING_PROTOCOLS {
            return Some(Turned::To(match head {
                ResponseHead { to_websocket: true, .. } => SwitchedTo::Websocket,
                ResponseHead { to_http2: true, .. } => SwitchedTo::Http2,
                _ => SwitchedTo::Other,
            }));
        }
        if awaited == Some(Awaited::Connect) && (200..300).contains(&head.status) {
            return Some(Turned::To(SwitchedTo::Tunnel));
        }
        let no_body = awaited == Some(Awaited::Head) || matches!(head.status, 204 | 304);
        self.state = match head.body {
            _ if no_body => State::Head(Buffer::default()),
            Some(Body::Sized(0) | Body::None) => State::Head(Buffer::default()),
            Some(Body::Sized(length)) => State::Body(length),
            Some(Body::Chunked(chunks)) => State::Chunked(chunks),
            None => State::UntilClose,
        };
        (awaited == Some(Awaited::Connect)).then_some(Turned::Refused)
    }
}
