//! TLS handshakes, as far as they are in clear: the ClientHello says what is asked for, the ServerHello what is.
//!
//! Hellos are split over records and segments as their senders please (RFC 8446 section 5.1), so handshake messages
//! are put together before they are read.

use std::sync::Arc;

use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, TlsVersion, parse_tls_client_hello_extensions,
    parse_tls_message_handshake, parse_tls_server_hello_extensions,
};

use super::Witness;
use super::buffer::Buffer;
use super::session::Piece;
use crate::model::{Encryption, EncryptionStatus, Protocol};

/// Longer than any hello seen in the wild: post-quantum key shares and ECH make 2 KB.
const MAX_HELLO: usize = 16 * 1024;
const LARGEST_RECORD: usize = (1 << 14) + 256;
/// RFC 6066 section 3 bounds a name by its two-byte length; DNS by 255.
const MAX_SNI: usize = 255;
const MAX_ALPN: usize = 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// The alert level of RFC 5246 section 7.2: the sender goes on.
const WARNING: u8 = 1;
/// Except after this one.
const CLOSE_NOTIFY: u8 = 0;
/// RFC 8446 section 4.1.3: a ServerHello with this random is a HelloRetryRequest.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// One direction: records, and the handshake bytes in them.
#[derive(Default)]
struct Half {
    /// From the start of a record, or from inside the handshake record that `left` tells of.
    records: Buffer,
    /// Bytes of a handshake record that are not in `handshake` yet. A record need not be whole: some servers put
    /// their whole flight into one, of which only the start was captured.
    left: usize,
    handshake: Buffer,
}

