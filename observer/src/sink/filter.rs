//! Which flows, findings or edges are asked for.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgeEnd, EdgeKey, EdgePort, EncryptionStatus, FindingKind,
    FlowRecord, Kind, Party, Protocol, Timestamp, Transport,
};

/// Values of one key, at most: each record is compared with all of them.
pub const MAX_VALUES: usize = 32;
/// Bytes of one value, at most: a namespace's name has 63 and a pod's 253.
pub const MAX_VALUE_LENGTH: usize = 320;

/// Several values of a key: any of them. Several keys: all of them. An empty list asks for nothing.
///
/// A principal is `namespace/name`, `namespace/` for all of a namespace, or `node`, `external`, `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Either end is in one of these namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub namespace: Vec<String>,
    /// The client's principal.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub from: Vec<String>,
    /// The server's principal.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub to: Vec<String>,
    /// Either end is a pod whose name begins so: `name`, or `namespace/name`. Flows only.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub pod: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub finding: Vec<FindingKind>,
    /// Flows and edges only, as the next two: an edge that has had such a flow or request.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub encryption: Vec<EncryptionStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub authentication: Vec<AuthenticationStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub declaration: Vec<DeclarationStatus>,
    /// Flows only.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub protocol: Vec<Protocol>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub transport: Vec<Transport>,
    /// The server's port.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub port: Vec<u16>,
    /// Not before; for findings and edges: last seen not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before. Flows only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let values: Vec<T> = Vec::deserialize(deserializer)?;
    if values.len() > MAX_VALUES {
        return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values of a key")));
    }
    Ok(values)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let values: Vec<String> = few(deserializer)?;
    if values.iter().any(|value| value.len() > MAX_VALUE_LENGTH) {
        return Err(D::Error::custom(format_args!("a value longer than {MAX_VALUE_LENGTH} bytes")));
    }
    Ok(values)
}

impl Filter {
    #[must_use]
    pub fn matches(&self, record: &FlowRecord) -> bool {
        let (client, server) = (&record.client, &record.server);
        let inside = |party: &Party| {
            party.namespace.as_deref().is_some_and(|own| self.namespace.iter().any(|wanted| wanted == own))
        };
        (self.namespace.is_empty() || inside(client) || inside(server))
            && any(&self.from, |from| is_principal(&client.principal, from))
            && any(&self.to, |to| is_principal(&server.principal, to))
            && any(&self.pod, |pod| is_pod(client, pod) || is_pod(server, pod))
            && any(&self.finding, |kind| record.findings.contains(kind))
            && one_of(&self.encryption, record.encryption.status)
            && self.matches_authentication(record)
            && one_of(&self.declaration, record.declaration.status)
            && one_of(&self.protocol, record.protocol)
            && one_of(&self.transport, record.transport)
            && one_of(&self.port, server.port)
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }

    /// The last request's, or an earlier one's of the flow.
    fn matches_authentication(&self, record: &FlowRecord) -> bool {
        let last = record.authentication.as_ref().map(|authentication| authentication.status);
        any(&self.authentication, |wanted| {
            last == Some(*wanted) || record.requests.is_some_and(|requests| requests.of_status(*wanted) > 0)
        })
    }

    /// What an edge is by itself; what it carried is the store's to tell.
    pub(super) fn matches_edge(&self, edge: &EdgeKey, last_seen: Timestamp) -> bool {
        let inside = |end: &EdgeEnd| {
            end.kind == Kind::Pod && self.namespace.iter().any(|wanted| **wanted == *end.namespace)
        };
        (self.namespace.is_empty() || inside(&edge.client) || inside(&edge.server))
            && any(&self.from, |from| is_end(&edge.client, from))
            && any(&self.to, |to| is_end(&edge.server, to))
            && one_of(&self.transport, edge.transport)
            && any(&self.port, |port| edge.port == EdgePort::Number(*port))
            && self.since.is_none_or(|since| last_seen >= since)
    }

    /// Keys that are set and say nothing of edges.
    #[must_use]
    pub fn strange_to_edges(&self) -> Vec<&'static str> {
        let set = [
            ("pod", !self.pod.is_empty()),
            ("protocol", !self.protocol.is_empty()),
            ("until", self.until.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }

    /// Keys that are set and say nothing of findings.
    #[must_use]
    pub fn strange_to_findings(&self) -> Vec<&'static str> {
        let set = [
            ("encryption", !self.encryption.is_empty()),
            ("authentication", !self.authentication.is_empty()),
            ("declaration", !self.declaration.is_empty()),
        ];
        let mut strange = self.strange_to_edges();
        strange.extend(set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key));
        strange
    }
}

/// Whether one of the values that are asked for will do; any, if none is.
pub(super) fn any<T>(wanted: &[T], will_do: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(will_do)
}

fn one_of<T: PartialEq>(wanted: &[T], own: T) -> bool {
    wanted.is_empty() || wanted.contains(&own)
}

/// `shop/orders` is asked for by its name, and by `shop/`.
fn is_principal(principal: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('/') {
        Some(namespace) => principal.split_once('/').is_some_and(|(own, _)| own == namespace),
        None => principal == wanted,
    }
}

fn is_end(end: &EdgeEnd, wanted: &str) -> bool {
    match (end.kind, wanted.split_once('/')) {
        (Kind::Pod, Some((namespace, name))) => {
            *end.namespace == *namespace && (name.is_empty() || *end.service_account == *name)
        }
        (Kind::Pod, None) | (_, Some(_)) => false,
        (kind, None) => wanted == kind.as_str(),
    }
}

fn is_pod(party: &Party, wanted: &str) -> bool {
    let (namespace, name) = match wanted.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, wanted),
    };
    party.pod.as_deref().is_some_and(|own| own.starts_with(name))
        && namespace.is_none_or(|namespace| party.namespace.as_deref() == Some(namespace))
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
