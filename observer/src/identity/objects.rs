//! Kubernetes objects as the API server writes them, only the fields that are used here. Everything is optional:
//! what must be there is [`super::Index::apply`]'s business, which can say so with the object's name.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::account_objects::{AccountObject, BindingObject, RoleObject, Volume};
use super::node_objects::{CiliumNodeObject, NodeObject};
use crate::model::Timestamp;

/// An object that tells who stands behind an address or a cgroup.
#[derive(Clone, Debug)]
pub enum Object {
    Pod(Box<PodObject>),
    Service(Box<ServiceObject>),
    EndpointSlice(Box<EndpointSliceObject>),
    Node(Box<NodeObject>),
    /// Of clusters that Cilium connects.
    CiliumNode(Box<CiliumNodeObject>),
    Namespace(NamedObject),
    ServiceAccount(AccountObject),
    // What a ServiceAccount may do: nothing about identity, but it comes the same way.
    Role(Box<RoleObject>),
    ClusterRole(Box<RoleObject>),
    RoleBinding(Box<BindingObject>),
    ClusterRoleBinding(Box<BindingObject>),
}

/// What there are lists and watches of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    Pod,
    Service,
    EndpointSlice,
    Node,
    CiliumNode,
    Namespace,
    ServiceAccount,
    Role,
    ClusterRole,
    RoleBinding,
    ClusterRoleBinding,
}

impl ObjectKind {
    pub const ALL: [Self; 11] = [
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Node,
        Self::CiliumNode,
        Self::Namespace,
        Self::ServiceAccount,
        Self::Role,
        Self::ClusterRole,
        Self::RoleBinding,
        Self::ClusterRoleBinding,
    ];

    /// It tells what a ServiceAccount may do.
    #[must_use]
    pub const fn is_rights(self) -> bool {
        matches!(self, Self::Role | Self::ClusterRole | Self::RoleBinding | Self::ClusterRoleBinding)
    }
}

/// A field that does not hold what the API says it holds; its text names the field's path.
pub type FieldError = serde_path_to_error::Error<serde_json::Error>;

impl Object {
    /// `None` for a kind that says nothing about identity.
    ///
    /// # Errors
    /// A field of another type than the API's.
    pub fn from_value(api_version: &str, kind: &str, value: Value) -> Result<Option<Self>, FieldError> {
        // The group counts: `Service` is also a kind of Knative's.
        let object = match (api_version, kind) {
            ("v1", "Pod") => Self::Pod(read(value)?),
            ("v1", "Service") => Self::Service(read(value)?),
            ("discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1", "EndpointSlice") => {
                Self::EndpointSlice(read(value)?)
            }
            ("v1", "Node") => Self::Node(read(value)?),
            ("cilium.io/v2", "CiliumNode") => Self::CiliumNode(read(value)?),
            ("v1", "Namespace") => Self::Namespace(read(value)?),
            ("v1", "ServiceAccount") => Self::ServiceAccount(read(value)?),
            ("rbac.authorization.k8s.io/v1", "Role") => Self::Role(read(value)?),
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => Self::ClusterRole(read(value)?),
            ("rbac.authorization.k8s.io/v1", "RoleBinding") => Self::RoleBinding(read(value)?),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => Self::ClusterRoleBinding(read(value)?),
            _ => return Ok(None),
        };
        Ok(Some(object))
    }

    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Pod(_) => ObjectKind::Pod,
            Self::Service(_) => ObjectKind::Service,
            Self::EndpointSlice(_) => ObjectKind::EndpointSlice,
            Self::Node(_) => ObjectKind::Node,
            Self::CiliumNode(_) => ObjectKind::CiliumNode,
            Self::Namespace(_) => ObjectKind::Namespace,
            Self::ServiceAccount(_) => ObjectKind::ServiceAccount,
            Self::Role(_) => ObjectKind::Role,
            Self::ClusterRole(_) => ObjectKind::ClusterRole,
            Self::RoleBinding(_) => ObjectKind::RoleBinding,
            Self::ClusterRoleBinding(_) => ObjectKind::ClusterRoleBinding,
        }
    }

    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Pod(pod) => &pod.metadata,
            Self::Service(service) => &service.metadata,
            Self::EndpointSlice(slice) => &slice.metadata,
            Self::Node(node) => &node.metadata,
            Self::CiliumNode(node) => &node.metadata,
            Self::Namespace(named) => &named.metadata,
            Self::ServiceAccount(account) => &account.metadata,
            Self::Role(role) | Self::ClusterRole(role) => &role.metadata,
            Self::RoleBinding(binding) | Self::ClusterRoleBinding(binding) => &binding.metadata,
        }
    }
}

