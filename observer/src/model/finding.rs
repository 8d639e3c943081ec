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

/// A set of findings: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingSet(u16);

impl FindingSet {
    pub const EMPTY: Self = Self(0);

    pub fn insert(&mut self, kind: FindingKind) {
        self.0 |= 1 << kind as u16;
    }

    #[must_use]
    pub const fn contains(self, kind: FindingKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`FindingKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = FindingKind> {
        FindingKind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}
