//! What a UDP conversation is, by its first datagram.

use super::session::{plaintext, unknown};
use crate::model::{Encryption, Protocol};

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;
const DNS_HEADER: usize = 12;

/// Names the conversation whose server listens on `server_port`.
#[must_use]
pub fn datagram(bytes: &[u8], server_port: u16) -> (Protocol, Encryption) {
    if server_port == DNS_PORT && is_dns_query(bytes) {
        return (Protocol::Dns, plaintext());
    }
    (Protocol::Opaque, unknown("opaque-protocol"))
}

/// A header with at least one question and a known opcode (RFC 1035 section 4.1.1).
fn is_dns_query(bytes: &[u8]) -> bool {
    let [_, _, flags, _, questions_high, questions_low, ..] = bytes else { return false };
    let opcode = (flags >> 3) & 0xf;
    bytes.len() > DNS_HEADER && opcode <= 6 && (*questions_high, *questions_low) != (0, 0)
}
