use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What a request showed of its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationStatus {
    /// The head was read whole and holds no credential.
    None,
    /// A credential that was not, or cannot be, checked.
    Present,
    /// A token whose signature and times are good.
    Verified,
    /// A token that claims a configured issuer and is not good.
    Invalid,
    #[default]
    Unknown,
}

/// The authentication scheme (RFC 9110 section 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Bearer,
    Basic,
    Digest,
    Negotiate,
    Other,
}

/// What kind of token a bearer value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// A ServiceAccount token from the TokenRequest API.
    Bound,
    /// A ServiceAccount token from a Secret: no expiry.
    Legacy,
    /// A SPIFFE JWT-SVID.
    JwtSvid,
    /// Any other JWT.
    Jwt,
    /// Not a JWT.
    Opaque,
}

/// Claims of a token, never the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenFacts {
    pub kind: TokenKind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Arc<str>>,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod_uid: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audiences: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_id: Option<Arc<str>>,
}

/// The record's `authentication` object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Authentication {
    pub status: AuthenticationStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheme: Option<Scheme>,
    /// Why the status is what it is, in a word: `expired`, `bad-signature`, `foreign-issuer`, `head-too-long`...
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<Arc<TokenFacts>>,
}

impl Authentication {
    #[must_use]
    pub fn unknown(reason: &'static str) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}

impl AuthenticationStatus {
    pub const ALL: [Self; 5] = [Self::None, Self::Present, Self::Verified, Self::Invalid, Self::Unknown];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Present => "present",
            Self::Verified => "verified",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }
}
