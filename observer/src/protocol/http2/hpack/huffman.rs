//! The static Huffman code (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols, and shorter codes come
//! first. So the lengths alone give all of it.

use super::Fault;

/// Symbols: the 256 byte values and the end of a string.
const SYMBOLS: usize = 257;
const END: u16 = 256;
const LONGEST: usize = 30;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30, // the end
];

struct Code {
    /// Of each length: its first code, how many there are, and where their symbols start in `symbols`.
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [u16; LONGEST + 1],
    symbols: [u16; SYMBOLS],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut made = Code {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        symbols: [0; SYMBOLS],
    };
    let mut length = 1;
    let mut next = 0u32;
    let mut at = 0;
    while length <= LONGEST {
        next <<= 1;
        made.first[length] = next;
        made.start[length] = at as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                made.symbols[at] = symbol as u16;
                at += 1;
                next += 1;
            }
            symbol += 1;
        }
        made.count[length] = next - made.first[length];
        length += 1;
    }
    made
}

/// No string of `encoded` bytes decodes to more: the shortest code has 5 bits.
pub const fn most(encoded: usize) -> usize {
    encoded * 8 / 5
}

/// Of each byte: the symbol whose code it starts with and the code's length, if that is at most 8 bits. Nearly all that
/// is sent consists of these.
static SHORT: [(u8, u8); 256] = short();

const fn short() -> [(u8, u8); 256] {
    let code = code();
    let mut made = [(0, 0); 256];
    let mut byte = 0;
    while byte < made.len() {
        let mut length = 1;
        while length <= 8 {
            let index = (byte as u32 >> (8 - length)).wrapping_sub(code.first[length]);
            if index < code.count[length] {
                made[byte] = (code.symbols[code.start[length] as usize + index as usize] as u8, length as u8);
                break;
            }
            length += 1;
        }
        byte += 1;
    }
    made
}

/// The symbol with this code.
fn symbol(code: u32, length: usize) -> Option<u16> {
    let index = code.wrapping_sub(CODE.first[length]);
    (index < CODE.count[length]).then(|| CODE.symbols[usize::from(CODE.start[length]) + index as usize])
}

/// Decodes into `target`, which the caller gave room for [`most`] bytes, so that it never moves.
pub fn decode(encoded: &[u8], target: &mut Vec<u8>) -> Result<(), Fault> {
    // The lowest `have` bits are still to be decoded.
    let (mut bits, mut have) = (0u64, 0usize);
    for &byte in encoded {
        bits = bits << 8 | u64::from(byte);
        have += 8;
        while have >= 8 {
            let (known, length) = SHORT[usize::from((bits >> (have - 8)) as u8)];
            if length > 0 {
                target.push(known);
                have -= usize::from(length);
                continue;
            }
            let Some((long, length)) = long(bits, have)? else { break };
            target.push(long);
            have -= length;
        }
    }
    finish(bits, have, target)
}

/// The symbol of a code of more than 8 bits, and that number; `None` if its end is still to come.
fn long(bits: u64, have: usize) -> Result<Option<(u8, usize)>, Fault> {
    for length in 9..=LONGEST.min(have) {
        let code = (bits >> (have - length)) & ((1 << length) - 1);
        if let Some(found) = symbol(code as u32, length) {
            return if found == END { Err(Fault::Huffman) } else { Ok(Some((found as u8, length))) };
        }
    }
    if have >= LONGEST { Err(Fault::Huffman) } else { Ok(None) }
}

/// What is left at the end: a few symbols, and what fills the last byte.
fn finish(bits: u64, have: usize, target: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut code, mut length) = (0u32, 0usize);
    for bit in (0..have).rev() {
        code = code << 1 | (bits >> bit & 1) as u32;
        length += 1;
        if let Some(found) = symbol(code, length) {
            if found == END {
                return Err(Fault::Huffman);
            }
            target.push(found as u8);
            (code, length) = (0, 0);
        }
    }
    // The start of the code for the end: ones, fewer than eight.
    if length > 7 || code != (1 << length) - 1 {
        return Err(Fault::Huffman);
    }
    Ok(())
}
