use crate::identity::ObjectKind;

/// A collection of the API that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource(pub ObjectKind);

impl Resource {
    /// All that are watched.
    pub fn all() -> impl Iterator<Item = Self> {
        ObjectKind::ALL.into_iter().map(Self)
    }

    /// As RBAC names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            ObjectKind::Pod => "pods",
            ObjectKind::Service => "services",
            ObjectKind::EndpointSlice => "endpointslices",
            ObjectKind::Node => "nodes",
            ObjectKind::CiliumNode => "ciliumnodes",
            ObjectKind::Namespace => "namespaces",
            ObjectKind::ServiceAccount => "serviceaccounts",
            ObjectKind::Role => "roles",
            ObjectKind::ClusterRole => "clusterroles",
            ObjectKind::RoleBinding => "rolebindings",
            ObjectKind::ClusterRoleBinding => "clusterrolebindings",
        }
    }

    /// The API group; empty: the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self.0 {
            ObjectKind::EndpointSlice => "discovery.k8s.io",
            ObjectKind::CiliumNode => "cilium.io",
            kind if kind.is_rights() => "rbac.authorization.k8s.io",
            _ => "",
        }
    }

    /// As objects name it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self.0 {
            ObjectKind::Pod => "Pod",
            ObjectKind::Service => "Service",
            ObjectKind::EndpointSlice => "EndpointSlice",
            ObjectKind::Node => "Node",
            ObjectKind::CiliumNode => "CiliumNode",
            ObjectKind::Namespace => "Namespace",
            ObjectKind::ServiceAccount => "ServiceAccount",
            ObjectKind::Role => "Role",
            ObjectKind::ClusterRole => "ClusterRole",
            ObjectKind::RoleBinding => "RoleBinding",
            ObjectKind::ClusterRoleBinding => "ClusterRoleBinding",
        }
    }

    /// The path of the whole cluster's collection.
    #[must_use]
    pub fn path(self) -> String {
        match self.group() {
            "" => format!("/api/v1/{}", self.name()),
            group => format!("/apis/{group}/{}/{}", self.version(), self.name()),
        }
    }

    const fn version(self) -> &'static str {
        match self.0 {
            ObjectKind::CiliumNode => "v2",
            _ => "v1",
        }
    }

    /// It comes with something that not every cluster has: its absence is nothing to worry about.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self.0, ObjectKind::CiliumNode)
    }
}
