//! What the kernel programs and the daemon agree on: event layouts, counters, the control table.
//!
//! Everything here is integers and byte arrays in `repr(C)` with explicit padding; sizes are asserted at compile
//! time. No enums or bools cross the border: the daemon decodes the numbers and counts what it does not know.
#![no_std]
#![forbid(unsafe_code)]

mod control;
mod counter;
mod event;
mod repeats;
mod socket;

pub use control::{CONTROL_SLOTS, Control, control_slot, verb};
pub use counter::Counter;
pub use event::{
    BURST_CHUNK, Data, Header, LARGE_CHUNK, MEDIUM_CHUNK, SMALL_CHUNK, TOKEN_CHUNK, TcpClose, TcpOpen, Tuple,
    UdpOpen, flag, kind, tcp_state,
};
pub use repeats::{HASH_KEY_WORDS, LONGEST_REPEAT, REPEAT_SLOTS, Repeated, Repeats, counting};
pub use socket::{
    Direction, PARKING_SLOTS, Parked, Socket, Stream, TWIN_SLOTS, UdpConversation, UdpKey, continuation, mode,
};

/// Settings that the daemon writes into the kernel programs before it loads them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes captured each time the client speaks after the server has spoken.
    pub client_allowance: u32,
    /// Bytes captured each time the server speaks after the client has spoken.
    pub server_allowance: u32,
    /// The daemon drains the ring by the clock; with this many bytes waiting it is woken.
    pub wake_at: u32,
    /// Not 0: a client's end ships although its server's end on this node does.
    pub both_ends: u32,
}

impl Settings {
    /// The longest request head that is read whole. An EKS token alone is 1.2 KB; nginx and Go stop at 8 KB and 1 MB.
    pub const DEFAULT_CLIENT_ALLOWANCE: u32 = 16 * 1024;
    /// Enough for a response head, and for a TLS 1.2 server flight up to its CertificateRequest.
    pub const DEFAULT_SERVER_ALLOWANCE: u32 = 4 * 1024;
    /// An eighth of the default ring: at 100,000 requests a second with a token each, 5 ms of them.
    pub const DEFAULT_WAKE_AT: u32 = 1 << 20;
    /// What the kernel programs' bounded loop can carry: six chunks of [`LARGE_CHUNK`].
    pub const MAX_ALLOWANCE: u32 = 6 * LARGE_CHUNK as u32;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_allowance: Self::DEFAULT_CLIENT_ALLOWANCE,
            server_allowance: Self::DEFAULT_SERVER_ALLOWANCE,
            wake_at: Self::DEFAULT_WAKE_AT,
            both_ends: 0,
        }
    }
}
