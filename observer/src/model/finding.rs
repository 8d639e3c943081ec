use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A verdict worth a person's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    Unencrypted,
    Unauthenticated,
    Unexpected,
    CredentialInCleartext,
    IdentityMismatch,
    InvalidToken,
    WrongAudience,
    ApiAudienceToken,
    LegacyToken,
    DefaultServiceAccount,
}

impl FindingKind {
    pub const ALL: [Self; 10] = [
        Self::Unencrypted,
        Self::Unauthenticated,
        Self::Unexpected,
        Self::CredentialInCleartext,
        Self::IdentityMismatch,
        Self::InvalidToken,
        Self::WrongAudience,
        Self::ApiAudienceToken,
        Self::LegacyToken,
        Self::DefaultServiceAccount,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unencrypted => "unencrypted",
            Self::Unauthenticated => "unauthenticated",
            Self::Unexpected => "unexpected",
            Self::CredentialInCleartext => "credential-in-cleartext",
            Self::IdentityMismatch => "identity-mismatch",
            Self::InvalidToken => "invalid-token",
            Self::WrongAudience => "wrong-audience",
            Self::ApiAudienceToken => "api-audience-token",
            Self::LegacyToken => "legacy-token",
            Self::DefaultServiceAccount => "default-service-account",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FindingKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("no such finding; there are {}", known.join(", "))
        })
    }
}
