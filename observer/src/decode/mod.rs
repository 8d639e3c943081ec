//! Bytes of the ring -> [`Event`]. Fallible: what cannot be read is an error with a name, for its caller to count.

use std::net::{IpAddr, Ipv6Addr};

use bytes::{Buf, TryGetError};
use observer_common::{flag, kind, tcp_state};
use thiserror::Error;

use crate::model::{
    Close, CloseReason, Cookie, Direction, Endpoint, Event, Open, Payload, Timestamp, Transport, UdpClose,
};

/// Why a record is not an event.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("record of {0} bytes ends too early")]
    Short(usize),
    #[error("record of unknown kind {0}")]
    UnknownKind(u16),
    #[error("record claims {claimed} payload bytes and has {present}")]
    LyingLength { claimed: u32, present: usize },
}

/// Turns the kernel's monotonic clock into wall-clock time.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockOffset(pub u64);

impl ClockOffset {
    #[must_use]
    pub fn wall(self, monotonic: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(monotonic))
    }
}

/// What is counted of a UDP conversation, read from the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub cookie: Cookie,
    pub remote: Endpoint,
    pub last: Timestamp,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

struct Header {
    kind: u16,
    flags: u16,
    len: u32,
    cookie: Cookie,
    time: Timestamp,
    cgroup: Option<u64>,
}

/// Decodes one record; layouts are those of `observer_common`.
///
/// # Errors
/// A record that is too short, of unknown kind, or shorter than it says.
pub fn event(record: &[u8], clock: ClockOffset) -> Result<Event<'_>, DecodeError> {
    let short = |_: TryGetError| DecodeError::Short(record.len());
    let mut rest = record;
    let header = header(&mut rest, clock).map_err(short)?;
    match header.kind {
        kind::TCP_OPEN | kind::UDP_OPEN => open(&header, &mut rest).map(Event::Open).map_err(short),
        kind::TCP_CLOSE => close(&header, &mut rest, clock).map(Event::Close).map_err(short),
        kind::TCP_DATA | kind::UDP_DATA => {
            let ends = tuple(&mut rest).map_err(short)?;
            let at_listener = header.flags & flag::LISTENER != 0;
            let sequence = rest.try_get_u32_ne().map_err(short)?;
            let left_out = rest.try_get_u32_ne().map_err(short)?;
            let bytes = rest
                .get(..header.len as usize)
                .ok_or(DecodeError::LyingLength { claimed: header.len, present: rest.len() })?;
            Ok(Event::Payload(Payload {
                cookie: header.cookie,
                time: header.time,
                transport: if header.kind == kind::TCP_DATA { Transport::Tcp } else { Transport::Udp },
                direction: direction(header.flags),
                cgroup: header.cgroup,
                sequence,
                bytes,
                left_out,
                turn: header.flags & flag::TURN != 0,
                walked: header.flags & flag::WALKED != 0,
                lossy: header.flags & flag::LOSSY != 0,
                loopback: header.flags & flag::LOOPBACK != 0,
                again: header.flags & flag::AGAIN != 0,
                counted: header.flags & flag::COUNTED != 0,
                ends: (at_listener || header.kind == kind::UDP_DATA).then_some(ends),
                at_listener,
            }))
        }
        other => Err(DecodeError::UnknownKind(other)),
    }
}

/// Decodes one entry of the table of UDP conversations.
///
/// # Errors
/// An entry that is too short.
pub fn conversation(key: &[u8], value: &[u8], clock: ClockOffset) -> Result<Conversation, DecodeError> {
    let short = |_: TryGetError| DecodeError::Short(key.len() + value.len());
    let (mut key_rest, mut rest) = (key, value);
    let cookie = Cookie(key_rest.try_get_u64_ne().map_err(short)?);
    let ip = ip(&mut key_rest).map_err(short)?;
    let port = key_rest.try_get_u16_ne().map_err(short)?;
    let (_cgroup, _first) = (rest.try_get_u64_ne().map_err(short)?, rest.try_get_u64_ne().map_err(short)?);
    let last = clock.wall(rest.try_get_u64_ne().map_err(short)?);
    let bytes_sent = rest.try_get_u64_ne().map_err(short)?;
    let bytes_received = rest.try_get_u64_ne().map_err(short)?;
    Ok(Conversation { cookie, remote: Endpoint { ip, port }, last, bytes_sent, bytes_received })
}

