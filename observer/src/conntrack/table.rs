use std::collections::VecDeque;
use std::time::Duration;

use super::role::{Role, role};
use super::stream::{Piece, Stream};
use crate::model::{
    Close, CloseReason, Cookie, Direction, Endpoint, HashMap, Open, Payload, Timestamp, Transport, UdpClose,
};

/// Bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Flows at a time. One costs about 1 KiB at rest, and up to 64 KiB while segments are held back.
    pub max_flows: usize,
    /// How long a client's end waits for its server's.
    pub twin_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_flows: 65_536, twin_wait: Duration::from_secs(1) }
    }
}

/// Segments that met the listener wait this long for their connection to open.
const ORPHAN_WAIT: Duration = Duration::from_secs(1);
/// And so many of them at a time.
const MAX_ORPHANS: usize = 1024;
/// The window of a SYN-ACK is never scaled (RFC 7323 section 2.2): a client sends no more before its connection opens.
const FIRST_WINDOW: u32 = u16::MAX as u32;

/// What the client's own end of a connection knows that the server's cannot.
#[derive(Clone, Debug)]
pub struct Twin {
    pub cookie: Cookie,
    pub cgroup: Option<u64>,
    /// The client's own address, before it was translated.
    pub local: Endpoint,
    /// The address that the client dialled, before it was translated.
    pub dialled: Endpoint,
}

/// Whether a flow speaks for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A client's end, until then waiting for the server's.
    Waiting {
        until: Timestamp,
    },
    Reporting,
}

/// A live flow, as one of its ends sees it.
pub struct Flow<S> {
    pub cookie: Cookie,
    pub transport: Transport,
    pub role: Role,
    pub local: Endpoint,
    pub remote: Endpoint,
    pub cgroup: Option<u64>,
    pub opened: Timestamp,
    /// It talked before it was seen.
    pub midstream: bool,
    /// Its bytes pass the loopback interface: both ends are in one network namespace.
    pub loopback: bool,
    pub twin: Option<Twin>,
    pub stage: Stage,
    pub closed: Option<Box<Close>>,
    pub last_seen: Timestamp,
    pub(super) received: Stream,
    pub(super) sent: Stream,
    start: Option<(u32, u32)>,
    pub session: S,
}

impl<S> Flow<S> {
    /// The client's and the server's address.
    #[must_use]
    pub fn ends(&self) -> (Endpoint, Endpoint) {
        match self.role {
            Role::Client => (self.local, self.remote),
            Role::Server => (self.remote, self.local),
        }
    }

    /// Whether bytes of this direction come from the client.
    #[must_use]
    pub fn from_client(&self, direction: Direction) -> bool {
        (self.role == Role::Client) == (direction == Direction::Sent)
    }

    /// The sequence number `ahead` bytes after the next one of what the client (or the server) says, with the
    /// direction that is at this end.
    #[must_use]
    pub fn sequence_after(&self, client: bool, ahead: u64) -> Option<(Direction, u32)> {
        if self.from_client(Direction::Sent) == client {
            Some((Direction::Sent, self.sent.sequence_after(ahead)?))
        } else {
            Some((Direction::Received, self.received.sequence_after(ahead)?))
        }
    }
}

struct Orphan {
    local: Endpoint,
    remote: Endpoint,
    sequence: u32,
    bytes: zeroize::Zeroizing<Vec<u8>>,
    left_out: u32,
    time: Timestamp,
}

/// The flows of a node.
pub struct Table<S> {
    settings: Settings,
    /// Boxed: a table that grows by doubling holds as much emptiness as flows.
    pub(super) flows: HashMap<Cookie, Box<Flow<S>>>,
    /// UDP: one socket has many peers.
    conversations: HashMap<(Cookie, Endpoint), Flow<S>>,
    /// Clients' ends that wait, by (first byte they send, first byte they receive).
    waiting: HashMap<(u32, u32), Cookie>,
    orphans: VecDeque<Orphan>,
    /// Flows that holes or deadlines make worth a look at the next tick.
    restless: Vec<Cookie>,
    refused: u64,
}

