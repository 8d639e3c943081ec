use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A pod's controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Workload {
    pub kind: Arc<str>,
    pub name: Arc<str>,
}

/// A named or numbered port of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: Option<Arc<str>>,
    pub number: u16,
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub service_account: Arc<str>,
    pub workload: Option<Workload>,
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub node: Option<Arc<str>>,
    pub host_network: bool,
    pub ips: Vec<IpAddr>,
    pub ports: Vec<Port>,
    /// Ports that the kubelet's probes call.
    pub probe_ports: Vec<u16>,
}

/// What kind of thing stands at one end of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Pod,
    /// A node of the cluster: its own processes, or somebody whose address it hides.
    Node,
    /// Outside the cluster.
    External,
    #[default]
    Unknown,
}

impl Kind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Node => "node",
            Self::External => "external",
            Self::Unknown => "unknown",
        }
    }
}

/// Who stands at one end of a flow, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Pod(Arc<Pod>),
    /// The node's name.
    Node(Arc<str>),
    External,
    /// A Service address whose endpoints share one ServiceAccount: that is known, the pod is not.
    ServiceAccount {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// Why it is not known.
    Unknown(&'static str),
}

impl Identity {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) | Self::ServiceAccount { .. } => Kind::Pod,
            Self::Node(_) => Kind::Node,
            Self::External => Kind::External,
            Self::Unknown(_) => Kind::Unknown,
        }
    }

    /// `(namespace, name)` of the ServiceAccount.
    #[must_use]
    pub fn service_account(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        match self {
            Self::Pod(pod) => Some((&pod.namespace, &pod.service_account)),
            Self::ServiceAccount { namespace, name } => Some((namespace, name)),
            Self::Node(_) | Self::External | Self::Unknown(_) => None,
        }
    }

    #[must_use]
    pub fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod(pod) => Some(pod),
            _ => None,
        }
    }
}
