//! Which policies govern a flow, and what those of each kind say of it together.

use std::sync::Arc;

use super::condition::{HTTP_UNSEEN, Truth};
use super::evaluate::Query;
use super::policy::{Action, Direction, Policy, SourceKind};
use crate::model::{DeclarationStatus, HashMap, Identity, Pod};

/// All imported policies, by whom they may govern.
#[derive(Debug, Default)]
pub(super) struct Policies {
    all: Vec<Policy>,
    /// The kinds that there are; what follows has a place for each.
    sums: Vec<SourceKind>,
    of_namespace: HashMap<Arc<str>, BothWays>,
    of_every_namespace: BothWays,
    ingress: bool,
    egress: bool,
    cilium: bool,
}

/// By direction, and then by kind.
type BothWays = [Vec<Places>; 2];

/// Places in [`Policies::all`].
#[derive(Clone, Debug, Default)]
struct Places {
    /// By one of the labels that their selectors ask for: a pod without it is not governed.
    by_label: Vec<(Arc<str>, ByValue)>,
    others: Vec<usize>,
}

/// Of one label's key.
type ByValue = HashMap<Arc<str>, Vec<usize>>;

/// What the policies of one kind say of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion<'p> {
    pub status: DeclarationStatus,
    pub policy: &'p Policy,
    /// The rule that decided, if one did.
    pub clause: Option<&'p Arc<str>>,
    pub reason: Option<&'static str>,
}

impl Opinion<'_> {
    fn rank(&self) -> u8 {
        rank(self.status, self.reason)
    }
}

/// The less a flow is expected, the more it weighs.
pub(super) fn rank(status: DeclarationStatus, reason: Option<&str>) -> u8 {
    match status {
        DeclarationStatus::Ungoverned => 0,
        DeclarationStatus::Allowed => 1 + u8::from(reason.is_some()),
        DeclarationStatus::Unevaluable => 3,
        DeclarationStatus::Unexpected => 4,
    }
}

