//! What a rule asks of a flow, and the three answers there are.

use std::sync::Arc;

use ipnet::IpNet;

use super::evaluate::{HttpFacts, Query};
use super::mesh::{Certificate, PeerModes};
use super::pattern::Pattern;
use super::selector::Selector;
use crate::model::{AuthenticationStatus, EncryptionStatus, Identity, Pod, TokenFacts, Transport};

/// Whether something holds. What was not seen is unknown, for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Unknown(&'static str),
}

/// The request was not seen, but the ports fit.
pub(super) const HTTP_UNSEEN: &str = "http-unseen";

impl Truth {
    /// Kleene's strong logic of three values.
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown(reason) => match other() {
                Self::No => Self::No,
                // What cannot be seen at all says more than a request that did not come yet.
                Self::Unknown(other) if reason == HTTP_UNSEEN => Self::Unknown(other),
                _ => Self::Unknown(reason),
            },
        }
    }

    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            Self::No => other(),
            Self::Unknown(reason) => match other() {
                Self::Yes => Self::Yes,
                // The one that only waits for a request is nearer to an answer.
                Self::Unknown(HTTP_UNSEEN) => Self::Unknown(HTTP_UNSEEN),
                _ => Self::Unknown(reason),
            },
        }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// One of the two ends of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// A tree of questions.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// An empty one holds.
    All(Vec<Condition>),
    /// An empty one does not.
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// One that several policies ask.
    Shared(Arc<Condition>),
    /// A pod of a namespace of that name, or of any, that the selector means.
    Pods {
        end: End,
        namespaces: Namespaces,
        pods: Selector,
    },
    /// Runs as one of these ServiceAccounts, whatever it shows: what the kernel and the API server say of it.
    ServiceAccount {
        end: End,
        namespace: Pattern,
        name: Pattern,
    },
    /// An address in a range and in none of the exceptions; what it is worth where it is a pod's or a node's differs.
    Block {
        end: End,
        range: IpNet,
        except: Vec<IpNet>,
        pods: Truth,
        nodes: Truth,
    },
    /// Any address, pods' among them.
    Address {
        end: End,
        ranges: Vec<IpNet>,
    },
    Node {
        end: End,
    },
    External {
        end: End,
    },
    /// The client is on the server's own node, and has no address of its own.
    OwnNode,
    /// A node's own programs, or pods that use its network: of the node that the other end runs on, of another, or any.
    Host {
        end: End,
        own: Option<bool>,
    },
    Port(Ports),
    /// The name of a port of the server's pod.
    NamedPort {
        name: Arc<str>,
        transport: Transport,
    },
    /// The server is a pod, and listens on one of these. A Service's port is none of them.
    PodPort(Vec<u16>),
    /// The server is a pod whose kubelet probes this port.
    ProbePort,
    Method(Vec<Pattern>),
    Path(Vec<Pattern>),
    /// Both ends have shown certificates: proven, or inferred from what only a mesh's proxies say.
    MutualTls,
    /// What the client's ServiceAccount is called in a certificate of its mesh.
    CertificateName {
        certificate: Certificate,
        names: Vec<Pattern>,
    },
    /// Of the PeerAuthentications, this setting decides, and asks for mutual TLS.
    Strict {
        modes: Arc<PeerModes>,
        setting: usize,
    },
    /// A verified token, by `issuer/subject`.
    RequestPrincipal(Vec<Pattern>),
    /// What a verified token says.
    Claim {
        claim: Claim,
        values: Vec<Pattern>,
    },
    /// Cannot be told from flows.
    Unseen(&'static str),
}

/// Whose pods are meant.
#[derive(Clone, Debug)]
pub(super) enum Namespaces {
    Named(Arc<str>),
    Selected(Selector),
}

/// Ports of a transport; none of either: any.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    pub transport: Option<Transport>,
    /// First and last.
    pub range: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Issuer,
    Subject,
    /// Any one of them.
    Audience,
}

impl Condition {
    /// Holds always.
    pub const ALWAYS: Self = Self::All(Vec::new());