/// What the next handshake message is, if it is whole.
enum Message {
    Incomplete,
    /// Not a TLS handshake after all.
    Broken(&'static str),
    Alert,
    /// Its bytes, header included, are the first so many of `handshake`.
    Whole(usize),
}

#[derive(Default)]
pub struct Tls {
    client: Half,
    server: Half,
    /// What the ClientHello asked for; `None` until it was read.
    offer: Option<Encryption>,
    over: bool,
}

impl Tls {
    pub fn push(&mut self, client: bool, piece: Piece<'_>, witness: &mut impl Witness) {
        if self.over {
            return;
        }
        let Piece::Bytes { bytes, .. } = piece else {
            witness.truncated();
            return self.end("handshake-truncated", witness);
        };
        // One side after the other: the server answers what the client said.
        if client {
            if self.offer.is_none() {
                self.client.records.extend(bytes);
                self.read_client_hello(witness);
            }
        } else {
            self.server.records.extend(bytes);
            self.read_server_hello(witness);
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        if !self.over {
            self.end("handshake-incomplete", witness);
        }
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    fn read_client_hello(&mut self, witness: &mut impl Witness) {
        let length = match self.client.next() {
            Message::Incomplete => return,
            Message::Alert => return self.end("handshake-failed", witness),
            Message::Broken(reason) => {
                witness.malformed(reason);
                return self.end(reason, witness);
            }
            Message::Whole(length) => length,
        };
        match client_hello(&self.client.handshake.bytes()[..length]) {
            Some(offer) => self.offer = Some(offer),
            None => {
                witness.malformed("malformed-tls");
                self.end("malformed-tls", witness);
            }
        }
        self.client.clear();
    }

    fn read_server_hello(&mut self, witness: &mut impl Witness) {
        loop {
            let length = match self.server.next() {
                Message::Incomplete => return,
                Message::Alert => return self.end("handshake-failed", witness),
                Message::Broken(reason) => {
                    witness.malformed(reason);
                    return self.end(reason, witness);
                }
                Message::Whole(length) => length,
            };
            match server_hello(&self.server.handshake.bytes()[..length]) {
                ServerHello::Retry => self.server.handshake.consume(length),
                ServerHello::Version(version) => {
                    let mut encryption = self.offer.take().unwrap_or_default();
                    encryption.status = EncryptionStatus::Tls;
                    encryption.version = version.map(Into::into);
                    self.over = true;
                    self.server.clear();
                    return witness.classified(Protocol::Tls, &encryption);
                }
                ServerHello::Other => {
                    witness.malformed("malformed-tls");
                    return self.end("malformed-tls", witness);
                }
            }
        }
    }

    /// No answer from the server: whatever was offered, nothing was agreed.
    fn end(&mut self, reason: &'static str, witness: &mut impl Witness) {
        self.over = true;
        self.client.clear();
        self.server.clear();
        let offer = self.offer.take().unwrap_or_default();
        witness.classified(
            Protocol::Tls,
            &Encryption { status: EncryptionStatus::Unknown, reason: Some(reason.into()), ..offer },
        );
    }
}

impl Half {
    fn clear(&mut self) {
        self.records.clear();
        self.handshake.clear();
    }

    /// Takes records apart and looks for a whole handshake message.
    fn next(&mut self) -> Message {
        loop {
            if self.left > 0 {
                let here = self.left.min(self.records.len());
                self.handshake.extend(&self.records.bytes()[..here]);
                self.records.consume(here);
                self.left -= here;
            }
            if let [_, high, middle, low, ..] = self.handshake.bytes() {
                let length = 4 + u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if length > MAX_HELLO {
                    return Message::Broken("hello-too-long");
                }
                if self.handshake.len() >= length {
                    return Message::Whole(length);
                }
            }
            let [content, major, _, high, low, rest @ ..] = self.records.bytes() else {
                return Message::Incomplete;
            };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if *major != 3 || length > LARGEST_RECORD {
                return Message::Broken("malformed-tls");
            }
            match (*content, rest) {
                (HANDSHAKE, _) => {
                    self.left = length;
                    self.records.consume(5);
                }
                (ALERT, [level, description, ..]) if length == 2 => {
                    if *level != WARNING || *description == CLOSE_NOTIFY {
                        return Message::Alert;
                    }
                    self.records.consume(5 + length);
                }
                // Servers send one after a HelloRetryRequest (RFC 8446 appendix D.4); it means nothing.
                (CHANGE_CIPHER_SPEC, [_, ..]) if length == 1 => self.records.consume(5 + length),
                (ALERT, _) if length == 2 => return Message::Incomplete,
                (CHANGE_CIPHER_SPEC, _) if length == 1 => return Message::Incomplete,
                _ => return Message::Broken("malformed-tls"),
            }
        }
    }
}

fn client_hello(message: &[u8]) -> Option<Encryption> {
    let (_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello))) =
        parse_tls_message_handshake(message).ok()?
    else {
        return None;
    };
    let mut offer = Encryption::default();
    let (_, extensions) = parse_tls_client_hello_extensions(hello.ext.unwrap_or_default()).ok()?;
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) => {
                let name = names.first().map(|(_, name)| *name).filter(|name| name.len() <= MAX_SNI);
                offer.sni = name.and_then(printable).map(Arc::from);
            }
            TlsExtension::ALPN(protocols) => {
                let readable = protocols.iter().filter_map(|protocol| printable(protocol));
                offer.alpn = readable.take(MAX_ALPN).map(Arc::from).collect();
            }
            _ => {}
        }
    }
    Some(offer)
}

/// Names go to terminals: anything but visible ASCII is none.
fn printable(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
}

enum ServerHello {
    /// The version that was chosen, where it has a name here.
    Version(Option<&'static str>),
    Retry,
    Other,
}

fn server_hello(message: &[u8]) -> ServerHello {
    let Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello)))) =
        parse_tls_message_handshake(message)
    else {
        return ServerHello::Other;
    };
    if hello.random == RETRY_RANDOM {
        return ServerHello::Retry;
    }
    let Ok((_, extensions)) = parse_tls_server_hello_extensions(hello.ext.unwrap_or_default()) else {
        return ServerHello::Other;
    };
    // Since 1.3 the record and hello fields lie; the extension tells (RFC 8446 section 4.2.1).
    let chosen = extensions.iter().find_map(|extension| match extension {
        TlsExtension::SupportedVersions(versions) => versions.first().copied(),
        _ => None,
    });
    ServerHello::Version(version_name(chosen.unwrap_or(hello.version)))
}

fn version_name(version: TlsVersion) -> Option<&'static str> {
    match version {
        TlsVersion::Tls10 => Some("1.0"),
        TlsVersion::Tls11 => Some("1.1"),
        TlsVersion::Tls12 => Some("1.2"),
        TlsVersion::Tls13 => Some("1.3"),
        _ => None,
    }
}
