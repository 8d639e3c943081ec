use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::tenure::Span;
use crate::model::{HashMap, Pod, Timestamp, Uid};

/// How many holders of one address are remembered; the oldest gives way, and that is counted.
pub(super) const MAX_HOLDERS: usize = 8;

/// What news of an end takes to get here: the API server tells of a deletion within some 10 ms. A pod that can have
/// started by then may have the address already.
const NEWS: Duration = Duration::from_millis(100);

/// Who had which address when. Addresses are given to new pods within seconds, and news arrives late and in any order.
#[derive(Debug, Default)]
pub(super) struct AddressHistory {
    v4: HashMap<Ipv4Addr, Holders>,
    v6: HashMap<Ipv6Addr, Holders>,
    dropped: u64,
}

/// What is known of an address at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder<'a> {
    Pod(&'a Arc<Pod>),
    Nobody,
    /// Several pods can have had it, and nothing tells which.
    Contested,
}

/// Nearly always one pod, that still has the address: no allocation for that.
#[derive(Debug)]
enum Holders {
    One(Holding),
    Many(Vec<(Holding, Option<Span>)>),
}

/// A pod got the address in `start`.
#[derive(Debug)]
struct Holding {
    pod: Arc<Pod>,
    start: Span,
}

impl AddressHistory {
    /// `pod` has `ip`, since `start` as far as its object tells. A pod that has it already is only brought up to date.
    pub(super) fn hold(&mut self, ip: IpAddr, pod: &Arc<Pod>, start: Option<Span>, heard: Timestamp) {
        let dropped = match ip {
            IpAddr::V4(ip) => hold(&mut self.v4, ip, pod, start, heard),
            IpAddr::V6(ip) => hold(&mut self.v6, ip, pod, start, heard),
        };
        self.dropped += u64::from(dropped);
    }

    /// The pod `uid` has given `ip` back: in `end` as far as its object tells, and that was heard at `heard`.
    pub(super) fn release(&mut self, ip: IpAddr, uid: &Uid, end: Option<Span>, heard: Timestamp) {
        let holders = match ip {
            IpAddr::V4(ip) => self.v4.get_mut(&ip),
            IpAddr::V6(ip) => self.v6.get_mut(&ip),
        };
        if let Some(holders) = holders {
            holders.release(uid, end, heard);
        }
    }

    /// Nobody will ask for the pod `uid` at `ip` any more.
    pub(super) fn forget(&mut self, ip: IpAddr, uid: &Uid) {
        match ip {
            IpAddr::V4(ip) => forget(&mut self.v4, ip, uid),
            IpAddr::V6(ip) => forget(&mut self.v6, ip, uid),
        }
    }

    /// Who had `ip` at the moment `at`.
    pub(super) fn holder(&self, ip: IpAddr, at: Timestamp) -> Holder<'_> {
        self.holders(ip).map_or(Holder::Nobody, |holders| holders.at(at))
    }

    /// Some pod has had this address, lately or now.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.holders(ip).is_some()
    }

    /// Holders that gave way to later ones.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn holders(&self, ip: IpAddr) -> Option<&Holders> {
        match ip {
            IpAddr::V4(ip) => self.v4.get(&ip),
            IpAddr::V6(ip) => self.v6.get(&ip),
        }
    }
}

/// Answers whether one was dropped.
fn hold<K: Hash + Eq>(
    map: &mut HashMap<K, Holders>,
    ip: K,
    pod: &Arc<Pod>,
    start: Option<Span>,
    heard: Timestamp,
) -> bool {
    let holding = |start: Span| Holding { pod: pod.clone(), start };
    let Some(holders) = map.get_mut(&ip) else {
        // The first holder that is heard of may have had it for long.
        let start = start.unwrap_or(Span { earliest: Timestamp(0), latest: heard });
        map.insert(ip, Holders::One(holding(start)));
        return false;
    };
    if let Some(own) = holders.open_mut(&pod.uid) {
        own.pod = pod.clone();
        return false;
    }
    // A later one took it from somebody: as far as arrival tells, now.
    holders.push(holding(start.unwrap_or(Span::at(heard))))
}

