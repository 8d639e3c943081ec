//! HTTP/2 in clear (RFC 9113): every request of a connection, the status of every response, and gRPC's.

mod fields;
mod frames;
mod hpack;

use std::collections::VecDeque;

use super::session::{Interest, Piece, Settings, plaintext, unknown};
use super::{Credentials, Request, Witness};
use crate::model::Protocol;
use fields::{Fields, Name, Section, Value};
use frames::{Seen, Walker};
use hpack::Decoder;

pub use frames::{LONGEST_BLOCK, shows_request, starts_with_settings};
pub use hpack::LARGEST_TABLE;

/// Streams whose rejection is remembered, so that a status and a trailer of one do not count twice. Older ones have
/// had their trailers.
const MAX_REJECTED: usize = 1024;
/// The shortest request: a frame's header and one indexed field.
const SHORTEST_REQUEST: u64 = 10;
/// Requests that one loss can be shown to have hidden; what goes beyond it is in the count of truncations alone.
const MOST_MISSED: u64 = 1024;
/// Bytes of the client that are let pass where its frames are not found again: at first, and, each time twice as many,
/// at most. A bulk upload costs little then, and no connection is given up for good.
const SHORTEST_REST: u64 = 256 * 1024;
const LONGEST_REST: u64 = 16 * 1024 * 1024;

/// gRPC status codes (grpc/statuscodes.md).
const PERMISSION_DENIED: u16 = 7;
const UNAUTHENTICATED: u16 = 16;

struct Side {
    walker: Walker,
    decoder: Decoder<Name, Value>,
    /// The kernel walks over this direction's frames too.
    walked: bool,
}

/// One HTTP/2 connection.
pub struct Http2 {
    client: Side,
    server: Side,
    exchange: Exchange,
    /// So many bytes of the client are not looked at.
    rest: u64,
    next_rest: u64,
}

/// What both directions have in common.
#[derive(Default)]
struct Exchange {
    protocol: Option<Protocol>,
    /// The client's latest stream; `None` if the earlier ones were not seen.
    latest: Option<u32>,
    /// Bytes of the client that were lost since its latest request.
    lost: u64,
    rejected: VecDeque<u32>,
    /// Of (server, client): bytes were lost, and nothing was read since.
    losing: [bool; 2],
    over: bool,
}

impl Http2 {
    /// Both directions from their first byte.
    pub fn from_the_start() -> Self {
        Self::new(Walker::at_preface(), Walker::at_frame(), Some(0))
    }

    /// After `101 Switching Protocols`: the request that asked for it is stream 1 (RFC 7540 section 3.2).
    pub fn upgraded(witness: &mut impl Witness) -> Self {
        let mut upgraded = Self::new(Walker::at_preface(), Walker::at_frame(), Some(1));
        upgraded.exchange.classify(Protocol::Http2, witness);
        upgraded
    }

    /// Its first bytes were not seen: whether it is HTTP/2 at all is for its first header block to show.
    pub fn midstream(witness: &mut impl Witness) -> Self {
        let mut midstream = Self::new(Walker::lost(), Walker::lost(), None);
        midstream.exchange.losing = [true; 2];
        for side in [&mut midstream.client, &mut midstream.server] {
            side.decoder.forget(&mut fields(witness, &[], false));
        }
        midstream
    }

    fn new(client: Walker, server: Walker, latest: Option<u32>) -> Self {
        let side = |walker| Side { walker, decoder: Decoder::default(), walked: false };
        let exchange = Exchange { latest, ..Exchange::default() };
        Self { client: side(client), server: side(server), exchange, rest: 0, next_rest: SHORTEST_REST }
    }

