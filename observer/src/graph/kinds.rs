//! The kinds of objects that declare edges: which there are, what the API calls them, and to which source they belong.

use super::policy::SourceKind;

/// One kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GraphKind {
    ServiceGraph,
    NetworkPolicy,
    CiliumNetworkPolicy,
    IstioAuthorizationPolicy,
    IstioPeerAuthentication,
    LinkerdServer,
    LinkerdAuthorizationPolicy,
    LinkerdServerAuthorization,
    LinkerdMeshTlsAuthentication,
    LinkerdNetworkAuthentication,
}

impl GraphKind {
    pub const ALL: [Self; 10] = [
        Self::ServiceGraph,
        Self::NetworkPolicy,
        Self::CiliumNetworkPolicy,
        Self::IstioAuthorizationPolicy,
        Self::IstioPeerAuthentication,
        Self::LinkerdServer,
        Self::LinkerdAuthorizationPolicy,
        Self::LinkerdServerAuthorization,
        Self::LinkerdMeshTlsAuthentication,
        Self::LinkerdNetworkAuthentication,
    ];

    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::ALL.into_iter().find(|known| known.group() == group && known.kind() == kind)
    }

    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::ServiceGraph => "observer.dev",
            Self::NetworkPolicy => "networking.k8s.io",
            Self::CiliumNetworkPolicy => "cilium.io",
            Self::IstioAuthorizationPolicy | Self::IstioPeerAuthentication => "security.istio.io",
            Self::LinkerdServer
            | Self::LinkerdAuthorizationPolicy
            | Self::LinkerdServerAuthorization
            | Self::LinkerdMeshTlsAuthentication
            | Self::LinkerdNetworkAuthentication => "policy.linkerd.io",
        }
    }

    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ServiceGraph => "ServiceGraph",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::IstioAuthorizationPolicy | Self::LinkerdAuthorizationPolicy => "AuthorizationPolicy",
            Self::IstioPeerAuthentication => "PeerAuthentication",
            Self::LinkerdServer => "Server",
            Self::LinkerdServerAuthorization => "ServerAuthorization",
            Self::LinkerdMeshTlsAuthentication => "MeshTLSAuthentication",
            Self::LinkerdNetworkAuthentication => "NetworkAuthentication",
        }
    }

    /// In the API's paths.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ServiceGraph => "servicegraphs",
            Self::NetworkPolicy => "networkpolicies",
            Self::CiliumNetworkPolicy => "ciliumnetworkpolicies",
            Self::IstioAuthorizationPolicy | Self::LinkerdAuthorizationPolicy => "authorizationpolicies",
            Self::IstioPeerAuthentication => "peerauthentications",
            Self::LinkerdServer => "servers",
            Self::LinkerdServerAuthorization => "serverauthorizations",
            Self::LinkerdMeshTlsAuthentication => "meshtlsauthentications",
            Self::LinkerdNetworkAuthentication => "networkauthentications",
        }
    }

    #[must_use]
    pub const fn source(self) -> SourceKind {
        match self {
            Self::ServiceGraph => SourceKind::ServiceGraph,
            Self::NetworkPolicy => SourceKind::NetworkPolicy,
            Self::CiliumNetworkPolicy => SourceKind::Cilium,
            Self::IstioAuthorizationPolicy | Self::IstioPeerAuthentication => SourceKind::Istio,
            Self::LinkerdServer
            | Self::LinkerdAuthorizationPolicy
            | Self::LinkerdServerAuthorization
            | Self::LinkerdMeshTlsAuthentication
            | Self::LinkerdNetworkAuthentication => SourceKind::Linkerd,
        }
    }
}