fn forget<K: Hash + Eq>(map: &mut HashMap<K, Holders>, ip: K, uid: &Uid) {
    let nobody = match map.get_mut(&ip) {
        Some(Holders::One(holding)) => holding.pod.uid == *uid,
        Some(Holders::Many(all)) => {
            all.retain(|(holding, _)| holding.pod.uid != *uid);
            all.is_empty()
        }
        None => false,
    };
    if nobody {
        map.remove(&ip);
    }
}

impl Holders {
    /// What the pod holds, and has not given back.
    fn open_mut(&mut self, uid: &Uid) -> Option<&mut Holding> {
        match self {
            Self::One(holding) => Some(holding).filter(|holding| holding.pod.uid == *uid),
            Self::Many(all) => {
                let mut open = all.iter_mut().filter(|(_, end)| end.is_none()).map(|(holding, _)| holding);
                open.find(|holding| holding.pod.uid == *uid)
            }
        }
    }

    /// Answers whether the oldest had to give way.
    fn push(&mut self, holding: Holding) -> bool {
        let mut all = self.take();
        all.push((holding, None));
        let full = all.len() > MAX_HOLDERS;
        if full {
            all.remove(0);
        }
        *self = Self::Many(all);
        full
    }

    fn release(&mut self, uid: &Uid, end: Option<Span>, heard: Timestamp) {
        if self.open_mut(uid).is_none() {
            return;
        }
        let mut all = self.take();
        let rival = all.iter().any(|(holding, end)| end.is_none() && holding.pod.uid != *uid);
        for (holding, known) in all.iter_mut().filter(|(holding, _)| holding.pod.uid == *uid) {
            // It was there until just now, unless its successor was heard of before.
            let earliest =
                if rival { holding.start.earliest } else { holding.start.earliest.max(heard.before(NEWS)) };
            let end = end.unwrap_or(Span { earliest, latest: heard });
            known.get_or_insert(Span { latest: end.latest.max(holding.start.earliest), ..end });
        }
        *self = Self::Many(all);
    }

    fn take(&mut self) -> Vec<(Holding, Option<Span>)> {
        match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(holding) => vec![(holding, None)],
            Self::Many(all) => all,
        }
    }

    fn at(&self, at: Timestamp) -> Holder<'_> {
        let all = match self {
            Self::One(holding) if holding.start.earliest <= at => return Holder::Pod(&holding.pod),
            Self::One(_) => return Holder::Nobody,
            Self::Many(all) => all,
        };
        let mut found = Holder::Nobody;
        for one in all.iter().filter(|one| can_hold(one, all, at)) {
            match found {
                Holder::Nobody => found = Holder::Pod(&one.0.pod),
                Holder::Pod(_) | Holder::Contested => return Holder::Contested,
            }
        }
        found
    }
}

/// Whether the moment can fall into the time of `one`: nobody has the address before its predecessors can have given
/// it back, or after its successors must have got it.
fn can_hold(one: &(Holding, Option<Span>), all: &[(Holding, Option<Span>)], at: Timestamp) -> bool {
    let start = one.0.start;
    let predecessors = all.iter().filter(|other| comes_before(other, one)).filter_map(|(_, end)| *end);
    let from = predecessors.map(|end| end.earliest.min(start.latest)).max();
    let successors = all.iter().filter(|other| comes_before(one, other)).map(|(next, _)| next.start.latest);
    let to = successors.chain(one.1.map(|end| end.latest)).min();
    from.map_or(start.earliest, |from| from.max(start.earliest)) <= at && to.is_none_or(|to| at < to)
}

/// Whoever has the address still comes after those that gave it back; else the times tell, which without times of the
/// API's are those of arrival. Neither comes before the other if they are the same.
fn comes_before((one, end): &(Holding, Option<Span>), (other, other_end): &(Holding, Option<Span>)) -> bool {
    let key = |holding: &Holding, end: &Option<Span>| (end.is_none(), holding.start.earliest);
    key(one, end) < key(other, other_end)
}

#[cfg(test)]
#[path = "address_history_tests.rs"]
mod tests;
