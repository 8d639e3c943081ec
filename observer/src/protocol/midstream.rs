//! Flows whose first bytes were not seen: an HTTP request at the start of a turn can still be recognised.

use super::buffer::Buffer;
use super::http2;
use super::name::Miss;
use super::session::Piece;
use super::sniff::{Sniffed, sniff};

/// Turns of a client in which a request may be looked for: enough to get out of a body, not so many that a connection
/// that never was HTTP is captured for good.
const TURNS: u8 = 16;

/// What it turned out to be, and what the client has said in this turn.
pub enum Found {
    Http1(Buffer),
    Http2(Buffer),
    /// It is given up.
    Nothing,
}

/// See the module.
pub struct Midstream {
    turns_left: u8,
    /// What the client has said in this turn, as long as it may be a request's start.
    said: Option<Buffer>,
}

impl Default for Midstream {
    fn default() -> Self {
        Self { turns_left: TURNS, said: None }
    }
}

impl Midstream {
    /// Takes a piece in. `limit`: no more bytes than these are waited for.
    pub fn push(&mut self, client: bool, piece: Piece<'_>, limit: usize) -> Option<Found> {
        if !client {
            return None;
        }
        let Piece::Bytes { bytes, turn } = piece else {
            self.said = None;
            return self.give_up();
        };
        if turn {
            self.said = None;
            let Some(left) = self.turns_left.checked_sub(1) else { return self.give_up() };
            self.turns_left = left;
            self.said = Some(Buffer::default());
        }
        let said = self.said.as_mut()?;
        said.extend(bytes);
        let start = &said.bytes()[..said.len().min(limit)];
        let incomplete = match (sniff(start), http2::shows_request(start)) {
            (Sniffed::Http1, _) => return self.said.take().map(Found::Http1),
            (_, Ok(())) => return self.said.take().map(Found::Http2),
            (Sniffed::Incomplete, _) | (_, Err(Miss::Incomplete)) => said.len() < limit,
            _ => false,
        };
        if incomplete {
            return None;
        }
        self.said = None;
        self.give_up()
    }

    pub fn kept(&self) -> usize {
        self.said.as_ref().map_or(0, Buffer::len)
    }

    fn give_up(&self) -> Option<Found> {
        (self.turns_left == 0).then_some(Found::Nothing)
    }
}
