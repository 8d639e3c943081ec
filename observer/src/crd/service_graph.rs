use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Which calls of the services of a namespace are meant to be. Graphs of one namespace add up.
#[expect(clippy::duplicated_attributes, reason = "each printed column has a type")]
#[derive(Clone, Debug, CustomResource, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "observer.dev",
    version = "v1alpha1",
    kind = "ServiceGraph",
    plural = "servicegraphs",
    shortname = "sg",
    category = "observer",
    namespaced,
    status = "ServiceGraphStatus",
    doc = "Which calls of the services of a namespace are meant to be.",
    printcolumn(name = "Governs", type_ = "string", json_path = ".spec.governs"),
    printcolumn(name = "Edges", type_ = "integer", json_path = ".status.edges"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "self.governs == 'namespace' || size(self.edges) > 0",
    "a graph without edges names nobody: add an edge, or set `governs: namespace` if nobody may call anybody"
))]
pub struct ServiceGraphSpec {
    /// Whom the graph speaks for. `listed`: the servers that an edge's `to` names. `namespace`: every ServiceAccount of the
    /// graph's namespace. A call of a governed server that no edge allows is `unexpected`.
    #[serde(default)]
    pub governs: Governs,
    /// The calls that are meant to be.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub edges: Vec<Edge>,
    /// Findings that nobody wants to hear of for a while. Each is counted as exempted, and named once its time is over.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub exceptions: Vec<Exception>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Governs {
    #[default]
    Listed,
    Namespace,
}

/// One call that is meant to be: any of these clients may call this server on any of these ports.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "has(self.to.serviceAccount) || has(self.from.serviceAccount)",
    "where `to` is outside of the cluster, `from` names ServiceAccounts of the graph's namespace"
))]
pub struct Edge {
    /// Who calls: exactly one of `serviceAccount`, `cidr`, `node`, `external` and `anybody`.
    pub from: Client,
    /// Who is called: exactly one of `serviceAccount`, `cidr` and `external`.
    pub to: Server,
    /// The ports on which the server's socket listens, which need not be the Service's. Empty: any.
    #[serde(default)]
    #[schemars(length(max = 64), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// The requests that are meant to be. Judged where requests can be seen; where they cannot, the flow is allowed with the
    /// reason `http-unseen`. Empty: any.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub http: Vec<HttpRule>,
    /// What is asked of the connection. `optional` silences the finding `unencrypted`.
    #[serde(default)]
    pub encryption: Encryption,
    /// What is asked of each request. `optional` silences the finding `unauthenticated`.
    #[serde(default)]
    pub authentication: Authentication,
    /// A verified token must carry one of these audiences. Empty: any will do.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub audiences: Vec<Arc<str>>,
}

/// Who calls: exactly one of `serviceAccount`, `cidr`, `node`, `external` and `anybody`.
#[derive(Clone, Debug, Default, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.serviceAccount), has(self.cidr), has(self.node) && self.node, has(self.external) && self.external, has(self.anybody) && self.anybody].filter(x, x).size() == 1",
    "must be one of {serviceAccount, namespace}, {cidr}, {node: true}, {external: true}, {anybody: true}"
))]
#[x_kube(validation = (
    "!has(self.namespace) || has(self.serviceAccount)",
    "`namespace` goes with `serviceAccount`; write {serviceAccount: \"*\", namespace: NAME} for all of a namespace"
))]
pub struct Client {
    /// The client's ServiceAccount; `*` is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: Option<Arc<str>>,
    /// The namespace of that ServiceAccount; the graph's own if absent, `*` is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<Arc<str>>,
    /// Nodes and clients outside of the cluster with such an address; not pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 43), extend("format" = "cidr"))]
    pub cidr: Option<String>,
    /// A node itself: its own processes, and whom it hides behind its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<bool>,
    /// Anybody outside of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// Anybody whose identity is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anybody: Option<bool>,
}

/// Who is called: exactly one of `serviceAccount`, `cidr` and `external`.
#[derive(Clone, Debug, Default, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.serviceAccount), has(self.cidr), has(self.external) && self.external].filter(x, x).size() == 1",
    "must be one of {serviceAccount}, {cidr}, {external: true}"
))]
pub struct Server {
    /// A ServiceAccount of the graph's own namespace; `*` is each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: Option<Arc<str>>,
    /// May repeat the graph's own namespace: a graph governs no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<Arc<str>>,
    /// Servers outside of the cluster with such an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 43), extend("format" = "cidr"))]
    pub cidr: Option<String>,
    /// Anything outside of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
}

/// Requests: any of these methods below this path.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRule {
    /// Empty: any.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32)))]
    pub methods: Vec<Arc<str>>,
    /// Ends at a segment's boundary: `/charge` covers `/charge` and `/charge/1`, not `/charger`. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^/"))]
    pub path_prefix: Option<String>,
}

/// What an edge asks of the bytes. Weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    Optional,
    #[default]
    Required,
    Mtls,
}

/// What an edge asks of each request. Weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    Optional,
    #[default]
    Required,
    Verified,
}

/// Findings of one kind that are left out, of calls between these ends.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// The kind of finding, such as `unencrypted`.
    #[schemars(length(min = 1, max = 64))]
    pub finding: String,
    /// Who calls. Absent: anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Client>,
    /// Who is called. Absent: every server of the graph's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Server>,
    /// Why: a word or two, which metrics show as a label.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// Not after this moment (RFC 3339). Absent: until it is taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub until: Option<String>,
}

/// What became of a graph. Written by one of the cluster's observers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceGraphStatus {
    /// The generation of the graph that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: whether the graph is in force. If not, what it said before is.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// How many edges are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<i64>,
    /// How many exceptions are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exceptions: Option<i64>,
    /// How many exceptions are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_exceptions: Option<i64>,
}

/// The keys that an end can have, for both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Keys {
    service_account: Option<Arc<str>>,
    namespace: Option<Arc<str>>,
    cidr: Option<String>,
    node: Option<bool>,
    external: Option<bool>,
    anybody: Option<bool>,
}

/// In files, words may stand for the objects that the API server takes: `"*"`, `node` and `external`.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
    struct End;
    impl<'de> Visitor<'de> for End {
        type Value = Keys;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("{serviceAccount: NAME}, {cidr: RANGE}, \"*\", node or external")
        }

        fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Keys, E> {
            let none = Keys {
                service_account: None,
                namespace: None,
                cidr: None,
                node: None,
                external: None,
                anybody: None,
            };
            match word {
                "*" => Ok(Keys { anybody: Some(true), ..none }),
                "node" => Ok(Keys { node: Some(true), ..none }),
                "external" => Ok(Keys { external: Some(true), ..none }),
                _ => Err(E::custom(format!(
                    "{word:?} is not known; write {{serviceAccount: {word}}}, \"*\", node or external"
                ))),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
            Keys::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(End)
}

impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { service_account, namespace, cidr, node, external, anybody } = keys(deserializer)?;
        Ok(Self { service_account, namespace, cidr, node, external, anybody })
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { service_account, namespace, cidr, node, external, anybody } = keys(deserializer)?;
        if node == Some(true) {
            let way_out = "a node cannot be governed; write {cidr: RANGE} of its addresses";
            return Err(serde::de::Error::custom(way_out));
        }
        // Whoever of the graph's namespace: what `"*"` says of a server.
        let service_account = service_account.or_else(|| (anybody == Some(true)).then(|| "*".into()));
        Ok(Self { service_account, namespace, cidr, external })
    }
}
