use std::net::IpAddr;
use std::sync::Arc;

use super::compile::{Declared, Graph};
use super::condition::{End, plain_path};
use super::policies::{Opinion, rank};
use super::service_graph::{Client, Edge, Exception, HttpRule, Server};
pub use crate::crd::{Authentication as AuthenticationRequirement, Encryption as EncryptionRequirement};
use crate::model::{
    Authentication, Declaration, DeclarationStatus, EncryptionStatus, FindingKind, Identity, Label,
    Timestamp, Transport,
};

/// A flow, or one request of it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub client: &'a Identity,
    pub client_ip: IpAddr,
    pub server: &'a Identity,
    pub server_ip: IpAddr,
    /// The port that the server's socket listens on; of a server that is known by its Service alone, the Service's.
    pub port: u16,
    pub transport: Transport,
    pub encryption: EncryptionStatus,
    /// The request, where it was seen.
    pub http: Option<HttpFacts<'a>>,
    /// What that request showed of its sender.
    pub authentication: Option<&'a Authentication>,
    pub namespaces: &'a dyn NamespaceLabels,
}

/// The labels of namespaces, at the time of the flow.
pub trait NamespaceLabels: std::fmt::Debug {
    /// `None`: the namespace is not known.
    fn labels(&self, namespace: &str) -> Option<&[Label]>;
}

/// No namespace is known.
impl NamespaceLabels for () {
    fn labels(&self, _: &str) -> Option<&[Label]> {
        None
    }
}

impl Query<'_> {
    pub(super) const fn end(&self, end: End) -> &Identity {
        match end {
            End::Client => self.client,
            End::Server => self.server,
        }
    }

    pub(super) fn ip(&self, end: End) -> IpAddr {
        match end {
            End::Client => self.client_ip.to_canonical(),
            End::Server => self.server_ip.to_canonical(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct HttpFacts<'a> {
    pub method: &'a str,
    /// As sent, with or without a query.
    pub path: Option<&'a str>,
}

/// By default: nothing is governed, and what an edge asks for by default is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    pub declaration: Declaration,
    pub encryption: EncryptionRequirement,
    pub authentication: AuthenticationRequirement,
    /// A verified token must carry one of these; empty: any will do.
    pub audiences: Arc<[Arc<str>]>,
    /// An edge of a ServiceGraph asks for these.
    pub by_edge: bool,
    /// What [`Graph::exceptions`] answers, where somebody asked.
    pub exceptions: Vec<(FindingKind, Arc<str>)>,
}

/// How well an edge fits, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    /// But for the port, and that is a Service's, not the server's.
    ServicePort,
    /// As far as it was seen.
    HttpUnseen,
    Yes,
}

impl Exception {
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

impl Graph {
    /// The findings that graphs leave out of this flow at `now`, and why.
    #[must_use]
    pub fn exceptions(&self, query: &Query<'_>, now: Timestamp) -> Vec<(FindingKind, Arc<str>)> {
        // Those of the server's namespace, and of the client's where the server is outside of the cluster.
        let speaker = query.server.service_account().or_else(|| query.client.service_account());
        let Some(all) = speaker.and_then(|(namespace, _)| self.exceptions.get(namespace)) else {
            return Vec::new();
        };
        all.iter()
            .filter(|exception| !exception.is_over(now))
            .filter(|exception| is_from(&exception.from, query) && is_to(&exception.to, query))
            .map(|exception| (exception.finding, exception.reason.clone()))
            .collect()
    }

    /// Whether anybody declared this. Allocates only where sources disagree.
    ///
    /// Of several kinds of sources, one that does not expect the flow wins, then one that cannot tell, then one that
    /// allows it.
    ///
    /// Reasons: `http-unseen` (allowed, as far as it was seen), `client-unknown`, `server-unknown`, `service-port` (the
    /// server is known by its Service alone, and rules speak of backend ports), and what the imports have to say.
    #[must_use]
    pub fn evaluate(&self, query: &Query<'_>) -> Evaluation {
        let mut evaluation = self.of_service_graphs(query);
        self.policies.opinions(query, |opinion| weigh(&mut evaluation.declaration, opinion, query));
        if let Some(reason) = self.policies.unknown_end(query) {
            let declaration = &mut evaluation.declaration;
            if rank(DeclarationStatus::Unevaluable, None)
                > rank(declaration.status, declaration.reason.as_deref())
            {
                let reason = Some(reason.into());
                *declaration =
                    Declaration { status: DeclarationStatus::Unevaluable, reason, ..Declaration::default() };
            }
        }
        evaluation
    }

