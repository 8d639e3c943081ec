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

/// Decodes into `target`, which the caller gave room for [`most`] bytes, so that it never moves.
pub fn decode(encoded: &[u8], target: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut code, mut length) = (0u32, 0usize);
    for &byte in encoded {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let index = code.wrapping_sub(CODE.first[length]);
            if index < CODE.count[length] {
                let symbol = CODE.symbols[usize::from(CODE.start[length]) + index as usize];
                if symbol == END {
                    return Err(Fault::Huffman);
                }
                target.push(symbol as u8);
                (code, length) = (0, 0);
            } else if length == LONGEST {
                return Err(Fault::Huffman);
            }
        }
    }
    // What fills the last byte is the start of the code for the end: ones, fewer than eight.
    if length > 7 || code != (1 << length) - 1 {
        return Err(Fault::Huffman);
    }
    Ok(())
}
