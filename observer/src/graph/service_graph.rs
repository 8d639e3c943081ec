use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;

use super::error::GraphError;
use super::evaluate::{AuthenticationRequirement, EncryptionRequirement};
use crate::crd;
use crate::model::{FindingKind, Timestamp};

const KIND: &str = "ServiceGraph";
/// A metric label should stay one: in characters.
const MAX_REASON: usize = 64;

/// A checked ServiceGraph.
#[derive(Clone, Debug)]
pub struct ServiceGraph {
    /// Where it was read.
    pub file: PathBuf,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// Governs every ServiceAccount of its namespace, not just those in `to`.
    pub(super) whole_namespace: bool,
    pub(super) edges: Vec<Edge>,
    pub(super) exceptions: Vec<Exception>,
}

/// Findings that are left out of calls between these ends.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    pub(super) finding: FindingKind,
    pub(super) from: Client,
    pub(super) to: Server,
    pub(super) reason: Arc<str>,
    /// Not after this moment.
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) from: Client,
    pub(super) to: Server,
    /// Empty: any.
    pub(super) ports: Vec<u16>,
    /// Empty: any.
    pub(super) http: Vec<HttpRule>,
    pub(super) encryption: EncryptionRequirement,
    pub(super) authentication: AuthenticationRequirement,
    pub(super) audiences: Arc<[Arc<str>]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Anybody,
    /// `None` is any.
    ServiceAccount {
        namespace: Option<Arc<str>>,
        name: Option<Arc<str>>,
    },
    Node,
    External,
    Range(IpNet),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Of the graph's namespace; `None` is any.
    ServiceAccount(Option<Arc<str>>),
    External,
    Range(IpNet),
}

#[derive(Clone, Debug)]
pub(super) struct HttpRule {
    /// Empty: any.
    pub(super) methods: Vec<Arc<str>>,
    /// Without a `/` at its end.
    pub(super) path_prefix: Option<Arc<str>>,
}

impl ServiceGraph {
    /// How records and messages call it: `ServiceGraph shop/shop`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{KIND} {}/{}", self.namespace, self.name)
    }

    /// Checks one object. `file` is only for messages.
    ///
    /// # Errors
    /// It is not what a ServiceGraph may say.
    pub fn from_value(
        file: PathBuf,
        api_version: &str,
        value: serde_json::Value,
    ) -> Result<Self, GraphError> {
        let text = |key: &str| {
            value.get("metadata").and_then(|of| of.get(key)).and_then(|of| of.as_str()).unwrap_or("")
        };
        let (namespace, name) = (text("namespace").to_owned(), text("name").to_owned());
        let object = match (namespace.as_str(), name.as_str()) {
            (_, "") => KIND.to_owned(),
            ("", name) => format!("{KIND} {name}"),
            (namespace, name) => format!("{KIND} {namespace}/{name}"),
        };
        if api_version != format!("{}/{}", crd::GROUP, crd::VERSION) {
            return Err(GraphError::Version { file, object, found: api_version.to_owned() });
        }
        let field = |key: String, message: String| GraphError::Field {
            file: file.clone(),
            object: object.clone(),
            key,
            message,
        };
        for (key, value, example) in
            [("name", &name, "`shop`"), ("namespace", &namespace, "that of its servers")]
        {
            if value.is_empty() {
                return Err(field(format!("metadata.{key}"), format!("is missing; write {example}")));
            }
        }
        let raw: Raw = serde_path_to_error::deserialize(value)
            .map_err(|error| field(error.path().to_string(), error.inner().to_string()))?;
        if raw.spec.edges.is_empty() && raw.spec.governs == crd::Governs::Listed {
            return Err(GraphError::NoEdges { file: file.clone(), object: object.clone() });
        }
        let namespace: Arc<str> = namespace.into();
        let mut edges = Vec::with_capacity(raw.spec.edges.len());
        for (number, edge) in raw.spec.edges.into_iter().enumerate() {
            let checked = check_edge(edge, &namespace);
            edges.push(
                checked.map_err(|(key, message)| field(format!("spec.edges[{number}].{key}"), message))?,
            );
        }
        let mut exceptions = Vec::with_capacity(raw.spec.exceptions.len());
        for (number, exception) in raw.spec.exceptions.into_iter().enumerate() {
            let checked = check_exception(exception, &namespace);
            exceptions.push(
                checked
                    .map_err(|(key, message)| field(format!("spec.exceptions[{number}].{key}"), message))?,
            );
        }
        let whole_namespace = raw.spec.governs == crd::Governs::Namespace;
        Ok(Self { file, namespace, name: name.into(), whole_namespace, edges, exceptions })
    }
}

/// The part of the object that is read.
#[derive(Deserialize)]
struct Raw {
    spec: crd::ServiceGraphSpec,
}

/// A key below the edge, and what is wrong with it.
type Fault = (String, String);

fn fault<T>(key: &str, message: impl Into<String>) -> Result<T, Fault> {
    Err((key.to_owned(), message.into()))
}