impl From<Conversation> for UdpClose {
    fn from(conversation: Conversation) -> Self {
        let Conversation { cookie, remote, last, bytes_sent, bytes_received } = conversation;
        Self { cookie, remote, last, bytes_sent, bytes_received }
    }
}

fn header(rest: &mut &[u8], clock: ClockOffset) -> Result<Header, TryGetError> {
    Ok(Header {
        kind: rest.try_get_u16_ne()?,
        flags: rest.try_get_u16_ne()?,
        len: rest.try_get_u32_ne()?,
        cookie: Cookie(rest.try_get_u64_ne()?),
        time: clock.wall(rest.try_get_u64_ne()?),
        cgroup: Some(rest.try_get_u64_ne()?).filter(|&cgroup| cgroup != 0),
    })
}

fn tuple(rest: &mut &[u8]) -> Result<(Endpoint, Endpoint), TryGetError> {
    let (local_ip, remote_ip) = (ip(rest)?, ip(rest)?);
    let (local_port, remote_port) = (rest.try_get_u16_ne()?, rest.try_get_u16_ne()?);
    rest.try_get_u32_ne()?;
    Ok((Endpoint { ip: local_ip, port: local_port }, Endpoint { ip: remote_ip, port: remote_port }))
}

/// 16 bytes in network byte order; IPv4 comes as an IPv4-mapped address.
fn ip(rest: &mut &[u8]) -> Result<IpAddr, TryGetError> {
    Ok(Ipv6Addr::from_bits(rest.try_get_u128()?).to_canonical())
}

fn direction(flags: u16) -> Direction {
    if flags & flag::SENT != 0 { Direction::Sent } else { Direction::Received }
}

fn role(flags: u16) -> Option<bool> {
    match (flags & flag::CLIENT != 0, flags & flag::SERVER != 0) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

fn open(header: &Header, rest: &mut &[u8]) -> Result<Open, TryGetError> {
    let (local, remote) = tuple(rest)?;
    let transport = if header.kind == kind::TCP_OPEN { Transport::Tcp } else { Transport::Udp };
    let midstream = header.flags & flag::MIDSTREAM != 0;
    let start = match transport {
        Transport::Tcp => Some((rest.try_get_u32_ne()?, rest.try_get_u32_ne()?)).filter(|_| !midstream),
        Transport::Udp => None,
    };
    // Who sends first opens a UDP conversation.
    let client = match transport {
        Transport::Tcp => role(header.flags),
        Transport::Udp => Some(header.flags & flag::SENT != 0),
    };
    Ok(Open {
        cookie: header.cookie,
        time: header.time,
        transport,
        local,
        remote,
        cgroup: header.cgroup,
        client,
        midstream,
        start,
    })
}

fn close(header: &Header, rest: &mut &[u8], clock: ClockOffset) -> Result<Close, TryGetError> {
    let (local, remote) = tuple(rest)?;
    let opened = clock.wall(rest.try_get_u64_ne()?);
    let bytes_sent = rest.try_get_u64_ne()?;
    let bytes_received = rest.try_get_u64_ne()?;
    let old_state = rest.try_get_u8()?;
    rest.try_copy_to_slice(&mut [0; 7])?;
    Ok(Close {
        cookie: header.cookie,
        time: header.time,
        opened,
        local,
        remote,
        cgroup: header.cgroup,
        client: role(header.flags),
        established: !matches!(old_state, tcp_state::SYN_SENT | tcp_state::SYN_RECV),
        bytes_sent,
        bytes_received,
        reason: close_reason(old_state, header.flags),
    })
}

/// The state that was left tells how: FIN went both ways, or the connection was cut.
fn close_reason(old_state: u8, flags: u16) -> CloseReason {
    if flags & flag::TIMED_OUT != 0 {
        return CloseReason::Timeout;
    }
    let reset = flags & flag::RESET_RECEIVED != 0;
    match old_state {
        tcp_state::SYN_SENT if reset => CloseReason::Refused,
        _ if reset => CloseReason::Reset,
        tcp_state::FIN_WAIT2 | tcp_state::LAST_ACK | tcp_state::TIME_WAIT | tcp_state::CLOSING => {
            CloseReason::Fin
        }
        _ => CloseReason::Aborted,
    }
}

#[cfg(test)]
mod tests;
