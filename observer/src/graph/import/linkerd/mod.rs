//! Linkerd's policies (policy.linkerd.io): Server, AuthorizationPolicy, ServerAuthorization, MeshTLSAuthentication and
//! NetworkAuthentication.
//!
//! A Server takes a port of some pods; from then on, what nobody authorizes is denied. Ports without one go by the
//! cluster's default, which no object tells: they are not governed.

mod read;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::Named;
use crate::graph::condition::{Condition, End, Namespaces, Ports};
use crate::graph::mesh::Certificate;
use crate::graph::pattern::Pattern;
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind, Subject};
use crate::graph::selector::{Expression, Operator, Selector};
use crate::model::{Label, Transport};

pub(super) use read::read;

/// Where the proxy listens. A client's proxy that does not look into a connection may dial it: the port that its
/// program asked for is inside.
const PROXY_PORT: u16 = 4143;

#[derive(Clone, Debug)]
pub(in crate::graph) struct Object {
    named: Named,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Server(Server),
    AuthorizationPolicy { target: Target, required: Vec<Reference> },
    ServerAuthorization { servers: Servers, client: Arc<Condition> },
    MeshTlsAuthentication(Arc<Condition>),
    NetworkAuthentication(Arc<Condition>),
}

#[derive(Clone, Debug)]
struct Server {
    /// Absent: it is of machines outside the cluster.
    pods: Option<Selector>,
    labels: Vec<Label>,
    port: Condition,
    access: Access,
}

/// What holds for those whom nobody authorizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Deny,
    /// `audit`, too: it is only counted.
    AllUnauthenticated,
    AllAuthenticated,
    ClusterUnauthenticated,
    ClusterAuthenticated,
    /// A newer version's.
    Unknown,
}

#[derive(Clone, Debug)]
enum Target {
    Server(Arc<str>),
    Namespace(Arc<str>),
    /// Part of what a Server takes, for this reason not known which.
    Part(&'static str),
    /// Nothing that pods serve.
    Elsewhere,
}

#[derive(Clone, Debug)]
enum Reference {
    MeshTls(Arc<str>, Arc<str>),
    Network(Arc<str>, Arc<str>),
    Itself(Condition),
}

#[derive(Clone, Debug)]
enum Servers {
    Named(Arc<str>),
    Selected(Selector),
}

/// The Servers of a namespace.
#[derive(Default)]
struct Taken<'o> {
    servers: Vec<(&'o Object, &'o Server, &'o Selector)>,
    /// Some Server takes the flow.
    any: Option<Arc<Condition>>,
}

pub(super) fn compile(objects: &[&Object]) -> Vec<Policy> {
    let mut namespaces: HashMap<&str, Taken<'_>> = HashMap::new();
    let mut mesh_tls = HashMap::new();
    let mut networks = HashMap::new();
    for object in objects {
        let key = (&*object.named.namespace, &*object.named.name);
        match &object.kind {
            Kind::Server(server) => {
                if let Some(pods) = &server.pods {
                    namespaces.entry(key.0).or_default().servers.push((object, server, pods));
                }
            }
            Kind::MeshTlsAuthentication(condition) => mesh_tls.extend([(key, condition)]),
            Kind::NetworkAuthentication(condition) => networks.extend([(key, condition)]),
            Kind::AuthorizationPolicy { .. } | Kind::ServerAuthorization { .. } => {}
        }
    }
    let mut policies = Vec::new();
    for (namespace, taken) in &mut namespaces {
        let takes = |(_, server, pods): &(&Object, &Server, &Selector)| {
            let namespaces = Namespaces::Named((*namespace).into());
            let pods = Condition::Pods { end: End::Server, namespaces, pods: (*pods).clone() };
            Condition::All(vec![server.port.clone(), pods])
        };
        taken.any = Some(Arc::new(Condition::Any(taken.servers.iter().map(takes).collect())));
        policies.extend(taken.servers.iter().map(|(object, server, pods)| of_server(object, server, pods)));
    }
    for object in objects {
        let Some(taken) = namespaces.get(&*object.named.namespace) else { continue };
        let held = |of: &HashMap<(&str, &str), &Arc<Condition>>, namespace: &str, name: &str| {
            let known = of.get(&(namespace, name)).map(|condition| Condition::Shared((*condition).clone()));
            known.unwrap_or(Condition::Unseen("authentication-missing"))
        };
        match &object.kind {
            Kind::AuthorizationPolicy { target, required } => {
                let required = required.iter().map(|reference| match reference {
                    Reference::MeshTls(namespace, name) => held(&mesh_tls, namespace, name),
                    Reference::Network(namespace, name) => held(&networks, namespace, name),
                    Reference::Itself(condition) => condition.clone(),
                });
                let mut when: Vec<_> = required.collect();
                if let Target::Part(reason) = target {
                    when.push(Condition::Unseen(reason));
                }
                let allow = authorization(object, "spec.requiredAuthenticationRefs", Condition::All(when));
                policies.extend(taken.to(target, &object.named).map(allow));
            }
            Kind::ServerAuthorization { servers, client } => {
                let allow = authorization(object, "spec.client", Condition::Shared(client.clone()));
                let meant = taken.servers.iter().filter(|(named, server, _)| servers.mean(named, server));
                policies.extend(meant.map(|(named, server, pods)| allow(subject(named, server, pods))));
            }
            Kind::Server(_) | Kind::MeshTlsAuthentication(_) | Kind::NetworkAuthentication(_) => {}
        }
    }
    policies.sort_by(|a, b| a.source.cmp(&b.source));
    policies
}

impl Taken<'_> {
    fn to(&self, target: &Target, named: &Named) -> Option<Subject> {
        match target {
            Target::Server(name) => {
                let (object, server, pods) =
                    self.servers.iter().find(|(object, ..)| object.named.name == *name)?;
                Some(subject(object, server, pods))
            }
            // It may only be the policy's own.
            Target::Namespace(name) if *name != named.namespace => None,
            Target::Namespace(_) | Target::Part(_) => Some(Subject {
                namespace: Some(named.namespace.clone()),
                when: self.any.clone().map(Condition::Shared),
                ..Subject::default()
            }),
            Target::Elsewhere => None,
        }
    }
}

