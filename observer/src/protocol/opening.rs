//! What a connection is, by what both sides say first.
//!
//! The answer depends on what was said, and on who spoke when, never on how it was cut into pieces: a reader's answer
//! holds for whatever follows, and a limit is looked at only when the side speaks that it is about.

use super::buffer::Buffer;
use super::entropy::{self, WINDOW};
use super::http2;
use super::name::{self, Miss, Proof};
use super::proxy;
use super::session::{plaintext, unknown};
use super::sniff::{Sniffed, sniff};
use super::upgrade::Rest;
use crate::model::{Encryption, Protocol};

/// Nothing is known by more bytes of one side than these.
const GIVE_UP: usize = 4096;

/// What a connection turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    Http1,
    Http2,
    /// From the first byte, or after a greeting that named the protocol within.
    Tls(Option<Protocol>),
    Proof(Proof),
    /// Nothing that is known, and what is to be said of it.
    Other(Encryption),
}

#[derive(Default)]
pub struct Opening {
    client: Buffer,
    server: Buffer,
    /// The client's first bytes are past a PROXY header, or there is none.
    headed: bool,
    server_first: bool,
    /// It is what goes on in a tunnel that a request opened.
    tunnel: bool,
    /// The longest head of HTTP/1, in bytes.
    limit: usize,
    /// Bytes of the latest piece.
    fresh: usize,
}

/// What was said until it was known what it is, without a PROXY header.
pub struct Said {
    /// Before the piece that proved it.
    pub before: Rest,
    /// That piece, and whether it is the client's.
    pub last: Buffer,
    pub last_client: bool,
}

impl Said {
    /// All of it, each side's together.
    pub fn all(self) -> Rest {
        let Self { before: Rest { mut client, mut server }, last, last_client } = self;
        if last_client {
            client.extend(last.bytes())
        } else {
            server.extend(last.bytes())
        }
        Rest { client, server }
    }
}

impl Opening {
    pub fn in_tunnel() -> Self {
        Self { headed: true, tunnel: true, ..Self::default() }
    }

    /// Takes bytes in; answers when they prove something. `limit`: the longest head of HTTP/1.
    pub fn push(&mut self, client: bool, bytes: &[u8], limit: usize) -> Option<Opened> {
        (self.limit, self.fresh) = (limit, bytes.len());
        if client {
            self.client.extend(bytes);
            if !self.headed {
                match proxy::header(self.client.bytes()) {
                    Err(Miss::Incomplete) => return None,
                    Err(Miss::No) => {}
                    Ok(length) => self.client.consume(length),
                }
                self.headed = true;
                self.fresh = self.fresh.min(self.client.len());
            }
        } else {
            self.server_first |= self.client.is_empty();
            self.server.extend(bytes);
        }
        self.decide(client)
    }

    fn decide(&self, client_speaks: bool) -> Option<Opened> {
        let (client, server) = (self.client.bytes(), self.server.bytes());
        if !self.headed && !client.is_empty() && server.len() < GIVE_UP {
            return None;
        }
        match self.sniff() {
            // A server that speaks first does not speak HTTP, except to say that it waited for long enough.
            Sniffed::Http1 if self.server_first && !server.starts_with(b"HTTP/1.") => {}
            Sniffed::Http1 => return Some(Opened::Http1),
            Sniffed::Http2 => return Some(Opened::Http2),
            // A server that says something before a hello names what is to be protected.
            Sniffed::Tls => return Some(Opened::Tls(name::greeting(server))),
            Sniffed::Incomplete if server.len() <= self.limit.max(GIVE_UP) => {
                if !client.is_empty() {
                    return None;
                }
            }
            Sniffed::Incomplete | Sniffed::Opaque => {}
        }
        if client.is_empty() {
            match http2::starts_with_settings(server) {
                Some(true) => return Some(Opened::Http2),
                Some(false) => {}
                None => return None,
            }
        }
        let spoken = if client_speaks { client } else { server };
        // Longer ones are no proof: how much more is here depends on how it was cut.
        match name::recognise(&client[..client.len().min(GIVE_UP)], &server[..server.len().min(GIVE_UP)]) {
            Ok(proof) => return Some(Opened::Proof(proof)),
            Err(Miss::Incomplete) if spoken.len() < GIVE_UP => return None,
            Err(Miss::Incomplete) => return Some(Opened::Other(unknown("opaque-protocol"))),
            Err(Miss::No) => {}
        }
        for side in [client, server] {
            if let Some(first) = side.get(..WINDOW)
                && !entropy::is_text(first)
            {
                return Some(Opened::Other(unlike_text(first)));
            }
        }
        if client.len() >= WINDOW && server.len() >= WINDOW {
            return Some(Opened::Other(text(&client[..WINDOW], &server[..WINDOW])));
        }
        (spoken.len() >= GIVE_UP).then(|| Opened::Other(unknown("opaque-protocol")))
    }

    fn sniff(&self) -> Sniffed {
        let client = self.client.bytes();
        match sniff(&client[..client.len().min(self.limit)]) {
            Sniffed::Incomplete if !client.is_empty() && client.len() >= self.limit => Sniffed::Opaque,
            sniffed => sniffed,
        }
    }

    /// The connection ended before anything was proven.
    pub fn end(&self) -> (Protocol, Encryption) {
        let (client, server) = (self.client.bytes(), self.server.bytes());
        if client.is_empty() && server.is_empty() {
            return if self.tunnel {
                (Protocol::Http11, unknown("tunnel-unused"))
            } else {
                (Protocol::Unknown, unknown("no-data"))
            };
        }
        if client.is_empty() {
            return (name::greeting(server).unwrap_or(Protocol::Opaque), unknown("no-client-data"));
        }
        if self.sniff() == Sniffed::Incomplete || name::recognise(client, server) == Err(Miss::Incomplete) {
            return (Protocol::Opaque, unknown("too-few-bytes"));
        }
        let first = |side: &[u8]| side.len().min(WINDOW);
        let (client, server) = (&client[..first(client)], &server[..first(server)]);
        for side in [client, server] {
            if !entropy::is_text(side) {
                return (Protocol::Opaque, unlike_text(side));
            }
        }
        (Protocol::Opaque, text(client, server))
    }

    pub fn kept(&self) -> usize {
        self.client.len() + self.server.len()
    }

    pub fn server_first(&self) -> bool {
        self.server_first
    }

    /// What was said; the latest piece is the client's, or the server's.
    pub fn take(&mut self, last_client: bool) -> Said {
        let (mut client, mut server) = (std::mem::take(&mut self.client), std::mem::take(&mut self.server));
        let last = if last_client { &mut client } else { &mut server };
        let last = last.split_off(last.len() - self.fresh);
        Said { before: Rest { client, server }, last, last_client }
    }
}

fn unlike_text(bytes: &[u8]) -> Encryption {
    unknown(if entropy::is_noise(bytes) { "high-entropy" } else { "opaque-protocol" })
}

/// Lines that anybody can read, both ways: the text is its own evidence.
fn text(client: &[u8], server: &[u8]) -> Encryption {
    if [client, server].into_iter().any(entropy::mentions_encryption) {
        return unknown("opaque-protocol");
    }
    plaintext()
}
