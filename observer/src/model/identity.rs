use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Uid;

/// A pod's controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Workload {
    pub kind: Arc<str>,
    pub name: Arc<str>,
}

/// A named or numbered port of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub name: Option<Arc<str>>,
    pub number: u16,
}

/// Key and value.
pub type Label = (Arc<str>, Arc<str>);

/// What is known of a pod. What it has in common with the others of its workload reads like its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub uid: Uid,
    pub name: Box<str>,
    pub node: Option<Arc<str>>,
    pub ips: PodIps,
    pub own_labels: Option<Box<OwnLabels>>,
    pub template: Arc<Template>,
}

/// Labels that no other pod of the workload has: few pods have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnLabels(pub Box<[Label]>);

/// What all pods of one workload and revision have in common. A cluster has many pods and few templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    pub workload: Option<Workload>,
    pub labels: Box<[Label]>,
    /// The label whose value is the pod's name, if the workload's controller sets one.
    pub name_label: Option<Arc<str>>,
    pub host_network: bool,
    pub ports: Box<[Port]>,
    /// Ports that the kubelet's probes call.
    pub probe_ports: Box<[u16]>,
    pub token: TokenMount,
}

/// What a pod says of the token of its ServiceAccount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenMount {
    /// Nothing: its ServiceAccount decides.
    #[default]
    Unsaid,
    /// It is not to be mounted.
    Refused,
    /// It is to be.
    Wanted,
    /// A volume holds it.
    Volume,
}

impl Deref for Pod {
    type Target = Template;

    fn deref(&self) -> &Template {
        &self.template
    }
}

impl Pod {
    /// Keys and values, in no order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.own_labels.iter().flat_map(|own| &own.0);
        let labels = self.template.labels.iter().chain(own).map(|(key, value)| (&**key, &**value));
        labels.chain(self.template.name_label.iter().map(|key| (&**key, &*self.name)))
    }

    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

/// A pod's addresses: at most one of each family (the API server's validation of `status.podIPs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodIps {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl PodIps {
    /// Where there is one of the family already, that one stays.
    pub fn insert(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.v4 = self.v4.or(Some(ip)),
            IpAddr::V6(ip) => self.v6 = self.v6.or(Some(ip)),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4 == Some(ip),
            IpAddr::V6(ip) => self.v6 == Some(ip),
        }
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
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
