//! One flow's story: first what it is, then what it says.

use super::Witness;
use super::http1::{Http1, Switched, SwitchedTo};
use super::http2::{self, Http2};
use super::name::Proof;
use super::named::Named;
use super::opening::{Opened, Opening};
use super::sniff::{Sniffed, sniff};
use super::tls::Tls;
use super::upgrade::{Outcome, Rest, Upgrade};
use crate::model::{Encryption, EncryptionStatus, Protocol};

/// What a direction delivers; the same as conntrack's, which this stage does not know.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// `turn`: the first bytes since the other end spoke.
    Bytes { bytes: &'a [u8], turn: bool },
    /// So many bytes were sent and are not to be had.
    Gap { len: u64 },
}

impl Piece<'_> {
    /// In bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Gap { len } => *len,
        }
    }
}

/// What more the flow has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    More,
    /// Nothing before this many more bytes of the client.
    AfterClientBytes(u64),
    /// Everything but HTTP/2's DATA, of which a frame starts in so many bytes of the client, and of the server.
    FramesAhead {
        client: Option<u64>,
        server: Option<u64>,
    },
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
    /// What it is is not proven yet.
    Opening(Box<Opening>),
    /// It began in clear and may become encrypted.
    Upgrading(Box<Upgrade>),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Tls(Box<Tls>),
    /// Its first bytes were not seen; an HTTP request at a turn can still be recognised.
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
    /// What TLS protects, where that was told before the handshake.
    name: Option<Protocol>,
}

impl Default for Session {
    fn default() -> Self {
        Self { state: State::Opening(Box::default()), name: None }
    }
}

impl Session {
    /// The connection talked before it was seen.
    pub fn attach_midstream(&mut self, witness: &mut impl Witness) {
        self.lose_start("attached-mid-stream", witness);
    }

    /// Takes the next piece of what the client (or the server) said.
    pub fn push(&mut self, client: bool, piece: Piece<'_>, settings: &Settings, witness: &mut impl Witness) {
        let mut witness = Named { name: self.name, witness };
        self.take(client, piece, settings, &mut witness);
        self.name = witness.name;
    }