impl Object {
    /// Reads the JSON of an object whose kind is known from where it came.
    ///
    /// # Errors
    /// A field of another type than the API's.
    pub fn read(kind: ObjectKind, json: &str) -> Result<Self, FieldError> {
        let reader = &mut serde_json::Deserializer::from_str(json);
        Ok(match kind {
            ObjectKind::Pod => Self::Pod(serde_path_to_error::deserialize(reader)?),
            ObjectKind::Service => Self::Service(serde_path_to_error::deserialize(reader)?),
            ObjectKind::EndpointSlice => Self::EndpointSlice(serde_path_to_error::deserialize(reader)?),
            ObjectKind::Node => Self::Node(serde_path_to_error::deserialize(reader)?),
            ObjectKind::CiliumNode => Self::CiliumNode(serde_path_to_error::deserialize(reader)?),
            ObjectKind::Namespace => Self::Namespace(serde_path_to_error::deserialize(reader)?),
            ObjectKind::ServiceAccount => Self::ServiceAccount(serde_path_to_error::deserialize(reader)?),
            ObjectKind::Role => Self::Role(serde_path_to_error::deserialize(reader)?),
            ObjectKind::ClusterRole => Self::ClusterRole(serde_path_to_error::deserialize(reader)?),
            ObjectKind::RoleBinding => Self::RoleBinding(serde_path_to_error::deserialize(reader)?),
            ObjectKind::ClusterRoleBinding => {
                Self::ClusterRoleBinding(serde_path_to_error::deserialize(reader)?)
            }
        })
    }