impl<S: Default> Table<S> {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            flows: HashMap::default(),
            conversations: HashMap::default(),
            waiting: HashMap::default(),
            orphans: VecDeque::new(),
            restless: Vec::new(),
            refused: 0,
        }
    }

    /// Live flows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len() + self.conversations.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Flows and segments that found the table full or had to make room, since start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// A table that is nearly full holds flows whose end was lost: takes out the ones that were silent for longest,
    /// an eighth of all, so that new ones find room. Empty while there is room enough.
    pub fn make_room(&mut self) -> Vec<Flow<S>> {
        let bound = self.settings.max_flows;
        if self.len() < bound - bound / 16 {
            return Vec::new();
        }
        let mut ages: Vec<(Timestamp, Cookie)> =
            self.flows.values().map(|flow| (flow.last_seen, flow.cookie)).collect();
        ages.sort_unstable();
        ages.truncate(bound / 8);
        self.refused += ages.len() as u64;
        ages.into_iter().filter_map(|(_, cookie)| self.remove(cookie)).collect()
    }

    /// A connection opened. If this is the server's end of one whose client's end waits here, the two become one
    /// flow, and the answer names the client's socket: nobody needs its bytes any more.
    pub fn open(&mut self, open: Open, mut deliver: impl FnMut(&mut S, bool, Piece<'_>)) -> Option<Cookie> {
        if open.transport == Transport::Tcp && self.flows.contains_key(&open.cookie) {
            // An old socket is told again where the kernel had no memory to note that it was.
            return None;
        }
        if self.len() >= self.settings.max_flows {
            self.refused += 1;
            return None;
        }
        let role = role(&open);
        let (mut sent, mut received) = (Stream::default(), Stream::default());
        if let Some((sent_start, received_start)) = open.start {
            (sent, received) = (Stream::starting_at(sent_start), Stream::starting_at(received_start));
        }
        let mut flow = Flow {
            cookie: open.cookie,
            transport: open.transport,
            role,
            local: open.local,
            remote: open.remote,
            cgroup: open.cgroup,
            opened: open.time,
            midstream: open.midstream,
            loopback: false,
            twin: None,
            stage: Stage::Reporting,
            closed: None,
            last_seen: open.time,
            received,
            sent,
            start: open.start,
            session: S::default(),
        };
        let mut twin = None;
        match (role, open.transport) {
            (_, Transport::Udp) => {}
            (Role::Client, Transport::Tcp) => self.wait_for_twin(&mut flow),
            (Role::Server, Transport::Tcp) => {
                twin = self.join(&mut flow);
                self.adopt_orphans(&mut flow, &mut deliver);
            }
        }
        match flow.transport {
            Transport::Tcp => drop(self.flows.insert(flow.cookie, Box::new(flow))),
            Transport::Udp => drop(self.conversations.insert((flow.cookie, flow.remote), flow)),
        }
        twin
    }

    fn wait_for_twin(&mut self, flow: &mut Flow<S>) {
        flow.stage = Stage::Waiting { until: flow.opened + self.settings.twin_wait };
        self.restless.push(flow.cookie);
        if let Some(start) = flow.start {
            self.waiting.insert(start, flow.cookie);
        }
    }

    /// What one end sends first the other receives first: no address translation changes that.
    fn join(&mut self, server: &mut Flow<S>) -> Option<Cookie> {
        let (sent, received) = server.start?;
        let cookie = self.waiting.remove(&(received, sent))?;
        let client = self.flows.remove(&cookie)?;
        server.twin =
            Some(Twin { cookie, cgroup: client.cgroup, local: client.local, dialled: client.remote });
        Some(cookie)
    }

    fn adopt_orphans(&mut self, flow: &mut Flow<S>, deliver: &mut impl FnMut(&mut S, bool, Piece<'_>)) {
        let (local, remote) = (flow.local, flow.remote);
        let mine = |orphan: &Orphan| orphan.local == local && orphan.remote == remote;
        while let Some(index) = self.orphans.iter().position(mine) {
            let Some(orphan) = self.orphans.remove(index) else { return };
            let Orphan { sequence, bytes, left_out, time, .. } = orphan;
            // Several may have met the listener, in any order: only the first leaves no hole before it. One of an
            // earlier connection between the same ports lies elsewhere.
            let ahead = flow.start.map_or(0, |(_, first)| sequence.wrapping_sub(first));
            if ahead > FIRST_WINDOW {
                continue;
            }
            let turn = ahead == 0;
            let Flow { received, session, .. } = &mut *flow;
            received.push(sequence, &bytes, turn, left_out, time, &mut |piece| deliver(session, true, piece));
        }
        if flow.received.is_waiting() {
            self.restless.push(flow.cookie);
        }
    }

    /// Bytes arrived. `deliver` gets what is in order now: the session, whether the client said it, the piece.
    /// Answers the flow if it is known.
    pub fn payload(
        &mut self,
        payload: &Payload<'_>,
        mut deliver: impl FnMut(&mut S, bool, Piece<'_>),
    ) -> Option<&mut Flow<S>> {
        let flow = match (payload.transport, payload.ends) {
            (Transport::Tcp, Some((local, remote))) if payload.at_listener => {
                self.keep_orphan(payload, local, remote);
                return None;
            }
            (Transport::Tcp, _) => self.flows.get_mut(&payload.cookie)?.as_mut(),
            (Transport::Udp, ends) => self.conversations.get_mut(&(payload.cookie, ends?.1))?,
        };
        flow.cgroup = flow.cgroup.or(payload.cgroup);
        flow.loopback |= payload.loopback;
        flow.last_seen = payload.time;
        let from_client = flow.from_client(payload.direction);
        let Flow { received, sent, session, .. } = flow;
        let mut deliver = |piece: Piece<'_>| deliver(session, from_client, piece);
        if payload.transport == Transport::Udp {
            deliver(Piece::Bytes { bytes: payload.bytes, turn: true });
            return Some(flow);
        }
        let stream = match payload.direction {
            Direction::Received => received,
            Direction::Sent => sent,
        };
        let waited = stream.is_waiting();
        stream.push(
            payload.sequence,
            payload.bytes,
            payload.turn,
            payload.left_out,
            payload.time,
            &mut deliver,
        );
        if !waited && stream.is_waiting() {
            self.restless.push(payload.cookie);
        }
        Some(flow)
    }

    fn keep_orphan(&mut self, payload: &Payload<'_>, local: Endpoint, remote: Endpoint) {
        if self.orphans.len() >= MAX_ORPHANS {
            self.orphans.pop_front();
            self.refused += 1;
        }
        self.orphans.push_back(Orphan {
            local,
            remote,
            sequence: payload.sequence,
            bytes: payload.bytes.to_vec().into(),
            left_out: payload.left_out,
            time: payload.time,
        });
    }

    /// A connection ended. Answers the flow if its story is complete; a client's end that still waits for its twin
    /// is answered by [`Self::tick`].
    pub fn close(
        &mut self,
        close: Close,
        mut deliver: impl FnMut(&mut S, bool, Piece<'_>),
    ) -> Option<Flow<S>> {
        let cookie = close.cookie;
        if !self.flows.contains_key(&cookie) {
            // A refused or abandoned attempt was never open. Anything else was muted, or its opening was lost and
            // counted then.
            if close.established || close.client != Some(true) {
                return None;
            }
            return Some(Self::attempt(close));
        }
        let flow = self.flows.get_mut(&cookie)?;
        flow.cgroup = flow.cgroup.or(close.cgroup);
        flow.last_seen = close.time;
        for direction in [Direction::Received, Direction::Sent] {
            let from_client = flow.from_client(direction);
            let Flow { received, sent, session, start, .. } = flow.as_mut();
            let (stream, total) = match direction {
                Direction::Received => (received, close.bytes_received),
                Direction::Sent => (sent, close.bytes_sent),
            };
            let mut deliver = |piece: Piece<'_>| deliver(session, from_client, piece);
            stream.finish(&mut deliver);
            if let Some((sent_start, received_start)) = start.filter(|_| close.established) {
                let first = if direction == Direction::Received { received_start } else { sent_start };
                stream.end_at(first, total, &mut deliver);
            }
        }
        flow.closed = Some(Box::new(close));
        match flow.stage {
            Stage::Reporting => self.flows.remove(&cookie).map(|flow| *flow),
            Stage::Waiting { .. } => None,
        }
    }

    /// An attempt at a connection exists at the client's end alone.
    fn attempt(close: Close) -> Flow<S> {
        Flow {
            cookie: close.cookie,
            transport: Transport::Tcp,
            role: Role::Client,
            local: close.local,
            remote: close.remote,
            cgroup: close.cgroup,
            opened: close.opened,
            midstream: false,
            loopback: false,
            twin: None,
            stage: Stage::Reporting,
            last_seen: close.time,
            received: Stream::default(),
            sent: Stream::default(),
            start: None,
            session: S::default(),
            closed: Some(Box::new(close)),
        }
    }

    /// A UDP conversation was idle for long enough.
    pub fn close_udp(&mut self, close: &UdpClose) -> Option<Flow<S>> {
        let mut flow = self.conversations.remove(&(close.cookie, close.remote))?;
        flow.last_seen = close.last;
        flow.closed = Some(Box::new(Close {
            cookie: close.cookie,
            time: close.last,
            opened: flow.opened,
            local: flow.local,
            remote: flow.remote,
            cgroup: flow.cgroup,
            client: Some(flow.role == Role::Client),
            established: true,
            bytes_sent: close.bytes_sent,
            bytes_received: close.bytes_received,
            reason: CloseReason::Unknown,
        }));
        Some(flow)
    }

    /// Time passed. Holes that nothing filled become gaps; answers the clients' ends that waited long enough, for
    /// the caller to decide with [`Self::keep`] or [`Self::remove`].
    pub fn tick(&mut self, now: Timestamp, mut deliver: impl FnMut(&mut S, bool, Piece<'_>)) -> Vec<Cookie> {
        self.orphans.retain(|orphan| now.since(orphan.time) < ORPHAN_WAIT);
        let mut due = Vec::new();
        let mut restless = std::mem::take(&mut self.restless);
        restless.sort_unstable();
        restless.dedup();
        restless.retain(|cookie| {
            let Some(flow) = self.flows.get_mut(cookie) else { return false };
            for direction in [Direction::Received, Direction::Sent] {
                let from_client = flow.from_client(direction);
                let Flow { received, sent, session, .. } = flow.as_mut();
                let stream = if direction == Direction::Received { received } else { sent };
                stream.tick(now, &mut |piece| deliver(session, from_client, piece));
            }
            match flow.stage {
                Stage::Waiting { until } if until <= now => {
                    due.push(*cookie);
                    false
                }
                Stage::Waiting { .. } => true,
                Stage::Reporting => flow.received.is_waiting() || flow.sent.is_waiting(),
            }
        });
        self.restless.append(&mut restless);
        due
    }

    /// A client's end whose server reports nowhere speaks for itself from now on. Answers it whole if it is over.
    pub fn keep(&mut self, cookie: Cookie) -> Option<Flow<S>> {
        let flow = self.flows.get_mut(&cookie)?;
        flow.stage = Stage::Reporting;
        if flow.received.is_waiting() || flow.sent.is_waiting() {
            self.restless.push(cookie);
        }
        let (start, over) = (flow.start, flow.closed.is_some());
        self.stop_waiting(cookie, start);
        if over { self.flows.remove(&cookie).map(|flow| *flow) } else { None }
    }

    /// It is not known yet whether the server of a client's end reports: [`Self::tick`] answers it again at `until`.
    pub fn wait_longer(&mut self, cookie: Cookie, until: Timestamp) {
        if let Some(flow) = self.flows.get_mut(&cookie) {
            flow.stage = Stage::Waiting { until };
            self.restless.push(cookie);
        }
    }

    /// Forgets a flow.
    pub fn remove(&mut self, cookie: Cookie) -> Option<Flow<S>> {
        let flow = self.flows.remove(&cookie)?;
        self.stop_waiting(cookie, flow.start);
        Some(*flow)
    }

    /// Two connections may have the same numbers by chance: the later one's entry is not the earlier one's to drop.
    fn stop_waiting(&mut self, cookie: Cookie, start: Option<(u32, u32)>) {
        if let Some(start) = start
            && self.waiting.get(&start) == Some(&cookie)
        {
            self.waiting.remove(&start);
        }
    }

    /// Forgets a UDP conversation.
    pub fn remove_conversation(&mut self, cookie: Cookie, remote: Endpoint) -> Option<Flow<S>> {
        self.conversations.remove(&(cookie, remote))
    }

    #[must_use]
    pub fn get(&self, cookie: Cookie) -> Option<&Flow<S>> {
        self.flows.get(&cookie).map(Box::as_ref)
    }

    pub fn get_mut(&mut self, cookie: Cookie) -> Option<&mut Flow<S>> {
        self.flows.get_mut(&cookie).map(Box::as_mut)
    }

    pub fn conversation_mut(&mut self, cookie: Cookie, remote: Endpoint) -> Option<&mut Flow<S>> {
        self.conversations.get_mut(&(cookie, remote))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flow<S>> {
        self.flows.values_mut().map(Box::as_mut).chain(self.conversations.values_mut())
    }
}
