//! Events in, records and metrics out: the stages in their order, on one thread.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ends::Resolver;
use super::late::{Late, Place};
use super::provenance::Received;
use super::session::{Awaited, Scribe, Session};
use super::world::World;
use crate::conntrack::{self, Flow, Piece, Role, Table};
use crate::graph::Graph;
use crate::identity::Index;
use crate::model::{Cookie, Direction, EdgeEnd, Encryption, Event, Timestamp, Transport};
use crate::posture::Seen;
use crate::protocol;
use crate::sink::{Sinks, Still};
use crate::token::Verifier;
use crate::verdict::Exemptions;

/// A connection that existed before us tells of its end only while it is watched; after this much silence it is
/// taken for gone.
const MIDSTREAM_IDLE: Duration = Duration::from_secs(3600);

/// How often a client's end that waits for news of its server looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the pipeline wants the kernel to do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Stop(Cookie),
    Resume(Cookie, Direction, u32),
    /// What the client says again needs but be counted: up to these sequence numbers both ends were read.
    Count {
        cookie: Cookie,
        received: u32,
        sent: u32,
    },
    /// The sequence numbers at which a frame of HTTP/2 starts, of what the socket receives and of what it sends.
    Frames {
        cookie: Cookie,
        received: Option<u32>,
        sent: Option<u32>,
    },
}

pub struct Settings {
    pub node: Arc<str>,
    pub protocol: protocol::Settings,
    /// Show, but never count, clients' ends whose server reports elsewhere.
    pub both_ends: bool,
    /// How long a flow waits for news of who its ends are. Zero where no news can come.
    pub identity_wait: Duration,
}

pub struct Pipeline {
    table: Table<Session>,
    verifier: Verifier,
    settings: Settings,
    world: World,
    commands: VecDeque<Command>,
    late: Late,
}

impl Pipeline {
    #[must_use]
    pub fn new(
        settings: Settings,
        conntrack: conntrack::Settings,
        resolver: Resolver,
        graph: Graph,
        exemptions: Exemptions,
        verifier: Verifier,
        sinks: Arc<Sinks>,
    ) -> Self {
        let node = settings.node.clone();
        let identity_wait = settings.identity_wait;
        let (received, seen) = (Received::default(), Seen::default());
        Self {
            table: Table::new(conntrack),
            verifier,
            world: World {
                resolver,
                graph: Arc::new(graph),
                exemptions,
                received,
                seen,
                sinks,
                node,
                identity_wait,
                generation: 0,
                spare: Vec::new(),
                unwritten: Vec::new(),
            },
            settings,
            commands: VecDeque::new(),
            late: Late::default(),
        }
    }

