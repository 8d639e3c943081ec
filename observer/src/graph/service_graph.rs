use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::error::GraphError;
use super::evaluate::{AuthenticationRequirement, EncryptionRequirement};

const API_VERSION: &str = "observer.dev/v1alpha1";
const KIND: &str = "ServiceGraph";

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
        if api_version != API_VERSION {
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
        if raw.spec.edges.is_empty() && raw.spec.governs == Governs::Listed {
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
        let whole_namespace = raw.spec.governs == Governs::Namespace;
        Ok(Self { file, namespace, name: name.into(), whole_namespace, edges })
    }
}

#[derive(Deserialize)]
struct Raw {
    spec: RawSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSpec {
    #[serde(default)]
    governs: Governs,
    #[serde(default)]
    edges: Vec<RawEdge>,
}

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Governs {
    #[default]
    Listed,
    Namespace,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawEdge {
    from: RawEnd,
    to: RawEnd,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    http: Vec<RawHttp>,
    #[serde(default)]
    encryption: EncryptionRequirement,
    #[serde(default)]
    authentication: AuthenticationRequirement,
    #[serde(default)]
    audiences: Vec<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawHttp {
    #[serde(default)]
    methods: Vec<Arc<str>>,
    path_prefix: Option<String>,
}

enum RawEnd {
    Word(String),
    Fields(RawFields),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawFields {
    service_account: Option<Arc<str>>,
    namespace: Option<Arc<str>>,
    cidr: Option<String>,
    #[serde(default)]
    node: bool,
    #[serde(default)]
    external: bool,
}

impl<'de> Deserialize<'de> for RawEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct End;
        impl<'de> Visitor<'de> for End {
            type Value = RawEnd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{serviceAccount: NAME}, {cidr: RANGE}, \"*\", node or external")
            }

            fn visit_str<E>(self, word: &str) -> Result<RawEnd, E> {
                Ok(RawEnd::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawEnd, A::Error> {
                RawFields::deserialize(MapAccessDeserializer::new(map)).map(RawEnd::Fields)
            }
        }
        deserializer.deserialize_any(End)
    }
}

/// A key below the edge, and what is wrong with it.
type Fault = (String, String);

fn fault<T>(key: &str, message: impl Into<String>) -> Result<T, Fault> {
    Err((key.to_owned(), message.into()))
}

fn check_edge(raw: RawEdge, namespace: &Arc<str>) -> Result<Edge, Fault> {
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

fn check_client(end: RawEnd, own: &Arc<str>) -> Result<Client, Fault> {
    let unless_any = |text: Arc<str>| (*text != *"*").then_some(text);
    match check_end(end, "from")? {
        Checked::Anybody => Ok(Client::Anybody),
        Checked::Node => Ok(Client::Node),
        Checked::External => Ok(Client::External),
        Checked::Range(range) => Ok(Client::Range(range)),
        Checked::ServiceAccount { namespace, name } => Ok(Client::ServiceAccount {
            namespace: unless_any(namespace.unwrap_or_else(|| own.clone())),
            name: unless_any(name),
        }),
    }
}

fn check_server(end: RawEnd, own: &Arc<str>) -> Result<Server, Fault> {
    match check_end(end, "to")? {
        Checked::Anybody => Ok(Server::ServiceAccount(None)),
        Checked::External => Ok(Server::External),
        Checked::Range(range) => Ok(Server::Range(range)),
        Checked::Node => fault("to", "a node cannot be governed; write {cidr: RANGE} of its addresses"),
        Checked::ServiceAccount { namespace: Some(namespace), .. } if namespace != *own => {
            let way_out = format!("write the edge into a graph of namespace {namespace}");
            fault("to.namespace", format!("a graph governs its own namespace {own} alone; {way_out}"))
        }
        Checked::ServiceAccount { name, .. } => Ok(Server::ServiceAccount((*name != *"*").then_some(name))),
    }
}

enum Checked {
    Anybody,
    ServiceAccount { namespace: Option<Arc<str>>, name: Arc<str> },
    Node,
    External,
    Range(IpNet),
}

fn check_end(end: RawEnd, key: &str) -> Result<Checked, Fault> {
    let fields = match end {
        RawEnd::Word(word) => {
            return match word.as_str() {
                "*" => Ok(Checked::Anybody),
                "node" => Ok(Checked::Node),
                "external" => Ok(Checked::External),
                _ => fault(
                    key,
                    format!(
                        "{word:?} is not known; write {{serviceAccount: {word}}}, \"*\", node or external"
                    ),
                ),
            };
        }
        RawEnd::Fields(fields) => fields,
    };
    let namespace = fields.namespace;
    match (fields.service_account, fields.cidr, fields.node, fields.external) {
        (Some(name), None, false, false) => {
            for (part, text) in [("serviceAccount", Some(&name)), ("namespace", namespace.as_ref())] {
                if text.is_some_and(|text| text.is_empty()) {
                    return fault(&format!("{key}.{part}"), "is empty; write a name or \"*\"");
                }
            }
            Ok(Checked::ServiceAccount { namespace, name })
        }
        (None, Some(cidr), false, false) if namespace.is_none() => match cidr.parse::<IpNet>() {
            Ok(range) => Ok(Checked::Range(range.trunc())),
            Err(_) => fault(
                &format!("{key}.cidr"),
                format!("{cidr:?} is no address range; write it as 198.51.100.0/24"),
            ),
        },
        (None, None, true, false) if namespace.is_none() => Ok(Checked::Node),
        (None, None, false, true) if namespace.is_none() => Ok(Checked::External),
        _ => fault(key, "must be one of {serviceAccount, namespace}, {cidr}, {node: true}, {external: true}"),
    }
}

#[cfg(test)]
#[path = "service_graph_tests.rs"]
mod tests;
