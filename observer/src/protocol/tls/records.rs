//! One direction of TLS: records, and the handshake messages in those that are in clear.
//!
//! Only what is asked for is kept: a message that nobody reads, and a record whose content is encrypted, is walked over
//! by its length, also where its bytes were not captured.

use super::certificate;
use crate::protocol::buffer::Buffer;

/// Longer than any hello seen in the wild (post-quantum key shares and ECH make 2 KB), and than any leaf certificate.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// TLS 1.2 allows ciphertexts this much longer than their text (RFC 5246 section 6.2.3).
const LARGEST_RECORD: usize = (1 << 14) + 2048;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// Content types (RFC 8446 section 5.1, RFC 6520).
pub mod content {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
    pub const HEARTBEAT: u8 = 24;
}

/// Handshake types (RFC 8446 section 4, RFC 5246 section 7.4).
pub mod message {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CERTIFICATE: u8 = 11;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// The next thing in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A handshake message in clear, by its type. Of one that is wanted [`Half::message`] has the bytes.
    Message(u8),
    Alert {
        level: u8,
        description: u8,
    },
    /// A record whose content cannot be read, by its content type and length.
    Protected {
        content: u8,
        length: usize,
    },
    /// This is no TLS after all.
    Broken(&'static str),
}

/// What the bytes that come next belong to.
#[derive(Clone, Copy)]
enum Inside {
    Header,
    /// A record that nobody reads.
    Body(usize),
    Alert,
    /// A record with so many more bytes of handshake messages. It need not be whole: some servers put their whole
    /// flight into one, of which only the start was captured.
    Handshake(usize),
}

pub struct Half {
    inside: Inside,
    /// A record's header or an alert, as far as it is there.
    head: Buffer,
    /// A handshake message, as far as it is there and wanted.
    message: Buffer,
    /// `message` was handed out.
    shown: bool,
    /// So many bytes of the message in hand are not wanted.
    skip: usize,
    /// A ChangeCipherSpec went by.
    changed: bool,
    /// After it all is encrypted: so it is before TLS 1.3, where it means nothing (RFC 8446 appendix D.4).
    pub change_encrypts: bool,
    wanted: &'static [u8],
    sync: Sync,
    /// Bytes are missing: a handshake record may hold anything by now, encrypted or not.
    has_holes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Sure,
    /// Where the records start is not known.
    Lost,
    /// A record is looked for at the start of a turn, after bytes were lost.
    Tried,
}

impl Half {
    /// Keeps the bytes of messages of these types.
    pub fn wanting(wanted: &'static [u8]) -> Self {
        Self {
            inside: Inside::Header,
            head: Buffer::default(),
            message: Buffer::default(),
            shown: false,
            skip: 0,
            changed: false,
            change_encrypts: false,
            wanted,
            sync: Sync::Sure,
            has_holes: false,
        }
    }

    pub fn clear(&mut self) {
        self.head.clear();
        self.message.clear();
    }

    /// The message that was sighted last, header included. Of a Certificate only the first of its list.
    pub fn message(&self) -> &[u8] {
        self.message.bytes()
    }

    /// A direction starts to speak: what was lost before is over.
    pub fn turn(&mut self) {
        if self.sync == Sync::Lost {
            self.sync = Sync::Tried;
        }
    }

    /// So many bytes were not captured. Answers whether they hid something.
    pub fn lose(&mut self, len: u64) -> bool {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if self.sync == Sync::Lost {
            return true;
        }
        match &mut self.inside {
            Inside::Body(left) if len <= *left => *left -= len,
            Inside::Handshake(left) if len <= *left && len <= self.skip => {
                *left -= len;
                self.skip -= len;
            }
            _ => {
                self.lose_sync();
                return true;
            }
        }
        false
    }

    fn lose_sync(&mut self) {
        self.sync = Sync::Lost;
        self.has_holes = true;
        self.inside = Inside::Header;
        self.skip = 0;
        self.clear();
    }