    /// Takes one event through all stages.
    pub fn event(&mut self, event: Event<'_>) {
        let Self { table, verifier, settings, world, commands, late } = self;
        let keep_paths = world.keeps_paths();
        let now = event.time();
        match &event {
            Event::Open(open) if open.transport == Transport::Udp => world.resolver.senders.opened(open),
            Event::UdpClose(close) => world.resolver.senders.closed(close.cookie, close.remote, now),
            _ => {}
        }
        let mut read = |session: &mut Session, client: bool, piece: Piece<'_>| {
            let Session { protocol, facts } = session;
            let spare = &mut world.spare;
            let mut scribe = Scribe { facts, verifier: &mut *verifier, keep_paths, now, spare };
            protocol.push(client, translate(piece), &settings.protocol, &mut scribe);
        };
        match event {
            Event::Open(open) => {
                let (cookie, transport, midstream) = (open.cookie, open.transport, open.midstream);
                if let Some(muted) = table.open(open, &mut read) {
                    commands.push_back(Command::Stop(muted));
                }
                if transport == Transport::Tcp
                    && let Some(flow) = table.get_mut(cookie)
                {
                    if midstream {
                        let Session { protocol, facts } = &mut flow.session;
                        let spare = &mut world.spare;
                        protocol.attach_midstream(&mut Scribe { facts, verifier, keep_paths, now, spare });
                    }
                    weigh(flow, world, commands, late, now);
                }
            }
            Event::Payload(payload) if payload.transport == Transport::Udp => {
                let Some((local, remote)) = payload.ends else { return };
                let bytes = payload.bytes;
                if let Some(flow) = table.payload(&payload, |_, _, _| {}) {
                    let server_port = if flow.role == Role::Server { local.port } else { remote.port };
                    let facts = &mut flow.session.facts;
                    let (protocol, encryption) = protocol::datagram(bytes, server_port);
                    (facts.protocol, facts.encryption) = (protocol, encryption.into());
                    facts.classified = true;
                    if world.is_reported_elsewhere(flow, now) == Some(true) {
                        table.remove_conversation(payload.cookie, remote);
                    } else {
                        weigh(flow, world, commands, late, now);
                    }
                }
            }
            Event::Payload(payload) => {
                let told = |flow: &mut Flow<Session>, only_data: bool| {
                    let from_client = flow.from_client(payload.direction);
                    flow.session.protocol.set_walked(from_client, payload.walked, only_data);
                };
                let only_data = payload.walked && payload.turn && !payload.lossy;
                if only_data && let Some(flow) = table.get_mut(payload.cookie) {
                    told(flow, true);
                }
                let read = |session: &mut Session, client: bool, piece: Piece<'_>| {
                    if client {
                        session.facts.again = payload.again;
                    }
                    read(session, client, piece);
                };
                if let Some(flow) = table.payload(&payload, read) {
                    told(flow, false);
                    weigh(flow, world, commands, late, now);
                }
            }
            Event::Repeats(repeats) => {
                if let Some((flow, bytes)) = table.counted(&repeats, &mut read) {
                    let Session { protocol, facts } = &mut flow.session;
                    let spare = &mut world.spare;
                    let mut scribe = Scribe { facts, verifier, keep_paths, now, spare };
                    protocol.repeated(bytes, repeats.answers, &mut scribe);
                    if repeats.over {
                        protocol.end_repeats();
                        (facts.count_told, facts.again) = (false, false);
                    }
                    weigh(flow, world, commands, late, now);
                }
            }
            Event::Close(close) => {
                if let Some(flow) = table.close(close, &mut read) {
                    self.finish(flow, now);
                }
            }
            Event::UdpClose(close) => {
                if let Some(flow) = table.close_udp(&close) {
                    self.finish(flow, now);
                }
            }
        }
    }

    /// Lets time pass: gaps are given up on, clients' ends stop waiting, and news of who is who is looked at.
    pub fn tick(&mut self, now: Timestamp) {
        let Self { table, verifier, settings, world, commands, late } = self;
        let keep_paths = world.keeps_paths();
        let mut read = |session: &mut Session, client: bool, piece: Piece<'_>| {
            let Session { protocol, facts } = session;
            let spare = &mut world.spare;
            let mut scribe = Scribe { facts, verifier: &mut *verifier, keep_paths, now, spare };
            protocol.push(client, translate(piece), &settings.protocol, &mut scribe);
        };
        let mut over = Vec::new();
        for cookie in table.tick(now, &mut read) {
            let Some(flow) = table.get(cookie) else { continue };
            let Some(elsewhere) = world.is_reported_elsewhere(flow, now) else {
                table.wait_longer(cookie, world.identity_due(flow).min(now + LOOK_EVERY));
                continue;
            };
            if elsewhere && !settings.both_ends {
                commands.push_back(Command::Stop(cookie));
                table.remove(cookie);
                continue;
            }
            if let Some(flow) = table.get_mut(cookie) {
                flow.session.facts.shown_only = elsewhere;
            }
            if let Some(flow) = table.keep(cookie) {
                over.push(flow);
            } else if let Some(flow) = table.get_mut(cookie) {
                weigh(flow, world, commands, late, now);
            }
        }
        for flow in over {
            self.finish(flow, now);
        }
        self.look_at_news(now);
        self.write();
    }

    fn write(&mut self) {
        let mut unwritten = std::mem::take(&mut self.world.unwritten);
        for place in unwritten.drain(..) {
            if let Some(flow) = find(&mut self.table, place) {
                self.world.catch_up(flow);
            }
        }
        self.world.unwritten = unwritten;
    }

    /// Weighs what waited for news of who its ends are, and corrects what could not wait longer.
    fn look_at_news(&mut self, now: Timestamp) {
        let Self { table, world, commands, late, .. } = self;
        for place in late.open() {
            let Some(flow) = find(table, place) else { continue };
            let datagrams = place.transport == Transport::Udp;
            if datagrams && world.is_reported_elsewhere(flow, now) == Some(true) {
                table.remove_conversation(place.cookie, place.remote);
                continue;
            }
            weigh(flow, world, commands, late, now);
            if flow.session.facts.identity == Awaited::Before {
                late.wait_on(place);
            }
        }
        for (place, again_after) in late.due(now) {
            if let Some(flow) = find(table, place)
                && !world.correct(flow, commands)
            {
                late.look_later(place, again_after, now);
            }
        }
        for mut flow in late.ended() {
            world.weigh(&mut flow, commands, now);
            if flow.session.facts.identity != Awaited::Before {
                world.conclude(&flow);
            } else if let Some(mut flow) = late.keep(flow) {
                world.weigh(&mut flow, commands, Timestamp(u64::MAX));
                world.conclude(&flow);
            }
        }
    }

    /// Nothing more comes: weighs what still waits as it is.
    pub fn stop_waiting(&mut self) {
        self.look_at_news(Timestamp(u64::MAX));
        self.write();
    }

    /// Forgets connections from before our time that have been silent for long. Costs a walk over the table.
    pub fn sweep(&mut self, now: Timestamp) {
        let idle = |flow: &&mut Flow<Session>| flow.midstream && now.since(flow.last_seen) > MIDSTREAM_IDLE;
        let gone: Vec<Cookie> = self.table.iter_mut().filter(idle).map(|flow| flow.cookie).collect();
        for cookie in gone {
            if let Some(flow) = self.table.remove(cookie) {
                self.finish(flow, now);
            }
        }
    }

    /// Ends the flows that were silent for longest if the table is nearly full.
    pub fn make_room(&mut self) {
        for flow in self.table.make_room() {
            let now = flow.last_seen;
            self.finish(flow, now);
        }
    }

    /// A flow ended: its last record, now or once it is known who its ends are.
    fn finish(&mut self, mut flow: Flow<Session>, now: Timestamp) {
        let keep_paths = self.world.keeps_paths();
        let established = flow.closed.as_ref().is_none_or(|close| close.established);
        let Session { protocol, facts } = &mut flow.session;
        if !established {
            facts.classified = true;
            facts.encryption =
                Encryption { reason: Some("not-established".into()), ..Encryption::default() }.into();
        } else if flow.transport == Transport::Tcp {
            let (verifier, spare) = (&mut self.verifier, &mut self.world.spare);
            protocol.finish(&mut Scribe { facts, verifier, keep_paths, now: flow.last_seen, spare });
        } else if !facts.classified {
            facts.classified = true;
            facts.encryption = Encryption { reason: Some("no-data".into()), ..Encryption::default() }.into();
        }
        // One that was weighed without its ends gets a last chance.
        self.world.correct(&mut flow, &mut self.commands);
        self.world.weigh(&mut flow, &mut self.commands, now);
        if flow.session.facts.identity == Awaited::Before {
            let Some(back) = self.late.keep(flow) else { return };
            flow = back;
            self.world.weigh(&mut flow, &mut self.commands, Timestamp(u64::MAX));
        }
        self.world.conclude(&flow);
    }

    /// What the kernel is to be told.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Evidence was lost: nothing may be concluded from not having seen it.
    pub fn lost_evidence(&mut self) {
        self.world.received.lost();
    }

    /// Takes other settings from now on. What was judged stays as it was.
    pub fn set(&mut self, credential_headers: Vec<String>, both_ends: bool, exemptions: Exemptions) {
        self.settings.protocol.credential_headers = credential_headers;
        self.settings.both_ends = both_ends;
        self.world.exemptions = exemptions;
        self.world.generation += 1;
    }

    /// What is declared from now on; what was judged stays.
    pub fn set_graph(&mut self, graph: Arc<Graph>) {
        self.world.graph = graph;
        self.world.generation += 1;
    }

    /// Gives the series of edges back that had no flow for `idle` and whose pods are gone; answers how many.
    pub fn reap(&mut self, now: Timestamp, idle: Duration) -> usize {
        let World { resolver, exemptions, sinks, .. } = &self.world;
        // Made only where an edge is idle.
        let accounts = OnceCell::new();
        let end = |end: &EdgeEnd| {
            let accounts = accounts.get_or_init(|| resolver.index.accounts_of_pods());
            accounts.contains(&(&*end.namespace, &*end.service_account))
        };
        let reason = |reason: &str| exemptions.has_reason(reason);
        sinks.metrics.reap(now, idle, &Still { end: &end, reason: &reason })
    }

    /// Who is who, for news of the cluster.
    pub fn index(&mut self) -> &mut Index {
        &mut self.world.resolver.index
    }

    /// What was seen of tokens and of their use.
    pub fn seen(&mut self) -> &mut Seen {
        &mut self.world.seen
    }

    pub fn index_and_seen(&mut self) -> (&Index, &mut Seen) {
        (&self.world.resolver.index, &mut self.world.seen)
    }

    /// What makes a token good, for news of its issuers.
    pub fn verifier(&mut self) -> &mut Verifier {
        &mut self.verifier
    }

    /// Of the graphs: in force, and over.
    #[must_use]
    pub fn exceptions(&self, now: Timestamp) -> (usize, usize) {
        self.world.graph.count_exceptions(now)
    }

    /// Whether a connection is live.
    #[must_use]
    pub fn knows(&self, cookie: Cookie) -> bool {
        self.table.get(cookie).is_some()
    }

    #[must_use]
    pub fn open_flows(&self) -> usize {
        self.table.len()
    }

    /// Tokens whose receivers were forgotten, since start.
    #[must_use]
    pub fn forgotten_sightings(&self) -> u64 {
        self.world.received.evicted()
    }

    /// Flows that found the table full, since start.
    #[must_use]
    pub fn refused_flows(&self) -> u64 {
        self.table.refused()
    }
}

/// conntrack's word for it -> protocol's.
fn translate(piece: Piece<'_>) -> protocol::Piece<'_> {
    match piece {
        Piece::Bytes { bytes, turn } => protocol::Piece::Bytes { bytes, turn },
        Piece::Gap { len } => protocol::Piece::Gap { len },
    }
}

/// Weighs a flow, and takes note if it waits.
fn weigh(
    flow: &mut Flow<Session>,
    world: &mut World,
    commands: &mut VecDeque<Command>,
    late: &mut Late,
    now: Timestamp,
) {
    let before = flow.session.facts.identity;
    world.weigh(flow, commands, now);
    late.note(flow, before, now);
}

fn find(table: &mut Table<Session>, place: Place) -> Option<&mut Flow<Session>> {
    match place.transport {
        Transport::Tcp => table.get_mut(place.cookie),
        Transport::Udp => table.conversation_mut(place.cookie, place.remote),
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
