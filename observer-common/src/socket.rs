//! What the kernel programs remember of a socket.

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
    /// With `skipping`: leave out what comes before this sequence number.
    pub resume_at: u32,
    /// 1 while bytes are left out up to `resume_at`.
    pub skipping: u32,
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
    pub padding: u32,
}

const _: () = assert!(size_of::<Socket>() == 80);

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
