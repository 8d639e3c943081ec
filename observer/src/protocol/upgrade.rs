//! Connections that begin in clear and may become encrypted. Until it is known whether they do, nothing is said of them.

use super::Witness;
use super::buffer::Buffer;
use super::lines::{Dialect, Lines};
use super::name::Proof;
use super::postgres::Postgres;
use super::session::{Piece, plaintext, unknown};
use super::sniff::{Sniffed, sniff};
use crate::model::{Encryption, Protocol};

/// How a dialogue about encryption came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// TLS: the client's hello is next.
    Accepted,
    Plaintext,
    Unknown(&'static str),
}

/// Both sides' bytes after the dialogue, kept for whoever reads on.
pub struct Rest {
    pub client: Buffer,
    pub server: Buffer,
}

enum Stage {
    Postgres(Postgres),
    Lines(Lines),
    /// Both agreed; the client's hello is not there yet.
    Hello,
}

/// What became of it.
pub enum Outcome {
    Pending,
    Settled(Encryption),
    Tls(Rest),
}

/// See the module.
pub struct Upgrade {
    pub protocol: Protocol,
    stage: Stage,
    client: Buffer,
    server: Buffer,
}

impl Upgrade {
    /// From what proved the protocol, with all that was said so far. `None` where it proves no dialogue.
    pub fn new(proof: Proof, mut rest: Rest) -> Option<Self> {
        let (protocol, stage) = match proof {
            Proof::Postgres => (Protocol::Postgres, Stage::Postgres(Postgres::default())),
            Proof::Lines(dialect) => (Dialect::protocol(dialect), Stage::Lines(Lines::new(dialect))),
            Proof::Tls { protocol, client, server } => {
                rest.client.consume(client);
                rest.server.consume(server);
                (protocol, Stage::Hello)
            }
            Proof::Plaintext(_) | Proof::Unknown(..) => return None,
        };
        Some(Self { protocol, stage, client: rest.client, server: rest.server })
    }

    pub fn push(&mut self, client: bool, piece: Piece<'_>, witness: &mut impl Witness) -> Outcome {
        let Piece::Bytes { bytes, .. } = piece else {
            witness.truncated();
            return Outcome::Settled(unknown("upgrade-unseen"));
        };
        if client {
            self.client.extend(bytes)
        } else {
            self.server.extend(bytes)
        }
        self.advance()
    }

    /// Goes as far as what was said allows.
    pub fn advance(&mut self) -> Outcome {
        let Self { stage, client, server, .. } = self;
        let step = match stage {
            Stage::Postgres(postgres) => postgres.advance(client, server),
            Stage::Lines(lines) => lines.advance(client, server),
            Stage::Hello => Some(Step::Accepted),
        };
        match step {
            None => Outcome::Pending,
            Some(Step::Plaintext) => Outcome::Settled(plaintext()),
            Some(Step::Unknown(reason)) => Outcome::Settled(unknown(reason)),
            Some(Step::Accepted) => {
                self.stage = Stage::Hello;
                self.hello()
            }
        }
    }

    fn hello(&mut self) -> Outcome {
        match sniff(self.client.bytes()) {
            Sniffed::Tls => Outcome::Tls(Rest {
                client: std::mem::take(&mut self.client),
                server: std::mem::take(&mut self.server),
            }),
            Sniffed::Incomplete if self.client.len() <= MOST_BEFORE_HELLO => Outcome::Pending,
            _ => Outcome::Settled(unknown("upgrade-not-taken")),
        }
    }

    pub fn kept(&self) -> usize {
        let lines = if let Stage::Lines(lines) = &self.stage { lines.kept() } else { 0 };
        self.client.len() + self.server.len() + lines
    }

    /// The connection ended before it was known.
    pub fn end(&self) -> Encryption {
        let step = match &self.stage {
            Stage::Postgres(postgres) => postgres.end(),
            Stage::Lines(lines) => lines.end(),
            Stage::Hello => Step::Unknown("upgrade-pending"),
        };
        match step {
            Step::Plaintext => plaintext(),
            Step::Unknown(reason) => unknown(reason),
            Step::Accepted => unknown("upgrade-pending"),
        }
    }
}

/// A hello is known by its first six bytes; anything that is undecided for longer is none.
const MOST_BEFORE_HELLO: usize = 16;
