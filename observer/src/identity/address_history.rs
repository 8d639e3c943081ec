use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Pod, Timestamp};

/// How many holders of one address are remembered; the oldest gives way, and that is counted.
pub(super) const MAX_HOLDINGS: usize = 8;

/// Who had which address when. Addresses are given to new pods within seconds, and events arrive late.
#[derive(Debug, Default)]
pub(super) struct AddressHistory {
    /// In the order in which they began.
    holdings: HashMap<IpAddr, Vec<Holding>>,
    dropped: u64,
}

/// Ends at `to`, or where the next one of the same address begins.
#[derive(Debug)]
struct Holding {
    from: Timestamp,
    to: Option<Timestamp>,
    pod: Arc<Pod>,
}

impl AddressHistory {
    /// `pod` has `ip`, `since` then as far as it is known. A pod that has it already is only brought up to date.
    pub(super) fn hold(&mut self, ip: IpAddr, pod: &Arc<Pod>, since: Option<Timestamp>, now: Timestamp) {
        let holdings = self.holdings.entry(ip).or_default();
        if let Some(own) =
            holdings.iter_mut().find(|holding| holding.to.is_none() && holding.pod.uid == pod.uid)
        {
            own.pod = pod.clone();
            return;
        }
        // The first holder that is heard of may have had it for long; a later one took it from somebody.
        let since = since.unwrap_or(if holdings.is_empty() { Timestamp(0) } else { now });
        // A pod is created, and may wait, before it gets the address that another one gives back.
        let released = holdings.iter().filter_map(|holding| holding.to).max();
        let from = released.map_or(since, |released| since.max(released));
        let place = holdings.partition_point(|holding| holding.from <= from);
        holdings.insert(place, Holding { from, to: None, pod: pod.clone() });
        if holdings.len() > MAX_HOLDINGS {
            holdings.remove(0);
            self.dropped += 1;
        }
    }

    /// The pod `uid` has given `ip` back.
    pub(super) fn release(&mut self, ip: IpAddr, uid: &str, at: Timestamp) {
        for holding in self.holdings.get_mut(&ip).into_iter().flatten() {
            if holding.to.is_none() && *holding.pod.uid == *uid {
                holding.to = Some(at.max(holding.from));
            }
        }
    }

    /// Nobody will ask for the pod `uid` at `ip` any more.
    pub(super) fn forget(&mut self, ip: IpAddr, uid: &str) {
        if let Some(holdings) = self.holdings.get_mut(&ip) {
            holdings.retain(|holding| *holding.pod.uid != *uid);
            if holdings.is_empty() {
                self.holdings.remove(&ip);
            }
        }
    }

    pub(super) fn holder(&self, ip: IpAddr, at: Timestamp) -> Option<&Arc<Pod>> {
        let holdings = self.holdings.get(&ip)?;
        let last = holdings.iter().rev().find(|holding| holding.from <= at)?;
        last.to.is_none_or(|to| at < to).then_some(&last.pod)
    }

    /// Some pod has had this address, lately or now.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.holdings.contains_key(&ip)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.holdings.len()
    }

    /// Holdings that gave way to later ones.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