    fn of_service_graphs(&self, query: &Query<'_>) -> Evaluation {
        use DeclarationStatus::{Unevaluable, Ungoverned};
        if self.sources.is_empty() {
            return self.without_edge(Ungoverned, None, None);
        }
        match query.server {
            Identity::Unknown(_) => self.without_edge(Unevaluable, None, Some("server-unknown")),
            Identity::Pod(_) | Identity::ServiceAccount { .. } => self.inside(query),
            Identity::Node(_) | Identity::External => self.outside(query),
        }
    }

    fn inside(&self, query: &Query<'_>) -> Evaluation {
        let ungoverned = || self.without_edge(DeclarationStatus::Ungoverned, None, None);
        let Some((namespace, name)) = query.server.service_account() else { return ungoverned() };
        let Some(namespace) = self.namespaces.get(namespace) else { return ungoverned() };
        let server = namespace.servers.get(name);
        let governors = [namespace.governor, server.map(|server| server.governor)];
        let Some(governor) = governors.into_iter().flatten().min() else { return ungoverned() };
        let named = server.map_or(&[][..], |server| &server.edges);
        self.judge(query, governor, named.iter().chain(&namespace.to_all))
    }

    fn outside(&self, query: &Query<'_>) -> Evaluation {
        let covers = |declared: &&Declared| match &declared.edge.to {
            Server::External => matches!(query.server, Identity::External),
            Server::Range(range) => range.contains(&query.server_ip.to_canonical()),
            Server::ServiceAccount(_) => false,
        };
        let governor = match query.client {
            Identity::Unknown(_) => {
                self.outside.values().flatten().filter(covers).map(|declared| declared.source).min()
            }
            client => {
                let edges = client.service_account().and_then(|(namespace, _)| self.outside.get(namespace));
                edges.into_iter().flatten().find(covers).map(|declared| declared.source)
            }
        };
        let Some(governor) = governor else {
            return self.without_edge(DeclarationStatus::Ungoverned, None, None);
        };
        let edges = query.client.service_account().and_then(|(namespace, _)| self.outside.get(namespace));
        self.judge(query, governor, edges.into_iter().flatten().filter(covers))
    }

    fn judge<'g>(
        &'g self,
        query: &Query<'_>,
        governor: usize,
        edges: impl Iterator<Item = &'g Declared>,
    ) -> Evaluation {
        if matches!(query.client, Identity::Unknown(_)) {
            return self.without_edge(DeclarationStatus::Unevaluable, Some(governor), Some("client-unknown"));
        }
        let mut best = Fit::No;
        let mut decided: Option<Evaluation> = None;
        for declared in edges {
            let fit = fit(&declared.edge, query);
            if fit > best || (fit == best && fit >= Fit::HttpUnseen) {
                let weakest = decided.take().filter(|_| fit == best);
                best = fit;
                decided = (fit >= Fit::HttpUnseen).then(|| self.merge(weakest, declared, fit));
            }
        }
        match (decided, best) {
            (Some(evaluation), _) => evaluation,
            (None, Fit::ServicePort) => {
                self.without_edge(DeclarationStatus::Unevaluable, Some(governor), Some("service-port"))
            }
            (None, _) => self.without_edge(DeclarationStatus::Unexpected, Some(governor), None),
        }
    }

    /// The weakest of what the edges that fit equally well ask for: each alone would allow the flow.
    fn merge(&self, others: Option<Evaluation>, declared: &Declared, fit: Fit) -> Evaluation {
        let edge = &declared.edge;
        match others {
            Some(others) => Evaluation {
                encryption: others.encryption.min(edge.encryption),
                authentication: others.authentication.min(edge.authentication),
                audiences: match others.audiences == edge.audiences {
                    true => others.audiences,
                    false => self.no_audiences.clone(),
                },
                declaration: others.declaration,
                by_edge: true,
                exceptions: Vec::new(),
            },
            None => Evaluation {
                declaration: Declaration {
                    status: DeclarationStatus::Allowed,
                    source: Some(self.sources[declared.source].text.clone()),
                    reason: (fit == Fit::HttpUnseen).then_some("http-unseen".into()),
                    clause: Some(declared.clause.clone()),
                    against: Vec::new(),
                },
                encryption: edge.encryption,
                authentication: edge.authentication,
                audiences: edge.audiences.clone(),
                by_edge: true,
                exceptions: Vec::new(),
            },
        }
    }

