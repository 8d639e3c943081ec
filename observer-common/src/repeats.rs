//! Requests that say, byte for byte, what the one before them said: they are counted where the daemon can read it, and
//! not shipped.

/// One connection's counts: a slot of an array that is mapped into the daemon's memory, which hands the slots out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Repeats {
    /// Whose they are; 0: nobody's. Written by the daemon.
    pub cookie: u64,
    /// Where counting began in what the client says: a sequence number.
    pub since: u32,
    /// The sequence number after the client's last segment that was counted.
    pub client_next: u32,
    /// The sequence number after the server's last byte that was left out.
    pub server_next: u32,
    /// Answers that were counted, one each time the server spoke.
    pub answers: u32,
    /// One of [`counting`].
    pub counting: u32,
    /// Not 0: the daemon wants the next request shipped. Written by the daemon.
    pub enough: u32,
}

const _: () = assert!(size_of::<Repeats>() == 32);

/// What became of a slot: [`Repeats::counting`].
pub mod counting {
    /// The socket has not heard of it yet.
    pub const ASKED: u32 = 0;
    pub const COUNTING: u32 = 1;
    /// Something else was said. The slot changes no more.
    pub const STOPPED: u32 = 2;
    /// Something else was said before it heard: nothing was counted.
    pub const REFUSED: u32 = 3;
}

/// Longer segments are not compared. A request with a ServiceAccount token fits.
pub const LONGEST_REPEAT: usize = 2048;
/// The random key with which segments are hashed: a word for each of theirs, and one more.
pub const HASH_KEY_WORDS: usize = LONGEST_REPEAT / 8 + 1;

/// Connections that are counted at a time: 256 KiB. The others are shipped.
pub const REPEAT_SLOTS: u32 = 1 << 13;

/// What a socket remembers of its client's last segment and of its server's last turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Repeated {
    /// Keyed hash of the segment.
    pub hash: [u64; 2],
    /// The first bytes of the turn: a status line's start.
    pub status: u64,
    /// The segment's length; 0: there is none to compare with.
    pub length: u32,
    /// The sequence number after the first of the equal segments.
    pub since: u32,
    /// The sequence number of the first byte of the first of the equal turns.
    pub status_since: u32,
    /// One more than the slot in which the daemon wants repeats counted; 0: nowhere.
    pub slot: u32,
}
