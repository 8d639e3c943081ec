//! NetworkPolicy (networking.k8s.io/v1).
//!
//! A pod is isolated for a direction by the policies that select it and name that direction; what one of their rules
//! allows is allowed (kubernetes.io, "Network Policies"). Traffic from the pod's own node is always allowed.
//!
//! What the documentation leaves to the plugin cannot be told from flows: whether an `ipBlock` means the addresses of
//! pods too (`ip-block-of-pods`), and whether a selector means pods that use their node's network (`host-network`).
//! Policies do not govern such pods. What the API server would refuse is refused here.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{Fault, Named, part};
use crate::graph::condition::{Condition, End, Namespaces, Ports, Truth};
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind, Subject};
use crate::graph::selector::Selector;
use crate::model::Transport;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    pod_selector: Selector,
    ingress: Option<Vec<IngressRule>>,
    egress: Option<Vec<EgressRule>>,
    policy_types: Option<Vec<PolicyType>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum PolicyType {
    Ingress,
    Egress,
}

#[derive(Deserialize)]
struct IngressRule {
    ports: Option<Vec<Port>>,
    from: Option<Vec<Peer>>,
}

#[derive(Deserialize)]
struct EgressRule {
    ports: Option<Vec<Port>>,
    to: Option<Vec<Peer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    protocol: Option<Protocol>,
    #[serde(default)]
    port: Value,
    end_port: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    pod_selector: Option<Selector>,
    namespace_selector: Option<Selector>,
    ip_block: Option<IpBlock>,
}

#[derive(Deserialize)]
struct IpBlock {
    cidr: String,
    #[serde(default)]
    except: Option<Vec<String>>,
}

pub(super) fn read(named: &Named, value: &Value) -> Result<Vec<Policy>, Fault> {
    let spec = if value["spec"].is_null() { Spec::default() } else { part(value, "spec")? };
    spec.pod_selector.check().map_err(|why| ("spec.podSelector".to_owned(), why))?;
    // By default Ingress, and Egress if there are egress rules (NetworkPolicySpec.policyTypes).
    let types = spec.policy_types.unwrap_or_else(|| match &spec.egress {
        Some(rules) if !rules.is_empty() => vec![PolicyType::Ingress, PolicyType::Egress],
        _ => vec![PolicyType::Ingress],
    });
    let policy = |direction, rules| Policy {
        kind: SourceKind::NetworkPolicy,
        source: named.source(),
        direction,
        subject: Subject {
            namespace: Some(named.namespace.clone()),
            pods: spec.pod_selector.clone(),
            ..Subject::default()
        },
        denies_by_default: true,
        rules,
    };
    let mut policies = Vec::new();
    if types.contains(&PolicyType::Ingress) {
        let mut rules =
            vec![Rule { action: Action::Allow, clause: "own-node".into(), when: Condition::OwnNode }];
        for (place, rule) in spec.ingress.unwrap_or_default().into_iter().enumerate() {
            let key = format!("spec.ingress[{place}]");
            let when = both(named, End::Client, &key, "from", rule.from, rule.ports)?;
            rules.push(Rule { action: Action::Allow, clause: key.into(), when });
        }
        policies.push(policy(Direction::Ingress, rules));
    }
    if types.contains(&PolicyType::Egress) {
        let mut rules = Vec::new();
        for (place, rule) in spec.egress.unwrap_or_default().into_iter().enumerate() {
            let key = format!("spec.egress[{place}]");
            let when = both(named, End::Server, &key, "to", rule.to, rule.ports)?;
            rules.push(Rule { action: Action::Allow, clause: key.into(), when });
        }
        policies.push(policy(Direction::Egress, rules));
    }
    Ok(policies)
}

/// A rule's peers and ports; of either, none means any.
fn both(
    named: &Named,
    end: End,
    rule: &str,
    key: &str,
    peers: Option<Vec<Peer>>,
    ports: Option<Vec<Port>>,
) -> Result<Condition, Fault> {
    let mut parts = Vec::new();
    let ports = ports.unwrap_or_default();
    if !ports.is_empty() {
        let mut any = Vec::new();
        for (place, port) in ports.into_iter().enumerate() {
            let at = |(key, why)| (format!("{rule}.ports[{place}].{key}"), why);
            any.push(port_of(&port).map_err(at)?);
        }
        parts.push(Condition::Any(any));
    }
    let peers = peers.unwrap_or_default();
    if !peers.is_empty() {
        let mut any = Vec::new();
        for (place, peer) in peers.into_iter().enumerate() {
            let at = format!("{rule}.{key}[{place}]");
            any.push(condition_of(named, end, &at, peer)?);
        }
        parts.push(Condition::Any(any));
    }
    Ok(Condition::All(parts))
}