    fn without_edge(
        &self,
        status: DeclarationStatus,
        source: Option<usize>,
        reason: Option<&'static str>,
    ) -> Evaluation {
        Evaluation {
            declaration: Declaration {
                status,
                source: source.map(|source| self.sources[source].text.clone()),
                reason: reason.map(Into::into),
                ..Declaration::default()
            },
            encryption: EncryptionRequirement::default(),
            authentication: AuthenticationRequirement::default(),
            audiences: self.no_audiences.clone(),
            by_edge: false,
            exceptions: Vec::new(),
        }
    }
}

/// Puts what another kind of source says beside what is known so far.
fn weigh(declaration: &mut Declaration, opinion: Opinion<'_>, query: &Query<'_>) {
    use DeclarationStatus::{Allowed, Unevaluable, Unexpected};
    let (status, reason) = match query.client {
        Identity::Unknown(_) => (Unevaluable, Some("client-unknown")),
        _ => (opinion.status, opinion.reason),
    };
    let source = &opinion.policy.source;
    match (declaration.status, status) {
        (Unexpected, Allowed) => return declaration.against.push(source.clone()),
        (Allowed, Unexpected) => declaration.against.extend(declaration.source.take()),
        _ => {}
    }
    if rank(status, reason) > rank(declaration.status, declaration.reason.as_deref()) {
        declaration.status = status;
        declaration.source = Some(source.clone());
        declaration.clause = opinion.clause.cloned();
        declaration.reason = reason.map(Into::into);
    }
}

fn fit(edge: &Edge, query: &Query<'_>) -> Fit {
    if !is_from(&edge.from, query) {
        return Fit::No;
    }
    if !edge.ports.is_empty() && !edge.ports.contains(&query.port) {
        return match query.server {
            Identity::ServiceAccount { .. } => Fit::ServicePort,
            _ => Fit::No,
        };
    }
    match query.http {
        _ if edge.http.is_empty() => Fit::Yes,
        None => Fit::HttpUnseen,
        Some(facts) => edge.http.iter().map(|rule| fit_http(rule, facts)).max().unwrap_or(Fit::Yes),
    }
}

fn is_to(server: &Server, query: &Query<'_>) -> bool {
    match server {
        Server::ServiceAccount(wanted) => query
            .server
            .service_account()
            .is_some_and(|(_, name)| wanted.as_ref().is_none_or(|wanted| wanted == name)),
        Server::External => matches!(query.server, Identity::External),
        Server::Range(range) => {
            matches!(query.server, Identity::Node(_) | Identity::External)
                && range.contains(&query.ip(End::Server))
        }
    }
}

fn is_from(client: &Client, query: &Query<'_>) -> bool {
    match client {
        Client::Anybody => true,
        Client::ServiceAccount { namespace, name } => query.client.service_account().is_some_and(|account| {
            // Names differ more often than namespaces.
            name.as_ref().is_none_or(|name| name == account.1)
                && namespace.as_ref().is_none_or(|namespace| namespace == account.0)
        }),
        Client::Node => matches!(query.client, Identity::Node(_)),
        Client::External => matches!(query.client, Identity::External),
        Client::Range(range) => {
            matches!(query.client, Identity::Node(_) | Identity::External)
                && range.contains(&query.client_ip.to_canonical())
        }
    }
}

fn fit_http(rule: &HttpRule, facts: HttpFacts<'_>) -> Fit {
    if !rule.methods.is_empty()
        && !rule.methods.iter().any(|method| method.eq_ignore_ascii_case(facts.method))
    {
        return Fit::No;
    }
    let Some(prefix) = rule.path_prefix.as_deref() else { return Fit::Yes };
    match plain_path(facts) {
        None => Fit::HttpUnseen,
        Some(path) => match path.strip_prefix(prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Fit::Yes,
            _ => Fit::No,
        },
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
