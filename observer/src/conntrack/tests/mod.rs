mod flows;
mod memory;
mod streams;
mod twins;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Piece, Settings, Table};
use crate::model::{Close, CloseReason, Cookie, Direction, Endpoint, Open, Payload, Timestamp, Transport};

/// What a direction delivered, in order.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Bytes(Vec<u8>, bool),
    Gap(u64),
}

impl From<Piece<'_>> for Heard {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Bytes { bytes, turn } => Self::Bytes(bytes.to_vec(), turn),
            Piece::Gap { len } => Self::Gap(len),
        }
    }
}

/// A session that remembers what it was told, and whether the client said it.
type Diary = Vec<(bool, Heard)>;

fn note(diary: &mut Diary, client: bool, piece: Piece<'_>) {
    diary.push((client, piece.into()));
}

fn table() -> Table<Diary> {
    Table::new(Settings::default())
}

/// Milliseconds after the start of the test.
fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_000) + Duration::from_millis(milliseconds)
}

fn pod(last: u8, port: u16) -> Endpoint {
    Endpoint { ip: Ipv4Addr::new(10, 244, 0, last).into(), port }
}

fn open(cookie: u64, client: bool, local: Endpoint, remote: Endpoint, start: (u32, u32)) -> Open {
    Open {
        cookie: Cookie(cookie),
        time: at(0),
        transport: Transport::Tcp,
        local,
        remote,
        cgroup: Some(cookie * 100),
        client: Some(client),
        midstream: false,
        start: Some(start),
    }
}

fn close(open: &Open, milliseconds: u64) -> Close {
    Close {
        cookie: open.cookie,
        time: at(milliseconds),
        opened: open.time,
        local: open.local,
        remote: open.remote,
        cgroup: open.cgroup,
        client: open.client,
        established: true,
        bytes_sent: 1,
        bytes_received: 2,
        reason: CloseReason::Fin,
    }
}

fn payload(cookie: u64, direction: Direction, sequence: u32, bytes: &[u8]) -> Payload<'_> {
    Payload {
        cookie: Cookie(cookie),
        time: at(1),
        transport: Transport::Tcp,
        direction,
        cgroup: None,
        sequence,
        bytes,
        left_out: 0,
        turn: false,
        walked: false,
        lossy: false,
        loopback: false,
        again: false,
        counted: false,
        ends: None,
        at_listener: false,
    }
}

fn said(client: bool, bytes: &[u8], turn: bool) -> (bool, Heard) {
    (client, Heard::Bytes(bytes.to_vec(), turn))
}
