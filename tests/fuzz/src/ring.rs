//! Records of the ring: what can be decoded goes on through the table of flows to their sessions.

use observer::conntrack::{self, Table};
use observer::decode::{self, ClockOffset, DecodeError};
use observer::model::{Event, Timestamp, Transport};
use observer::protocol::{MOST_KEPT, Piece, Session, Settings};

use crate::witness::Notes;

/// Few, so that a short input fills the table.
const MOST_FLOWS: usize = 4;
const CLOCK: ClockOffset = ClockOffset(1_000_000);
/// What a record's fixed part takes at least.
const HEADER: usize = 32;

/// Each record comes after its length in two bytes.
pub fn run(mut input: &[u8]) {
    let mut pipeline = Pipeline::default();
    while let Some((length, rest)) = input.split_first_chunk() {
        let (record, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        input = rest;
        match decode::event(record, CLOCK) {
            Ok(event) => {
                assert!(record.len() >= HEADER && event.time() >= CLOCK.wall(0));
                pipeline.take(event, record);
            }
            Err(DecodeError::Short(length)) => assert_eq!(length, record.len()),
            Err(DecodeError::LyingLength { claimed, present }) => assert!(claimed as usize > present),
            Err(DecodeError::UnknownKind(kind)) => {
                assert!(record.len() >= HEADER && !(1..=5).contains(&kind))
            }
        }
        let (key, value) = record.split_at(record.len() / 2);
        let _ = decode::conversation(key, value, CLOCK);
    }
    pipeline.end();
}

#[derive(Default)]
struct Flow {
    session: Session,
    notes: Notes,
    /// Bytes delivered, and the longest of the pieces.
    said: usize,
    longest: usize,
}

impl Flow {
    fn hear(&mut self, client: bool, piece: conntrack::Piece<'_>, settings: &Settings) {
        let piece = match piece {
            conntrack::Piece::Bytes { bytes, turn } => {
                (self.said, self.longest) = (self.said + bytes.len(), self.longest.max(bytes.len()));
                Piece::Bytes { bytes, turn }
            }
            conntrack::Piece::Gap { len } => Piece::Gap { len },
        };
        self.session.push(client, piece, settings, &mut self.notes);
        assert!(self.session.kept() <= MOST_KEPT + self.longest);
    }
}

struct Pipeline {
    table: Table<Flow>,
    settings: Settings,
    /// Bytes that went in.
    captured: usize,
}

impl Default for Pipeline {
    fn default() -> Self {
        let settings = conntrack::Settings { max_flows: MOST_FLOWS, ..conntrack::Settings::default() };
        Self { table: Table::new(settings), settings: Settings::default(), captured: 0 }
    }
}

impl Pipeline {
    fn take(&mut self, event: Event<'_>, record: &[u8]) {
        let Self { table, settings, captured } = self;
        let deliver =
            |flow: &mut Flow, client, piece: conntrack::Piece<'_>| flow.hear(client, piece, settings);
        let now = event.time();
        match event {
            Event::Open(open) => {
                let (cookie, midstream) = (open.cookie, open.midstream);
                let _ = table.open(open, deliver);
                if let Some(flow) = table.get_mut(cookie).filter(|_| midstream) {
                    flow.session.session.attach_midstream(&mut flow.session.notes);
                }
            }
            Event::Payload(payload) => {
                assert!(contains(record, payload.bytes));
                *captured += payload.bytes.len();
                if payload.transport == Transport::Udp {
                    let port = payload.ends.map_or(0, |(local, _)| local.port);
                    let _ = observer::protocol::datagram(payload.bytes, port);
                }
                let _ = table.payload(&payload, deliver);
            }
            Event::Close(close) => {
                if let Some(flow) = table.close(close, deliver) {
                    finish(flow.session, *captured);
                }
            }
            Event::UdpClose(close) => {
                let _ = table.close_udp(&close);
            }
            Event::Repeats(_) => unreachable!("these come from memory, not from the ring"),
        }
        assert!(table.len() <= MOST_FLOWS, "{} flows", table.len());
        self.tick(now);
    }

    fn tick(&mut self, now: Timestamp) {
        let Self { table, settings, captured } = self;
        for cookie in table.tick(now, |flow, client, piece| flow.hear(client, piece, settings)) {
            if let Some(flow) = table.keep(cookie) {
                finish(flow.session, *captured);
            }
        }
        for flow in table.make_room() {
            finish(flow.session, *captured);
        }
    }

    fn end(mut self) {
        self.tick(Timestamp(u64::MAX / 2));
        let captured = self.captured;
        for flow in self.table.iter_mut() {
            finish(std::mem::take(&mut flow.session), captured);
        }
    }
}

fn finish(mut flow: Flow, captured: usize) {
    assert!(flow.said <= captured, "{} bytes were delivered of {captured}", flow.said);
    flow.session.finish(&mut flow.notes);
    assert_eq!(flow.session.kept(), 0);
}

fn contains(record: &[u8], part: &[u8]) -> bool {
    part.is_empty() || record.windows(part.len()).any(|window| window == part)
}

/// Records as an input: the inverse of [`run`].
pub fn write(records: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for record in records {
        input.extend(u16::try_from(record.len()).unwrap_or(u16::MAX).to_le_bytes());
        input.extend(record);
    }
    input
}