    pub fn holds(&self, query: &Query<'_>) -> Truth {
        match self {
            Self::All(parts) => parts.iter().fold(Truth::Yes, |truth, part| truth.and(|| part.holds(query))),
            Self::Any(parts) => parts.iter().fold(Truth::No, |truth, part| truth.or(|| part.holds(query))),
            Self::Not(part) => !part.holds(query),
            Self::Shared(condition) => condition.holds(query),
            Self::Pods { end, namespaces, pods } => is_pod(query, *end, namespaces, pods),
            Self::ServiceAccount { end, namespace, name } => match query.end(*end) {
                Identity::Unknown(_) => Truth::Unknown(end.unknown()),
                identity => identity
                    .service_account()
                    .is_some_and(|account| namespace.matches(account.0) && name.matches(account.1))
                    .into(),
            },
            Self::Block { end, range, except, pods, nodes } => {
                let ip = query.ip(*end);
                let inside = || range.contains(&ip) && !except.iter().any(|range| range.contains(&ip));
                match query.end(*end) {
                    Identity::Unknown(_) => Truth::Unknown(end.unknown()),
                    Identity::External => inside().into(),
                    Identity::Pod(pod) if !pod.host_network => Truth::from(inside()).and(|| *pods),
                    // The address is the Service's.
                    Identity::ServiceAccount { .. } => pods.and(|| Truth::Unknown("service-backend")),
                    Identity::Pod(_) | Identity::Node(_) => Truth::from(inside()).and(|| *nodes),
                }
            }
            Self::Address { end, ranges } => {
                let ip = query.ip(*end);
                ranges.iter().any(|range| range.contains(&ip)).into()
            }
            Self::Node { end } => match query.end(*end) {
                Identity::Unknown(_) => Truth::Unknown(end.unknown()),
                identity => matches!(identity, Identity::Node(_)).into(),
            },
            Self::External { end } => match query.end(*end) {
                Identity::Unknown(_) => Truth::Unknown(end.unknown()),
                identity => matches!(identity, Identity::External).into(),
            },
            Self::OwnNode => is_host(query, End::Client, Some(true)),
            Self::Host { end, own } => is_host(query, *end, *own),
            Self::Port(ports) => ports.holds(query),
            Self::NamedPort { name, transport } => named_port(query, name, *transport),
            Self::PodPort(ports) => (query.server.pod().is_some() && ports.contains(&query.port)).into(),
            Self::ProbePort => {
                query.server.pod().is_some_and(|pod| pod.probe_ports.contains(&query.port)).into()
            }
            Self::Method(methods) => match query.http {
                None => Truth::Unknown(HTTP_UNSEEN),
                Some(facts) => methods.iter().any(|method| method.matches(facts.method)).into(),
            },
            Self::Path(paths) => match query.http.and_then(plain_path) {
                None => Truth::Unknown(HTTP_UNSEEN),
                Some(path) => paths.iter().any(|pattern| pattern.matches(path)).into(),
            },
            Self::MutualTls => match query.encryption {
                EncryptionStatus::Mtls => Truth::Yes,
                EncryptionStatus::Plaintext => Truth::No,
                // TLS 1.3 hides whether the client showed a certificate.
                EncryptionStatus::Tls => Truth::Unknown("client-certificate-unseen"),
                EncryptionStatus::Unknown => Truth::Unknown("encryption-unknown"),
            },
            Self::CertificateName { certificate, names } => match query.client {
                Identity::Unknown(_) => Truth::Unknown(End::Client.unknown()),
                identity => identity
                    .service_account()
                    .is_some_and(|(namespace, name)| {
                        names.iter().any(|pattern| certificate.names(pattern, namespace, name))
                    })
                    .into(),
            },
            Self::Strict { modes, setting } => modes.asks_by(*setting, query),
            Self::RequestPrincipal(principals) => of_token(query, |token| {
                let (Some(issuer), Some(subject)) = (&token.issuer, &token.subject) else { return false };
                principals.iter().any(|pattern| pattern.matches_joined(&[&**issuer, "/", &**subject]))
            }),
            Self::Claim { claim, values } => of_token(query, |token| {
                let says = |said: &Arc<str>| values.iter().any(|pattern| pattern.matches(said));
                match claim {
                    Claim::Issuer => token.issuer.as_ref().is_some_and(says),
                    Claim::Subject => token.subject.as_ref().is_some_and(says),
                    Claim::Audience => token.audiences.iter().any(says),
                }
            }),
            Self::Unseen(reason) => Truth::Unknown(reason),
        }
    }
}

impl Condition {
    /// Its answer can depend on a request.
    pub fn asks_of_requests(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::asks_of_requests),
            Self::Not(part) => part.asks_of_requests(),
            Self::Shared(part) => part.asks_of_requests(),
            Self::Method(_) | Self::Path(_) | Self::RequestPrincipal(_) | Self::Claim { .. } => true,
            _ => false,
        }
    }
}

