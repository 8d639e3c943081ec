//! The records of the ring buffer.

/// What a record is; the first field of its [`Header`].
pub mod kind {
    /// A TCP connection was established, or was first seen after it had been: [`super::TcpOpen`].
    pub const TCP_OPEN: u16 = 1;
    /// A TCP connection, or an attempt at one, ended: [`super::TcpClose`].
    pub const TCP_CLOSE: u16 = 2;
    /// Bytes of one TCP segment: [`super::Data`].
    pub const TCP_DATA: u16 = 3;
    /// A UDP conversation began: [`super::UdpOpen`], followed by its first datagram as [`UDP_DATA`].
    pub const UDP_OPEN: u16 = 4;
    /// The start of a datagram: [`super::Data`].
    pub const UDP_DATA: u16 = 5;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// This end called connect().
    pub const CLIENT: u16 = 1 << 0;
    /// This end accepted the connection.
    pub const SERVER: u16 = 1 << 1;
    /// The connection existed before the programs were attached: its first bytes were not seen.
    pub const MIDSTREAM: u16 = 1 << 2;
    /// The bytes left this socket; otherwise they arrived at it.
    pub const SENT: u16 = 1 << 3;
    /// First bytes of this direction since the other end spoke: whatever is missing before them was left out on
    /// purpose, and the peer has it.
    pub const TURN: u16 = 1 << 4;
    /// The segment arrived before its socket existed, at the listener: `cookie` is the listener's.
    pub const LISTENER: u16 = 1 << 5;
    /// An RST arrived from the peer.
    pub const RESET_RECEIVED: u16 = 1 << 6;
    /// The kernel gave up retransmitting.
    pub const TIMED_OUT: u16 = 1 << 7;
    /// The programs' bounded memory had no room: bytes of this connection were not captured.
    pub const LOSSY: u16 = 1 << 8;
    /// The programs walk over the HTTP/2 frames of this direction. `TURN` says that the first byte here starts a frame,
    /// and, unless `LOSSY` is set, that nothing but DATA lies between the bytes before it and this one.
    pub const WALKED: u16 = 1 << 9;
    /// The bytes passed the loopback interface: both ends are in one network namespace.
    pub const LOOPBACK: u16 = 1 << 10;
    /// The segment says, byte for byte, what the client's last one said.
    pub const AGAIN: u16 = 1 << 11;
    /// In the kernel alone: the other end reports this connection, and this one says nothing of it.
    pub const MUTED: u16 = 1 << 13;
    /// Requests were counted before these bytes, and are no longer: see [`super::super::Repeats`].
    pub const COUNTED: u16 = 1 << 12;
}

/// TCP states as `include/net/tcp_states.h` numbers them (UAPI through `BPF_TCP_*`).
pub mod tcp_state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
}

/// Starts every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Payload bytes that follow the fixed part.
    pub len: u32,
    /// The socket's cookie: unique on this host until it reboots.
    pub cookie: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time: u64,
    /// Inode of the socket's cgroup directory; 0 where it is not known yet.
    pub cgroup: u64,
}

/// A socket's addresses as the socket has them. IPv4 is written as `::ffff:a.b.c.d`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Network byte order.
    pub local_ip: [u8; 16],
    /// Network byte order.
    pub remote_ip: [u8; 16],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    pub padding: [u8; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpOpen {
    pub header: Header,
    pub tuple: Tuple,
    /// Sequence number of the first byte this end sends. With `received_start`, the one name of a connection that
    /// address translation leaves alone.
    pub sent_start: u32,
    /// Sequence number of the first byte this end receives.
    pub received_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpClose {
    pub header: Header,
    pub tuple: Tuple,
    /// When connect() was called, the connection was accepted, or it was first seen.
    pub opened: u64,
    /// Payload bytes that the peer acknowledged.
    pub bytes_sent: u64,
    /// Payload bytes that arrived in order.
    pub bytes_received: u64,
    /// The state that was left: one of [`tcp_state`].
    pub old_state: u8,
    pub padding: [u8; 7],
}

/// The fixed part of a record with payload; `header.len` bytes follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Data {
    pub header: Header,
    /// Only filled in where the flag `LISTENER` is set, and for datagrams.
    pub tuple: Tuple,
    /// Sequence number of the first byte here. 0 for datagrams.
    pub sequence: u32,
    /// Bytes of the segment after these that were left out: the allowance was used up.
    pub left_out: u32,
}

/// A UDP conversation: one socket and one peer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpOpen {
    pub header: Header,
    pub tuple: Tuple,
}

/// `bpf_ringbuf_reserve` wants sizes the verifier knows, so payload comes in four classes. Most requests and responses
/// fit the first; a head with a ServiceAccount token the third.
pub const SMALL_CHUNK: usize = 256;
/// See [`SMALL_CHUNK`].
pub const MEDIUM_CHUNK: usize = 1024;
/// See [`SMALL_CHUNK`].
pub const TOKEN_CHUNK: usize = 2048;
/// See [`SMALL_CHUNK`].
pub const LARGE_CHUNK: usize = 4096;
/// HTTP/2 clients with many requests at once fill whole packets, of which all is wanted.
pub const BURST_CHUNK: usize = 16 * 1024;

const _: () = {
    assert!(size_of::<Header>() == 32);
    assert!(size_of::<Tuple>() == 40);
    assert!(size_of::<TcpOpen>() == 80);
    assert!(size_of::<TcpClose>() == 104);
    assert!(size_of::<Data>() == 80);
    assert!(size_of::<UdpOpen>() == 72);
};
