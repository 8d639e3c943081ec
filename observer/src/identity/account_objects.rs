//! ServiceAccounts, what mounts their tokens, and what they may do: only the fields that are used here.

use serde::Deserialize;

use super::objects::{Metadata, or_default};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccountObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    pub automount_service_account_token: Option<bool>,
    /// Names alone: what is in them is never read.
    #[serde(deserialize_with = "or_default")]
    pub secrets: Vec<SecretName>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SecretName {
    pub name: Option<String>,
}

impl AccountObject {
    /// How many Secrets it lists. OpenShift lists those for its registry too, which hold no token for the API server.
    #[must_use]
    pub fn listed_secrets(&self) -> u16 {
        let names = self.secrets.iter().filter_map(|secret| secret.name.as_deref());
        u16::try_from(names.filter(|name| !name.contains("-dockercfg-")).count()).unwrap_or(u16::MAX)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    pub projected: Option<Projected>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Projected {
    #[serde(deserialize_with = "or_default")]
    pub sources: Vec<ProjectedSource>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedSource {
    pub service_account_token: Option<ProjectedToken>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProjectedToken {
    /// Whom it is for; the API server if absent.
    pub audience: Option<String>,
}

impl Volume {
    /// It holds a token for the API server. One that names its audience is for somebody else.
    #[must_use]
    pub fn holds_token(&self) -> bool {
        let sources = self.projected.iter().flat_map(|projected| &projected.sources);
        sources
            .filter_map(|source| source.service_account_token.as_ref())
            .any(|token| token.audience.as_deref().is_none_or(str::is_empty))
    }
}

/// A Role or a ClusterRole. What a ClusterRole is put together from, its controller writes into its rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoleObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<RuleObject>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleObject {
    #[serde(deserialize_with = "or_default")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "or_default")]
    pub non_resource_urls: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub verbs: Vec<String>,
}

/// A RoleBinding or a ClusterRoleBinding.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub role_ref: RoleRef,
    #[serde(deserialize_with = "or_default")]
    pub subjects: Vec<SubjectObject>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    pub kind: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SubjectObject {
    pub kind: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
}
