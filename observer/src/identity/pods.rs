use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::address_history::{AddressHistory, Holder};
use super::lists::Mark;
use super::objects::PodObject;
use super::tenure::{self, Span};
use crate::model::{HashMap, Pod, PodIps, Timestamp, Uid};

/// Kubernetes is tested to 150,000 pods a cluster; the rest is room for those that are gone and still asked for.
pub const MAX_PODS: usize = 200_000;
/// How long a deleted pod still answers: events of its last connections arrive after the news of its end.
pub const DEPARTED_FOR: Duration = Duration::from_secs(120);
/// Deleted pods that still answer; the oldest is forgotten early, which is counted.
pub const MAX_DEPARTED: usize = 20_000;
/// Addresses that one pod had before; each new sandbox brings another.
pub(super) const MAX_FORMER: usize = 8;

/// The pods, by uid and, derived from that, by address.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: HashMap<ByUid, State>,
    /// Of the few pods that there is more to know of.
    rare: HashMap<Uid, Rare>,
    /// Static pods: the kubelet's hash to the API's uid.
    static_pods: HashMap<Uid, Uid>,
    addresses: AddressHistory,
    departed: VecDeque<(Timestamp, Uid)>,
    departed_early: u64,
    changes: u64,
}

/// The pod has its own key in it.
#[derive(Debug)]
struct ByUid(Arc<Pod>);

#[derive(Clone, Copy, Debug)]
struct State {
    listed: Mark,
    /// Succeeded or Failed.
    ended: bool,
    /// To be deleted.
    leaving: bool,
    departed: bool,
}

#[derive(Debug, Default)]
struct Rare {
    hash: Option<Uid>,
    departed: Option<Timestamp>,
    /// Addresses it had before it got others: to be forgotten along with it.
    former: VecDeque<IpAddr>,
}

impl Hash for ByUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.uid.hash(state);
    }
}

impl PartialEq for ByUid {
    fn eq(&self, other: &Self) -> bool {
        self.0.uid == other.0.uid
    }
}

impl Eq for ByUid {}

impl Borrow<Uid> for ByUid {
    fn borrow(&self) -> &Uid {
        &self.0.uid
    }
}

impl Pods {
    pub(super) fn has_room_for(&self, uid: &Uid) -> bool {
        self.pods.len() < MAX_PODS || self.pods.contains_key(uid)
    }

    /// `object` is what `pod` was read from.
    pub(super) fn apply(&mut self, pod: Pod, object: &PodObject, now: Timestamp, listed: Mark) {
        let uid = pod.uid;
        let ended = matches!(object.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let known = self.pods.remove_entry(&uid);
        let pod = match &known {
            Some((ByUid(old), was)) if **old == pod && was.ended == ended && !was.departed => old.clone(),
            _ => {
                self.changes += 1;
                Arc::new(pod)
            }
        };
        let state = State { listed, ended, leaving: tenure::is_leaving(object), departed: false };
        self.pods.insert(ByUid(pod.clone()), state);
        self.note_hash(uid, object.metadata.annotations.config_hash.as_deref().map(Uid::of));

        let start = tenure::start(object, now);
        let holds = held(&pod, ended);
        match &known {
            Some((ByUid(old), was)) => {
                if was.departed
                    && let Some(rare) = self.rare.get_mut(&uid)
                {
                    rare.departed = None;
                }
                let end = tenure::end(object, was.leaving, now);
                for ip in held(old, was.ended).iter().filter(|ip| !holds.contains(*ip)) {
                    self.addresses.release(ip, &uid, end, now);
                    if !pod.ips.contains(ip) {
                        self.note_former(uid, ip);
                    }
                }
            }
            // It came and went before it was heard of.
            None if ended && !pod.host_network => {
                let end = tenure::end(object, false, now).filter(|end| now.since(end.latest) < DEPARTED_FOR);
                for ip in end.iter().flat_map(|_| pod.ips.iter()) {
                    self.addresses.hold(ip, &pod, start, now);
                    self.addresses.release(ip, &uid, end, now);
                }
            }
            None => {}
        }
        for ip in holds.iter() {
            self.addresses.hold(ip, &pod, start, now);
        }
    }

    /// The pod is gone. `object` is its last state, if that was told.
    pub(super) fn delete(&mut self, uid: Uid, object: Option<&PodObject>, now: Timestamp) {
        let Some((ByUid(pod), state)) = self.pods.get_key_value(&uid) else { return };
        if state.departed {
            return;
        }
        let end = match object {
            Some(object) => tenure::end(object, state.leaving, now),
            None => Some(Span { earliest: Timestamp(0), latest: now }),
        };
        for ip in pod.ips.iter() {
            self.addresses.release(ip, &uid, end, now);
        }
        if let Some(state) = self.pods.get_mut(&uid) {
            state.departed = true;
        }
        self.changes += 1;
        self.rare.entry(uid).or_default().departed = Some(now);
        self.departed.push_back((now, uid));
        if self.departed.len() > MAX_DEPARTED {
            self.departed_early += 1;
            self.forget_oldest();
        }
    }

    pub(super) fn forget_departed(&mut self, now: Timestamp) {
        while self.departed.front().is_some_and(|(since, _)| now.since(*since) >= DEPARTED_FOR) {
            self.forget_oldest();
        }
    }

    pub(super) fn mark(&mut self, uid: &Uid, listed: Mark) {
        if let Some(state) = self.pods.get_mut(uid) {
            state.listed = listed;
        }
    }

    /// The pods that are not part of this list.
    pub(super) fn unlisted(&self, listed: Mark) -> Vec<Uid> {
        let gone = self.pods.iter().filter(|(_, state)| !state.departed && state.listed != listed);
        gone.map(|(ByUid(pod), _)| pod.uid).collect()
    }

    /// By its uid, or by the hash that the kubelet has instead.
    pub(super) fn by_uid(&self, uid: &Uid) -> Option<&Arc<Pod>> {
        let found = self.pods.get_key_value(uid);
        let found = found.or_else(|| self.pods.get_key_value(self.static_pods.get(uid)?));
        found.map(|(ByUid(pod), _)| pod)
    }

    pub(super) fn at(&self, ip: IpAddr, at: Timestamp) -> Holder<'_> {
        self.addresses.holder(ip, at)
    }