impl End {
    const fn unknown(self) -> &'static str {
        match self {
            Self::Client => "client-unknown",
            Self::Server => "server-unknown",
        }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Ports {
    pub fn holds(&self, query: &Query<'_>) -> Truth {
        if self.transport.is_some_and(|transport| transport != query.transport) {
            return Truth::No;
        }
        match (self.range, query.server) {
            (None, _) => Truth::Yes,
            // It was dialled by its Service: that one's port is known, and rules speak of the pod's.
            (Some(_), Identity::ServiceAccount { .. }) => Truth::Unknown("service-port"),
            (Some((first, last)), _) => (first..=last).contains(&query.port).into(),
        }
    }
}

fn is_pod(query: &Query<'_>, end: End, namespaces: &Namespaces, pods: &Selector) -> Truth {
    let (namespace, pod): (&str, Option<&Pod>) = match query.end(end) {
        Identity::Unknown(_) => return Truth::Unknown(end.unknown()),
        Identity::Node(_) | Identity::External => return Truth::No,
        Identity::ServiceAccount { namespace, .. } => (namespace, None),
        Identity::Pod(pod) => (&pod.namespace, Some(pod)),
    };
    let of_namespace = match namespaces {
        Namespaces::Named(name) => (**name == *namespace).into(),
        Namespaces::Selected(selector) if selector.is_empty() => Truth::Yes,
        Namespaces::Selected(selector) => match query.namespaces.labels(namespace) {
            None => Truth::Unknown("namespace-unknown"),
            Some(labels) => selector
                .matches(|key| labels.iter().find(|(known, _)| **known == *key).map(|(_, value)| &**value))
                .into(),
        },
    };
    of_namespace.and(|| match pod {
        // Some plugins know such a pod by its labels, to most it is its node (kubernetes.io, "Network Policies").
        Some(pod) if pod.host_network => {
            Truth::from(pods.matches(|key| pod.label(key))).and(|| Truth::Unknown("host-network"))
        }
        _ if pods.is_empty() => Truth::Yes,
        Some(pod) => pods.matches(|key| pod.label(key)).into(),
        None => Truth::Unknown("service-backend"),
    })
}

fn is_host(query: &Query<'_>, end: End, own: Option<bool>) -> Truth {
    let node = match query.end(end) {
        Identity::Unknown(_) => return Truth::Unknown(end.unknown()),
        Identity::Node(node) => Some(node),
        Identity::Pod(pod) if pod.host_network => pod.node.as_ref(),
        Identity::Pod(_) | Identity::ServiceAccount { .. } | Identity::External => return Truth::No,
    };
    let Some(own) = own else { return Truth::Yes };
    let Some(other) = query.end(end.other()).pod() else { return (!own).into() };
    match (node, &other.node) {
        (Some(one), Some(other)) => ((one == other) == own).into(),
        _ => Truth::Unknown("node-unknown"),
    }
}

fn named_port(query: &Query<'_>, name: &str, transport: Transport) -> Truth {
    if transport != query.transport {
        return Truth::No;
    }
    match query.server {
        Identity::Pod(pod) => pod
            .ports
            .iter()
            .any(|port| port.name.as_deref() == Some(name) && port.number == query.port)
            .into(),
        Identity::ServiceAccount { .. } => Truth::Unknown("service-port"),
        Identity::Unknown(_) => Truth::Unknown(End::Server.unknown()),
        // Only containers have named ports.
        Identity::Node(_) | Identity::External => Truth::No,
    }
}

fn of_token(query: &Query<'_>, says: impl FnOnce(&TokenFacts) -> bool) -> Truth {
    let Some(authentication) = query.authentication else { return Truth::Unknown(HTTP_UNSEEN) };
    match authentication.status {
        AuthenticationStatus::None | AuthenticationStatus::Invalid => Truth::No,
        AuthenticationStatus::Present => Truth::Unknown("token-unverified"),
        AuthenticationStatus::Unknown => Truth::Unknown("credential-unseen"),
        AuthenticationStatus::Verified => match &authentication.token {
            Some(token) => says(token).into(),
            None => Truth::Unknown("token-unverified"),
        },
    }
}

/// Without its query, if it starts at the root and holds nothing that leads back up (RFC 3986 section 5.2.4): then its
/// first segments are what the server goes by.
pub(super) fn plain_path(facts: HttpFacts<'_>) -> Option<&str> {
    let climbs =
        |segment: &str| ["..", ".%2e", "%2e.", "%2e%2e"].iter().any(|up| segment.eq_ignore_ascii_case(up));
    let path = facts.path?.split(['?', '#']).next().unwrap_or_default();
    (path.starts_with('/') && !path.split('/').any(climbs)).then_some(path)
}
