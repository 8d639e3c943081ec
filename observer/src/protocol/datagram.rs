//! What a UDP conversation is, by its first datagram.

use super::name::{Cursor, Miss};
use super::session::{plaintext, unknown};
use crate::model::{Encryption, EncryptionStatus, Protocol};

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;
const DNS_HEADER: usize = 12;

/// Names the conversation whose server listens on `server_port`.
#[must_use]
pub fn datagram(bytes: &[u8], server_port: u16) -> (Protocol, Encryption) {
    if server_port == DNS_PORT && is_dns_query(bytes) {
        return (Protocol::Dns, plaintext());
    }
    if let Ok(version) = quic(&mut Cursor::new(bytes), bytes.len()) {
        // It has no version without TLS 1.3 (RFC 9001).
        let status = EncryptionStatus::Tls;
        return (
            Protocol::Quic,
            Encryption { status, version: Some(version.into()), ..Encryption::default() },
        );
    }
    (Protocol::Opaque, unknown("opaque-protocol"))
}

/// A header with at least one question and a known opcode (RFC 1035 section 4.1.1).
fn is_dns_query(bytes: &[u8]) -> bool {
    let [_, _, flags, _, questions_high, questions_low, ..] = bytes else { return false };
    let opcode = (flags >> 3) & 0xf;
    bytes.len() > DNS_HEADER && opcode <= 6 && (*questions_high, *questions_low) != (0, 0)
}

/// A long header (RFC 9000 section 17.2) of a version that is known, whose lengths fit the datagram.
fn quic(packet: &mut Cursor<'_>, size: usize) -> Result<&'static str, Miss> {
    const LONG_AND_FIXED: u8 = 0xc0;
    const VERSION_1: u32 = 1;
    /// RFC 9369.
    const VERSION_2: u32 = 0x6b33_43cf;
    const LONGEST_ID: u8 = 20;
    let first = packet.u8()?;
    let kind = (first >> 4) & 3;
    let (name, initial, retry) = match packet.be32()? {
        VERSION_1 => ("quic-v1", 0, 3),
        VERSION_2 => ("quic-v2", 1, 0),
        _ => return Err(Miss::No),
    };
    // A Retry alone has nothing that could be checked, and is no first word.
    if first & LONG_AND_FIXED != LONG_AND_FIXED || kind == retry {
        return Err(Miss::No);
    }
    for _ in 0..2 {
        let length = packet.u8()?;
        if length > LONGEST_ID {
            return Err(Miss::No);
        }
        packet.take(usize::from(length))?;
    }
    if kind == initial {
        let token = number(packet)?;
        packet.take(token)?;
    }
    let length = number(packet)?;
    // A packet number and a sample of the payload are needed to open it at all (RFC 9001 section 5.4.2).
    const SHORTEST: usize = 20;
    let fits = length >= SHORTEST && packet.at().checked_add(length).is_some_and(|end| end <= size);
    if fits { Ok(name) } else { Err(Miss::No) }
}

/// A variable-length integer (RFC 9000 section 16).
fn number(packet: &mut Cursor<'_>) -> Result<usize, Miss> {
    let first = packet.u8()?;
    let mut value = usize::from(first & 0x3f);
    for _ in 1..1 << (first >> 6) {
        value = value << 8 | usize::from(packet.u8()?);
    }
    Ok(value)
}
