//! One flow's story: first what it is, then what it says.

use super::Witness;
use super::buffer::{Buffer, MOST_KEPT_BY_ALL, crowd_out, kept_by_all};
use super::http1::{Http1, Switched, SwitchedTo};
use super::http2::{self, Http2};
use super::midstream::{Found, Midstream};
use super::name::Proof;
use super::named::Named;
use super::opening::{Opened, Opening, Said};
use super::tls::Tls;
use super::upgrade::{Outcome, Upgrade};
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
    pub fn size(&self) -> u64 {
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

/// The most that a flow keeps, in bytes: HTTP/2's, of which each direction may have a header block in the making and a
/// table full of paths, whose invalid UTF-8 is three times as long as it was.
pub const MOST_KEPT: usize = 2 * (http2::LONGEST_BLOCK + 4 * http2::LARGEST_TABLE);

/// Why a flow's bytes were given up.
const CROWDED_OUT: &str = "buffers-full";

enum State {
    /// What it is is not proven yet.
    Opening(Box<Opening>),
    /// It began in clear and may become encrypted.
    Upgrading(Box<Upgrade>),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Tls(Box<Tls>),
    /// Its first bytes were not seen; an HTTP request at a turn can still be recognised.
    Midstream(Box<Midstream>),
    Done,
}

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
        let before = kept_by_all();
        let mut witness = Named { name: self.name, witness };
        self.take(client, piece, settings, &mut witness);
        self.name = witness.name;
        let now = kept_by_all();
        if now > before && now > MOST_KEPT_BY_ALL {
            self.give_up(witness.witness);
        }
    }

    /// The bytes that wait for more are dropped: what they would have told is unknown, and what comes after them is looked
    /// at as if it had not been seen from its start.
    fn give_up(&mut self, witness: &mut impl Witness) {
        crowd_out();
        match self.state {
            State::Http1(_) | State::Http2(_) => {
                witness.malformed(CROWDED_OUT);
                self.finish(witness);
                self.state = State::Midstream(Box::default());
            }
            State::Opening(_) | State::Upgrading(_) | State::Tls(_) => self.lose_start(CROWDED_OUT, witness),
            State::Midstream(_) => self.state = State::Midstream(Box::default()),
            State::Done => {}
        }
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
                self.upgraded(client, outcome, settings, witness);
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
            State::Midstream(midstream) => match midstream.push(client, piece, settings.head_limit) {
                None => {}
                Some(Found::Http1(said)) => {
                    self.state = State::Http1(Box::default());
                    self.hear(true, &said, settings, witness);
                }
                Some(Found::Http2(said)) => {
                    self.state = State::Http2(Box::new(Http2::midstream(witness)));
                    self.hear(true, &said, settings, witness);
                }
                Some(Found::Nothing) => self.state = State::Done,
            },
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
            State::Midstream(_) | State::Done => {}
        }
        self.state = State::Done;
    }

    /// Whether what the client said last was one whole request that came by itself and was answered: then the same bytes
    /// are the same request.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        matches!(&self.state, State::Http1(http1) if http1.is_repeatable())
    }

    /// The client said the last request again, in so many bytes, and the server has answered in the same way so many
    /// times since that began.
    pub fn repeated(&mut self, bytes: u64, answers: u32, witness: &mut impl Witness) {
        if let State::Http1(http1) = &mut self.state {
            http1.repeated(bytes, answers, witness);
        }
    }

    /// What the client says from now on is read again.
    pub fn end_repeats(&mut self) {
        if let State::Http1(http1) = &mut self.state {
            http1.end_repeats();
        }
    }

    #[must_use]
    pub fn interest(&self) -> Interest {
        match &self.state {
            State::Done => Interest::Nothing,
            State::Http1(http1) => http1.interest(),
            State::Http2(http2) => http2.interest(),
            State::Opening(_) | State::Upgrading(_) | State::Tls(_) | State::Midstream(_) => Interest::More,
        }
    }

    /// Bytes of memory that the flow takes beyond itself, as far as they depend on what was said: at most
    /// [`MOST_KEPT`], and what the last piece had.
    #[must_use]
    pub fn kept(&self) -> usize {
        match &self.state {
            State::Opening(opening) => opening.kept(),
            State::Upgrading(upgrade) => upgrade.kept(),
            State::Http1(http1) => http1.kept(),
            State::Http2(http2) => http2.kept(),
            State::Tls(tls) => tls.kept(),
            State::Midstream(midstream) => midstream.kept(),
            State::Done => 0,
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
        let said = opening.take(client);
        match opened {
            Opened::Http1 => {
                self.state = State::Http1(Box::default());
                self.replay(&said, server_first, settings, witness);
            }
            Opened::Http2 => {
                self.state = State::Http2(Box::new(Http2::from_the_start()));
                self.replay(&said, server_first, settings, witness);
            }
            Opened::Tls(name) => {
                witness.name = name;
                self.state = State::Tls(Box::default());
                self.hear(true, &said.all().client, settings, witness);
            }
            Opened::Proof(Proof::Plaintext(protocol)) => self.settle(protocol, &plaintext(), witness),
            Opened::Proof(Proof::Unknown(protocol, reason)) => {
                self.settle(protocol, &unknown(reason), witness)
            }
            Opened::Proof(proof) => {
                if let Some(mut upgrade) = Upgrade::new(proof, said.all()) {
                    let outcome = upgrade.advance();
                    self.state = State::Upgrading(Box::new(upgrade));
                    self.upgraded(client, outcome, settings, witness);
                }
            }
            Opened::Other(encryption) => self.settle(Protocol::Opaque, &encryption, witness),
        }
    }

    fn upgraded<W: Witness>(
        &mut self,
        client: bool,
        outcome: Outcome,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        let State::Upgrading(upgrade) = &self.state else { return };
        let protocol = upgrade.protocol;
        match outcome {
            Outcome::Pending => {}
            Outcome::Settled(encryption) => self.settle(protocol, &encryption, witness),
            Outcome::Tls(rest) => {
                witness.name = Some(protocol);
                self.state = State::Tls(Box::default());
                self.hear(true, &rest.client, settings, witness);
                // What a server said before the hello is no answer to it.
                if !client {
                    self.hear(false, &rest.server, settings, witness);
                }
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
                self.hear(true, &client_said, settings, witness);
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

    /// What was said before it was known what it is, read as that. The piece that proved it comes last, so that it does
    /// not matter where it was cut.
    fn replay<W: Witness>(
        &mut self,
        said: &Said,
        server_first: bool,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        for client in [!server_first, server_first] {
            let bytes = if client { &said.before.client } else { &said.before.server };
            self.hear(client, bytes, settings, witness);
        }
        self.hear(said.last_client, &said.last, settings, witness);
    }

    /// What was kept until now.
    fn hear<W: Witness>(
        &mut self,
        client: bool,
        said: &Buffer,
        settings: &Settings,
        witness: &mut Named<'_, W>,
    ) {
        if !said.is_empty() {
            self.take(client, Piece::Bytes { bytes: said.bytes(), turn: true }, settings, witness);
        }
    }

    fn settle(&mut self, protocol: Protocol, encryption: &Encryption, witness: &mut impl Witness) {
        witness.classified(protocol, encryption);
        self.state = State::Done;
    }

    fn lose_start(&mut self, reason: &'static str, witness: &mut impl Witness) {
        self.state = State::Midstream(Box::default());
        witness.classified(Protocol::Unknown, &unknown(reason));
    }
}

pub fn unknown(reason: &'static str) -> Encryption {
    Encryption { reason: Some(reason.into()), ..Encryption::default() }
}

pub fn plaintext() -> Encryption {
    Encryption { status: EncryptionStatus::Plaintext, ..Encryption::default() }
}
