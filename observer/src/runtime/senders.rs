//! Which addresses of this node's sockets datagrams come from. Anybody can write another's address into a datagram; a
//! pod of this node that really sent one did so from a socket that was seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::model::{Cookie, Endpoint, Open, Timestamp};

/// Conversations that are known; the kernel's own table holds a quarter of that.
pub const MAX_CONVERSATIONS: usize = 65_536;
/// Both ends of a conversation are reaped at about the same time, in any order.
const STAYS: Duration = Duration::from_secs(5);

/// One socket and one peer.
type Conversation = (Cookie, Endpoint);

/// See the module.
#[derive(Default)]
pub struct Senders {
    /// The socket's own address, and whether it spoke first.
    open: HashMap<Conversation, (Endpoint, bool)>,
    /// Of those that spoke first: to whom they did is hidden where a Service's address is translated.
    first: HashMap<Endpoint, u32>,
    /// Of the others: own address and peer.
    answering: HashSet<(Endpoint, Endpoint)>,
    over: VecDeque<(Timestamp, Conversation)>,
}

impl Senders {
    /// A conversation was opened. Beyond the bound it is not noted, and its sender remains unseen.
    pub fn opened(&mut self, open: &Open) {
        self.forget(open.time);
        if self.open.len() >= MAX_CONVERSATIONS {
            return;
        }
        let first = open.client == Some(true);
        let before = self.open.insert((open.cookie, open.remote), (open.local, first));
        if let Some(before) = before {
            self.remove((open.cookie, open.remote), before);
        }
        if first {
            *self.first.entry(open.local).or_default() += 1;
        } else {
            self.answering.insert((open.local, open.remote));
        }
    }

    /// It was idle for long enough.
    pub fn closed(&mut self, cookie: Cookie, remote: Endpoint, now: Timestamp) {
        self.over.push_back((now, (cookie, remote)));
        self.forget(now);
    }

    /// Whether the peer of this conversation, a socket of this node, can have sent what `to` received from `from`.
    #[must_use]
    pub fn vouch(&self, cookie: Cookie, from: Endpoint, to: Endpoint) -> bool {
        // Whom it spoke to first, it chose itself.
        self.open.get(&(cookie, from)).is_some_and(|(_, first)| *first)
            || self.first.contains_key(&from)
            || self.answering.contains(&(from, to))
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(&(closed, conversation)) = self.over.front()
            && now.since(closed) > STAYS
        {
            self.over.pop_front();
            if let Some(known) = self.open.remove(&conversation) {
                self.remove(conversation, known);
            }
        }
    }

    fn remove(&mut self, (_, remote): Conversation, (local, first): (Endpoint, bool)) {
        if !first {
            self.answering.remove(&(local, remote));
        } else if let Some(count) = self.first.get_mut(&local) {
            *count -= 1;
            if *count == 0 {
                self.first.remove(&local);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Transport;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    fn end(last: u8, port: u16) -> Endpoint {
        Endpoint { ip: [10, 244, 0, last].into(), port }
    }

    fn open(cookie: u64, local: Endpoint, remote: Endpoint, sent: bool) -> Open {
        Open {
            cookie: Cookie(cookie),
            time: at(0),
            transport: Transport::Udp,
            local,
            remote,
            cgroup: None,
            client: Some(sent),
            midstream: false,
            start: None,
        }
    }

    const SERVER: Cookie = Cookie(7);

    #[test]
    fn whom_a_server_spoke_to_first_is_whom_it_meant() {
        let (client, server) = (end(2, 40_000), end(3, 514));
        let mut senders = Senders::default();
        senders.opened(&open(SERVER.0, server, client, true));
        assert!(senders.vouch(SERVER, client, server));
        assert!(!senders.vouch(Cookie(8), client, server), "another socket of the server's");
    }

    #[test]
    fn who_was_seen_sending_is_vouched_for_and_nobody_else() {
        let (client, server, service) = (end(2, 40_000), end(3, 53), end(99, 53));
        let mut senders = Senders::default();
        assert!(!senders.vouch(SERVER, client, server));
        // What it dialled is not what the server hears on.
        senders.opened(&open(1, client, service, true));
        assert!(senders.vouch(SERVER, client, server));
        assert!(
            !senders.vouch(SERVER, end(2, 40_001), server) && !senders.vouch(SERVER, end(4, 40_000), server)
        );
    }

    #[test]
    fn who_was_only_seen_receiving_is_vouched_for_towards_that_peer_alone() {
        let (client, server) = (end(2, 40_000), end(3, 53));
        let mut senders = Senders::default();
        senders.opened(&open(1, client, server, false));
        assert!(senders.vouch(SERVER, client, server) && !senders.vouch(SERVER, client, end(5, 53)));
    }

    #[test]
    fn a_conversation_that_is_over_is_forgotten_a_moment_later() {
        let (client, server) = (end(2, 40_000), end(3, 53));
        let mut senders = Senders::default();
        senders.opened(&open(1, client, server, true));
        senders.opened(&open(2, client, server, true));
        senders.closed(Cookie(1), server, at(1));
        senders.closed(Cookie(2), server, at(2));
        assert!(senders.vouch(SERVER, client, server), "its other end is reaped in the same second");
        senders.closed(Cookie(3), server, at(60));
        assert!(!senders.vouch(SERVER, client, server));
        assert!(senders.open.is_empty() && senders.first.is_empty() && senders.answering.is_empty());
    }

    #[test]
    fn beyond_the_bound_nothing_is_noted() {
        let mut senders = Senders::default();
        for number in 0..MAX_CONVERSATIONS as u64 + 10 {
            let port = (number % 60_000) as u16;
            senders.opened(&open(number, end((number / 60_000) as u8, port), end(9, 53), true));
        }
        assert_eq!((senders.open.len(), senders.first.len()), (MAX_CONVERSATIONS, MAX_CONVERSATIONS));
    }
}