    /// One of which only the name is known: enough to delete it.
    #[must_use]
    pub fn named(kind: ObjectKind, metadata: Metadata) -> Self {
        match kind {
            ObjectKind::Pod => Self::Pod(Box::new(PodObject { metadata, ..Default::default() })),
            ObjectKind::Service => Self::Service(Box::new(ServiceObject { metadata, ..Default::default() })),
            ObjectKind::EndpointSlice => {
                Self::EndpointSlice(Box::new(EndpointSliceObject { metadata, ..Default::default() }))
            }
            ObjectKind::Node => Self::Node(Box::new(NodeObject { metadata, ..Default::default() })),
            ObjectKind::CiliumNode => {
                Self::CiliumNode(Box::new(CiliumNodeObject { metadata, ..Default::default() }))
            }
            ObjectKind::Namespace => Self::Namespace(NamedObject { metadata }),
            ObjectKind::ServiceAccount => {
                Self::ServiceAccount(AccountObject { metadata, ..Default::default() })
            }
            ObjectKind::Role => Self::Role(Box::new(RoleObject { metadata, ..Default::default() })),
            ObjectKind::ClusterRole => {
                Self::ClusterRole(Box::new(RoleObject { metadata, ..Default::default() }))
            }
            ObjectKind::RoleBinding => {
                Self::RoleBinding(Box::new(BindingObject { metadata, ..Default::default() }))
            }
            ObjectKind::ClusterRoleBinding => {
                Self::ClusterRoleBinding(Box::new(BindingObject { metadata, ..Default::default() }))
            }
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value)
}

/// The API server writes an empty list as `null` as often as `[]`.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
    pub creation_timestamp: Option<Timestamp>,
    /// When it is to be gone at the latest: the moment of the request and the grace period.
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub labels: std::collections::BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub annotations: Annotations,
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// Only static pods carry it: the uid under which their kubelet made the cgroup.
    #[serde(rename = "kubernetes.io/config.hash")]
    pub config_hash: Option<String>,
    /// Calico's, on a Node that encrypts IPv4 between pods of different nodes.
    #[serde(rename = "projectcalico.org/WireguardPublicKey")]
    pub calico_wireguard: Option<String>,
    #[serde(rename = "projectcalico.org/WireguardPublicKeyV6")]
    pub calico_wireguard_v6: Option<String>,
    /// Addresses out of the pods' range that Calico gives to the node itself.
    #[serde(rename = "projectcalico.org/IPv4IPIPTunnelAddr")]
    pub calico_ipip: Option<String>,
    #[serde(rename = "projectcalico.org/IPv4VXLANTunnelAddr")]
    pub calico_vxlan: Option<String>,
    #[serde(rename = "projectcalico.org/IPv6VXLANTunnelAddr")]
    pub calico_vxlan_v6: Option<String>,
    #[serde(rename = "projectcalico.org/IPv4WireguardInterfaceAddr")]
    pub calico_wireguard_interface: Option<String>,
    #[serde(rename = "projectcalico.org/IPv6WireguardInterfaceAddr")]
    pub calico_wireguard_interface_v6: Option<String>,
    /// Cilium's, on a CiliumNode.
    #[serde(rename = "network.cilium.io/wg-pub-key")]
    pub cilium_wireguard: Option<String>,
}

impl Annotations {
    /// The addresses that Calico gave to the node itself.
    pub(super) fn calico_addresses(&self) -> impl Iterator<Item = &String> {
        [
            &self.calico_ipip,
            &self.calico_vxlan,
            &self.calico_vxlan_v6,
            &self.calico_wireguard_interface,
            &self.calico_wireguard_interface_v6,
        ]
        .into_iter()
        .flatten()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OwnerReference {
    pub kind: Option<String>,
    pub name: Option<String>,
    pub controller: Option<bool>,
}

/// A Namespace: it exists, and has labels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub service_account_name: Option<String>,
    pub node_name: Option<String>,
    pub host_network: Option<bool>,
    pub automount_service_account_token: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: Vec<Volume>,
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    /// Sidecars among them (KEP-753) have ports and probes too.
    #[serde(deserialize_with = "or_default")]
    pub init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
    pub liveness_probe: Option<Probe>,
    pub readiness_probe: Option<Probe>,
    pub startup_probe: Option<Probe>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub name: Option<String>,
    pub container_port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    pub http_get: Option<ProbeTarget>,
    pub tcp_socket: Option<ProbeTarget>,
    pub grpc: Option<ProbeTarget>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProbeTarget {
    pub port: Option<NumberOrName>,
}

/// `IntOrString` of the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum NumberOrName {
    Number(u16),
    Name(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Option<String>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub pod_ips: Vec<PodIp>,
    pub start_time: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
}

/// At most one of them is there; none while it waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub running: Option<Running>,
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    pub started_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    pub ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
    pub last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub spec: ServiceSpec,
    #[serde(deserialize_with = "or_default")]
    pub status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `None` for a headless Service: its clients dial the pods.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    pub cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    pub external_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
    #[serde(deserialize_with = "or_default")]
    pub selector: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub port: Option<u16>,
    pub target_port: Option<NumberOrName>,
    pub node_port: Option<u16>,
    pub protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    #[serde(deserialize_with = "or_default")]
    pub ingress: Vec<Ingress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ingress {
    pub ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSliceObject {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<EndpointObject>,
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointObject {
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<String>,
    pub target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    pub kind: Option<String>,
    pub uid: Option<String>,
}
