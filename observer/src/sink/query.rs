//! What the CLI and the daemon say to each other over the unix socket.
//!
//! The daemon greets with one [`Hello`] line, the client answers with one [`Request`] line, and the daemon sends its
//! answer as lines: a flow record, a [`FindingView`], an [`EdgeView`] or a
//! [`PostureRow`](crate::model::PostureRow) each, and between them [`Notice`]s.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{
    EdgeEnd, EdgeKey, EdgePort, FindingKind, FlowRecord, Kind, RequestCounts, Timestamp, Transport,
};

/// The version of this protocol. A client asks no daemon of another.
pub const PROTOCOL_VERSION: u32 = 1;
/// The longest request line, in bytes.
pub const MAX_REQUEST: u64 = 64 * 1024;

/// The daemon's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the daemon.
    pub protocol: u32,
    /// The daemon's own version, for people.
    pub version: Cow<'static, str>,
}

/// The client's only line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Flows(FlowsRequest),
    Findings(FilterRequest),
    Edges(FilterRequest),
    Posture(PostureRequest),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostureRequest {
    /// Rows of this namespace, and those that are of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowsRequest {
    /// Go on with new records after the kept ones.
    pub follow: bool,
    /// How many of the kept records, at most; the newest.
    pub last: Option<usize>,
    pub filter: Filter,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterRequest {
    pub filter: Filter,
}

/// A line that is no answer, but about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notice {
    /// So many records went by while the client did not read.
    Dropped(u64),
    /// Nothing comes after this; the number of answers.
    End(u64),
    Error(Cow<'static, str>),
}

/// Which flows, findings or edges are asked for: those that meet everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Either end is in this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The client's principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The server's principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<FindingKind>,
    /// Not before; for findings and edges: last seen not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Filter {
    #[must_use]
    pub fn matches(&self, record: &FlowRecord) -> bool {
        let namespace = |party: &crate::model::Party| party.namespace.as_deref() == self.namespace.as_deref();
        (self.namespace.is_none() || namespace(&record.client) || namespace(&record.server))
            && self.from.as_deref().is_none_or(|from| *record.client.principal == *from)
            && self.to.as_deref().is_none_or(|to| *record.server.principal == *to)
            && self.finding.is_none_or(|kind| record.findings.contains(&kind))
            && self.since.is_none_or(|since| record.time >= since)
    }

    pub(super) fn matches_edge(&self, edge: &EdgeKey, last_seen: Timestamp) -> bool {
        let inside = |namespace: &str| {
            [&edge.client, &edge.server]
                .iter()
                .any(|end| end.kind == Kind::Pod && &*end.namespace == namespace)
        };
        self.namespace.as_deref().is_none_or(inside)
            && self.from.as_deref().is_none_or(|from| is_principal(&edge.client, from))
            && self.to.as_deref().is_none_or(|to| is_principal(&edge.server, to))
            && self.since.is_none_or(|since| last_seen >= since)
    }
}

fn is_principal(end: &EdgeEnd, principal: &str) -> bool {
    match end.kind {
        Kind::Pod => principal
            .split_once('/')
            .is_some_and(|(namespace, name)| *end.namespace == *namespace && *end.service_account == *name),
        kind => principal == kind.as_str(),
    }
}

/// One end of an edge, with the keys that it has in a flow record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    pub principal: String,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<String>,
}

impl From<&EdgeEnd> for EndView {
    fn from(end: &EdgeEnd) -> Self {
        let named = |name: &str| (end.kind == Kind::Pod).then(|| name.to_owned());
        Self {
            principal: end.to_string(),
            kind: end.kind,
            namespace: named(&end.namespace),
            service_account: named(&end.service_account),
        }
    }
}

/// A server's port as JSON: a number, or `"ephemeral"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortView(pub EdgePort);

impl fmt::Display for PortView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for PortView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            EdgePort::Number(port) => serializer.serialize_u16(port),
            EdgePort::Ephemeral => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for PortView {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Port {
            Number(u16),
            Word(Ephemeral),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Ephemeral {
            Ephemeral,
        }
        Ok(Self(match Port::deserialize(deserializer)? {
            Port::Number(port) => EdgePort::Number(port),
            Port::Word(Ephemeral::Ephemeral) => EdgePort::Ephemeral,
        }))
    }
}

/// A kind of finding on one edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    pub kind: FindingKind,
    pub client: EndView,
    pub server: EndView,
    pub port: PortView,
    pub transport: Transport,
    /// Flows that had it.
    pub flows: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Of the flow that had it last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Cow<'static, str>>,
}

/// Flows by encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionCounts {
    pub plaintext: u64,
    pub tls: u64,
    pub mtls: u64,
    pub unknown: u64,
}

/// Flows by declaration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationCounts {
    pub allowed: u64,
    pub unexpected: u64,
    pub ungoverned: u64,
    pub unevaluable: u64,
}

/// What one edge carried since the daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    pub client: EndView,
    pub server: EndView,
    pub port: PortView,
    pub transport: Transport,
    pub flows: u64,
    pub requests: RequestCounts,
    pub encryption: EncryptionCounts,
    pub declaration: DeclarationCounts,
    /// Those that it has had, with the number of flows.
    pub findings: std::collections::BTreeMap<FindingKind, u64>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}