    fn take<W: Witness>(
        &mut self,
        client: bool,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        match &mut self.state {
            State::Opening(_) => self.open(client, piece, settings, witness),
            State::Upgrading(upgrade) => {
                let outcome = upgrade.push(client, piece, witness);
                self.upgraded(outcome, settings, witness);
            }
            State::Http1(http1) => {
                if let Some(switched) = http1.push(client, piece, settings, witness) {
                    self.switch(switched, client, piece, settings, witness);
                }
            }
            State::Http2(http2) => {
                http2.push(client, piece, settings, witness);
                if http2.is_over() {
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
                        self.state = State::Http1(Box::default());
                        self.take(client, piece, settings, witness);
                    } else if http2::shows_request(bytes) {
                        self.state = State::Http2(Box::new(Http2::midstream(witness)));
                        self.take(client, piece, settings, witness);
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
        let witness = &mut Named { name: self.name, witness };
        match &mut self.state {
            State::Opening(opening) => {
                let (protocol, encryption) = opening.end();
                witness.classified(protocol, &encryption);
            }
            State::Upgrading(upgrade) => witness.classified(upgrade.protocol, &upgrade.end()),
            State::Http1(http1) => http1.finish(witness),
            State::Http2(http2) => http2.finish(witness),
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
            State::Http2(http2) => http2.interest(),
            State::Opening(_) | State::Upgrading(_) | State::Tls(_) | State::Midstream { .. } => {
                Interest::More
            }
        }
    }

    /// Whether the kernel leaves out HTTP/2's DATA of a direction by itself, and whether a gap that comes now is known
    /// to be whole frames of it.
    pub fn set_walked(&mut self, client: bool, walked: bool, only_data: bool) {
        if let State::Http2(http2) = &mut self.state {
            http2.set_walked(client, walked, only_data);
        }
    }

    fn open<W: Witness>(
        &mut self,
        client: bool,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        let State::Opening(opening) = &mut self.state else { return };
        let Piece::Bytes { bytes, .. } = piece else {
            witness.truncated();
            return self.lose_start("first-bytes-lost", witness);
        };
        let Some(opened) = opening.push(client, bytes, settings.head_limit) else { return };
        let server_first = opening.server_first();
        let said = opening.take();
        match opened {
            Opened::Http1 => {
                self.state = State::Http1(Box::default());
                self.replay(said, server_first, settings, witness);
            }
            Opened::Http2 => {
                self.state = State::Http2(Box::new(Http2::from_the_start()));
                self.replay(said, server_first, settings, witness);
            }
            Opened::Tls(name) => {
                witness.name = name;
                self.state = State::Tls(Box::default());
                let said = Rest { server: Default::default(), ..said };
                self.replay(said, false, settings, witness);
            }
            Opened::Proof(Proof::Plaintext(protocol)) => self.settle(protocol, &plaintext(), witness),
            Opened::Proof(Proof::Unknown(protocol, reason)) => {
                self.settle(protocol, &unknown(reason), witness)
            }
            Opened::Proof(proof) => {
                if let Some(mut upgrade) = Upgrade::new(proof, said) {
                    let outcome = upgrade.advance();
                    self.state = State::Upgrading(Box::new(upgrade));
                    self.upgraded(outcome, settings, witness);
                }
            }
            Opened::Other(encryption) => self.settle(Protocol::Opaque, &encryption, witness),
        }
    }

    fn upgraded<W: Witness>(&mut self, outcome: Outcome, settings: &Settings, witness: &mut Named<'_, W>) {
        let State::Upgrading(upgrade) = &self.state else { return };
        let protocol = upgrade.protocol;
        match outcome {
            Outcome::Pending => {}
            Outcome::Settled(encryption) => self.settle(protocol, &encryption, witness),
            Outcome::Tls(rest) => {
                witness.name = Some(protocol);
                self.state = State::Tls(Box::default());
                self.replay(rest, false, settings, witness);
            }
        }
    }

    /// The connection stopped being HTTP/1 somewhere in the server's `piece`.
    fn switch<W: Witness>(
        &mut self,
        switched: Switched,
        client: bool,
        piece: Piece<'_>,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        let State::Http1(http1) = &mut self.state else { return };
        if switched.to != SwitchedTo::Tunnel {
            http1.finish(witness);
        }
        match (switched.to, http1.take_tunnelled()) {
            (SwitchedTo::Tunnel, Some(client_said)) => {
                self.state = State::Opening(Box::new(Opening::in_tunnel()));
                if !client_said.is_empty() {
                    let piece = Piece::Bytes { bytes: client_said.bytes(), turn: true };
                    self.take(true, piece, settings, witness);
                }
                if let Piece::Bytes { bytes, turn } = piece
                    && switched.rest > 0
                {
                    let bytes = &bytes[bytes.len().saturating_sub(switched.rest)..];
                    self.take(client, Piece::Bytes { bytes, turn }, settings, witness);
                }
            }
            (SwitchedTo::Tunnel, None) => {
                witness.truncated();
                self.lose_start("first-bytes-lost", witness);
            }
            (SwitchedTo::Http2, _) => {
                self.state = State::Http2(Box::new(Http2::upgraded(witness)));
                if let Piece::Bytes { bytes, turn } = piece
                    && switched.rest > 0
                {
                    let bytes = &bytes[bytes.len().saturating_sub(switched.rest)..];
                    self.take(client, Piece::Bytes { bytes, turn }, settings, witness);
                }
            }
            (SwitchedTo::Websocket, _) => self.settle(Protocol::Websocket, &plaintext(), witness),
            (SwitchedTo::Other, _) => self.state = State::Done,
        }
    }

    /// What was said before it was known what it is, read as that.
    fn replay<W: Witness>(
        &mut self,
        said: Rest,
        server_first: bool,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        for client in [!server_first, server_first] {
            let bytes = if client { said.client.bytes() } else { said.server.bytes() };
            if !bytes.is_empty() {
                self.take(client, Piece::Bytes { bytes, turn: true }, settings, witness);
            }
        }
    }

    fn settle(&mut self, protocol: Protocol, encryption: &Encryption, witness: &mut impl Witness) {
        witness.classified(protocol, encryption);
        self.state = State::Done;
    }

    fn lose_start(&mut self, reason: &'static str, witness: &mut impl Witness) {
        self.state = State::Midstream { turns_left: MIDSTREAM_TURNS };
        witness.classified(Protocol::Unknown, &unknown(reason));
    }
}

pub fn unknown(reason: &'static str) -> Encryption {
    Encryption { reason: Some(reason.into()), ..Encryption::default() }
}

pub fn plaintext() -> Encryption {
    Encryption { status: EncryptionStatus::Plaintext, ..Encryption::default() }
}