/// What has been gathered of one kind and direction.
#[derive(Clone, Copy, Default)]
struct Tally<'p> {
    /// One that governs the flow: the first that denies by default, if one does.
    governor: Option<(&'p Policy, bool)>,
    /// It is not known whether one governs it.
    maybe_governed: Option<(&'p Policy, &'static str)>,
    denied: Option<(&'p Policy, &'p Arc<str>)>,
    maybe_denied: Option<(&'p Policy, &'p Arc<str>, &'static str)>,
    allowed: Option<(&'p Policy, &'p Arc<str>)>,
    maybe_allowed: Option<(&'p Policy, &'p Arc<str>, &'static str)>,
}

impl Policies {
    pub fn new(all: Vec<Policy>) -> Self {
        let mut policies = Self {
            ingress: all.iter().any(|policy| policy.direction == Direction::Ingress),
            egress: all.iter().any(|policy| policy.direction == Direction::Egress),
            cilium: all.iter().any(|policy| policy.kind == SourceKind::Cilium),
            ..Self::default()
        };
        let sums = |kind| policies.sum_of(kind);
        let present = |kind: &SourceKind| all.iter().any(|policy| sums(policy.kind) == *kind);
        policies.sums = SourceKind::ALL.into_iter().filter(present).collect();
        let empty: BothWays = std::array::from_fn(|_| vec![Places::default(); policies.sums.len()]);
        policies.of_every_namespace = empty.clone();
        for (place, policy) in all.iter().enumerate() {
            let kind = policies.sum_of(policy.kind);
            let sum = policies.sums.iter().position(|known| *known == kind).unwrap_or_default();
            let both_ways = match &policy.subject.namespace {
                Some(namespace) => {
                    policies.of_namespace.entry(namespace.clone()).or_insert_with(|| empty.clone())
                }
                None => &mut policies.of_every_namespace,
            };
            let places = &mut both_ways[policy.direction as usize][sum];
            match policy.subject.pods.match_labels.first_key_value() {
                Some((key, value)) => places.of_key(key).entry(value.clone()).or_default().push(place),
                None => places.others.push(place),
            }
        }
        policies.all = all;
        policies
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What each kind says that governs the flow: of its two directions, the one that expects it less.
    pub fn opinions<'p>(&'p self, query: &Query<'_>, mut tell: impl FnMut(Opinion<'p>)) {
        if self.is_empty() || is_within_pod(query) {
            return;
        }
        for sum in 0..self.sums.len() {
            let ingress = self.tally(Direction::Ingress, sum, query.server, query);
            let egress = self.tally(Direction::Egress, sum, query.client, query);
            let opinions = [ingress.opinion(), egress.opinion()].into_iter().flatten();
            if let Some(worst) =
                opinions.reduce(|one, other| if other.rank() > one.rank() { other } else { one })
            {
                tell(worst);
            }
        }
    }

    /// An end is not known, and may be one that a policy governs.
    pub fn unknown_end(&self, query: &Query<'_>) -> Option<&'static str> {
        match (query.server, query.client) {
            (Identity::Unknown(_), _) if self.ingress => Some("server-unknown"),
            (_, Identity::Unknown(_)) if self.egress => Some("client-unknown"),
            _ => None,
        }
    }

    /// Where Cilium's policies are, Cilium enforces those of Kubernetes too, as one set: what either allows is allowed
    /// (docs.cilium.io, "Network Policy").
    fn sum_of(&self, kind: SourceKind) -> SourceKind {
        match kind {
            SourceKind::NetworkPolicy if self.cilium => SourceKind::Cilium,
            kind => kind,
        }
    }

    /// What the policies of one kind come to whose subject this is, or may be.
    fn tally<'p>(
        &'p self,
        direction: Direction,
        sum: usize,
        subject: &Identity,
        query: &Query<'_>,
    ) -> Tally<'p> {
        let mut tally = Tally::default();
        let Some((namespace, account)) = subject.service_account() else { return tally };
        let pod = subject.pod();
        // Policies do not reach pods that use their node's network.
        if pod.is_some_and(|pod| pod.host_network) {
            return tally;
        }
        let own = self.of_namespace.get(namespace);
        for both_ways in own.into_iter().chain([&self.of_every_namespace]) {
            let places = &both_ways[direction as usize][sum];
            let mut consider = |place: usize| {
                let policy = &self.all[place];
                let accounts = &policy.subject.service_accounts;
                // Its first label led here.
                let means = pod.is_none_or(|pod| policy.subject.pods.matches_further(|key| pod.label(key)));
                if means && (accounts.is_empty() || accounts.iter().any(|name| name.matches(account))) {
                    tally.take(policy, query);
                }
            };
            places.others.iter().copied().for_each(&mut consider);
            places.with_labels_of(pod.map(|pod| &**pod), &mut consider);
        }
        tally
    }
}

/// Nothing stands between a pod and itself: policies of no kind are asked there.
fn is_within_pod(query: &Query<'_>) -> bool {
    match (query.client, query.server) {
        (Identity::Pod(client), Identity::Pod(server)) => client.uid == server.uid,
        _ => false,
    }
}

impl Places {
    /// Without a pod, its labels are not known: it may be any.
    fn with_labels_of(&self, pod: Option<&Pod>, consider: &mut impl FnMut(usize)) {
        for (key, of_key) in &self.by_label {
            match pod {
                Some(pod) => {
                    let places = pod.label(key).and_then(|value| of_key.get(value));
                    places.into_iter().flatten().copied().for_each(&mut *consider);
                }
                None => of_key.values().flatten().copied().for_each(&mut *consider),
            }
        }
    }

    /// There are few keys, and more labels of a pod.
    fn of_key(&mut self, key: &Arc<str>) -> &mut ByValue {
        let place = self.by_label.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            self.by_label.push((key.clone(), ByValue::default()));
            self.by_label.len() - 1
        });
        &mut self.by_label[place].1
    }
}