    pub fn push(&mut self, client: bool, piece: Piece<'_>, settings: &Settings, witness: &mut impl Witness) {
        let exchange = &mut self.exchange;
        let Side { walker, decoder, .. } = if client { &mut self.client } else { &mut self.server };
        if client && self.rest > 0 {
            let len = piece.size();
            exchange.see(client, Seen::Lost(len), decoder, settings, witness);
            self.rest = self.rest.saturating_sub(len);
            return;
        }
        walker.push(piece, &mut |seen| exchange.see(client, seen, decoder, settings, witness));
        if walker.is_tired() {
            walker.rested();
            // It never turned out to be HTTP/2.
            exchange.over |= exchange.protocol.is_none();
            if client {
                self.rest = self.next_rest;
                self.next_rest = LONGEST_REST.min(self.rest * 2);
            }
        } else if client && !walker.is_lost() {
            self.next_rest = SHORTEST_REST;
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        if self.exchange.protocol.is_none() {
            // Without its first bytes it was told to be unknown, for that reason.
            if self.exchange.latest.is_some() {
                witness.classified(Protocol::Opaque, &unknown("too-few-bytes"));
            }
        } else if self.client.walker.is_amid_block() {
            // The client gave up in the middle of a head: no server ever acted on it.
            witness.malformed("head-incomplete");
        }
    }

    /// Nothing after this can be read.
    pub fn is_over(&self) -> bool {
        self.exchange.over
    }

    /// Whether the kernel walks over the frames of a direction, and so leaves out what is not needed of them; and
    /// whether a gap that comes now holds whole frames of DATA and nothing else.
    pub fn set_walked(&mut self, client: bool, walked: bool, only_data: bool) {
        let side = if client { &mut self.client } else { &mut self.server };
        side.walked = walked;
        side.walker.expect_data(only_data);
    }

    pub fn kept(&self) -> usize {
        let sides = [&self.client, &self.server];
        let side = |side: &Side| side.walker.kept() + side.decoder.kept(Value::kept);
        sides.map(side).iter().sum::<usize>() + self.exchange.rejected.len() * size_of::<u32>()
    }

    pub fn interest(&self) -> Interest {
        if self.rest > 0 {
            return Interest::AfterClientBytes(self.rest);
        }
        let boundary = |side: &Side| if side.walked { None } else { side.walker.boundary() };
        match (boundary(&self.client), boundary(&self.server)) {
            (None, None) => Interest::More,
            (client, server) => Interest::FramesAhead { client, server },
        }
    }
}

fn fields<'a, W>(witness: &'a mut W, credential_headers: &'a [String], of_client: bool) -> Fields<'a, W> {
    Fields { witness, credential_headers, of_client, section: Section::default(), gone: Vec::new() }
}

impl Exchange {
    fn see<W: Witness>(
        &mut self,
        client: bool,
        seen: Seen<'_>,
        decoder: &mut Decoder<Name, Value>,
        settings: &Settings,
        witness: &mut W,
    ) {
        let mut reader = fields(witness, &settings.credential_headers, client);
        let mut fault = None;
        match &seen {
            Seen::Block { bytes, .. } => {
                if decoder.decode(bytes, &mut reader).is_err() {
                    fault = Some("malformed-hpack");
                }
            }
            Seen::BlockLost { reason, .. } => {
                decoder.forget(&mut reader);
                fault = Some(*reason);
            }
            Seen::Lost(_) | Seen::Malformed | Seen::Broken => decoder.forget(&mut reader),
            Seen::Preface | Seen::NoPreface => {}
        }
        let Fields { section, gone, .. } = reader;
        match seen {
            Seen::Preface => self.classify(Protocol::Http2, witness),
            Seen::NoPreface => {
                self.over = true;
                if self.protocol.is_none() {
                    witness.classified(Protocol::Opaque, &unknown("opaque-protocol"));
                } else {
                    witness.malformed("malformed-http2");
                }
            }
            // What a server promises nobody asked for.
            Seen::Block { promise: true, .. } | Seen::BlockLost { promise: true, .. } => {}
            Seen::Block { stream, .. } | Seen::BlockLost { stream, .. } => {
                self.losing[usize::from(client)] = false;
                match fault {
                    Some(reason @ ("malformed-hpack" | "malformed-http2")) => witness.malformed(reason),
                    Some(_) => witness.truncated(),
                    None => {}
                }
                if client {
                    self.asked(stream, &section, fault, witness);
                } else {
                    self.answered(stream, &section, witness);
                }
            }
            Seen::Lost(len) => {
                if !std::mem::replace(&mut self.losing[usize::from(client)], true) {
                    witness.truncated();
                }
                if client {
                    self.lost = self.lost.saturating_add(len);
                }
            }
            Seen::Malformed => witness.malformed("malformed-http2"),
            Seen::Broken => {
                witness.malformed("malformed-http2");
                self.over = true;
            }
        }
        for kept in gone {
            witness.forget(kept);
        }
    }

