use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Identity, Kind, Transport};

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EdgeEnd {
    /// Empty unless `kind` is `pod`.
    pub namespace: Arc<str>,
    /// Empty unless `kind` is `pod`.
    pub service_account: Arc<str>,
    pub kind: Kind,
}

impl From<&Identity> for EdgeEnd {
    fn from(identity: &Identity) -> Self {
        let (namespace, service_account) = match identity.service_account() {
            Some((namespace, name)) => (namespace.clone(), name.clone()),
            None => (Arc::from(""), Arc::from("")),
        };
        Self { namespace, service_account, kind: identity.kind() }
    }
}

impl fmt::Display for EdgeEnd {
    /// The principal: `namespace/name`, or the kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Pod => f.pad(&format!("{}/{}", self.namespace, self.service_account)),
            kind => f.pad(kind.as_str()),
        }
    }
}

/// The server's port; one that the kernel picked says nothing and would make endless edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EdgePort {
    Number(u16),
    Ephemeral,
}

impl fmt::Display for EdgePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(port) => f.pad(&port.to_string()),
            Self::Ephemeral => f.pad("ephemeral"),
        }
    }
}

/// The unit of metrics and graphs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    pub client: EdgeEnd,
    pub server: EdgeEnd,
    pub port: EdgePort,
    pub transport: Transport,
}
