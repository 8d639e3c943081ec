//! How the daemon talks back: user space cannot write a socket's storage, so it leaves a word in an array that is
//! mapped into its memory, in the slot of the socket's cookie.

/// What the daemon wants of a socket.
pub mod verb {
    /// Nothing was said.
    pub const NONE: u32 = 0;
    /// Nothing more to learn: ship no more bytes of it.
    pub const STOP: u32 = 1;
    /// Leave out what this end receives before the sequence number `argument`.
    pub const RESUME_RECEIVED: u32 = 2;
    /// Leave out what this end sends before the sequence number `argument`.
    pub const RESUME_SENT: u32 = 3;
    /// It speaks HTTP/2: leave out DATA. A frame starts at the sequence number `argument` of what this end receives,
    /// and at `other` of what it sends; what comes before them is not wanted.
    pub const FRAMES: u32 = 4;
    /// The same, of what this end receives alone.
    pub const FRAMES_RECEIVED: u32 = 5;
    /// The same, of what this end sends alone.
    pub const FRAMES_SENT: u32 = 6;
    /// What the client says again is a request that needs but be counted, in the slot `slot`: the segment that ended
    /// at the sequence number `argument` was one whole request, and the server, whose last answer ended at `other`,
    /// had answered it when it spoke next.
    pub const COUNT: u32 = 7;
}

/// One slot. The kernel acts on it only where `cookie` is the socket's own, so two sockets that share a slot cost
/// each other a repeated word, never a wrong one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    pub cookie: u64,
    /// One of [`verb`].
    pub verb: u32,
    pub argument: u32,
    pub other: u32,
    pub slot: u32,
}

const _: () = assert!(size_of::<Control>() == 24);

/// A power of two: 65,536 slots of 24 bytes are 1.5 MiB.
pub const CONTROL_SLOTS: u32 = 1 << 16;

/// Cookies are handed out in order, so neighbours never share a slot.
#[must_use]
pub const fn control_slot(cookie: u64) -> u32 {
    (cookie as u32) & (CONTROL_SLOTS - 1)
}