    /// A header block of the client: a request, or the trailers of one.
    fn asked(
        &mut self,
        stream: u32,
        section: &Section,
        fault: Option<&'static str>,
        witness: &mut impl Witness,
    ) {
        // RFC 9113 section 5.1.1: a client's streams are odd and their numbers only grow.
        if stream.is_multiple_of(2) || self.latest.is_some_and(|latest| stream <= latest) {
            return;
        }
        let readable = fault.is_none() && !section.unknown;
        if self.protocol.is_none() {
            if fault.is_some() || (readable && section.method.is_none()) {
                return;
            }
            self.classify(Protocol::Http2, witness);
        }
        if self.latest.is_none() && readable && section.method.is_none() {
            return; // trailers of a request from before our time
        }
        if let Some(latest) = self.latest {
            // A client may leave numbers out; only where something was lost do they tell what.
            let expected = if latest == 0 { 1 } else { latest + 2 };
            let missed = u64::from(stream.saturating_sub(expected) / 2).min(self.lost / SHORTEST_REQUEST);
            for _ in 0..missed.min(MOST_MISSED) {
                witness.request(nothing_but("request-lost"));
            }
        }
        self.latest = Some(stream);
        self.lost = 0;
        if section.grpc {
            self.classify(Protocol::Grpc, witness);
        }
        let (method, path) = (section.method.as_deref(), section.path.as_deref());
        section.authorizations.with(|kept| {
            let credentials = match (kept, fault) {
                (_, Some(reason)) => Credentials::Unknown(reason),
                (&[kept], None) => Credentials::Kept(kept),
                ([_, ..], None) => Credentials::SeveralKept(kept),
                ([], None) if section.unknown => Credentials::Unknown("hpack-unknown-slot"),
                ([], None) if section.credential => Credentials::Other,
                // Its head was lost, and these are its trailers.
                ([], None) if section.method.is_none() => Credentials::Unknown("request-lost"),
                ([], None) => Credentials::None,
            };
            witness.request(Request { method, path, credentials });
        });
    }

    /// A header block of the server: a response, or its trailers.
    fn answered(&mut self, stream: u32, section: &Section, witness: &mut impl Witness) {
        if stream.is_multiple_of(2) {
            return;
        }
        if let Some(status) = section.status
            && !(100..200).contains(&status)
        {
            witness.response(status);
            if matches!(status, 401 | 403) {
                self.reject(stream);
            }
        }
        if matches!(section.grpc_status, Some(PERMISSION_DENIED | UNAUTHENTICATED)) && self.reject(stream) {
            witness.refused();
        }
    }

    /// Answers whether that is news.
    fn reject(&mut self, stream: u32) -> bool {
        if self.rejected.contains(&stream) {
            return false;
        }
        if self.rejected.len() >= MAX_REJECTED {
            self.rejected.pop_front();
        }
        self.rejected.push_back(stream);
        true
    }

    fn classify(&mut self, protocol: Protocol, witness: &mut impl Witness) {
        if self.protocol != Some(protocol) {
            self.protocol = Some(protocol);
            witness.classified(protocol, &plaintext());
        }
    }
}

fn nothing_but(reason: &'static str) -> Request<'static> {
    Request { method: None, path: None, credentials: Credentials::Unknown(reason) }
}
