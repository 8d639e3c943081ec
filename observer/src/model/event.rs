use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A socket's cookie: unique on this host until it reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Which way bytes went, as seen from the socket that reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Received,
    Sent,
}

/// What the kernel sent.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    Open(Open),
    Close(Close),
    Payload(Payload<'a>),
    UdpClose(UdpClose),
    Repeats(Repeats),
}

impl Event<'_> {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Open(open) => open.time,
            Self::Close(close) => close.time,
            Self::Payload(payload) => payload.time,
            Self::UdpClose(close) => close.last,
            Self::Repeats(repeats) => repeats.time,
        }
    }
}

/// A connection was established, or a UDP conversation began.
#[derive(Clone, Debug)]
pub struct Open {
    pub cookie: Cookie,
    pub time: Timestamp,
    pub transport: Transport,
    pub local: Endpoint,
    pub remote: Endpoint,
    /// Inode of the socket's cgroup directory.
    pub cgroup: Option<u64>,
    /// This end opened it. `None` where the kernel did not see who did.
    pub client: Option<bool>,
    /// It talked before the programs were attached.
    pub midstream: bool,
    /// TCP sequence numbers of the first byte (sent, received): the name of a connection that NAT leaves alone.
    pub start: Option<(u32, u32)>,
}

/// Bytes of one segment or datagram. Not `Debug` by its bytes: they may hold a credential.
#[derive(Clone)]
pub struct Payload<'a> {
    pub cookie: Cookie,
    pub time: Timestamp,
    pub transport: Transport,
    pub direction: Direction,
    pub cgroup: Option<u64>,
    /// TCP sequence number of the first byte.
    pub sequence: u32,
    pub bytes: &'a [u8],
    /// Bytes of this segment after these that the kernel left out.
    pub left_out: u32,
    /// The first bytes of this direction since the other end spoke.
    pub turn: bool,
    /// The kernel walks over HTTP/2 frames here: `turn` says that a frame starts and that, unless `lossy`, only DATA
    /// was left out before it.
    pub walked: bool,
    /// Some bytes of this connection before these found no room in the ring.
    pub lossy: bool,
    /// They passed the loopback interface: both ends are in one network namespace.
    pub loopback: bool,
    /// The segment says, byte for byte, what the client's last one said.
    pub again: bool,
    /// Requests were counted before it, and are no longer: [`Repeats`] come first.
    pub counted: bool,
    /// (local, remote), of datagrams and where `at_listener`; otherwise the socket's own event told them.
    pub ends: Option<(Endpoint, Endpoint)>,
    /// The segment met the listener instead of its own socket: `cookie` is the listener's.
    pub at_listener: bool,
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("cookie", &self.cookie)
            .field("direction", &self.direction)
            .field("sequence", &self.sequence)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Requests that the kernel counted: each said, byte for byte, what the one before it had said, and was answered with
/// the same status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    pub cookie: Cookie,
    /// When they were asked for.
    pub time: Timestamp,
    /// TCP sequence numbers: where counting began in what the client says, how far it got, and how far the server
    /// got. `None` if it did not begin.
    pub counted: Option<(u32, u32, u32)>,
    /// Answers that were counted since then.
    pub answers: u32,
    /// Nothing more is counted.
    pub over: bool,
}

/// A TCP connection, or an attempt at one, ended.
#[derive(Clone, Debug)]
pub struct Close {
    pub cookie: Cookie,
    pub time: Timestamp,
    pub opened: Timestamp,
    pub local: Endpoint,
    pub remote: Endpoint,
    pub cgroup: Option<u64>,
    pub client: Option<bool>,
    pub established: bool,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub reason: super::CloseReason,
}

/// A UDP conversation was idle for long enough, with what was counted of it.
#[derive(Clone, Debug)]
pub struct UdpClose {
    pub cookie: Cookie,
    pub remote: Endpoint,
    pub last: Timestamp,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}
