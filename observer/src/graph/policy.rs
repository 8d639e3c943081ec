//! The one form that policies of all kinds are compiled to: whom a policy governs, and what its rules allow or deny.

use std::sync::Arc;

use super::condition::Condition;
use super::pattern::Pattern;
use super::selector::Selector;

/// Where a declaration comes from. Policies of one kind add up; what kinds say of a flow is weighed against one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    ServiceGraph,
    NetworkPolicy,
    Cilium,
    Istio,
    Linkerd,
}

impl SourceKind {
    pub const ALL: [Self; 5] =
        [Self::ServiceGraph, Self::NetworkPolicy, Self::Cilium, Self::Istio, Self::Linkerd];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceGraph => "servicegraph",
            Self::NetworkPolicy => "networkpolicy",
            Self::Cilium => "cilium",
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
        }
    }
}

/// Ingress rules govern the server, egress rules the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// What one object says of one direction.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub kind: SourceKind,
    /// `NetworkPolicy shop/default-deny`.
    pub source: Arc<str>,
    pub direction: Direction,
    pub subject: Subject,
    /// What no rule allows is not allowed. Without it, only what a rule denies is not.
    pub denies_by_default: bool,
    pub rules: Vec<Rule>,
}

/// Whom a policy governs: pods, never hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    /// Absent: pods of every namespace.
    pub namespace: Option<Arc<str>>,
    pub pods: Selector,
    /// Only those that run as one of these; empty: all.
    pub service_accounts: Vec<Pattern>,
    /// Only where this holds, too, such as a port: a flow of which it is unknown may be governed.
    pub when: Option<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub action: Action,
    /// Where in the object: `spec.ingress[0]`.
    pub clause: Arc<str>,
    pub when: Condition,
}

impl Policy {
    /// What it says can depend on a request.
    pub fn asks_of_requests(&self) -> bool {
        self.rules.iter().any(|rule| rule.when.asks_of_requests())
    }
}
