//! Integers with a prefix of 1 to 8 bits (RFC 7541 section 5.1).

use super::Fault;

/// Reads one from the front of `rest`; `prefix` bits of the first byte are its own.
pub fn read(rest: &mut &[u8], prefix: u32) -> Result<usize, Fault> {
    /// More than any length or index that fits our bounds; keeps the sum far from overflow.
    const LARGEST: usize = 1 << 24;
    let (&first, mut bytes) = rest.split_first().ok_or(Fault::Truncated)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, left) = bytes.split_first().ok_or(Fault::Truncated)?;
            bytes = left;
            // Zeros may follow without end: they add nothing, and no encoder writes them.
            if shift > 28 {
                return Err(Fault::Integer);
            }
            value += usize::from(byte & 0x7f) << shift;
            if value > LARGEST {
                return Err(Fault::Integer);
            }
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = bytes;
    Ok(value)
}
