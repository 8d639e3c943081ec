//! The PROXY protocol's header (haproxy.org, proxy-protocol.txt): what a load balancer puts before the client's bytes.
//!
//! Whom it names is the sender's claim, and not used: only its length matters.

use super::name::Miss;

/// Section 2.1.
const LONGEST_LINE: usize = 107;
/// Section 2.2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses and extensions; real ones have less than a hundred bytes.
const LONGEST_BINARY: usize = 4096;

/// The length of the header that `bytes` start with.
///
/// # Errors
/// `No`: they do not. `Incomplete`: they may.
pub fn header(bytes: &[u8]) -> Result<usize, Miss> {
    match line(bytes) {
        Err(Miss::No) => binary(bytes),
        answer => answer,
    }
}

/// `PROXY TCP4 source destination port port` CRLF, or `PROXY UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Result<usize, Miss> {
    let mut starts = Err(Miss::No);
    for start in [&b"PROXY TCP4 "[..], b"PROXY TCP6 ", b"PROXY UNKNOWN"] {
        if bytes.starts_with(start) {
            starts = Ok(());
            break;
        }
        if start.starts_with(bytes) {
            starts = Err(Miss::Incomplete);
        }
    }
    starts?;
    let head = &bytes[..bytes.len().min(LONGEST_LINE)];
    match head.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(end + 2),
        None if bytes.len() < LONGEST_LINE => Err(Miss::Incomplete),
        None => Err(Miss::No),
    }
}

/// Signature, version 2 with a command, family, and the length of what follows.
fn binary(bytes: &[u8]) -> Result<usize, Miss> {
    const VERSION: u8 = 2;
    const LAST_COMMAND: u8 = 1;
    let length = bytes.len().min(SIGNATURE.len());
    if bytes[..length] != SIGNATURE[..length] {
        return Err(Miss::No);
    }
    let [version, family, high, low, ..] = *bytes.get(SIGNATURE.len()..).unwrap_or_default() else {
        return Err(Miss::Incomplete);
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != VERSION || version & 0xf > LAST_COMMAND || family >> 4 > 3 || rest > LONGEST_BINARY {
        return Err(Miss::No);
    }
    let whole = SIGNATURE.len() + 4 + rest;
    if bytes.len() < whole { Err(Miss::Incomplete) } else { Ok(whole) }
}
