//! Whom a rule means.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::super::{Fault, Named};
use super::selectors;
use crate::graph::condition::{Condition, End, Namespaces, Truth};
use crate::graph::selector::Selector;

/// Of an ingress rule `from...`, of an egress rule `to...`.
#[derive(Deserialize)]
pub(super) struct Peers {
    #[serde(rename = "fromEndpoints", alias = "toEndpoints")]
    endpoints: Option<Vec<Selector>>,
    #[serde(rename = "fromEntities", alias = "toEntities")]
    entities: Option<Vec<String>>,
    #[serde(rename = "fromCIDR", alias = "toCIDR")]
    cidr: Option<Vec<String>>,
    #[serde(rename = "fromCIDRSet", alias = "toCIDRSet")]
    cidr_set: Option<Vec<Range>>,
    #[serde(rename = "fromNodes", alias = "toNodes")]
    nodes: Option<Vec<Value>>,
    #[serde(rename = "fromGroups", alias = "toGroups")]
    groups: Option<Vec<Value>>,
    #[serde(rename = "toServices")]
    services: Option<Vec<Value>>,
    #[serde(rename = "toFQDNs")]
    names: Option<Vec<Value>>,
    #[serde(rename = "fromRequires", alias = "toRequires")]
    requires: Option<Vec<Selector>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr: Option<String>,
    #[serde(default)]
    except: Vec<String>,
}

impl Peers {
    /// `None`: none are named, so that anybody is meant.
    pub fn condition(&self, named: &Named, end: End, key: &str) -> Result<Option<Condition>, Fault> {
        let side = if end == End::Client { "from" } else { "to" };
        let fault = |member: &str, place: usize, why: String| (format!("{key}.{side}{member}[{place}]"), why);
        let mut any = Vec::new();
        for (place, selector) in self.endpoints.iter().flatten().enumerate() {
            any.push(selectors::peer(named, end, selector).map_err(|why| fault("Endpoints", place, why))?);
        }
        for (place, name) in self.entities.iter().flatten().enumerate() {
            let why = || format!("{name} is no entity; write one such as world, cluster, host or all");
            any.push(entity(name, end).ok_or_else(|| fault("Entities", place, why()))?);
        }
        for (place, text) in self.cidr.iter().flatten().enumerate() {
            let range = range(text).map_err(|why| fault("CIDR", place, why))?;
            any.push(block(end, range, Vec::new()));
        }
        for (place, set) in self.cidr_set.iter().flatten().enumerate() {
            any.push(set.condition(end).map_err(|why| fault("CIDRSet", place, why))?);
        }
        let unseen = |list: &Option<Vec<Value>>, whom: Condition, reason| {
            let some = list.as_ref().is_some_and(|list| !list.is_empty());
            some.then(|| Condition::All(vec![whom, Condition::Unseen(reason)]))
        };
        any.extend(unseen(&self.nodes, Condition::Host { end, own: Some(false) }, "node-labels-unseen"));
        any.extend(unseen(&self.groups, outside(end), "groups-unseen"));
        any.extend(unseen(&self.names, outside(end), "names-unseen"));
        any.extend(unseen(&self.services, Condition::ALWAYS, "services-unseen"));
        self.is_one_member(key)?;
        Ok(self.is_named().then_some(Condition::Any(any)))
    }

    /// The agent refuses rules with several.
    fn is_one_member(&self, key: &str) -> Result<(), Fault> {
        let members = [
            self.endpoints.as_ref().map_or(0, Vec::len),
            self.entities.as_ref().map_or(0, Vec::len),
            self.cidr.as_ref().map_or(0, Vec::len),
            self.cidr_set.as_ref().map_or(0, Vec::len),
            self.nodes.as_ref().map_or(0, Vec::len),
            self.groups.as_ref().map_or(0, Vec::len),
            self.services.as_ref().map_or(0, Vec::len),
            self.names.as_ref().map_or(0, Vec::len),
        ];
        match members.into_iter().filter(|length| *length > 0).count() {
            0 | 1 => Ok(()),
            _ => Err((
                key.to_owned(),
                "names its peers in several ways, which Cilium refuses; make a rule of each".to_owned(),
            )),
        }
    }