impl Servers {
    fn mean(&self, object: &Object, server: &Server) -> bool {
        match self {
            Self::Named(name) => object.named.name == *name,
            Self::Selected(selector) => selector.matches(|key| {
                server.labels.iter().find(|(known, _)| **known == *key).map(|(_, value)| &**value)
            }),
        }
    }
}

fn subject(object: &Object, server: &Server, pods: &Selector) -> Subject {
    Subject {
        namespace: Some(object.named.namespace.clone()),
        pods: pods.clone(),
        when: Some(server.port.clone()),
        ..Subject::default()
    }
}

fn of_server(object: &Object, server: &Server, pods: &Selector) -> Policy {
    let allow = |clause: &str, when| Rule { action: Action::Allow, clause: clause.into(), when };
    // Probes are authorized unasked (linkerd.io, "Authorization Policy", default authorizations).
    let probe = Condition::All(vec![Condition::ProbePort, Condition::OwnNode]);
    let mut rules = vec![allow("own-node", probe)];
    let access = match server.access {
        Access::Deny => None,
        Access::AllUnauthenticated => Some(Condition::ALWAYS),
        Access::AllAuthenticated => Some(authenticated(Condition::ALWAYS)),
        Access::ClusterUnauthenticated => Some(in_cluster()),
        Access::ClusterAuthenticated => Some(authenticated(in_cluster())),
        Access::Unknown => Some(Condition::Unseen("access-policy-unknown")),
    };
    rules.extend(access.map(|when| allow("spec.accessPolicy", when)));
    Policy {
        kind: SourceKind::Linkerd,
        source: object.named.source(),
        direction: Direction::Ingress,
        subject: subject(object, server, pods),
        denies_by_default: true,
        rules,
    }
}

/// Says whom a Server takes besides: that it takes nobody else, the Server says.
fn authorization(object: &Object, clause: &'static str, when: Condition) -> impl Fn(Subject) -> Policy {
    let source = object.named.source();
    move |subject| Policy {
        kind: SourceKind::Linkerd,
        source: source.clone(),
        direction: Direction::Ingress,
        subject,
        denies_by_default: false,
        rules: vec![Rule { action: Action::Allow, clause: clause.into(), when: when.clone() }],
    }
}

/// Whether the client has shown a certificate. Where the server has no proxy, nobody asks for one; injection labels
/// those that have.
static AUTHENTICATED: LazyLock<Arc<Condition>> = LazyLock::new(|| {
    let key = "linkerd.io/control-plane-ns".into();
    let label = Expression { key, operator: Operator::Exists, values: Vec::new() };
    let meshed = Condition::Pods {
        end: End::Server,
        namespaces: Namespaces::Selected(Selector::default()),
        pods: Selector { match_expressions: vec![label], ..Selector::default() },
    };
    Arc::new(Condition::Any(vec![
        Condition::MutualTls,
        Condition::All(vec![Condition::Not(Box::new(meshed)), Condition::Unseen("outside-mesh")]),
    ]))
});

/// The client has shown a certificate, and `named` holds of whom it names.
fn authenticated(named: Condition) -> Condition {
    Condition::All(vec![Condition::Shared(AUTHENTICATED.clone()), named])
}

/// One of these names, or somebody whose certificate may name anybody, which is not seen.
fn identity(names: Vec<Condition>) -> Condition {
    let mut any = names;
    any.push(Condition::All(vec![
        Condition::Any(vec![Condition::Node { end: End::Client }, Condition::External { end: End::Client }]),
        Condition::Unseen("certificate-unseen"),
    ]));
    authenticated(Condition::Any(any))
}

fn certificate_name(text: &str) -> Condition {
    let certificate = Certificate::Linkerd;
    let (pattern, usual) = certificate.pattern(text);
    let name = Condition::CertificateName { certificate, names: vec![pattern] };
    if usual { name } else { Condition::All(vec![name, Condition::Unseen("trust-domain-unknown")]) }
}

/// `None`: any of the namespace.
fn service_account(namespace: &str, name: Option<&str>) -> Condition {
    Condition::ServiceAccount {
        end: End::Client,
        namespace: Pattern::Exact(namespace.into()),
        name: name.map_or(Pattern::Present, |name| Pattern::Exact(name.into())),
    }
}

/// Which networks are the cluster's is a setting of Linkerd's. Pods and nodes are in them.
fn in_cluster() -> Condition {
    let outside = || Condition::External { end: End::Client };
    Condition::Any(vec![
        Condition::Not(Box::new(outside())),
        Condition::All(vec![outside(), Condition::Unseen("cluster-networks-unknown")]),
    ])
}

fn port_or_tunnel(port: Condition) -> Condition {
    Condition::All(vec![
        Condition::Port(Ports { transport: Some(Transport::Tcp), range: None }),
        Condition::Any(vec![
            port,
            Condition::All(vec![Condition::PodPort(vec![PROXY_PORT]), Condition::Unseen("tunnel")]),
        ]),
    ])
}

#[cfg(test)]
mod tests;
