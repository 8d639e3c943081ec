use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a flow's bytes are protected by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncryptionStatus {
    Plaintext,
    Tls,
    Mtls,
    #[default]
    Unknown,
}

/// How it is known that the client showed a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A certificate was seen on the wire.
    Proven,
    /// A mesh's signature was seen in the handshake.
    Inferred,
}

/// A mesh that speaks mTLS between its proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mesh {
    Istio,
    Ambient,
    Linkerd,
    Consul,
}

/// Encryption below the sockets, between two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    Wireguard,
    Ipsec,
    None,
    #[default]
    Unknown,
}

/// The record's `encryption` object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    pub status: EncryptionStatus,
    /// Why `status` is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Cow<'static, str>>,
    /// `1.0` to `1.3`: the version that the server chose.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sni: Option<Arc<str>>,
    /// The client's offer, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alpn: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mesh: Option<Mesh>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<Evidence>,
    pub link: Link,
}

impl EncryptionStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
            Self::Mtls => "mtls",
            Self::Unknown => "unknown",
        }
    }
}