impl<'p> Tally<'p> {
    fn take(&mut self, policy: &'p Policy, query: &Query<'_>) {
        let selected = !policy.subject.pods.is_empty();
        let mut governs = policy.subject.when.as_ref().map_or(Truth::Yes, |when| when.holds(query));
        let subject = if policy.direction == Direction::Ingress { query.server } else { query.client };
        if selected && subject.pod().is_none() {
            // Known by its Service alone: its labels are not known.
            governs = governs.and(|| Truth::Unknown("service-backend"));
        }
        match governs {
            Truth::No => return,
            Truth::Unknown(reason) if policy.denies_by_default => {
                self.maybe_governed.get_or_insert((policy, reason));
            }
            Truth::Unknown(_) => {}
            Truth::Yes => match self.governor {
                Some((_, true)) => {}
                Some(_) if !policy.denies_by_default => {}
                _ => self.governor = Some((policy, policy.denies_by_default)),
            },
        }
        for rule in &policy.rules {
            // What is settled already need not be asked again.
            let settled = match rule.action {
                Action::Deny => self.denied.is_some(),
                Action::Allow => self.allowed.is_some(),
            };
            if settled {
                continue;
            }
            match (rule.action, rule.when.holds(query).and(|| governs)) {
                (_, Truth::No) => {}
                (Action::Deny, Truth::Yes) => {
                    self.denied.get_or_insert((policy, &rule.clause));
                }
                (Action::Deny, Truth::Unknown(reason)) => {
                    self.maybe_denied.get_or_insert((policy, &rule.clause, reason));
                }
                (Action::Allow, Truth::Yes) => {
                    self.allowed.get_or_insert((policy, &rule.clause));
                }
                (Action::Allow, Truth::Unknown(reason)) => {
                    // A request that was not seen yet is nearer to an answer than what cannot be seen.
                    if self
                        .maybe_allowed
                        .is_none_or(|(_, _, before)| before != reason && reason == HTTP_UNSEEN)
                    {
                        self.maybe_allowed = Some((policy, &rule.clause, reason));
                    }
                }
            }
        }
    }

    /// `None`: nobody of this kind governs the flow.
    fn opinion(self) -> Option<Opinion<'p>> {
        use DeclarationStatus::{Allowed, Unevaluable, Unexpected};
        let of = |status, policy, clause, reason| Some(Opinion { status, policy, clause, reason });
        if let Some((policy, clause)) = self.denied {
            return of(Unexpected, policy, Some(clause), None);
        }
        // Whether it is denied if no rule says anything of it.
        let (denies, governor) = match (self.governor, self.maybe_governed) {
            (Some((policy, true)), _) => (Truth::Yes, policy),
            (Some((policy, false)), None) => (Truth::No, policy),
            (_, Some((policy, reason))) => (Truth::Unknown(reason), policy),
            (None, None) => {
                let (policy, clause, reason) = self.maybe_denied?;
                return of(Unevaluable, policy, Some(clause), Some(reason));
            }
        };
        if let Some((policy, clause, reason)) = self.maybe_denied {
            // Whether a rule denies it does not matter where none allows it.
            let hopeless = denies == Truth::Yes && self.allowed.is_none() && self.maybe_allowed.is_none();
            if !hopeless {
                return of(Unevaluable, policy, Some(clause), Some(reason));
            }
        }
        if let Some((policy, clause)) = self.allowed {
            return of(Allowed, policy, Some(clause), None);
        }
        match (denies, self.maybe_allowed) {
            (Truth::No, _) => of(Allowed, governor, None, None),
            (_, Some((policy, clause, reason @ HTTP_UNSEEN))) => {
                of(Allowed, policy, Some(clause), Some(reason))
            }
            (_, Some((policy, clause, reason))) => of(Unevaluable, policy, Some(clause), Some(reason)),
            (Truth::Yes, None) => of(Unexpected, governor, None, None),
            (Truth::Unknown(reason), None) => of(Unevaluable, governor, None, Some(reason)),
        }
    }
}
