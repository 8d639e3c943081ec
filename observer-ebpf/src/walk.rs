//! HTTP/2: walking over the frames of a direction (RFC 9113 section 4.1), so that DATA is left out and no header
//! block is. Only the order of frames is looked at; what they say is for the daemon to read.

use aya_ebpf::programs::SkBuffContext;
use observer_common::{Stream, flag, mode};

use crate::ring::{About, BURST_ROOM, emit_burst};
use crate::segment::after;

/// Records of one segment, and frames between two of them. Where they do not suffice, the rest is shipped by
/// allowance, until the daemon says where the next frame starts.
const RECORDS: u32 = 6;
const FRAMES: u32 = 32;
const HEADER: u32 = 9;
/// Length and type: what of a header is needed here.
const NEEDED: u32 = 4;
const DATA: u32 = 0;
/// Length and type of WINDOW_UPDATE (RFC 9113 section 6.9): Go sends one for every 4 KiB that it gets, hundreds in a
/// segment, so they are taken by the run.
const WINDOW_UPDATE: u32 = 0x0000_0408;
const WINDOW_UPDATE_LENGTH: u32 = HEADER + 4;
const RUN: u32 = 3;
/// DATA this short costs less in the record that is written anyway than a record of its own for what follows it.
const SHORT: u32 = 128;
/// Header blocks longer than the daemon reads are not shipped whole.
const LONGEST: u32 = 64 * 1024;

#[inline(always)]
pub fn is_walking(stream: &Stream) -> bool {
    stream.mode >= mode::WALKING
}

/// Whether a segment that starts here, before its turn, starts in DATA that is left out.
#[inline(always)]
pub fn is_within_data(stream: &Stream, sequence: u32) -> bool {
    stream.mode == mode::WALKING
        && after(sequence, stream.next)
        && !after(stream.wanted_until, stream.next)
        && !after(sequence, stream.resume_at)
}

/// A frame starts at this sequence number; what comes before it is not wanted.
#[inline(always)]
pub fn start_at(stream: &mut Stream, sequence: u32) {
    stream.mode = mode::WALKING;
    stream.resume_at = sequence;
    stream.wanted_until = sequence;
    stream.head = 0;
    stream.lost = 0;
    // It was noted of what came by allowance.
    stream.ahead_start = stream.ahead_end;
}

/// The length of a client's connection preface (RFC 9113 section 3.4), whose start tells it from all else.
pub const PREFACE: u32 = 24;

#[inline(always)]
pub fn is_preface(ctx: &SkBuffContext, at: u32) -> bool {
    const START: [u64; 2] = [u64::from_ne_bytes(*b"PRI * HT"), u64::from_ne_bytes(*b"TP/2.0\r\n")];
    matches!(ctx.load::<[u64; 2]>(at as usize), Ok(bytes) if bytes == START)
}

/// A server may speak first: SETTINGS, of fewer than 256 bytes.
#[inline(always)]
pub fn is_settings(ctx: &SkBuffContext, at: u32) -> bool {
    const START: u64 = 0x0000_0004_0000_0000;
    const LENGTH: u64 = 0x0000_ff00_0000_0000;
    matches!(ctx.load::<u64>(at as usize), Ok(bytes) if u64::from_be(bytes) & !LENGTH == START)
}

/// Where the bytes lie that are walked over, by their sequence numbers.
pub trait Bytes {
    /// In network byte order.
    fn word(&self, sequence: u32) -> Option<u32>;
    fn byte(&self, sequence: u32) -> Option<u8>;
    /// Ships `len` (at most [`BURST_ROOM`]) bytes, from `about.sequence` on.
    fn emit(&self, about: &About<'_>, len: u32) -> bool;
}

/// In the packet that is being looked at.
pub struct Packet<'a> {
    pub ctx: &'a SkBuffContext,
    /// Where the byte with the sequence number `sequence` lies.
    pub at: u32,
    pub sequence: u32,
}

impl Packet<'_> {
    #[inline(always)]
    fn offset(&self, sequence: u32) -> u32 {
        self.at + sequence.wrapping_sub(self.sequence)
    }
}

impl Bytes for Packet<'_> {
    #[inline(always)]
    fn word(&self, sequence: u32) -> Option<u32> {
        self.ctx.load(self.offset(sequence) as usize).ok()
    }

    #[inline(always)]
    fn byte(&self, sequence: u32) -> Option<u8> {
        self.ctx.load(self.offset(sequence) as usize).ok()
    }

    #[inline(always)]
    fn emit(&self, about: &About<'_>, len: u32) -> bool {
        emit_burst(self.ctx.skb.skb, about, self.offset(about.sequence), len)
    }
}

/// A field of [`Stream`], in its memory. What the verifier reads from there may be anything, so all ways through one
/// round of the loop look the same to it at the start of the next; of values in registers it remembers where they
/// come from, and follows each way on its own.
macro_rules! get {
    ($stream:ident.$field:ident) => {
        unsafe { (&raw const (*$stream).$field).read_volatile() }
    };
}
macro_rules! set {
    ($stream:ident.$field:ident = $value:expr) => {{
        let value = $value;
        unsafe { (&raw mut (*$stream).$field).write_volatile(value) }
    }};
}

