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

/// Whom a mesh's proxy means to reach, as the name in its ClientHello tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshTarget {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<Arc<str>>,
    /// The Service's, not the pod's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub port: Option<u16>,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<Arc<str>>,
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
    /// `1.0` to `1.3`: the version that the server chose. `quic-v1`, `quic-v2`: the client's, with TLS 1.3 inside.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sni: Option<Arc<str>>,
    /// The client's offer, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alpn: Vec<Arc<str>>,
    /// An encrypted ClientHello (RFC 9849) was sent, or feigned: `sni` may be a front, and the real name hidden.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub ech: bool,
    /// The URIs (SPIFFE IDs) and DNS names in the client's certificate, where that went in clear.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub client_identity: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mesh: Option<Mesh>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mesh_target: Option<MeshTarget>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<Evidence>,
    pub link: Link,
}

impl EncryptionStatus {
    pub const ALL: [Self; 4] = [Self::Plaintext, Self::Tls, Self::Mtls, Self::Unknown];

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
