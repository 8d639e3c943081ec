//! Loads of single fields of a context or a socket.
//!
//! The verifier translates only a load at a constant offset from the pointer it knows, of the field's own width. The
//! optimiser merges two such loads of different branches into one at a computed offset, and widens neighbours. So
//! each is an instruction of its own.

use core::arch::asm;

/// The 32-bit field at `OFFSET`.
#[inline(always)]
pub fn load<const OFFSET: usize, T>(context: *const T) -> u32 {
    let value: u64;
    unsafe {
        asm!("{value} = *(u32 *)({context} + {offset})", context = in(reg) context, offset = const OFFSET,
             value = out(reg) value, options(pure, readonly, nostack, preserves_flags));
    }
    value as u32
}

/// `field!(pointer, Struct, name)` or, for a word of an array, `field!(pointer, Struct, name, word)`.
macro_rules! field {
    ($pointer:expr, $type:ty, $name:ident) => {
        $crate::field::load::<{ core::mem::offset_of!($type, $name) }, $type>($pointer)
    };
    ($pointer:expr, $type:ty, $name:ident, $word:expr) => {
        $crate::field::load::<{ core::mem::offset_of!($type, $name) + 4 * $word }, $type>($pointer)
    };
}

/// Four words of an IPv6 address, in network byte order as they lie there.
macro_rules! ip6 {
    ($pointer:expr, $type:ty, $name:ident) => {
        [
            $crate::field::field!($pointer, $type, $name, 0),
            $crate::field::field!($pointer, $type, $name, 1),
            $crate::field::field!($pointer, $type, $name, 2),
            $crate::field::field!($pointer, $type, $name, 3),
        ]
    };
}

pub(crate) use {field, ip6};
