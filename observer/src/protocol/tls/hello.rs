//! What the two hellos say (RFC 8446 section 4.1, RFC 5246 section 7.4.1).

use std::sync::Arc;

/// RFC 6066 section 3 bounds a name by its two-byte length; DNS by 255.
const MAX_SNI: usize = 255;
const MAX_ALPN: usize = 16;

/// Extensions by number (IANA, TLS ExtensionType Values).
mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const ALPN: u16 = 16;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    /// RFC 9849 section 5.
    pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// RFC 8446 section 4.1.3: a ServerHello with this random is a HelloRetryRequest.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// The one cipher suite of RFC 8446 appendix B.4 with a tag of 8 bytes, not 16.
const AES_128_CCM_8_SHA256: u16 = 0x1305;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub sni: Option<Arc<str>>,
    pub alpn: Vec<Arc<str>>,
    /// It may send encrypted bytes before the server has said anything.
    pub early_data: bool,
    /// The real name may be hidden behind this one. Or not: clients are to feign it (RFC 9849 section 6.2), and
    /// nothing in clear tells which, nor whether the server took it.
    pub ech: bool,
}

impl Offer {
    pub fn kept(&self) -> usize {
        self.sni.iter().chain(&self.alpn).map(|name| name.len()).sum()
    }
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Agreed {
        version: u16,
        cipher: u16,
    },
    /// A HelloRetryRequest: the client is to say it again.
    Retry,
}

pub const TLS_1_3: u16 = 0x0304;

impl Answer {
    /// Since 1.3, or one of its drafts, all after the ServerHello is encrypted.
    pub fn hides_certificates(version: u16) -> bool {
        version >= TLS_1_3
    }

    /// How long an alert's record is (RFC 8446 sections 5.2 and 6): shorter than that of any message which ends or
    /// follows a handshake, and so the only one that can be told from the others.
    pub fn alert_length(cipher: u16) -> usize {
        const ALERT_AND_TYPE: usize = 2 + 1;
        ALERT_AND_TYPE + if cipher == AES_128_CCM_8_SHA256 { 8 } else { 16 }
    }
}

/// The version's name; `None` for those that have none here.
pub fn version_name(version: u16) -> Option<&'static str> {
    match version {
        0x0301 => Some("1.0"),
        0x0302 => Some("1.1"),
        0x0303 => Some("1.2"),
        TLS_1_3 => Some("1.3"),
        _ => None,
    }
}

/// Reads a whole ClientHello, its header included; `None` if it is none.
pub fn client_hello(message: &[u8]) -> Option<Offer> {
    let mut rest = Reader(message.get(4..)?);
    rest.take(2 + 32)?;
    rest.block8()?;
    rest.block16()?;
    rest.block8()?;
    let mut offer = Offer::default();
    // Before RFC 3546 there were none.
    if rest.0.is_empty() {
        return Some(offer);
    }
    let mut extensions = Reader(rest.block16()?);
    while let Some((number, body)) = extensions.extension()? {
        match number {
            extension::SERVER_NAME => offer.sni = server_name(body),
            extension::ALPN => offer.alpn = protocols(body).unwrap_or_default(),
            extension::EARLY_DATA => offer.early_data = true,
            extension::ENCRYPTED_CLIENT_HELLO => offer.ech = true,
            _ => {}
        }
    }
    Some(offer)
}

/// Reads a whole ServerHello, its header included; `None` if it is none.
pub fn server_hello(message: &[u8]) -> Option<Answer> {
    let mut rest = Reader(message.get(4..)?);
    let version = rest.u16()?;
    if rest.take(32)? == RETRY_RANDOM {
        return Some(Answer::Retry);
    }
    rest.block8()?;
    let cipher = rest.u16()?;
    rest.take(1)?;
    let mut agreed = Answer::Agreed { version, cipher };
    if rest.0.is_empty() {
        return Some(agreed);
    }
    let mut extensions = Reader(rest.block16()?);
    while let Some((number, body)) = extensions.extension()? {
        // Since 1.3 the record and hello fields lie (section 4.2.1).
        if number == extension::SUPPORTED_VERSIONS {
            agreed = Answer::Agreed { version: Reader(body).u16()?, cipher };
        }
    }
    Some(agreed)
}

/// The first name of the list, which must be of type host_name (RFC 6066 section 3).
fn server_name(body: &[u8]) -> Option<Arc<str>> {
    let mut names = Reader(Reader(body).block16()?);
    if names.take(1)? != [0] {
        return None;
    }
    let name = names.block16()?;
    printable(name).filter(|name| name.len() <= MAX_SNI).map(Arc::from)
}

/// RFC 7301 section 3.1.
fn protocols(body: &[u8]) -> Option<Vec<Arc<str>>> {
    let mut list = Reader(Reader(body).block16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() && protocols.len() < MAX_ALPN {
        let protocol = list.block8()?;
        protocols.extend(Some(protocol).filter(|name| !is_grease(name)).and_then(printable).map(Arc::from));
    }
    Some(protocols)
}

/// A name that means nothing, sent so that servers stay used to unknown ones (RFC 8701 section 2).
fn is_grease(name: &[u8]) -> bool {
    matches!(name, [first, second] if first == second && first & 0x0f == 0x0a)
}

/// Names go to terminals: anything but visible ASCII is none.
pub fn printable(name: &[u8]) -> Option<&str> {
    let visible = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(name).ok().filter(|_| visible)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (here, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(here)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes after their length in one byte.
    fn block8(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    /// Bytes after their length in two bytes.
    fn block16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// `Some(None)` at the end of the list.
    #[expect(clippy::option_option, reason = "broken, over, or one more")]
    fn extension(&mut self) -> Option<Option<(u16, &'a [u8])>> {
        if self.0.is_empty() {
            return Some(None);
        }
        Some(Some((self.u16()?, self.block16()?)))
    }
}
