//! HTTP/2 segments that arrived ahead of a hole. Where frames start in them is told only by what fills the hole, and
//! by then the packet is gone: so they are kept until it comes, and walked over then.

use core::arch::asm;
use core::ptr;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_skb_load_bytes};
use observer_common::{Counter, Data, PARKING_SLOTS, Parked, Stream, Tuple};

use crate::maps::{EVENTS, PARKING, count};
use crate::ring::{About, BURST_ROOM, clamp, now, waiting, wake, write_header};
use crate::segment::after;
use crate::walk::Bytes;

/// A hole that is not filled by then is a loss, and the slot may serve another connection a while later.
const PATIENCE: u64 = 500_000_000;
const LEASE: u64 = 4 * PATIENCE;

/// The longest segment, and the furthest from the first that one may begin: as masks, which the verifier understands.
const LONGEST: u32 = 0xffff;
const FURTHEST: u32 = 0x1_ffff;
const _: () = assert!((LONGEST + FURTHEST) as usize <= Parked::ROOM);

#[inline(always)]
fn slot_of(cookie: u64) -> Option<*mut Parked> {
    PARKING.get_ptr_mut(cookie as u32 & (PARKING_SLOTS - 1))
}

/// Keeps `len` bytes of the packet from `at` on, whose first has the sequence number `sequence`. Answers whether there
/// was room; otherwise nothing of this connection is parked any more.
#[inline(always)]
pub fn park(skb: *mut __sk_buff, cookie: u64, stream: &mut Stream, sequence: u32, at: u32, len: u32) -> bool {
    let Some(slot) = slot_of(cookie) else { return false };
    let first = is_empty(stream);
    let end = sequence.wrapping_add(len);
    if !first && !after(stream.ahead_start, sequence) && !after(end, stream.ahead_end) {
        return true; // once more
    }
    let far = if first { 0 } else { sequence.wrapping_sub(stream.ahead_start) };
    let joins = first || sequence == stream.ahead_end;
    let time = now();
    if !joins || len == 0 || len > LONGEST || far > FURTHEST || !lease(slot, cookie, time) {
        clear(cookie, stream);
        return false;
    }
    let loaded = unsafe {
        let bytes = (&raw mut (*slot).bytes).cast::<u8>().add(Parked::START);
        bpf_skb_load_bytes(
            skb.cast(),
            at,
            bytes.add(bounded::<FURTHEST>(far)).cast(),
            clamp::<{ LONGEST as usize }>(len),
        )
    };
    // Two connections may have found the slot free at the same moment.
    if loaded != 0 || unsafe { ptr::read_volatile(&raw const (*slot).cookie) } != cookie {
        clear(cookie, stream);
        return false;
    }
    if first {
        stream.ahead_start = sequence;
    }
    stream.ahead_end = end;
    true
}

/// Takes the slot unless it serves another connection. There is no atomic exchange before 5.12: whoever writes last
/// has it, and the clock is read in between so that all see who that is.
#[inline(always)]
fn lease(slot: *mut Parked, cookie: u64, time: u64) -> bool {
    unsafe {
        let holder = ptr::read_volatile(&raw const (*slot).cookie);
        if holder != 0 && holder != cookie && time.wrapping_sub((*slot).since) < LEASE {
            return false;
        }
        ptr::write_volatile(&raw mut (*slot).cookie, cookie);
        ptr::write_volatile(&raw mut (*slot).since, now());
        ptr::read_volatile(&raw const (*slot).cookie) == cookie
    }
}

#[inline(always)]
pub fn is_empty(stream: &Stream) -> bool {
    stream.ahead_start == stream.ahead_end
}

/// Whether the hole before what is parked was filled.
#[inline(always)]
pub fn is_due(stream: &Stream) -> bool {
    !is_empty(stream) && !after(stream.ahead_start, stream.next)
}

/// Forgets what is parked.
#[inline(always)]
pub fn clear(cookie: u64, stream: &mut Stream) {
    stream.ahead_start = stream.ahead_end;
    if let Some(slot) = slot_of(cookie) {
        unsafe {
            if ptr::read_volatile(&raw const (*slot).cookie) == cookie {
                ptr::write_volatile(&raw mut (*slot).cookie, 0);
            }
        }
    }
}

/// What is parked of a connection, if it is still there.
#[inline(always)]
pub fn taken_up(cookie: u64, stream: &Stream) -> Option<Kept> {
    let slot = slot_of(cookie)?;
    let kept = unsafe {
        ptr::read_volatile(&raw const (*slot).cookie) == cookie
            && now().wrapping_sub((*slot).since) < PATIENCE
    };
    kept.then(|| Kept { bytes: unsafe { (&raw mut (*slot).bytes).cast() }, sequence: stream.ahead_start })
}

/// Parked bytes; the first has the sequence number `sequence`.
pub struct Kept {
    bytes: *mut u8,
    sequence: u32,
}

impl Kept {
    /// [`Parked::START`] bytes before the byte with this sequence number.
    #[inline(always)]
    fn before(&self, sequence: u32) -> *mut u8 {
        const WITHIN: u32 = Parked::ROOM as u32 - 1;
        unsafe { self.bytes.add(bounded::<WITHIN>(sequence.wrapping_sub(self.sequence))) }
    }

    #[inline(always)]
    fn at(&self, sequence: u32) -> *const u8 {
        unsafe { self.before(sequence).add(Parked::START) }
    }
}

impl Bytes for Kept {
    #[inline(always)]
    fn word(&self, sequence: u32) -> Option<u32> {
        Some(unsafe { self.at(sequence).cast::<u32>().read_unaligned() })
    }

    #[inline(always)]
    fn byte(&self, sequence: u32) -> Option<u8> {
        Some(unsafe { self.at(sequence).read() })
    }

    /// What lies before the first of them was walked over: the record's fixed part is written over it.
    #[inline(always)]
    fn emit(&self, about: &About<'_>, len: u32) -> bool {
        let mut fixed = Data::default();
        write_header(&raw mut fixed.header, about.kind, about.flags, about.cookie, about.cgroup);
        fixed.header.len = len;
        fixed.tuple = Tuple::default();
        fixed.sequence = about.sequence;
        fixed.left_out = about.left_out;
        let emitted = unsafe {
            let record = self.before(about.sequence);
            record.cast::<Data>().write_unaligned(fixed);
            bpf_ringbuf_output(
                ptr::from_ref(&EVENTS).cast_mut().cast(),
                record.cast(),
                bounded_record(len),
                wake(waiting()),
            )
        };
        if emitted != 0 {
            count(Counter::LostPayloads);
        }
        emitted == 0
    }
}

/// `value` with no bits but `MASK`'s, where it lies already: the verifier must see it on the very register.
#[inline(always)]
fn bounded<const MASK: u32>(value: u32) -> usize {
    let mut bounded = u64::from(value);
    unsafe {
        asm!("{bounded} &= {mask}", bounded = inout(reg) bounded, mask = const MASK, options(pure, nomem, nostack));
    }
    bounded as usize
}

/// The size of a record with `len` bytes.
#[inline(always)]
fn bounded_record(len: u32) -> u64 {
    u64::from(clamp::<{ BURST_ROOM + Parked::START }>(len + Parked::START as u32))
}
