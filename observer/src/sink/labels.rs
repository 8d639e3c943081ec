//! Label sets: structs of enums and interned names, in the order in which they are exported.

use std::fmt::{Error, Write};
use std::sync::Arc;

use prometheus_client::encoding::{
    EncodeLabel, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder,
};

use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgeKey, EdgePort, EncryptionStatus, FindingKind,
};

/// The value of every edge label of the series that take what the budget refused.
pub(super) const OVERFLOW: &str = "_overflow";

/// In the order of their discriminants, which are the indexes of the counter arrays.
pub(super) const ENCRYPTION: [EncryptionStatus; 4] =
    [EncryptionStatus::Plaintext, EncryptionStatus::Tls, EncryptionStatus::Mtls, EncryptionStatus::Unknown];
pub(super) const DECLARATION: [DeclarationStatus; 4] = [
    DeclarationStatus::Allowed,
    DeclarationStatus::Unexpected,
    DeclarationStatus::Ungoverned,
    DeclarationStatus::Unevaluable,
];
pub(super) const AUTHENTICATION: [AuthenticationStatus; 5] = [
    AuthenticationStatus::None,
    AuthenticationStatus::Present,
    AuthenticationStatus::Verified,
    AuthenticationStatus::Invalid,
    AuthenticationStatus::Unknown,
];
/// Sent: from client to server.
pub(super) const DIRECTION: [&str; 2] = ["sent", "received"];

/// The edge that a series belongs to, or the one that takes what the budget refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EdgeName {
    Edge(EdgeKey),
    Overflow,
}

struct PortValue(EdgePort);

impl EncodeLabelValue for PortValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
        write!(encoder, "{}", self.0)
    }
}

impl EncodeLabelSet for EdgeName {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        match self {
            Self::Edge(edge) => {
                ("client_namespace", &*edge.client.namespace).encode(encoder.encode_label())?;
                ("client_service_account", &*edge.client.service_account).encode(encoder.encode_label())?;
                ("client_kind", edge.client.kind.as_str()).encode(encoder.encode_label())?;
                ("server_namespace", &*edge.server.namespace).encode(encoder.encode_label())?;
                ("server_service_account", &*edge.server.service_account).encode(encoder.encode_label())?;
                ("server_kind", edge.server.kind.as_str()).encode(encoder.encode_label())?;
                ("server_port", PortValue(edge.port)).encode(encoder.encode_label())?;
                ("transport", edge.transport.as_str()).encode(encoder.encode_label())
            }
            Self::Overflow => {
                for name in [
                    "client_namespace",
                    "client_service_account",
                    "client_kind",
                    "server_namespace",
                    "server_service_account",
                    "server_kind",
                    "server_port",
                    "transport",
                ] {
                    (name, OVERFLOW).encode(encoder.encode_label())?;
                }
                Ok(())
            }
        }
    }
}

/// `EDGE` alone, or `EDGE` and what the family adds to it.
pub(super) enum EdgeSeries<'a> {
    Edge(&'a EdgeName),
    Flows(&'a EdgeName, EncryptionStatus, DeclarationStatus),
    Requests(&'a EdgeName, AuthenticationStatus),
    Findings(&'a EdgeName, FindingKind),
    Bytes(&'a EdgeName, &'static str),
}

impl EncodeLabelSet for EdgeSeries<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        match self {
            Self::Edge(edge) => edge.encode(encoder),
            Self::Flows(edge, encryption, declaration) => {
                edge.encode(encoder)?;
                ("encryption", encryption.as_str()).encode(encoder.encode_label())?;
                ("declaration", declaration.as_str()).encode(encoder.encode_label())
            }
            Self::Requests(edge, authentication) => {
                edge.encode(encoder)?;
                ("authentication", authentication.as_str()).encode(encoder.encode_label())
            }
            Self::Findings(edge, kind) => {
                edge.encode(encoder)?;
                ("kind", kind.as_str()).encode(encoder.encode_label())
            }
            Self::Bytes(edge, direction) => {
                edge.encode(encoder)?;
                ("direction", *direction).encode(encoder.encode_label())
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ExemptedLabels {
    pub kind: FindingKind,
    /// As the settings word it.
    pub reason: Arc<str>,
}

impl EncodeLabelSet for ExemptedLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        ("kind", self.kind.as_str()).encode(encoder.encode_label())?;
        ("reason", &*self.reason).encode(encoder.encode_label())
    }
}

/// One label whose values are words of this program, which bounds them.
macro_rules! label {
    ($name:ident, $key:ident) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name {
            pub $key: &'static str,
        }
    };
}
label!(StageLabels, stage);
label!(ReasonLabels, reason);
label!(StateLabels, state);
label!(KindLabels, kind);
label!(ResourceLabels, resource);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    pub server: &'static str,
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProbeLabels {
    pub hook: &'static str,
    pub mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BuildLabels {
    pub version: &'static str,
    pub revision: Option<&'static str>,
}

impl EncodeLabelSet for BuildLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        ("version", self.version).encode(encoder.encode_label())?;
        if let Some(revision) = self.revision {
            ("revision", revision).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