/// Walks over what comes after `stream.next`, up to the sequence number `end`, and moves that to where it got: to the
/// end, unless it ran out of steps. Ships what is wanted. Answers whether there was room for all of it.
#[inline(always)]
pub fn walk(bytes: &impl Bytes, stream: *mut Stream, mut about: About<'_>, end: u32) -> bool {
    about.flags = about.flags & !flag::LOSSY | flag::WALKED;
    set!(
        stream.at_frame =
            u32::from(get!(stream.mode) == mode::WALKING && get!(stream.resume_at) == get!(stream.next))
    );
    for _ in 0..RECORDS {
        // To its end: the verifier would follow each way out of it on its own.
        for _ in 0..FRAMES {
            step(bytes, stream, end);
        }
        let from = get!(stream.next);
        let until = get!(stream.wanted_until);
        let upto = if after(until, end) { end } else { until };
        if after(upto, from) {
            let left = upto.wrapping_sub(from);
            let len = if left > BURST_ROOM as u32 { BURST_ROOM as u32 } else { left };
            ship(bytes, stream, &about, len);
            if left > BURST_ROOM as u32 {
                continue;
            }
        }
        let frame = get!(stream.resume_at);
        if get!(stream.mode) > mode::WALKING || !after(end, frame) {
            set!(stream.next = end);
            break;
        }
        if frame != until {
            // DATA is left out.
            set!(stream.next = frame);
            set!(stream.wanted_until = frame);
            set!(stream.at_frame = 1);
        }
    }
    get!(stream.lost) == 0
}

/// Looks at the next frame's header, if that follows what is wanted and lies before `end`.
#[inline(always)]
fn step(bytes: &impl Bytes, stream: *mut Stream, end: u32) {
    let frame = get!(stream.resume_at);
    let have = get!(stream.mode).wrapping_sub(mode::WALKING);
    // Where the header goes on.
    let header = frame.wrapping_add(have);
    let until = get!(stream.wanted_until);
    let wanted = after(until, get!(stream.next));
    if (wanted && header != until) || !after(end, header) {
        return;
    }
    if !wanted && header != get!(stream.next) {
        // DATA was left out.
        set!(stream.next = header);
        set!(stream.at_frame = 1);
    }
    if have == 0 && end.wrapping_sub(header) >= NEEDED {
        let Some(loaded) = bytes.word(header) else { return };
        let head = u32::from_be(loaded);
        let unwanted = head == WINDOW_UPDATE || (head & 0xff == DATA && head >> 8 > SHORT);
        if !wanted && unwanted {
            // Nothing waits to be shipped that its header could go with.
            set!(stream.wanted_until = frame);
            set!(stream.resume_at = frame.wrapping_add(HEADER + (head >> 8)));
            for _ in 0..RUN {
                let frame = get!(stream.resume_at);
                let next = bytes.word(frame).unwrap_or(0);
                if u32::from_be(next) == WINDOW_UPDATE && head == WINDOW_UPDATE {
                    set!(stream.resume_at = frame.wrapping_add(WINDOW_UPDATE_LENGTH));
                }
            }
            return;
        }
        begin(stream, head, frame);
        return;
    }
    // It may end in the next segment.
    let Some(byte) = bytes.byte(header) else { return };
    let head = get!(stream.head) << 8 | u32::from(byte);
    if have + 1 >= NEEDED {
        begin(stream, head, frame);
    } else {
        set!(stream.head = head);
        set!(stream.mode = mode::WALKING + have + 1);
        set!(stream.wanted_until = header.wrapping_add(1));
    }
}

/// Ships the next `len` bytes.
#[inline(always)]
fn ship(bytes: &impl Bytes, stream: *mut Stream, about: &About<'_>, len: u32) {
    let mut about = *about;
    about.sequence = get!(stream.next);
    let at_frame = get!(stream.at_frame);
    if at_frame != 0 {
        about.flags |= flag::TURN;
    }
    if get!(stream.lost) != 0 {
        about.flags |= flag::LOSSY;
    }
    set!(stream.at_frame = 0);
    set!(stream.next = about.sequence.wrapping_add(len));
    if !bytes.emit(&about, len) {
        set!(stream.lost = 1);
    } else if at_frame != 0 {
        set!(stream.lost = 0);
    }
}

/// A frame with this start of its header starts at this sequence number.
#[inline(always)]
fn begin(stream: *mut Stream, head: u32, frame: u32) {
    let length = head >> 8;
    let body = frame.wrapping_add(HEADER);
    let wanted = if head & 0xff == DATA && length > SHORT {
        0
    } else if length > LONGEST {
        LONGEST
    } else {
        length
    };
    set!(stream.mode = mode::WALKING);
    set!(stream.head = 0);
    set!(stream.wanted_until = body.wrapping_add(wanted));
    set!(stream.resume_at = body.wrapping_add(length));
}
