//! What this node's observer has seen of tokens and of their use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Identity, Timestamp, Uid};

/// Pods of this node, now and lately: a kubelet runs a few hundred at most.
pub const MAX_PODS: usize = 8_192;
/// ServiceAccounts whose tokens were seen; the one not seen for longest gives way, which is counted.
pub const MAX_TOKENS: usize = 1_024;

/// A ServiceAccount's token in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSeen {
    pub legacy: bool,
    /// Its signature and times are good.
    pub verified: bool,
    /// The API server would take it.
    pub for_api_server: bool,
    /// It went over plaintext.
    pub in_cleartext: bool,
}

/// What was seen of the tokens of one ServiceAccount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub cleartext: Option<Sightings>,
    pub legacy: Option<Sightings>,
    /// One of those in cleartext was verified.
    pub verified: bool,
    /// The API server would take one of those in cleartext.
    pub for_api_server: bool,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sightings {
    pub first: Timestamp,
    pub flows: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Seen {
    /// Observed without a break since then.
    unbroken: Timestamp,
    users: HashSet<Uid>,
    /// When each pod of this node was first known here.
    known: HashMap<Uid, Timestamp>,
    tokens: HashMap<Arc<str>, Tokens>,
    losses: u64,
    forgotten: u64,
}

impl Seen {
    /// `client` has called the API server.
    pub fn called_api_server(&mut self, client: &Identity, now: Timestamp) {
        match client {
            Identity::Pod(pod) if self.users.contains(&pod.uid) => {}
            Identity::Pod(pod) if self.users.len() < MAX_PODS => {
                self.users.insert(pod.uid);
            }
            // Some pod did, and which is not noted: that none did can be said of the time after it only.
            Identity::Pod(_) | Identity::Unknown(_) | Identity::ServiceAccount { .. } => self.unbroken = now,
            Identity::Node(_) | Identity::External => {}
        }
    }

    /// An event was lost, which may have been a call of the API server.
    pub fn missed(&mut self, now: Timestamp) {
        self.unbroken = now;
    }

    /// So many events were lost since the start: one of them may have been a call of the API server.
    pub fn lost(&mut self, total: u64, now: Timestamp) {
        if total > self.losses {
            self.missed(now);
        }
        self.losses = total;
    }

    /// A flow carried a token of `account` (`namespace/name`).
    pub fn token(&mut self, account: &Arc<str>, seen: TokenSeen, now: Timestamp) {
        if self.tokens.len() >= MAX_TOKENS && !self.tokens.contains_key(account) {
            let oldest = self.tokens.iter().min_by_key(|(_, tokens)| tokens.last);
            if let Some(oldest) = oldest.map(|(account, _)| account.clone()) {
                self.tokens.remove(&oldest);
                self.forgotten += 1;
            }
        }
        let tokens = self.tokens.entry(account.clone()).or_default();
        tokens.last = now;
        let count = |sightings: &mut Option<Sightings>| {
            sightings.get_or_insert(Sightings { first: now, flows: 0 }).flows += 1;
        };
        if seen.legacy {
            count(&mut tokens.legacy);
        }
        if seen.in_cleartext {
            count(&mut tokens.cleartext);
            tokens.verified |= seen.verified;
            tokens.for_api_server |= seen.for_api_server;
        }
    }

    /// Takes note of the pods that are on this node now, and forgets the others.
    pub fn on_this_node(&mut self, pods: impl Iterator<Item = Uid>, now: Timestamp) {
        let before = std::mem::take(&mut self.known);
        let since = |uid| before.get(&uid).copied().unwrap_or(now);
        self.known = pods.take(MAX_PODS).map(|uid| (uid, since(uid))).collect();
        self.users.retain(|uid| self.known.contains_key(uid));
    }

    /// ServiceAccounts whose tokens were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn has_called_api_server(&self, uid: &Uid) -> bool {
        self.users.contains(uid)
    }

    /// Since when it would have been seen if this pod had called the API server.
    pub(super) fn watched_since(&self, uid: &Uid, now: Timestamp) -> Timestamp {
        self.known.get(uid).copied().unwrap_or(now).max(self.unbroken)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = (&Arc<str>, &Tokens)> {
        self.tokens.iter()
    }
}
