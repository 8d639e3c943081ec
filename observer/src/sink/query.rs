//! What the CLI and the daemon say to each other over the unix socket.
//!
//! The daemon greets with one [`Hello`] line, the client answers with one [`Request`] line, and the daemon sends its
//! answer as lines: a flow record, a [`FindingView`], an [`EdgeView`], a [`PostureRow`](crate::model::PostureRow), an
//! [`ObservedEdge`], a [`DeclaredEdge`](crate::crd::DeclaredEdge) or a [`CoverageView`] each, and between them
//! [`Notice`]s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};

pub use super::filter::{Filter, MAX_VALUE_LENGTH, MAX_VALUES};
use crate::model::{
    DeclarationStatus, EdgeEnd, EdgePort, EncryptionStatus, FindingKind, Kind, RequestCounts, Timestamp,
    Transport,
};

/// The version of this protocol. A client asks no daemon of another.
pub const PROTOCOL_VERSION: u32 = 2;
/// The longest request line, in bytes.
pub const MAX_REQUEST: u64 = 64 * 1024;

/// How the daemon's error begins where it does not understand what it was asked.
pub const NOT_A_REQUEST: &str = "not a request: ";

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
    /// Edges, with what is known of the pods and addresses at their ends.
    Observed(FilterRequest),
    /// The edges of all graphs that are in force.
    Declared,
    /// What there is that the others' answers do not tell of.
    Coverage,
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

impl EncryptionCounts {
    pub(super) const fn of_status(&self, status: EncryptionStatus) -> u64 {
        match status {
            EncryptionStatus::Plaintext => self.plaintext,
            EncryptionStatus::Tls => self.tls,
            EncryptionStatus::Mtls => self.mtls,
            EncryptionStatus::Unknown => self.unknown,
        }
    }
}

/// Flows by declaration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationCounts {
    pub allowed: u64,
    pub unexpected: u64,
    pub ungoverned: u64,
    pub unevaluable: u64,
}

impl DeclarationCounts {
    pub(super) const fn of_status(&self, status: DeclarationStatus) -> u64 {
        match status {
            DeclarationStatus::Allowed => self.allowed,
            DeclarationStatus::Unexpected => self.unexpected,
            DeclarationStatus::Ungoverned => self.ungoverned,
            DeclarationStatus::Unevaluable => self.unevaluable,
        }
    }
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
    pub findings: BTreeMap<FindingKind, u64>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

/// An edge, and what stood at its ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedEdge {
    pub edge: EdgeView,
    pub clients: EndsSeen,
    pub servers: EndsSeen,
}

/// What stood at one end of an edge's flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndsSeen {
    /// Of pods: each set of labels that identifies a workload. Sorted.
    pub labels: Vec<BTreeMap<String, String>>,
    /// There were pods that no label tells from others of their namespace.
    pub unlabelled: bool,
    /// There were pods that use their node's network.
    pub host_network: bool,
    /// Of what is no pod, or a pod on its node's network. Sorted.
    pub addresses: Vec<IpAddr>,
    /// Ports of pods that the kubelet's probes call. Sorted.
    pub probe_ports: Vec<u16>,
    /// There were more than these.
    pub more: bool,
}

/// What the observer could not see, or could not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageView {
    /// Since when it looks.
    pub since: Timestamp,
    /// By stage.
    pub lost_events: BTreeMap<String, u64>,
    /// By reason.
    pub unresolved_flows: BTreeMap<String, u64>,
    pub truncated_payloads: u64,
}
