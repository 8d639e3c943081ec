//! The flow record: one JSON object a line. Its keys are public; change one only with a CHANGELOG entry.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::{
    Authentication, AuthenticationStatus, Declaration, Encryption, FindingKind, Kind, Template, Timestamp,
    Transport, Workload,
};

/// Which end of the flow the record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reporter {
    Server,
    Client,
}

impl Reporter {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
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

impl Protocol {
    pub const ALL: [Self; 26] = [
        Self::Http10,
        Self::Http11,
        Self::Http2,
        Self::Grpc,
        Self::Websocket,
        Self::Tls,
        Self::Quic,
        Self::Dns,
        Self::Ssh,
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::Memcached,
        Self::Mongodb,
        Self::Cassandra,
        Self::Kafka,
        Self::Amqp,
        Self::Mqtt,
        Self::Nats,
        Self::Smtp,
        Self::Imap,
        Self::Pop3,
        Self::Ftp,
        Self::Ldap,
        Self::Opaque,
        Self::Unknown,
    ];

    /// The record's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
            Self::Grpc => "grpc",
            Self::Websocket => "websocket",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Dns => "dns",
            Self::Ssh => "ssh",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Mongodb => "mongodb",
            Self::Cassandra => "cassandra",
            Self::Kafka => "kafka",
            Self::Amqp => "amqp",
            Self::Mqtt => "mqtt",
            Self::Nats => "nats",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Ldap => "ldap",
            Self::Opaque => "opaque",
            Self::Unknown => "unknown",
        }
    }
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

impl Hop {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodToPod => "pod-to-pod",
            Self::IntraPod => "intra-pod",
            Self::Sidecar => "sidecar",
            Self::NodeLocal => "node-local",
            Self::KubeletProbe => "kubelet-probe",
            Self::External => "external",
        }
    }
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

impl CloseReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
        }
    }
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
    /// What the pod has in common with the others of its workload; not part of what is written.
    #[serde(skip)]
    pub template: OfTemplate,
}

/// A template, for as long as its pods are known: a record that is kept must not keep them.
#[derive(Clone, Debug, Default)]
pub struct OfTemplate(pub Weak<Template>);

impl PartialEq for OfTemplate {
    /// It is no part of what a record says.
    fn eq(&self, _: &Self) -> bool {
        true
    }
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
    /// Those that were judged so.
    #[must_use]
    pub const fn of_status(&self, status: AuthenticationStatus) -> u64 {
        match status {
            AuthenticationStatus::None => self.none,
            AuthenticationStatus::Present => self.present,
            AuthenticationStatus::Verified => self.verified,
            AuthenticationStatus::Invalid => self.invalid,
            AuthenticationStatus::Unknown => self.unknown,
        }
    }

    pub fn count(&mut self, status: AuthenticationStatus, times: u64) {
        self.total += times;
        match status {
            AuthenticationStatus::None => self.none += times,
            AuthenticationStatus::Present => self.present += times,
            AuthenticationStatus::Verified => self.verified += times,
            AuthenticationStatus::Invalid => self.invalid += times,
            AuthenticationStatus::Unknown => self.unknown += times,
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

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::model::{DeclarationStatus, EncryptionStatus};

    /// serde's own list of the words, from its complaint about another.
    fn words<T: DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let complaint = serde_json::from_str::<T>("\"\"").unwrap_err().to_string();
        complaint.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_words_of_flags_and_tables_are_the_records() {
        assert_eq!(Protocol::ALL.map(Protocol::as_str).to_vec(), words::<Protocol>());
        assert_eq!(EncryptionStatus::ALL.map(EncryptionStatus::as_str).to_vec(), words::<EncryptionStatus>());
        let authentication = AuthenticationStatus::ALL.map(AuthenticationStatus::as_str);
        assert_eq!(authentication.to_vec(), words::<AuthenticationStatus>());
        let declaration = DeclarationStatus::ALL.map(DeclarationStatus::as_str);
        assert_eq!(declaration.to_vec(), words::<DeclarationStatus>());
        assert_eq!(FindingKind::ALL.map(FindingKind::as_str).to_vec(), words::<FindingKind>());
        let hops =
            [Hop::PodToPod, Hop::IntraPod, Hop::Sidecar, Hop::NodeLocal, Hop::KubeletProbe, Hop::External];
        assert_eq!(hops.map(Hop::as_str).to_vec(), words::<Hop>());
        let closes = [
            CloseReason::Open,
            CloseReason::Fin,
            CloseReason::Reset,
            CloseReason::Refused,
            CloseReason::Timeout,
            CloseReason::Aborted,
            CloseReason::Unknown,
        ];
        assert_eq!(closes.map(CloseReason::as_str).to_vec(), words::<CloseReason>());
    }
}