    /// Takes from `input` up to the next sighting; `None` when there is no more in it.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Sighting> {
        if self.sync == Sync::Lost {
            *input = &[];
            return None;
        }
        if std::mem::take(&mut self.shown) {
            self.message.clear();
        }
        loop {
            match self.inside {
                Inside::Header => {
                    if !fill(&mut self.head, RECORD_HEADER, input) {
                        return None;
                    }
                    let sighting = self.enter_record();
                    self.head.clear();
                    match sighting {
                        Some(Sighting::Broken(_)) if self.sync == Sync::Tried => {
                            self.lose_sync();
                            *input = &[];
                            return None;
                        }
                        Some(sighting) => return Some(sighting),
                        None => {}
                    }
                }
                Inside::Body(0) | Inside::Handshake(0) => self.inside = Inside::Header,
                Inside::Body(left) => {
                    if input.is_empty() {
                        return None;
                    }
                    self.inside = Inside::Body(left - advance(input, left));
                }
                Inside::Alert => {
                    if !fill(&mut self.head, 2, input) {
                        return None;
                    }
                    let (level, description) = (self.head.bytes()[0], self.head.bytes()[1]);
                    self.head.clear();
                    self.inside = Inside::Header;
                    return Some(Sighting::Alert { level, description });
                }
                Inside::Handshake(left) => {
                    if input.is_empty() {
                        return None;
                    }
                    if let Some(sighting) = self.take_handshake(left, input) {
                        return Some(sighting);
                    }
                }
            }
        }
    }

    fn enter_record(&mut self) -> Option<Sighting> {
        let [kind, major, _, high, low] = *self.head.bytes() else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length > LARGEST_RECORD {
            return Some(Sighting::Broken("malformed-tls"));
        }
        let encrypted = self.changed && self.change_encrypts;
        self.inside = Inside::Body(length);
        match kind {
            content::CHANGE_CIPHER_SPEC if length == 1 => self.changed = true,
            content::ALERT if !encrypted && length == 2 => self.inside = Inside::Alert,
            content::HANDSHAKE if !encrypted && self.has_holes => {}
            content::HANDSHAKE if !encrypted => self.inside = Inside::Handshake(length),
            content::ALERT | content::HANDSHAKE if encrypted => {
                return Some(Sighting::Protected { content: kind, length });
            }
            content::APPLICATION_DATA => return Some(Sighting::Protected { content: kind, length }),
            content::HEARTBEAT => {}
            _ => return Some(Sighting::Broken("malformed-tls")),
        }
        None
    }

    /// Takes what `input` has of a handshake record of which `left` bytes are to come.
    fn take_handshake(&mut self, left: usize, input: &mut &[u8]) -> Option<Sighting> {
        if self.skip > 0 {
            let gone = advance(input, left.min(self.skip));
            self.skip -= gone;
            self.inside = Inside::Handshake(left - gone);
            return None;
        }
        let missing = wanted_length(self.message.bytes()) - self.message.len();
        let here = missing.min(left).min(input.len());
        self.message.extend(&input[..here]);
        *input = &input[here..];
        self.inside = Inside::Handshake(left - here);
        let [kind, high, middle, low, ..] = *self.message.bytes() else { return None };
        let total = MESSAGE_HEADER + u32::from_be_bytes([0, high, middle, low]) as usize;
        if !self.wanted.contains(&kind) {
            self.message.clear();
            self.skip = total - MESSAGE_HEADER;
            return Some(Sighting::Message(kind));
        }
        if kind != message::CERTIFICATE && total > MAX_MESSAGE {
            return Some(Sighting::Broken("hello-too-long"));
        }
        if self.message.len() < wanted_length(self.message.bytes()) {
            return None;
        }
        self.skip = total.saturating_sub(self.message.len());
        self.shown = true;
        Some(Sighting::Message(kind))
    }
}

/// How many bytes of a message are to be kept, as far as its first bytes tell.
fn wanted_length(start: &[u8]) -> usize {
    let [kind, high, middle, low, ..] = *start else { return MESSAGE_HEADER };
    let total = MESSAGE_HEADER + u32::from_be_bytes([0, high, middle, low]) as usize;
    if kind == message::CERTIFICATE { certificate::wanted_length(start, total) } else { total }
}

/// Moves bytes from `input` until `buffer` has `wanted`.
fn fill(buffer: &mut Buffer, wanted: usize, input: &mut &[u8]) -> bool {
    let here = (wanted - buffer.len()).min(input.len());
    buffer.extend(&input[..here]);
    *input = &input[here..];
    buffer.len() == wanted
}

/// Drops at most `most` bytes of `input`; answers how many.
fn advance(input: &mut &[u8], most: usize) -> usize {
    let gone = most.min(input.len());
    *input = &input[gone..];
    gone
}
