//! NetworkPolicy (networking.k8s.io/v1).
//!
//! A pod is isolated for a direction by the policies that select it and name that direction; what one of their rules
//! allows is allowed (kubernetes.io, "Network Policies"). Traffic from the pod's own node is always allowed.

use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{Fault, Named, part};
use crate::graph::condition::{Condition, End, Namespaces, Ports};
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind, Subject};
use crate::graph::selector::Selector;
use crate::model::Transport;

#[derive(Deserialize)]
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
    #[serde(default)]
    protocol: Protocol,
    port: Option<NumberOrName>,
    end_port: Option<u16>,
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
#[serde(untagged)]
enum NumberOrName {
    Number(u16),
    Name(Arc<str>),
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
    cidr: IpNet,
    #[serde(default)]
    except: Vec<IpNet>,
}

pub(super) fn read(named: &Named, value: &Value) -> Result<Vec<Policy>, Fault> {
    let spec: Spec = part(value, "spec")?;
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
        parts.push(Condition::Any(ports.into_iter().map(port).collect()));
    }
    let peers = peers.unwrap_or_default();
    if !peers.is_empty() {
        let mut any = Vec::new();
        for (place, peer) in peers.into_iter().enumerate() {
            let at = |why| (format!("{rule}.{key}[{place}]"), why);
            any.push(condition_of(named, end, peer).map_err(at)?);
        }
        parts.push(Condition::Any(any));
    }
    Ok(Condition::All(parts))
}

fn condition_of(named: &Named, end: End, peer: Peer) -> Result<Condition, String> {
    match (peer.ip_block, peer.namespace_selector, peer.pod_selector) {
        (Some(block), None, None) => {
            Ok(Condition::Outside { end, ranges: vec![block.cidr], except: block.except })
        }
        (None, None, None) => {
            Err("is empty; give it a podSelector, a namespaceSelector or an ipBlock".to_owned())
        }
        (Some(_), ..) => Err("an ipBlock stands alone; make it a peer of its own".to_owned()),
        (None, namespaces, pods) => {
            let pods = pods.unwrap_or_default();
            pods.check()?;
            let namespaces = match namespaces {
                None => Namespaces::Named(named.namespace.clone()),
                Some(selector) => {
                    selector.check()?;
                    Namespaces::Selected(selector)
                }
            };
            Ok(Condition::Pods { end, namespaces, pods })
        }
    }
}

fn port(port: Port) -> Condition {
    let transport = match port.protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        // Not among the flows that are seen: no flow fits.
        Protocol::Sctp => return Condition::Any(Vec::new()),
    };
    match port.port {
        None => Condition::Port(Ports { transport: Some(transport), range: None }),
        Some(NumberOrName::Number(first)) => {
            let range = Some((first, port.end_port.unwrap_or(first)));
            Condition::Port(Ports { transport: Some(transport), range })
        }
        Some(NumberOrName::Name(name)) => Condition::NamedPort { name, transport },
    }
}
