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

    pub fn kept(&self) -> usize {
        self.head.len() + self.message.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake record that says it holds `says` bytes, and the `here` that are to be had.
    fn record(says: usize, here: &[u8]) -> Vec<u8> {
        [&[content::HANDSHAKE, 3, 3][..], &(says as u16).to_be_bytes(), here].concat()
    }

    /// The header of a message of so many bytes.
    fn header(kind: u8, length: usize) -> Vec<u8> {
        [&[kind][..], &(length as u32).to_be_bytes()[1..]].concat()
    }

    fn sightings(half: &mut Half, mut bytes: &[u8]) -> Vec<Sighting> {
        let mut seen = Vec::new();
        while let Some(sighting) = half.next(&mut bytes) {
            seen.push(sighting);
        }
        seen
    }

    #[test]
    fn a_message_is_kept_up_to_its_bound() {
        let mut half = Half::wanting(&[message::CLIENT_HELLO]);
        let hello = header(message::CLIENT_HELLO, MAX_MESSAGE - MESSAGE_HEADER + 1);
        assert_eq!(sightings(&mut half, &record(100, &hello)), [Sighting::Broken("hello-too-long")]);

        // Of certificates the first alone, and none that is longer.
        for (leaf, kept) in [(1000, FIRST + 1000), (MAX_MESSAGE, FIRST), (0xff_ff_ff, FIRST)] {
            let mut half = Half::wanting(&[message::CERTIFICATE]);
            let list = [&header(0, 0xff_ff_ff)[1..], &(leaf as u32).to_be_bytes()[1..]].concat();
            let start = [header(message::CERTIFICATE, 0xff_ff_ff), list].concat();
            let mut seen = sightings(&mut half, &record(10_000, &[start, vec![7; 4995]].concat()));
            for _ in 0..500 {
                assert!(half.message().len() <= kept, "{leaf}");
                seen.extend(sightings(&mut half, &vec![7; 4995]));
                half.turn();
                seen.extend(sightings(&mut half, &record(10_000, &[7; 5005])));
            }
            assert_eq!(seen, [Sighting::Message(message::CERTIFICATE)], "{leaf}");
        }
    }

    /// Header, length of the list, length of its first certificate.
    const FIRST: usize = 10;

    #[test]
    fn what_nobody_reads_is_not_kept() {
        let mut half = Half::wanting(&[]);
        let long = [header(message::CERTIFICATE, 9000), vec![7; 9000]].concat();
        assert_eq!(sightings(&mut half, &record(9004, &long)), [Sighting::Message(message::CERTIFICATE)]);
        assert_eq!((half.message.len(), half.head.len(), half.skip), (0, 0, 0));
        assert_eq!(
            sightings(&mut half, &[content::APPLICATION_DATA, 3, 3, 0x40, 0]),
            [Sighting::Protected { content: content::APPLICATION_DATA, length: 0x4000 }]
        );
        assert!(!half.lose(0x3fff), "inside a record it hides nothing");
        assert!(!half.lose(1));
        assert!(half.lose(1));
    }

    #[test]
    fn after_a_hole_records_are_looked_for_at_a_turn_alone() {
        let alert = [content::ALERT, 3, 3, 0, 2, 2, 40];
        let seen = [Sighting::Alert { level: 2, description: 40 }];
        let mut half = Half::wanting(&[message::CERTIFICATE]);
        assert!(half.lose(100));
        assert_eq!(sightings(&mut half, &alert), []);
        half.turn();
        assert_eq!(sightings(&mut half, b"\x17\x02garbage"), [], "no record, and no accusation");
        assert_eq!(sightings(&mut half, &alert), []);
        half.turn();
        assert_eq!(sightings(&mut half, &alert), seen);
        // Encrypted or not: that is not known any more.
        assert_eq!(sightings(&mut half, &record(7, &header(message::CERTIFICATE, 3))), []);
    }
}
