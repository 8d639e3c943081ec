//! One flow's story: first what it is, then what it says.

use super::Witness;
use super::buffer::Buffer;
use super::http1::Http1;
use super::sniff::{Sniffed, sniff};
use super::tls::Tls;
use crate::model::{Encryption, EncryptionStatus, Protocol};

/// What a direction delivers; the same as conntrack's, which this stage does not know.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// `turn`: the first bytes since the other end spoke.
    Bytes { bytes: &'a [u8], turn: bool },
    /// So many bytes were sent and are not to be had.
    Gap { len: u64 },
}

/// What more the flow has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    More,
    /// Nothing before this many more bytes of the client.
    AfterClientBytes(u64),
    Nothing,
}

/// Limits and names that the settings give.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest head that is read whole, in bytes.
    pub head_limit: usize,
    /// Header names, in lower case, whose presence counts as a credential.
    pub credential_headers: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { head_limit: 16 * 1024, credential_headers: Vec::new() }
    }
}

enum State {
    /// The client's first bytes are not all there.
    Sniffing(Buffer),
    Http1(Box<Http1>),
    Tls(Box<Tls>),
    /// Its first bytes were not seen; an HTTP/1 request at a turn can still be recognised.
    Midstream {
        turns_left: u8,
    },
    Done,
}

/// Turns of a client in which a request may be looked for, where the first bytes were not seen: enough to get out of
/// a body, not so many that a connection that never was HTTP/1 is captured for good.
const MIDSTREAM_TURNS: u8 = 16;

/// See the module.
pub struct Session {
    state: State,
}

impl Default for Session {
    fn default() -> Self {
        Self { state: State::Sniffing(Buffer::default()) }
    }
}

impl Session {
    /// The connection talked before it was seen.
    pub fn attach_midstream(&mut self, witness: &mut impl Witness) {
        self.lose_start("attached-mid-stream", witness);
    }

    /// Takes the next piece of what the client (or the server) said.
    pub fn push(&mut self, client: bool, piece: Piece<'_>, settings: &Settings, witness: &mut impl Witness) {
        match &mut self.state {
            State::Sniffing(_) => self.sniff(client, piece, settings, witness),
            State::Http1(http1) => {
                http1.push(client, piece, settings, witness);
                if http1.is_over() {
                    http1.finish(witness);
                    self.state = State::Done;
                }
            }
            State::Tls(tls) => {
                tls.push(client, piece, witness);
                if tls.is_over() {
                    self.state = State::Done;
                }
            }
            State::Midstream { turns_left } => {
                if let Piece::Bytes { bytes, turn: true } = piece
                    && client
                {
                    *turns_left -= 1;
                    if sniff(bytes) == Sniffed::Http1 {
                        self.become_http1(bytes, settings, witness);
                    } else if *turns_left == 0 {
                        self.state = State::Done;
                    }
                }
            }
            State::Done => {}
        }
    }

    /// The flow ended: what is still open stays unknown.
    pub fn finish(&mut self, witness: &mut impl Witness) {
        match &mut self.state {
            State::Sniffing(buffer) if buffer.is_empty() => {
                witness.classified(Protocol::Unknown, &unknown("no-data"));
            }
            State::Sniffing(_) => witness.classified(Protocol::Opaque, &unknown("too-few-bytes")),
            State::Http1(http1) => http1.finish(witness),
            State::Tls(tls) => tls.finish(witness),
            State::Midstream { .. } | State::Done => {}
        }
        self.state = State::Done;
    }

    #[must_use]
    pub fn interest(&self) -> Interest {
        match &self.state {
            State::Done => Interest::Nothing,
            State::Http1(http1) => http1.interest(),
            State::Sniffing(_) | State::Tls(_) | State::Midstream { .. } => Interest::More,
        }
    }

    fn sniff(&mut self, client: bool, piece: Piece<'_>, settings: &Settings, witness: &mut impl Witness) {
        let State::Sniffing(buffer) = &mut self.state else { return };
        let Piece::Bytes { bytes, .. } = piece else {
            witness.truncated();
            return self.lose_start("first-bytes-lost", witness);
        };
        if !client {
            // Protocols in which the server speaks first are none of those that are read here.
            return self.give_up(Protocol::Opaque, "opaque-protocol", witness);
        }
        buffer.extend(bytes);
        match sniff(&buffer.bytes()[..buffer.len().min(settings.head_limit)]) {
            Sniffed::Incomplete if buffer.len() < settings.head_limit => {}
            Sniffed::Incomplete | Sniffed::Opaque => {
                self.give_up(Protocol::Opaque, "opaque-protocol", witness)
            }
            Sniffed::Http1 => {
                let first = std::mem::take(buffer);
                self.become_http1(first.bytes(), settings, witness);
            }
            Sniffed::Http2 => {
                witness.classified(Protocol::Http2, &plaintext());
                self.state = State::Done;
            }
            Sniffed::Tls => {
                let first = std::mem::take(buffer);
                let mut tls = Box::new(Tls::default());
                tls.push(true, Piece::Bytes { bytes: first.bytes(), turn: true }, witness);
                self.state = if tls.is_over() { State::Done } else { State::Tls(tls) };
            }
        }
    }

    fn become_http1(&mut self, first: &[u8], settings: &Settings, witness: &mut impl Witness) {
        let mut http1 = Box::new(Http1::default());
        http1.push(true, Piece::Bytes { bytes: first, turn: true }, settings, witness);
        self.state = if http1.is_over() { State::Done } else { State::Http1(http1) };
    }

    fn lose_start(&mut self, reason: &'static str, witness: &mut impl Witness) {
        self.state = State::Midstream { turns_left: MIDSTREAM_TURNS };
        witness.classified(Protocol::Unknown, &unknown(reason));
    }

    fn give_up(&mut self, protocol: Protocol, reason: &'static str, witness: &mut impl Witness) {
        witness.classified(protocol, &unknown(reason));
        self.state = State::Done;
    }
}

pub fn unknown(reason: &'static str) -> Encryption {
    Encryption { reason: Some(reason.into()), ..Encryption::default() }
}

pub fn plaintext() -> Encryption {
    Encryption { status: EncryptionStatus::Plaintext, ..Encryption::default() }
}
