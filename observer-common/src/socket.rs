//! What the kernel programs remember of a socket.

use crate::Repeated;

/// Who spoke last, as seen from this socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    Received = 1,
    Sent = 2,
}

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// The next sequence number that was not looked at yet.
    pub next: u32,
    /// Bytes that may still be captured before the other end speaks.
    pub allowance: u32,
    /// While skipping: what comes before this sequence number is left out. While walking: the next frame starts here.
    pub resume_at: u32,
    /// One of [`mode`].
    pub mode: u32,
    /// While walking: what comes before this sequence number is shipped, what comes after it up to `resume_at` not.
    pub wanted_until: u32,
    /// While walking: the first bytes of a frame's header that a segment ended in; as many as `mode` says.
    pub head: u32,
    /// While walking: 1 if the byte `next` starts a frame.
    pub at_frame: u32,
    /// While walking: 1 if a record found no room, and none that starts a frame did since.
    pub lost: u32,
    /// What arrived ahead of a hole: its first sequence number, and the one after its last. Equal: nothing did.
    pub ahead_start: u32,
    pub ahead_end: u32,
}

/// What is done with a direction's bytes: [`Stream::mode`].
pub mod mode {
    /// Shipped, as far as the allowance reaches.
    pub const BY_ALLOWANCE: u32 = 0;
    /// Left out up to a sequence number.
    pub const SKIPPING: u32 = 1;
    /// HTTP/2, whose frames are walked over. Added to it: how many bytes of a header are in [`super::Stream::head`],
    /// at most 3.
    pub const WALKING: u32 = 2;
}

/// Per-socket storage. The first word decides the fast path.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Not 0: nothing more to learn.
    pub done: u32,
    /// Bits of [`crate::flag`] that go into every record of this socket.
    pub flags: u32,
    pub cgroup: u64,
    pub cookie: u64,
    pub opened: u64,
    pub received: Stream,
    pub sent: Stream,
    /// `bytes_received` when FIN_WAIT2 was entered: tells whether the peer's FIN, which the kernel counts as a
    /// byte, came afterwards.
    pub received_before_fin: u64,
    /// A [`Direction`], or 0 before anybody spoke.
    pub last_speaker: u32,
    /// Of the programs' own use while they look at a segment.
    pub scratch: u32,
    pub repeated: Repeated,
}

const _: () = assert!(size_of::<Socket>() == 168);

/// Segments of one HTTP/2 connection that arrived ahead of a hole, until that is filled: their frames can only be read
/// in order. Lies in a slot of its own, chosen by the cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    /// Whose they are; 0: nobody's.
    pub cookie: u64,
    /// CLOCK_MONOTONIC, nanoseconds: when they were parked.
    pub since: u64,
    /// Room for a record's fixed part before the first byte, and for the longest read after the last.
    pub bytes: [u8; Self::BYTES],
}

impl Parked {
    /// Packets are at most 64 KiB long, and a thread that moves to another CPU leaves a few of them behind.
    pub const ROOM: usize = 256 * 1024;
    /// Where the first of them lies.
    pub const START: usize = size_of::<crate::Data>();
    const BYTES: usize = Self::START + Self::ROOM + crate::BURST_CHUNK;
}

/// Indices into the arrays of programs that others go on in: one array for what arrives and one for what leaves, since
/// the kernel wants all programs of an array to be of one kind.
pub mod continuation {
    /// The segment is to be walked over.
    pub const WALK: u32 = 0;
    /// The hole before what is parked was filled.
    pub const PARKED: u32 = 1;
    pub const COUNT: u32 = 2;
}

/// Connections within this node between their establishment and their client's first byte: 128 KiB. A power of two.
pub const TWIN_SLOTS: u32 = 1 << 14;

/// Reordering mends itself in microseconds, so a few slots serve a node: 2.1 MiB in all. A power of two.
pub const PARKING_SLOTS: u32 = 8;

/// Key of the table of UDP conversations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpKey {
    pub cookie: u64,
    pub remote_ip: [u8; 16],
    pub remote_port: u16,
    pub padding: [u8; 6],
}

/// What is counted of a UDP conversation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpConversation {
    pub cgroup: u64,
    pub first: u64,
    pub last: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    pub local_ip: [u8; 16],
    pub local_port: u16,
    /// A [`Direction`]: who spoke first.
    pub first_speaker: u16,
    pub padding: [u8; 4],
}

const _: () = {
    assert!(size_of::<UdpKey>() == 32);
    assert!(size_of::<UdpConversation>() == 80);
};