fn check_edge(raw: crd::Edge, namespace: &Arc<str>) -> Result<Edge, Fault> {
    let mut from = check_client(raw.from, namespace)?;
    let to = check_server(raw.to, namespace)?;
    if !matches!(to, Server::ServiceAccount(_)) {
        // A graph speaks for its own namespace: whom others may call outside is not for it to say.
        match &from {
            Client::Anybody => {
                from = Client::ServiceAccount { namespace: Some(namespace.clone()), name: None }
            }
            Client::ServiceAccount { namespace: Some(of), .. } if of == namespace => {}
            _ => {
                let own =
                    format!("must name ServiceAccounts of {namespace} where `to` is outside of the cluster");
                return fault("from", own);
            }
        }
    }
    if let Some(place) = raw.ports.iter().position(|port| *port == 0) {
        return fault(&format!("ports[{place}]"), "0 is no port; leave `ports` out for any");
    }
    let mut http = Vec::with_capacity(raw.http.len());
    for (place, rule) in raw.http.into_iter().enumerate() {
        if let Some(prefix) = rule.path_prefix.as_ref().filter(|prefix| !prefix.starts_with('/')) {
            return fault(
                &format!("http[{place}].pathPrefix"),
                format!("{prefix:?} does not start with /; write \"/{prefix}\""),
            );
        }
        let path_prefix = rule.path_prefix.map(|prefix| Arc::from(prefix.trim_end_matches('/')));
        http.push(HttpRule { methods: rule.methods, path_prefix });
    }
    Ok(Edge {
        from,
        to,
        ports: raw.ports,
        http,
        encryption: raw.encryption,
        authentication: raw.authentication,
        audiences: raw.audiences.into(),
    })
}

fn check_exception(raw: crd::Exception, namespace: &Arc<str>) -> Result<Exception, Fault> {
    let finding = match raw.finding.parse::<FindingKind>() {
        Ok(finding) => finding,
        Err(why) => return fault("finding", why),
    };
    let reason = raw.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.contains(char::is_control) {
        return fault(
            "reason",
            format!("must have 1 to {MAX_REASON} printable characters: it is a metric's label"),
        );
    }
    let moment = |text: String| serde_json::from_value::<Timestamp>(serde_json::Value::String(text));
    let until = match raw.until.map(moment).transpose() {
        Ok(until) => until,
        Err(_) => return fault("until", "is no moment; write it as 2027-01-31T12:00:00Z"),
    };
    let every_server = Server::ServiceAccount(None);
    Ok(Exception {
        finding,
        from: raw.from.map_or(Ok(Client::Anybody), |end| check_client(end, namespace))?,
        to: raw.to.map_or(Ok(every_server), |end| check_server(end, namespace))?,
        reason: reason.into(),
        until,
    })
}

fn check_client(end: crd::Client, own: &Arc<str>) -> Result<Client, Fault> {
    let crd::Client { service_account, namespace, cidr, node, external, anybody } = end;
    let unless_any = |text: Arc<str>| (*text != *"*").then_some(text);
    let [node, external, anybody] = [node, external, anybody].map(|said| said == Some(true));
    if namespace.is_some() && service_account.is_none() {
        return fault("from", CLIENT);
    }
    match (service_account, cidr, node, external, anybody) {
        (Some(name), None, false, false, false) => {
            filled("from.serviceAccount", Some(&name))?;
            filled("from.namespace", namespace.as_ref())?;
            Ok(Client::ServiceAccount {
                namespace: unless_any(namespace.unwrap_or_else(|| own.clone())),
                name: unless_any(name),
            })
        }
        (None, Some(cidr), false, false, false) => range("from", &cidr).map(Client::Range),
        (None, None, true, false, false) => Ok(Client::Node),
        (None, None, false, true, false) => Ok(Client::External),
        (None, None, false, false, true) => Ok(Client::Anybody),
        _ => fault("from", CLIENT),
    }
}

fn check_server(end: crd::Server, own: &Arc<str>) -> Result<Server, Fault> {
    let crd::Server { service_account, namespace, cidr, external } = end;
    if namespace.is_some() && service_account.is_none() {
        return fault("to", SERVER);
    }
    match (service_account, cidr, external == Some(true)) {
        (Some(name), None, false) => {
            filled("to.serviceAccount", Some(&name))?;
            filled("to.namespace", namespace.as_ref())?;
            if let Some(namespace) = namespace.filter(|namespace| namespace != own) {
                let way_out = format!("write the edge into a graph of namespace {namespace}");
                return fault(
                    "to.namespace",
                    format!("a graph governs its own namespace {own} alone; {way_out}"),
                );
            }
            Ok(Server::ServiceAccount((*name != *"*").then_some(name)))
        }
        (None, Some(cidr), false) => range("to", &cidr).map(Server::Range),
        (None, None, true) => Ok(Server::External),
        _ => fault("to", SERVER),
    }
}

const CLIENT: &str =
    "must be one of {serviceAccount, namespace}, {cidr}, {node: true}, {external: true}, {anybody: true}";
const SERVER: &str = "must be one of {serviceAccount}, {cidr}, {external: true}";

fn filled(key: &str, text: Option<&Arc<str>>) -> Result<(), Fault> {
    match text {
        Some(text) if text.is_empty() => fault(key, "is empty; write a name or \"*\""),
        _ => Ok(()),
    }
}

fn range(key: &str, cidr: &str) -> Result<IpNet, Fault> {
    match cidr.parse::<IpNet>() {
        Ok(range) => Ok(range.trunc()),
        Err(_) => fault(
            &format!("{key}.cidr"),
            format!("{cidr:?} is no address range; write it as 198.51.100.0/24"),
        ),
    }
}

#[cfg(test)]
#[path = "service_graph_tests.rs"]
mod tests;
