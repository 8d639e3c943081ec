//! CiliumNetworkPolicy (cilium.io/v2).
//!
//! A pod is governed in a direction by the rules that select it and have a section for that direction (docs.cilium.io,
//! "Policy Enforcement Modes" and "Layer 3 Policies"):
//! - a rule without peers and ports, `{}`, allows nothing; a section without rules governs nothing;
//! - a list of peers that is there and empty means nobody; one that is absent means anybody, if there are ports;
//! - what a deny rule means is denied, whatever allows it; `enableDefaultDeny` says whether the rest is denied;
//! - traffic from the pod's own node is always allowed;
//! - addresses do not mean pods; whether they mean nodes is a setting of the agent (`cidr-of-nodes`).

mod peers;
mod ports;
mod selectors;

use serde::Deserialize;
use serde_json::Value;

use self::peers::Peers;
use self::ports::PortRule;
use super::{Fault, Named, part};
use crate::graph::condition::{Condition, End};
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind};
use crate::graph::selector::Selector;

/// A policy's `spec`, or one of its `specs`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    endpoint_selector: Option<Selector>,
    node_selector: Option<Value>,
    ingress: Option<Vec<PeerRule>>,
    ingress_deny: Option<Vec<PeerRule>>,
    egress: Option<Vec<PeerRule>>,
    egress_deny: Option<Vec<PeerRule>>,
    #[serde(default)]
    enable_default_deny: DefaultDeny,
}

#[derive(Default, Deserialize)]
struct DefaultDeny {
    ingress: Option<bool>,
    egress: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerRule {
    #[serde(flatten)]
    peers: Peers,
    to_ports: Option<Vec<PortRule>>,
    icmps: Option<Vec<Value>>,
    authentication: Option<Authentication>,
}

#[derive(Deserialize)]
struct Authentication {
    mode: Mode,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Disabled,
    Required,
    TestAlwaysFail,
}

pub(super) fn read(named: &Named, value: &Value) -> Result<Vec<Policy>, Fault> {
    let mut policies = Vec::new();
    if !value["spec"].is_null() {
        add(named, "spec", part(value, "spec")?, &mut policies)?;
    }
    let specs: Option<Vec<Spec>> = part(value, "specs")?;
    for (place, spec) in specs.into_iter().flatten().enumerate() {
        add(named, &format!("specs[{place}]"), spec, &mut policies)?;
    }
    if value["spec"].is_null() && value["specs"].is_null() {
        return Err(("spec".to_owned(), "is missing, and so is specs; write one of them".to_owned()));
    }
    Ok(policies)
}

fn add(named: &Named, key: &str, spec: Spec, policies: &mut Vec<Policy>) -> Result<(), Fault> {
    if spec.node_selector.is_some() {
        let why = "is for CiliumClusterwideNetworkPolicy; select pods with endpointSelector";
        return Err((format!("{key}.nodeSelector"), why.to_owned()));
    }
    let at = format!("{key}.endpointSelector");
    let Some(selector) = spec.endpoint_selector else {
        return Err((at, "is missing; select pods, or all of the namespace with {}".to_owned()));
    };
    selector.check().map_err(|why| (at, why))?;
    for (direction, section, allow, deny, default_deny) in [
        (Direction::Ingress, "ingress", spec.ingress, spec.ingress_deny, spec.enable_default_deny.ingress),
        (Direction::Egress, "egress", spec.egress, spec.egress_deny, spec.enable_default_deny.egress),
    ] {
        let (allow, deny) = (allow.unwrap_or_default(), deny.unwrap_or_default());
        let speaks = !allow.is_empty() || !deny.is_empty();
        let denies_by_default = default_deny.unwrap_or(speaks);
        if !speaks && !denies_by_default {
            continue;
        }
        let mut rules = Vec::new();
        if direction == Direction::Ingress {
            rules.push(Rule { action: Action::Allow, clause: "own-node".into(), when: Condition::OwnNode });
        }
        for (place, rule) in allow.into_iter().enumerate() {
            read_rule(
                named,
                direction,
                Action::Allow,
                &format!("{key}.{section}[{place}]"),
                rule,
                &mut rules,
            )?;
        }
        for (place, rule) in deny.into_iter().enumerate() {
            read_rule(
                named,
                direction,
                Action::Deny,
                &format!("{key}.{section}Deny[{place}]"),
                rule,
                &mut rules,
            )?;
        }
        policies.push(Policy {
            kind: SourceKind::Cilium,
            source: named.source(),
            direction,
            subject: selectors::subject(named, direction, &selector),
            denies_by_default,
            rules,
        });
    }
    Ok(())
}

fn read_rule(
    named: &Named,
    direction: Direction,
    action: Action,
    key: &str,
    rule: PeerRule,
    rules: &mut Vec<Rule>,
) -> Result<(), Fault> {
    let end = if direction == Direction::Ingress { End::Client } else { End::Server };
    if let Some(when) = rule.peers.requirements(named, end, key)? {
        rules.push(Rule { action: Action::Deny, clause: format!("{key}.requires").into(), when });
    }
    // Of ICMP, which is not among the flows that are seen.
    if rule.icmps.is_some_and(|icmps| !icmps.is_empty()) {
        return Ok(());
    }
    let ports = rule.to_ports.filter(|ports| !ports.is_empty());
    let peers = rule.peers.condition(named, end, key)?;
    if peers.is_none() && ports.is_none() {
        return Ok(());
    }
    let mut parts = Vec::new();
    if let Some(ports) = ports {
        parts.push(ports::condition(ports, key)?);
    }
    parts.extend(peers);
    match rule.authentication.map(|authentication| authentication.mode) {
        None | Some(Mode::Disabled) => {}
        Some(Mode::Required) => parts.push(Condition::Unseen("mutual-authentication-unseen")),
        Some(Mode::TestAlwaysFail) => return Ok(()),
    }
    rules.push(Rule { action, clause: key.into(), when: Condition::All(parts) });
    Ok(())
}

#[cfg(test)]
mod tests;
