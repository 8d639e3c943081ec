//! The flow record: one JSON object a line. Its keys are public; change one only with a CHANGELOG entry.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Authentication, AuthenticationStatus, Declaration, Encryption, FindingKind, Kind, Timestamp, Transport,
    Workload,
};

/// Which end of the flow the record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reporter {
    Server,
    Client,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[serde(rename = "http/1.0")]
    Http10,
    #[serde(rename = "http/1.1")]
    Http11,
    #[serde(rename = "http/2")]
    Http2,
    Grpc,
    Websocket,
    Tls,
    Quic,
    Dns,
    Ssh,
    Postgres,
    Mysql,
    Redis,
    Memcached,
    Mongodb,
    Cassandra,
    Kafka,
    Amqp,
    Mqtt,
    Nats,
    Smtp,
    Imap,
    Pop3,
    Ftp,
    Ldap,
    /// Bytes that prove nothing.
    Opaque,
    /// No bytes were seen, or not the first.
    #[default]
    Unknown,
}

/// How a flow got from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    PodToPod,
    IntraPod,
    Sidecar,
    NodeLocal,
    KubeletProbe,
    External,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloseReason {
    /// It has not.
    Open,
    Fin,
    Reset,
    /// An RST answered the SYN.
    Refused,
    Timeout,
    /// This end gave up: closed with unread data, or before the handshake was done.
    Aborted,
    #[default]
    Unknown,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// `namespace/service-account`, `node`, `external` or `unknown`.
    pub principal: Arc<str>,
    pub kind: Kind,
    /// Why the principal is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workload: Option<Workload>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod: Option<Arc<str>>,
    /// The Service that the client dialled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<Arc<str>>,
    pub ip: IpAddr,
    pub port: u16,
}

/// Requests of a flow, by what they showed of their sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    pub total: u64,
    pub none: u64,
    pub present: u64,
    pub verified: u64,
    pub invalid: u64,
    pub unknown: u64,
    /// Answered with 401 or 403.
    pub rejected: u64,
}

impl RequestCounts {
    pub fn count(&mut self, status: AuthenticationStatus) {
        self.total += 1;
        match status {
            AuthenticationStatus::None => self.none += 1,
            AuthenticationStatus::Present => self.present += 1,
            AuthenticationStatus::Verified => self.verified += 1,
            AuthenticationStatus::Invalid => self.invalid += 1,
            AuthenticationStatus::Unknown => self.unknown += 1,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRequest {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// The event's own time, not the time of writing.
    pub time: Timestamp,
    pub node: Arc<str>,
    pub reporter: Reporter,
    pub transport: Transport,
    pub protocol: Protocol,
    pub client: Party,
    pub server: Party,
    pub encryption: Encryption,
    /// Of the last request; absent where the protocol has none to show.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authentication: Option<Authentication>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requests: Option<RequestCounts>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_request: Option<LastRequest>,
    pub declaration: Declaration,
    pub findings: Vec<FindingKind>,
    pub hop: Hop,
    /// Payload bytes from client to server.
    pub bytes_sent: u64,
    /// Payload bytes from server to client.
    pub bytes_received: u64,
    pub duration_ms: u64,
    pub close: CloseReason,
    /// Written once, with the flow's totals, when it ended.
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not", default)]
    pub last: bool,
}
