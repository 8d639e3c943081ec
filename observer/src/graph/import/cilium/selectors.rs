//! Endpoint selectors: label selectors whose keys may say where a label is from, and some of which mean more than labels.

use std::sync::Arc;

use super::super::Named;
use super::peers::entity;
use crate::graph::condition::{Condition, End, Namespaces};
use crate::graph::pattern::Pattern;
use crate::graph::policy::{Direction, Subject};
use crate::graph::selector::{Expression, Operator, Selector};

const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";

enum Key<'k> {
    Pod(&'k str),
    Namespace,
    NamespaceLabel(&'k str),
    ServiceAccount,
    Reserved(&'k str),
    /// Not told by Kubernetes' own objects.
    Unseen(&'static str),
}

impl<'k> Key<'k> {
    fn of(text: &'k str) -> Self {
        let name = match text.split_once(':') {
            None => text,
            Some(("k8s" | "any", name)) => name,
            Some(("reserved", name)) => return Self::Reserved(name),
            Some(_) => return Self::Unseen("label-source-unseen"),
        };
        match name {
            NAMESPACE => Self::Namespace,
            SERVICE_ACCOUNT => Self::ServiceAccount,
            CLUSTER => Self::Unseen("cluster-name-unseen"),
            _ => name.strip_prefix(NAMESPACE_LABELS).map_or(Self::Pod(name), Self::NamespaceLabel),
        }
    }
}

/// A selector's labels and expressions, by what they are about.
#[derive(Default)]
struct Parts {
    pods: Selector,
    namespace_labels: Selector,
    namespaces: Vec<Expression>,
    service_accounts: Vec<Expression>,
    reserved: Vec<String>,
    unseen: Vec<&'static str>,
}

impl Parts {
    fn of(selector: &Selector) -> Self {
        let mut parts = Self::default();
        let named = |key: &str, value: &Arc<str>| (Arc::from(key), value.clone());
        for (key, value) in &selector.match_labels {
            let expression =
                || Expression { key: key.clone(), operator: Operator::In, values: vec![value.clone()] };
            match Key::of(key) {
                Key::Pod(name) => parts.pods.match_labels.extend([named(name, value)]),
                Key::NamespaceLabel(name) => parts.namespace_labels.match_labels.extend([named(name, value)]),
                Key::Namespace => parts.namespaces.push(expression()),
                Key::ServiceAccount => parts.service_accounts.push(expression()),
                Key::Reserved(name) => parts.reserved.push(name.to_owned()),
                Key::Unseen(reason) => parts.unseen.push(reason),
            }
        }
        for expression in &selector.match_expressions {
            let renamed = |name: &str| Expression { key: name.into(), ..expression.clone() };
            match Key::of(&expression.key) {
                Key::Pod(name) => parts.pods.match_expressions.push(renamed(name)),
                Key::NamespaceLabel(name) => parts.namespace_labels.match_expressions.push(renamed(name)),
                Key::Namespace => parts.namespaces.push(expression.clone()),
                Key::ServiceAccount => parts.service_accounts.push(expression.clone()),
                Key::Reserved(name) if expression.operator == Operator::Exists => {
                    parts.reserved.push(name.to_owned());
                }
                Key::Reserved(_) => parts.unseen.push("entity-unseen"),
                Key::Unseen(reason) => parts.unseen.push(reason),
            }
        }
        parts
    }

    /// All but the pods' labels, and namespaces where they are told otherwise.
    fn beyond_labels(&self, end: End) -> Vec<Condition> {
        let account = |namespace, name| Condition::ServiceAccount { end, namespace, name };
        let namespaces = self.namespaces.iter().map(|expression| {
            among(expression, |value| account(Pattern::Exact(value.clone()), Pattern::Present))
        });
        let accounts = self.service_accounts.iter().map(|expression| {
            among(expression, |value| account(Pattern::Present, Pattern::Exact(value.clone())))
        });
        let reserved =
            self.reserved.iter().map(|name| entity(name, end).unwrap_or(Condition::Unseen("entity-unseen")));
        let unseen = self.unseen.iter().map(|reason| Condition::Unseen(reason));
        namespaces.chain(accounts).chain(reserved).chain(unseen).collect()
    }
}

/// Every pod has a namespace and a ServiceAccount.
fn among(expression: &Expression, is: impl Fn(&Arc<str>) -> Condition) -> Condition {
    let any = || Condition::Any(expression.values.iter().map(&is).collect());
    match expression.operator {
        Operator::In => any(),
        Operator::NotIn => Condition::Not(Box::new(any())),
        Operator::Exists => Condition::ALWAYS,
        Operator::DoesNotExist => Condition::Any(Vec::new()),
    }
}

/// Pods of the policy's namespace, unless the selector speaks of namespaces. Pods that use their node's network have
/// their node's identity.
pub(super) fn peer(named: &Named, end: End, selector: &Selector) -> Result<Condition, String> {
    selector.check()?;
    let parts = Parts::of(selector);
    let mut all = parts.beyond_labels(end);
    if !parts.reserved.is_empty() {
        return Ok(Condition::All(all));
    }
    let namespaces = match parts.namespaces.is_empty() && parts.namespace_labels.is_empty() {
        true => Namespaces::Named(named.namespace.clone()),
        false => Namespaces::Selected(parts.namespace_labels),
    };
    all.insert(0, Condition::Not(Box::new(Condition::Host { end, own: None })));
    all.push(Condition::Pods { end, namespaces, pods: parts.pods });
    Ok(Condition::All(all))
}

/// Pods of the policy's namespace: what `endpointSelector` says of namespaces' names is overruled.
pub(super) fn subject(named: &Named, direction: Direction, selector: &Selector) -> Subject {
    let end = if direction == Direction::Ingress { End::Server } else { End::Client };
    let mut parts = Parts::of(selector);
    parts.namespaces.clear();
    let mut when = parts.beyond_labels(end);
    if !parts.namespace_labels.is_empty() {
        let namespaces = Namespaces::Selected(std::mem::take(&mut parts.namespace_labels));
        when.push(Condition::Pods { end, namespaces, pods: Selector::default() });
    }
    Subject {
        namespace: Some(named.namespace.clone()),
        pods: parts.pods,
        service_accounts: Vec::new(),
        when: (!when.is_empty()).then_some(Condition::All(when)),
    }
}
