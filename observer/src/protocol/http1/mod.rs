//! HTTP/1.x (RFC 9112): every request of a connection, and the status of every response.

mod body;
mod head;
mod requests;
mod responses;

use std::collections::VecDeque;

use super::Witness;
use super::session::{Interest, Piece, Settings, plaintext};
use crate::model::Protocol;
use requests::Requests;
use responses::Responses;

/// What a request that awaits its response decides about how that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The response has no body (RFC 9112 section 6.3).
    Head,
    /// A 2xx turns the connection into a tunnel (RFC 9110 section 9.3.6).
    Connect,
    Other,
}

/// Pipelined requests whose responses are awaited; beyond it statuses are no longer told apart by method.
const MAX_AWAITED: usize = 1024;

/// One HTTP/1 connection.
#[derive(Default)]
pub struct Http1 {
    version: Option<Protocol>,
    requests: Requests,
    responses: Responses,
    awaited: VecDeque<Awaited>,
    /// 101, or a 2xx to CONNECT: what follows is something else.
    switched: bool,
}

impl Http1 {
    pub fn push(&mut self, client: bool, piece: Piece<'_>, settings: &Settings, witness: &mut impl Witness) {
        if self.switched {
            return;
        }
        if client {
            let Self { version, requests, awaited, .. } = self;
            requests.push(piece, settings, witness, &mut |found, kind, witness| {
                if version.is_none() {
                    *version = Some(found);
                    witness.classified(found, &plaintext());
                }
                if awaited.len() < MAX_AWAITED {
                    awaited.push_back(kind);
                }
            });
        } else if self.responses.push(piece, &mut self.awaited, settings, witness) {
            self.switched = true;
        }
    }

    pub fn finish(&mut self, witness: &mut impl Witness) {
        self.requests.finish(witness);
        if self.version.is_none() {
            witness.classified(Protocol::Http11, &plaintext());
        }
    }

    /// Nothing after this is HTTP/1.
    pub fn is_over(&self) -> bool {
        self.switched
    }

    pub fn interest(&self) -> Interest {
        if self.switched {
            return Interest::Nothing;
        }
        self.requests.interest()
    }
}
