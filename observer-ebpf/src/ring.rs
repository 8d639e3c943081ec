//! Writing records into the ring. A record that finds no room is counted, never waited for.

use core::arch::asm;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_skb_load_bytes};
use observer_common::{
    BURST_CHUNK, Counter, Data, Header, LARGE_CHUNK, MEDIUM_CHUNK, SMALL_CHUNK, TOKEN_CHUNK, Tuple,
};

use crate::maps::{EVENTS, count, settings};

/// Bytes beyond `wake_at` within which a record still wakes the daemon: so that one of them does, and not all.
const WAKE_BAND: u64 = 256 * 1024;

/// Bytes that wait for the daemon. Asked once a record: the answer lies in memory that the daemon writes to.
#[inline(always)]
pub fn waiting() -> u64 {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA))
}

/// How to submit a record. The daemon drains the ring by the clock: a wake-up costs the traffic more than the record.
/// Only where the ring fills faster than the clock ticks is it woken.
#[inline(always)]
pub fn wake(waiting: u64) -> u64 {
    let wake_at = u64::from(settings().wake_at);
    if waiting >= wake_at && waiting < wake_at + WAKE_BAND {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Whether there is room for payload. More than half full, the ring takes the first bytes of each connection, which tell
/// what it is, and of the others what falls into every eighth millisecond: that samples all edges alike. The last eighth
/// is for connections, so that who talked to whom is still known.
#[inline(always)]
fn has_room(waiting: u64, first: bool) -> bool {
    let eighth = u64::from(settings().wake_at);
    if waiting < 4 * eighth {
        return true;
    }
    let sampled = first || (now() >> MILLISECOND) & 7 == 0;
    if !sampled || waiting >= 7 * eighth {
        count(Counter::SampledPayloads);
        return false;
    }
    true
}

/// In bits of nanoseconds, roughly.
const MILLISECOND: u32 = 20;

#[inline(always)]
pub fn now() -> u64 {
    unsafe { bpf_ktime_get_ns() }
}

/// Emits a record without payload; `fill` writes it where it lies.
#[inline(always)]
pub fn emit<T: 'static>(fill: impl FnOnce(*mut T)) -> bool {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        count(Counter::LostConnections);
        return false;
    };
    fill(entry.as_mut_ptr());
    entry.submit(wake(waiting()));
    true
}

/// Writes the header field by field: as one value it would be built on the stack and copied.
#[inline(always)]
pub fn write_header(target: *mut Header, kind: u16, flags: u16, cookie: u64, cgroup: u64) {
    unsafe {
        (*target).kind = kind;
        (*target).flags = flags;
        (*target).len = 0;
        (*target).cookie = cookie;
        (*target).time = now();
        (*target).cgroup = cgroup;
    }
}

/// What a record with payload says of its bytes.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub kind: u16,
    pub flags: u16,
    pub cookie: u64,
    pub cgroup: u64,
    pub sequence: u32,
    pub left_out: u32,
    /// Nobody has said anything before.
    pub first: bool,
    /// Only where the socket's own record does not tell it.
    pub tuple: Option<&'a Tuple>,
}

#[repr(C)]
struct Chunk<const ROOM: usize> {
    fixed: Data,
    bytes: [u8; ROOM],
}

const FIXED: usize = size_of::<Data>();
const SMALL_ROOM: usize = SMALL_CHUNK - FIXED;
const MEDIUM_ROOM: usize = MEDIUM_CHUNK - FIXED;
const TOKEN_ROOM: usize = TOKEN_CHUNK - FIXED;
/// Payload bytes that one record can hold.
pub const LARGE_ROOM: usize = LARGE_CHUNK - FIXED;

/// What [`emit_burst`] holds.
pub const BURST_ROOM: usize = BURST_CHUNK - FIXED;

/// Emits `len` (at most [`LARGE_ROOM`]) bytes of the packet from `at` on, in the smallest class that holds them.
#[inline(always)]
pub fn emit_bytes(skb: *mut __sk_buff, about: &About<'_>, at: u32, len: u32) -> bool {
    let waiting = waiting();
    if !has_room(waiting, about.first) {
        return false;
    }
    let emitted = if len as usize <= SMALL_ROOM {
        emit_chunk::<SMALL_ROOM, 0>(skb, about, at, len, waiting)
    } else if len as usize <= MEDIUM_ROOM {
        emit_chunk::<MEDIUM_ROOM, SMALL_ROOM>(skb, about, at, len, waiting)
    } else if len as usize <= TOKEN_ROOM {
        emit_chunk::<TOKEN_ROOM, MEDIUM_ROOM>(skb, about, at, len, waiting)
    } else {
        emit_chunk::<LARGE_ROOM, TOKEN_ROOM>(skb, about, at, len, waiting)
    };
    if !emitted {
        count(Counter::LostPayloads);
    }
    emitted
}

