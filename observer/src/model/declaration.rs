use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whether anybody declared a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeclarationStatus {
    Allowed,
    Unexpected,
    /// No graph speaks of the server.
    #[default]
    Ungoverned,
    /// A graph speaks of the server, but what it asks was not seen.
    Unevaluable,
}

/// The record's `declaration` object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    pub status: DeclarationStatus,
    /// The object that decided: `ServiceGraph shop/shop`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Arc<str>>,
    /// Where in that object: `spec.edges[0]`, `spec.ingress[1]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clause: Option<Arc<str>>,
    /// Objects of other kinds that would allow an `unexpected` flow.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub against: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Cow<'static, str>>,
}

impl DeclarationStatus {
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Unexpected, Self::Ungoverned, Self::Unevaluable];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Unexpected => "unexpected",
            Self::Ungoverned => "ungoverned",
            Self::Unevaluable => "unevaluable",
        }
    }
}
