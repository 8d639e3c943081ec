//! HTTP/1.x (RFC 9112): every request of a connection, and the status of every response.

mod body;
mod head;
mod requests;
mod responses;

use std::collections::VecDeque;

use super::Witness;
use super::buffer::Buffer;
use super::session::{Interest, Piece, Settings, plaintext, unknown};
use crate::model::Protocol;
use requests::Requests;
use responses::Responses;

/// What a request that awaits its response decides about how that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The response has no body (RFC 9112 section 6.3).
    Head,
    /// A 2xx turns the connection into a tunnel (RFC 9110 section 9.3.6).
    Connect,
    Other,
}

/// The connection stopped being HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    pub to: SwitchedTo,
    /// Bytes at the end of the server's piece that are not HTTP/1 any more.
    pub rest: usize,
}

/// What a response makes of the connection, where it does not just go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    To(SwitchedTo),
    /// There is no tunnel.
    Refused,
}

/// What comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchedTo {
    /// Whatever the client and somebody behind the server say to each other.
    Tunnel,
    /// RFC 6455.
    Websocket,
    /// RFC 7540 section 3.2.
    Http2,
    Other,
}

/// Pipelined requests whose responses are awaited; beyond it statuses are no longer told apart by method.
const MAX_AWAITED: usize = 1024;

/// One HTTP/1 connection.
#[derive(Default)]
pub struct Http1 {
    version: Option<Protocol>,
    /// What it is was told. A request for a tunnel does not settle that: what is in the tunnel may.
    told: bool,
    requests: Requests,
    responses: Responses,
    awaited: VecDeque<Awaited>,
    /// What the last request decides about its response.
    last: Option<Awaited>,
    repeated: Repeated,
}

/// Since requests are counted instead of read.
#[derive(Default)]
struct Repeated {
    /// Requests whose answer was not counted yet.
    open: u64,
    answers: u32,
}

impl Http1 {
    /// Answers where what follows is something else.
    pub fn push(
        &mut self,
        client: bool,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut impl Witness,
    ) -> Option<Switched> {
        if client {
            self.requests(|requests, witness, found| requests.push(piece, settings, witness, found), witness);
            return None;
        }
        if self.requests.is_held() && !self.awaited.contains(&Awaited::Connect) {
            // More was asked than is remembered: nobody will say whether there is a tunnel.
            self.go_on(settings, witness);
        }
        let mut left = piece;
        loop {
            let turned = self.responses.push(left, &mut self.awaited, settings, witness);
            let (turned, rest) = match turned {
                Some((turned, rest)) => (Some(turned), rest),
                None => (None, 0),
            };
            match turned {
                Some(Turned::To(to)) => return Some(Switched { to, rest }),
                Some(Turned::Refused) if self.requests.is_held() => self.go_on(settings, witness),
                // Whether there is a tunnel was not seen.
                None if self.responses.is_lost() && self.requests.is_held() => {
                    self.requests.lose(witness);
                    self.awaited.retain(|awaited| *awaited != Awaited::Connect);
                }
                _ => {}
            }
            match piece {
                // What was held back is read before what the server says next, however that came.
                Piece::Bytes { bytes, .. } if rest > 0 => {
                    left = Piece::Bytes { bytes: &bytes[bytes.len().saturating_sub(rest)..], turn: false };
                }
                _ => return None,
            }
        }
    }

    /// No tunnel: it goes on as before.
    fn go_on<W: Witness>(&mut self, settings: &Settings, witness: &mut W) {
        self.tell(witness);
        self.requests(|requests, witness, found| requests.go_on(settings, witness, found), witness);
    }

    fn requests<W: Witness>(
        &mut self,
        read: impl FnOnce(&mut Requests, &mut W, requests::Found<'_, W>),
        witness: &mut W,
    ) {
        let Self { version, told, requests, awaited, last, .. } = self;
        read(requests, witness, &mut |found, kind, witness| {
            let version = *version.get_or_insert(found);
            if !*told && kind != Awaited::Connect {
                *told = true;
                witness.classified(version, &plaintext());
            }
            *last = Some(kind);
            if awaited.len() < MAX_AWAITED {
                awaited.push_back(kind);
            }
        });
    }

    pub fn is_repeatable(&self) -> bool {
        self.requests.single().is_some() && self.responses.is_single() && self.awaited.is_empty()
    }

    /// See [`Session::repeated`](super::Session::repeated).
    pub fn repeated(&mut self, bytes: u64, answers: u32, witness: &mut impl Witness) {
        let Some(length) = self.requests.single() else { return };
        let requests = bytes / length.max(1);
        if requests > 0 {
            witness.repeated(requests);
        }
        let answered = u64::from(answers.wrapping_sub(self.repeated.answers));
        if answered > 0 {
            witness.response_repeated(answered);
        }
        self.repeated.answers = answers;
        self.repeated.open = (self.repeated.open + requests).saturating_sub(answered);
        self.awaited.clear();
        // They take turns.
        self.awaited.extend(self.last.filter(|_| self.repeated.open > 0));
        self.responses.pass();
    }

    /// What comes next is read again.
    pub fn end_repeats(&mut self) {
        self.repeated = Repeated::default();
    }

    fn tell(&mut self, witness: &mut impl Witness) {
        if !self.told {
            self.told = true;
            witness.classified(self.version.unwrap_or(Protocol::Http11), &plaintext());
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        self.requests.finish(witness);
        if let (false, Some(version)) = (self.told, self.version) {
            self.told = true;
            witness.classified(version, &unknown("tunnel-unanswered"));
        }
        self.tell(witness);
    }

    /// What the client said before it knew whether it has its tunnel; `None` if some of it is lost.
    pub fn take_tunnelled(&mut self) -> Option<Buffer> {
        self.requests.take_held()
    }

    pub fn kept(&self) -> usize {
        self.requests.kept() + self.responses.kept() + self.awaited.len() * size_of::<Awaited>()
    }

    pub fn interest(&self) -> Interest {
        self.requests.interest()
    }
}