    const fn is_named(&self) -> bool {
        self.endpoints.is_some()
            || self.entities.is_some()
            || self.cidr.is_some()
            || self.cidr_set.is_some()
            || self.nodes.is_some()
            || self.groups.is_some()
            || self.services.is_some()
            || self.names.is_some()
    }

    /// When the rule's requirements may forbid it: versions before 1.19 do.
    pub fn requirements(&self, named: &Named, end: End, key: &str) -> Result<Option<Condition>, Fault> {
        let mut any = Vec::new();
        for (place, selector) in self.requires.iter().flatten().enumerate() {
            let at = |why| (format!("{key}.requires[{place}]"), why);
            any.push(selectors::peer(named, end, selector).map_err(at)?);
        }
        if any.is_empty() {
            return Ok(None);
        }
        let others = Condition::Not(Box::new(Condition::Any(any)));
        Ok(Some(Condition::All(vec![others, Condition::Unseen("requirements-unseen")])))
    }
}

impl Range {
    fn condition(&self, end: End) -> Result<Condition, String> {
        let Some(cidr) = &self.cidr else {
            // A CiliumCIDRGroup, which is not among what is read.
            return Ok(Condition::All(vec![outside(end), Condition::Unseen("cidr-group-unseen")]));
        };
        let whole = range(cidr)?;
        let mut except = Vec::new();
        for text in &self.except {
            let exception = range(text)?;
            if !whole.contains(&exception.addr()) {
                return Err(format!(
                    "{exception} is no part of {whole}; write a range of it, or leave it out"
                ));
            }
            except.push(exception);
        }
        Ok(block(end, whole, except))
    }
}

/// A prefix, or an address.
fn range(text: &str) -> Result<IpNet, String> {
    let range = text.parse::<IpNet>().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
    range
        .map(|range| range.trunc())
        .map_err(|_| format!("{text} is no range of addresses; write it like 192.0.2.0/24 or 2001:db8::/32"))
}

fn block(end: End, range: IpNet, except: Vec<IpNet>) -> Condition {
    Condition::Block { end, range, except, pods: Truth::No, nodes: Truth::Unknown("cidr-of-nodes") }
}

fn pods(end: End) -> Condition {
    let namespaces = Namespaces::Selected(Selector::default());
    Condition::Pods { end, namespaces, pods: Selector::default() }
}

/// Not a pod with an address of its own.
fn outside(end: End) -> Condition {
    Condition::Any(vec![Condition::External { end }, Condition::Host { end, own: None }])
}

/// docs.cilium.io, "Entities based".
pub(super) fn entity(name: &str, end: End) -> Option<Condition> {
    let world = |range: &str| {
        let ranges = range.parse().into_iter().collect();
        Condition::All(vec![Condition::External { end }, Condition::Address { end, ranges }])
    };
    let unseen = |whom, reason| Condition::All(vec![whom, Condition::Unseen(reason)]);
    Some(match name {
        "all" => Condition::ALWAYS,
        "none" | "init" => Condition::Any(Vec::new()),
        "world" => Condition::External { end },
        "world-ipv4" => world("0.0.0.0/0"),
        "world-ipv6" => world("::/0"),
        "cluster" => Condition::Any(vec![Condition::Host { end, own: None }, pods(end)]),
        "host" => Condition::Host { end, own: Some(true) },
        "remote-node" => Condition::Host { end, own: Some(false) },
        "kube-apiserver" => unseen(outside(end), "api-server-unseen"),
        "health" | "ingress" => unseen(outside(end), "entity-unseen"),
        "unmanaged" => unseen(pods(end), "entity-unseen"),
        _ => return None,
    })
}
