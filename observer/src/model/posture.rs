//! What of the cluster's ServiceAccounts is weaker than it need be: the rows of `observer posture`. Their keys are
//! public; change one only with a CHANGELOG entry.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostureKind {
    /// What the holder of a token that went over plaintext can do with it.
    CleartextToken,
    /// It may do anything, in the cluster or in a namespace.
    ClusterAdmin,
    /// A token from a Secret was seen: it never expires.
    LegacyToken,
    /// The ServiceAccount lists Secrets, as those with tokens in them are listed.
    LegacySecret,
    /// Workloads that nobody can tell from each other.
    SharedServiceAccount,
    /// Pods of a workload run as `default`.
    DefaultServiceAccount,
    /// Mounted, and never used towards the API server.
    UnusedToken,
}

impl PostureKind {
    pub const ALL: [Self; 7] = [
        Self::CleartextToken,
        Self::ClusterAdmin,
        Self::LegacyToken,
        Self::LegacySecret,
        Self::SharedServiceAccount,
        Self::DefaultServiceAccount,
        Self::UnusedToken,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CleartextToken => "cleartext-token",
            Self::ClusterAdmin => "cluster-admin",
            Self::LegacyToken => "legacy-token",
            Self::LegacySecret => "legacy-secret",
            Self::SharedServiceAccount => "shared-service-account",
            Self::DefaultServiceAccount => "default-service-account",
            Self::UnusedToken => "unused-token",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PostureStatus {
    Found,
    /// It cannot be told; the row's `reason` says why.
    Unknown,
}

impl PostureStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Unknown => "unknown",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureRow {
    pub kind: PostureKind,
    pub status: PostureStatus,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Cow<'static, str>>,
    /// Absent where every namespace is meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<Arc<str>>,
    /// Absent where all of them are meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<Arc<str>>,
    /// `Deployment/orders`; the first few.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub workloads: Vec<String>,
    /// What a token's holder can do with it, the worst first; the first few.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub powers: Vec<String>,
    /// Only what this node's observer sees counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<Arc<str>>,
    /// First seen, or observed without a break.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// From `since` until the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<u64>,
    /// Flows that had it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flows: Option<u64>,
    pub detail: String,
    /// What to do about it.
    pub fix: String,
}