    /// Some pod has had this address, lately or now.
    pub(super) fn knows_address(&self, ip: IpAddr) -> bool {
        self.addresses.knows(ip)
    }

    /// The pods that exist, in no order.
    pub(super) fn existing(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|(_, state)| !state.departed).map(|(ByUid(pod), _)| pod)
    }

    /// Those of them that have not ended.
    pub(super) fn living(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|(_, state)| !state.departed && !state.ended).map(|(ByUid(pod), _)| pod)
    }

    /// Grows whenever a pod is new, different or gone.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// Those, by namespace and name, that some pod runs as, now or until lately; each as often as there are pods. Not by
    /// templates: records that are kept hold theirs, too.
    pub(super) fn service_accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pods.keys().map(|ByUid(pod)| (&*pod.namespace, &*pod.service_account))
    }

    /// Deleted pods forgotten early, and holders of an address that gave way to later ones.
    pub(super) fn forgotten_early(&self) -> u64 {
        self.departed_early + self.addresses.dropped()
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.addresses.len()
    }

    fn note_hash(&mut self, uid: Uid, hash: Option<Uid>) {
        let known = self.rare.get(&uid).and_then(|rare| rare.hash);
        if hash == known {
            return;
        }
        if let Some(known) = known {
            self.static_pods.remove(&known);
        }
        self.rare.entry(uid).or_default().hash = hash;
        if let Some(hash) = hash {
            self.static_pods.insert(hash, uid);
        }
    }

    fn note_former(&mut self, uid: Uid, ip: IpAddr) {
        let former = &mut self.rare.entry(uid).or_default().former;
        former.push_back(ip);
        if former.len() > MAX_FORMER
            && let Some(ip) = former.pop_front()
        {
            self.addresses.forget(ip, &uid);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((since, uid)) = self.departed.pop_front() else { return };
        // It may have come back since, or come back and gone again.
        if self.rare.get(&uid).is_none_or(|rare| rare.departed != Some(since)) {
            return;
        }
        let Rare { hash, former, .. } = self.rare.remove(&uid).unwrap_or_default();
        if let Some((ByUid(pod), _)) = self.pods.remove_entry(&uid) {
            for ip in pod.ips.iter().chain(former) {
                self.addresses.forget(ip, &uid);
            }
        }
        if let Some(hash) = hash.filter(|hash| self.static_pods.get(hash) == Some(&uid)) {
            self.static_pods.remove(&hash);
        }
    }
}

/// The addresses that are the pod's alone.
fn held(pod: &Pod, ended: bool) -> PodIps {
    if pod.host_network || ended { PodIps::default() } else { pod.ips }
}
