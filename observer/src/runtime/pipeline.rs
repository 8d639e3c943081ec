//! Events in, records and metrics out: the stages in their order, on one thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ends::Resolver;
use super::provenance::Received;
use super::session::{Scribe, Session};
use super::world::World;
use crate::conntrack::{self, Flow, Piece, Role, Table};
use crate::graph::Graph;
use crate::identity::Index;
use crate::model::{Cookie, Direction, Encryption, Event, Timestamp, Transport};
use crate::protocol;
use crate::sink::Sinks;
use crate::token::Verifier;
use crate::verdict::Exemptions;

/// A connection that existed before us tells of its end only while it is watched; after this much silence it is
/// taken for gone.
const MIDSTREAM_IDLE: Duration = Duration::from_secs(3600);

/// What the pipeline wants the kernel to do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Stop(Cookie),
    Resume(Cookie, Direction, u32),
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
}

pub struct Pipeline {
    table: Table<Session>,
    verifier: Verifier,
    settings: Settings,
    world: World,
    commands: VecDeque<Command>,
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
        let received = Received::default();
        Self {
            table: Table::new(conntrack),
            verifier,
            world: World { resolver, graph, exemptions, received, sinks, node },
            settings,
            commands: VecDeque::new(),
        }
    }

    /// Takes one event through all stages.
    pub fn event(&mut self, event: Event<'_>) {
        let Self { table, verifier, settings, world, commands } = self;
        let keep_paths = world.keeps_paths();
        let now = event.time();
        let mut read = |session: &mut Session, client: bool, piece: Piece<'_>| {
            let Session { protocol, facts } = session;
            let mut scribe = Scribe { facts, verifier: &mut *verifier, keep_paths, now };
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
                        protocol.attach_midstream(&mut Scribe { facts, verifier, keep_paths, now });
                    }
                    world.weigh(flow, commands);
                }
            }
            Event::Payload(payload) if payload.transport == Transport::Udp => {
                let Some((local, remote)) = payload.ends else { return };
                let bytes = payload.bytes;
                if let Some(flow) = table.payload(&payload, |_, _, _| {}) {
                    let server_port = if flow.role == Role::Server { local.port } else { remote.port };
                    let facts = &mut flow.session.facts;
                    (facts.protocol, facts.encryption) = protocol::datagram(bytes, server_port);
                    facts.classified = true;
                    if world.is_reported_elsewhere(flow) {
                        table.remove_conversation(payload.cookie, remote);
                    } else {
                        world.weigh(flow, commands);
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
                if let Some(flow) = table.payload(&payload, &mut read) {
                    told(flow, false);
                    world.weigh(flow, commands);
                }
            }
            Event::Close(close) => {
                if let Some(flow) = table.close(close, &mut read) {
                    finish(flow, verifier, keep_paths, world, commands);
                }
            }
            Event::UdpClose(close) => {
                if let Some(flow) = table.close_udp(&close) {
                    finish(flow, verifier, keep_paths, world, commands);
                }
            }
        }
    }

    /// Lets time pass: gaps are given up on, clients' ends stop waiting.
    pub fn tick(&mut self, now: Timestamp) {
        let Self { table, verifier, settings, world, commands } = self;
        let keep_paths = world.keeps_paths();
        let mut read = |session: &mut Session, client: bool, piece: Piece<'_>| {
            let Session { protocol, facts } = session;
            let mut scribe = Scribe { facts, verifier: &mut *verifier, keep_paths, now };
            protocol.push(client, translate(piece), &settings.protocol, &mut scribe);
        };
        for cookie in table.tick(now, &mut read) {
            let Some(flow) = table.get(cookie) else { continue };
            let elsewhere = world.is_reported_elsewhere(flow);
            if elsewhere && !settings.both_ends {
                commands.push_back(Command::Stop(cookie));
                table.remove(cookie);
                continue;
            }
            if let Some(flow) = table.get_mut(cookie) {
                flow.session.facts.shown_only = elsewhere;
            }
            if let Some(flow) = table.keep(cookie) {
                finish(flow, verifier, keep_paths, world, commands);
            } else if let Some(flow) = table.get_mut(cookie) {
                world.weigh(flow, commands);
            }
        }
    }

    /// Forgets connections from before our time that have been silent for long. Costs a walk over the table.
    pub fn sweep(&mut self, now: Timestamp) {
        let idle = |flow: &&mut Flow<Session>| flow.midstream && now.since(flow.last_seen) > MIDSTREAM_IDLE;
        let gone: Vec<Cookie> = self.table.iter_mut().filter(idle).map(|flow| flow.cookie).collect();
        for cookie in gone {
            if let Some(flow) = self.table.remove(cookie) {
                let keep_paths = self.world.keeps_paths();
                finish(flow, &mut self.verifier, keep_paths, &mut self.world, &mut self.commands);
            }
        }
    }

    /// Ends the flows that were silent for longest if the table is nearly full.
    pub fn make_room(&mut self) {
        for flow in self.table.make_room() {
            let keep_paths = self.world.keeps_paths();
            finish(flow, &mut self.verifier, keep_paths, &mut self.world, &mut self.commands);
        }
    }

    /// What the kernel is to be told.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Evidence was lost: nothing may be concluded from not having seen it.
    pub fn lost_evidence(&mut self) {
        self.world.received.lost();
    }

    /// Who is who, for news of the cluster.
    pub fn index(&mut self) -> &mut Index {
        &mut self.world.resolver.index
    }

    /// What makes a token good, for news of its issuers.
    pub fn verifier(&mut self) -> &mut Verifier {
        &mut self.verifier
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

/// A flow ended: its last record.
fn finish(
    mut flow: Flow<Session>,
    verifier: &mut Verifier,
    keep_paths: bool,
    world: &mut World,
    commands: &mut VecDeque<Command>,
) {
    let now = flow.last_seen;
    let established = flow.closed.as_ref().is_none_or(|close| close.established);
    let Session { protocol, facts } = &mut flow.session;
    if !established {
        facts.classified = true;
        facts.encryption = Encryption { reason: Some("not-established".into()), ..Encryption::default() };
    } else if flow.transport == Transport::Tcp {
        protocol.finish(&mut Scribe { facts, verifier, keep_paths, now });
    } else if !facts.classified {
        facts.classified = true;
        facts.encryption = Encryption { reason: Some("no-data".into()), ..Encryption::default() };
    }
    world.weigh(&mut flow, commands);
    world.conclude(&flow);
}