fn condition_of(named: &Named, end: End, at: &str, peer: Peer) -> Result<Condition, Fault> {
    let fault = |key: &str, why: String| (format!("{at}{key}"), why);
    match (peer.ip_block, peer.namespace_selector, peer.pod_selector) {
        (Some(block), None, None) => {
            let (range, except) =
                ranges(&block).map_err(|(key, why)| fault(&format!(".ipBlock.{key}"), why))?;
            let pods = Truth::Unknown("ip-block-of-pods");
            Ok(Condition::Block { end, range, except, pods, nodes: Truth::Yes })
        }
        (None, None, None) => {
            Err(fault("", "is empty; give it a podSelector, a namespaceSelector or an ipBlock".to_owned()))
        }
        (Some(_), ..) => Err(fault("", "an ipBlock stands alone; make it a peer of its own".to_owned())),
        (None, namespaces, pods) => {
            let pods = pods.unwrap_or_default();
            pods.check().map_err(|why| fault(".podSelector", why))?;
            let namespaces = match namespaces {
                None => Namespaces::Named(named.namespace.clone()),
                Some(selector) => {
                    selector.check().map_err(|why| fault(".namespaceSelector", why))?;
                    Namespaces::Selected(selector)
                }
            };
            Ok(Condition::Pods { end, namespaces, pods })
        }
    }
}

/// As the API server takes them: bits behind the prefix are left aside, an exception is smaller than its range.
fn ranges(block: &IpBlock) -> Result<(IpNet, Vec<IpNet>), Fault> {
    let range = range(&block.cidr).map_err(|why| ("cidr".to_owned(), why))?;
    let mut exceptions = Vec::new();
    for (place, text) in block.except.iter().flatten().enumerate() {
        let at = |why| (format!("except[{place}]"), why);
        let exception = self::range(text).map_err(at)?;
        if !range.contains(&exception) || range == exception {
            return Err(at(format!(
                "{exception} is no part of {range}; write a smaller range of it, or leave it out"
            )));
        }
        exceptions.push(exception);
    }
    Ok((range, exceptions))
}

fn range(text: &str) -> Result<IpNet, String> {
    let range: Result<IpNet, _> = text.parse();
    range
        .map(|range| range.trunc())
        .map_err(|_| format!("{text} is no range of addresses; write it like 192.0.2.0/24 or 2001:db8::/32"))
}

fn port_of(port: &Port) -> Result<Condition, Fault> {
    let at = |key: &str, why: &str| (key.to_owned(), why.to_owned());
    let transport = match port.protocol.unwrap_or_default() {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        Protocol::Sctp => None,
    };
    let number = |number: i64| u16::try_from(number).ok().filter(|number| *number != 0);
    let (range, name) = match (&port.port, port.end_port) {
        (Value::Null, None) => (None, None),
        (Value::Null, Some(_)) => {
            return Err(at("endPort", "stands without a port; give the first one as port"));
        }
        (Value::Number(first), last) => {
            let first = first
                .as_i64()
                .and_then(number)
                .ok_or_else(|| at("port", "is no port; write a number from 1 to 65535, or a port's name"))?;
            let last = match last {
                None => first,
                Some(last) => number(last)
                    .filter(|last| *last >= first)
                    .ok_or_else(|| at("endPort", "must be a port, and not below port"))?,
            };
            (Some((first, last)), None)
        }
        (Value::String(_), Some(_)) => {
            return Err(at("endPort", "stands beside a name; write port as a number, or leave endPort out"));
        }
        (Value::String(name), None) if is_port_name(name) => (None, Some(name)),
        _ => return Err(at("port", "is no port; write a number from 1 to 65535, or a port's name")),
    };
    Ok(match (transport, name) {
        // Not among the flows that are seen: no flow fits.
        (None, _) => Condition::Any(Vec::new()),
        (Some(transport), None) => Condition::Port(Ports { transport: Some(transport), range }),
        (Some(transport), Some(name)) => Condition::NamedPort { name: name.as_str().into(), transport },
    })
}

/// RFC 6335 section 5.1, in lower case, as ContainerPort.name has it.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
#[path = "network_policy_random.rs"]
mod random;
#[cfg(test)]
#[path = "network_policy_tests.rs"]
mod tests;