/// The same, of up to [`BURST_ROOM`] bytes.
#[inline(always)]
pub fn emit_burst(skb: *mut __sk_buff, about: &About<'_>, at: u32, len: u32) -> bool {
    if len as usize <= LARGE_ROOM {
        return emit_bytes(skb, about, at, len);
    }
    let waiting = waiting();
    if !has_room(waiting, about.first) {
        return false;
    }
    let emitted = emit_chunk::<BURST_ROOM, LARGE_ROOM>(skb, about, at, len, waiting);
    if !emitted {
        count(Counter::LostPayloads);
    }
    emitted
}

/// The same, of [`LARGE_ROOM`] bytes.
#[inline(always)]
pub fn emit_full(skb: *mut __sk_buff, about: &About<'_>, at: u32) -> bool {
    let waiting = waiting();
    if !has_room(waiting, about.first) {
        return false;
    }
    let emitted = emit_chunk::<LARGE_ROOM, LARGE_ROOM>(skb, about, at, LARGE_ROOM as u32, waiting);
    if !emitted {
        count(Counter::LostPayloads);
    }
    emitted
}

/// `len` is at least `LEAST`.
#[inline(always)]
fn emit_chunk<const ROOM: usize, const LEAST: usize>(
    skb: *mut __sk_buff,
    about: &About<'_>,
    at: u32,
    len: u32,
    waiting: u64,
) -> bool {
    let len = clamp::<ROOM>(len);
    let Some(mut entry) = EVENTS.reserve::<Chunk<ROOM>>(0) else {
        return false;
    };
    let chunk = entry.as_mut_ptr();
    unsafe {
        let fixed = &raw mut (*chunk).fixed;
        write_header(&raw mut (*fixed).header, about.kind, about.flags, about.cookie, about.cgroup);
        (*fixed).header.len = len;
        (*fixed).sequence = about.sequence;
        (*fixed).left_out = about.left_out;
        if let Some(tuple) = about.tuple {
            (*fixed).tuple = *tuple;
        } else {
            // For the same reason as in `clear`. By words: a call of memset is more than 5.10's verifier has patience for.
            let words = (&raw mut (*fixed).tuple).cast::<u64>();
            for word in 0..size_of::<Tuple>() / 8 {
                words.add(word).write_volatile(0);
            }
        }
        let bytes = &raw mut (*chunk).bytes;
        clear::<ROOM, LEAST>(bytes);
        if bpf_skb_load_bytes(skb.cast(), at, bytes.cast(), len) != 0 {
            entry.discard(u64::from(BPF_RB_NO_WAKEUP));
            count(Counter::UnreadableSegments);
            return false;
        }
    }
    entry.submit(wake(waiting));
    true
}

/// What the segment may not fill: an earlier record's bytes, perhaps of a credential, must not outlive the ring's lap.
#[inline(always)]
fn clear<const ROOM: usize, const LEAST: usize>(bytes: *mut [u8; ROOM]) {
    if ROOM > LEAST {
        unsafe {
            let rest = bytes.cast::<u8>().add(LEAST);
            bpf_probe_read_kernel(rest.cast(), (ROOM - LEAST) as u32, (&raw const ZEROS).cast());
        }
    }
}

const _: () = assert!(BURST_ROOM - LARGE_ROOM <= BURST_CHUNK);
static ZEROS: [u8; BURST_CHUNK] = [0; BURST_CHUNK];

/// `len` within 1..=ROOM, where it lies already: the verifier must see both bounds on the very register that the
/// helper gets, and the optimiser likes to test another one in its place. "Greater", because 5.10's verifier
/// learns nothing from "not equal".
#[inline(always)]
pub fn clamp<const ROOM: usize>(len: u32) -> u32 {
    let mut bounded = u64::from(len);
    unsafe {
        asm!(
            "if {bounded} <= {room} goto +1",
            "{bounded} = {room}",
            "if {bounded} > 0 goto +1",
            "{bounded} = 1",
            bounded = inout(reg) bounded,
            room = const ROOM,
            options(pure, nomem, nostack),
        );
    }
    bounded as u32
}
