//! Requests that say, byte for byte, what the one before them said. The daemon has read the first of them and says
//! that it was one whole request; the others are counted where it can read it, and cost no record. Whatever differs
//! is shipped, and says that counting has ended.
//!
//! Client and server take turns here: a client that does not wait for the answer is shipped.

use core::ptr;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::SkBuffContext;
use observer_common::{Control, LONGEST_REPEAT, Repeats, Socket, counting, flag};

use crate::maps::{REPEATS, hash_key};
use crate::packet::Tcp;
use crate::ring::clamp;
use crate::segment::after;

const LONGEST: usize = LONGEST_REPEAT;
const WORDS: usize = LONGEST / 8;

/// Ingress alone writes here, and no other ingress interrupts it.
#[map]
static SEGMENT: PerCpuArray<[u64; WORDS + 1]> = PerCpuArray::with_max_entries(1, 0);

/// The client said these bytes, in order. Answers whether they were counted; otherwise the flags that a record of them
/// must have, too.
#[inline(always)]
pub fn heard(ctx: &SkBuffContext, socket: &mut Socket, tcp: &Tcp, answered: bool) -> Result<(), u16> {
    let repeated = &mut socket.repeated;
    let length = tcp.payload_len;
    let hash =
        if answered && length <= LONGEST as u32 { hash(ctx.skb.skb, tcp.payload_at, length) } else { [0; 2] };
    if hash == [0; 2] || length != repeated.length || hash != repeated.hash {
        repeated.length = if hash == [0; 2] { 0 } else { length };
        repeated.hash = hash;
        repeated.since = tcp.sequence.wrapping_add(length);
        return Err(stop(socket));
    }
    let next = tcp.sequence.wrapping_add(length);
    match slot(socket) {
        Some(slot) if unsafe { ptr::read_volatile(&raw const (*slot).enough) } == 0 => {
            socket.received.next = next;
            unsafe { ptr::write_volatile(&raw mut (*slot).client_next, next) };
            Ok(())
        }
        _ => Err(stop(socket) | flag::AGAIN),
    }
}

/// The server speaks, for the first time since the client did. Answers whether the answer was counted; otherwise the
/// flags that a record of it must have, too.
#[inline(always)]
pub fn answered(ctx: &SkBuffContext, socket: &mut Socket, tcp: &Tcp) -> Result<(), u16> {
    // `HTTP/1.1 200 OK`, and what follows it.
    let status = match ctx.load::<[u64; 2]>(tcp.payload_at as usize) {
        Ok([version, code]) => version.rotate_left(32) ^ code,
        Err(_) => 0,
    };
    let repeated = &mut socket.repeated;
    if status == 0 || status != repeated.status {
        repeated.status = status;
        repeated.status_since = tcp.sequence;
        return Err(stop(socket));
    }
    match slot(socket) {
        Some(slot) => {
            unsafe {
                let answers = ptr::read_volatile(&raw const (*slot).answers);
                ptr::write_volatile(&raw mut (*slot).answers, answers.wrapping_add(1));
            }
            Ok(())
        }
        None => Err(stop(socket)),
    }
}

/// The server has said more, which was left out.
#[inline(always)]
pub fn left_out(socket: &Socket) {
    if let Some(slot) = slot(socket) {
        unsafe { ptr::write_volatile(&raw mut (*slot).server_next, socket.sent.next) };
    }
}

/// The daemon wants repeats counted: unless what it read is not what is compared with any more.
#[inline(always)]
pub fn begin(socket: &mut Socket, word: Control) {
    let repeated = &mut socket.repeated;
    let (read, answer) = (word.argument, word.other);
    let same_request =
        repeated.length != 0 && !after(repeated.since, read) && !after(read, socket.received.next);
    let same_answer =
        repeated.status != 0 && after(answer, repeated.status_since) && !after(answer, socket.sent.next);
    repeated.slot = word.slot.wrapping_add(1);
    let Some(slot) = slot(socket) else {
        socket.repeated.slot = 0;
        return;
    };
    if !same_request || !same_answer {
        socket.repeated.slot = 0;
        unsafe { ptr::write_volatile(&raw mut (*slot).counting, counting::REFUSED) };
        return;
    }
    unsafe {
        ptr::write_volatile(&raw mut (*slot).since, socket.received.next);
        ptr::write_volatile(&raw mut (*slot).client_next, socket.received.next);
        ptr::write_volatile(&raw mut (*slot).server_next, socket.sent.next);
        ptr::write_volatile(&raw mut (*slot).counting, counting::COUNTING);
    }
}

/// Nothing is counted any more. Answers what the next record must say of it.
#[inline(always)]
pub fn stop(socket: &mut Socket) -> u16 {
    if socket.repeated.slot == 0 {
        return 0;
    }
    if let Some(slot) = slot(socket) {
        unsafe { ptr::write_volatile(&raw mut (*slot).counting, counting::STOPPED) };
    }
    socket.repeated.slot = 0;
    flag::COUNTED
}

/// Where this socket's repeats are counted, if that is still its own.
#[inline(always)]
fn slot(socket: &Socket) -> Option<*mut Repeats> {
    let number = socket.repeated.slot;
    if number == 0 {
        return None;
    }
    let slot = REPEATS.get_ptr_mut(number - 1)?;
    (unsafe { ptr::read_volatile(&raw const (*slot).cookie) } == socket.cookie).then_some(slot)
}

/// NH (RFC 4418 section 5.2) of `length` (1 to [`LONGEST`]) bytes of the packet, twice under different keys: two given
/// segments of one length have the same hash with a chance of 2^-64. Zeros where the bytes cannot be read.
#[inline(always)]
fn hash(skb: *mut __sk_buff, at: u32, length: u32) -> [u64; 2] {
    let Some(words) = SEGMENT.get_ptr_mut(0) else { return [0; 2] };
    let words: *mut u64 = words.cast();
    let length = clamp::<LONGEST>(length);
    unsafe {
        // The last word's rest.
        words.add(length as usize / 8).write(0);
        if bpf_skb_load_bytes(skb.cast(), at, words.cast(), length) != 0 {
            return [0; 2];
        }
    }
    let count = (length + 7) / 8;
    let mut sums = [1, 1];
    let mut key = hash_key(0);
    for index in 0..WORDS {
        if index as u32 >= count {
            break;
        }
        let word = unsafe { words.add(index).read_volatile() };
        // It may be of a credential.
        unsafe { words.add(index).write_volatile(0) };
        let next = hash_key(index + 1);
        for (sum, key) in sums.iter_mut().zip([key, next]) {
            let mixed = word.wrapping_add(key);
            let other = (word >> 32).wrapping_add(key >> 32);
            *sum = u64::wrapping_add(*sum, (mixed & 0xffff_ffff).wrapping_mul(other & 0xffff_ffff));
        }
        key = next;
    }
    sums
}
