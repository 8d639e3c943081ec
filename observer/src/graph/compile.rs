use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::GraphError;
use super::policies::Policies;
use super::policy::Policy;
use super::service_graph::{Client, Edge, Exception, Server, ServiceGraph};
use crate::model::{HashMap, Timestamp};

/// Edges of all graphs together; each is some hundred bytes.
pub const MAX_EDGES: usize = 100_000;
/// An error is one line: the first names are enough to see what is wrong.
const MAX_NAMES_TOLD: usize = 5;

/// All graphs in the form in which flows are asked about: by server.
#[derive(Debug, Default)]
pub struct Graph {
    /// By namespace and name.
    pub(super) sources: Vec<Source>,
    /// Of servers in the cluster.
    pub(super) namespaces: HashMap<Arc<str>, Namespace>,
    /// Edges to servers outside, by the namespace of their clients.
    pub(super) outside: HashMap<Arc<str>, Vec<Declared>>,
    /// What an edge without audiences asks for; shared, so that an evaluation allocates nothing.
    pub(super) no_audiences: Arc<[Arc<str>]>,
    pub(super) policies: Policies,
    /// By the namespace of the graph.
    pub(super) exceptions: HashMap<Arc<str>, Vec<Exception>>,
    edges: usize,
    http_rules: bool,
}

/// One graph.
#[derive(Debug)]
pub(super) struct Source {
    /// As records call it.
    pub(super) text: Arc<str>,
    file: PathBuf,
    /// The ServiceAccounts that its edges name, each with the key of the first edge that does.
    names: Vec<(Arc<str>, Arc<str>, String)>,
}

/// The servers of a namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    /// Governs each of them: the first such graph.
    pub(super) governor: Option<usize>,
    /// Edges to each of them.
    pub(super) to_all: Vec<Declared>,
    pub(super) servers: HashMap<Arc<str>, Governed>,
}

#[derive(Debug)]
pub(super) struct Governed {
    /// The first graph that names it.
    pub(super) governor: usize,
    pub(super) edges: Vec<Declared>,
}

/// An edge and the graph that it is from, by place in [`Graph::sources`].
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) source: usize,
    /// `spec.edges[0]`.
    pub(super) clause: Arc<str>,
    pub(super) edge: Edge,
}

/// Something that is probably not meant so. One line; names object and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub file: PathBuf,
    /// `ServiceGraph shop/shop`.
    pub object: Arc<str>,
    pub key: String,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph {}: {}: {}: {}", self.file.display(), self.object, self.key, self.message)
    }
}

impl Graph {
    /// # Errors
    /// There are more than [`MAX_EDGES`] edges.
    pub fn compile(mut graphs: Vec<ServiceGraph>) -> Result<(Self, Vec<Warning>), GraphError> {
        graphs.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let mut compiled = Self::default();
        let mut warnings = Vec::new();
        for graph in graphs {
            warnings.extend(repeated(&graph));
            compiled.add(graph)?;
        }
        Ok((compiled, warnings))
    }

    pub(super) fn with_policies(mut self, policies: Vec<Policy>) -> Self {
        self.http_rules |= policies.iter().any(Policy::asks_of_requests);
        self.policies = Policies::new(policies);
        self
    }

    /// Holds the graphs against the cluster: `known(namespace, name)` tells whether it has the ServiceAccount.
    /// Gives a warning for each that it has not.
    ///
    /// # Errors
    /// A graph names ServiceAccounts, and the cluster has none of them.
    pub fn names_nobody(&self, known: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Warning>, GraphError> {
        let mut warnings = Vec::new();
        for source in &self.sources {
            let unknown: Vec<_> =
                source.names.iter().filter(|(namespace, name, _)| !known(namespace, name)).collect();
            if !unknown.is_empty() && unknown.len() == source.names.len() {
                let names: Vec<String> = unknown
                    .iter()
                    .take(MAX_NAMES_TOLD)
                    .map(|(namespace, name, _)| format!("{namespace}/{name}"))
                    .collect();
                let (file, object) = (source.file.clone(), source.text.to_string());
                return Err(GraphError::NamesNobody { file, object, names: names.join(", ") });
            }
            warnings.extend(unknown.into_iter().map(|(namespace, name, key)| Warning {
                file: source.file.clone(),
                object: source.text.clone(),
                key: key.clone(),
                message: format!(
                    "the cluster has no ServiceAccount {namespace}/{name}; mend the name, or create it"
                ),
            }));
        }
        Ok(warnings)
    }

    #[must_use]
    pub fn declared_edges(&self) -> usize {
        self.edges
    }

    /// Exceptions that are in force, and those whose time is over.
    #[must_use]
    pub fn count_exceptions(&self, now: Timestamp) -> (usize, usize) {
        let all = || self.exceptions.values().flatten();
        let over = all().filter(|exception| exception.is_over(now)).count();
        (all().count() - over, over)
    }

    /// Some edge speaks of methods or paths: a request's own evaluation may differ from its flow's.
    #[must_use]
    pub fn has_http_rules(&self) -> bool {
        self.http_rules
    }

    /// No graph was given: nothing is governed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.policies.is_empty()
    }

    fn add(&mut self, graph: ServiceGraph) -> Result<(), GraphError> {
        self.edges += graph.edges.len();
        self.http_rules |= graph.edges.iter().any(|edge| !edge.http.is_empty());
        if self.edges > MAX_EDGES {
            let object = graph.source();
            return Err(GraphError::TooManyEdges { file: graph.file, object, bound: MAX_EDGES });
        }
        let source = self.sources.len();
        self.sources.push(Source { text: graph.source().into(), names: names(&graph), file: graph.file });
        let namespace = self.namespaces.entry(graph.namespace.clone()).or_default();
        if graph.whole_namespace {
            namespace.governor.get_or_insert(source);
        }
        if !graph.exceptions.is_empty() {
            self.exceptions.entry(graph.namespace.clone()).or_default().extend(graph.exceptions);
        }
        for (number, edge) in graph.edges.into_iter().enumerate() {
            let clause: Arc<str> = format!("spec.edges[{number}]").into();
            match &edge.to {
                Server::ServiceAccount(None) => {
                    namespace.governor.get_or_insert(source);
                    namespace.to_all.push(Declared { source, clause, edge });
                }
                Server::ServiceAccount(Some(name)) => {
                    let new = || Governed { governor: source, edges: Vec::new() };
                    let governed = namespace.servers.entry(name.clone()).or_insert_with(new);
                    governed.edges.push(Declared { source, clause, edge });
                }
                Server::External | Server::Range(_) => {
                    self.outside.entry(graph.namespace.clone()).or_default().push(Declared {
                        source,
                        clause,
                        edge,
                    });
                }
            }
        }
        Ok(())
    }
}

fn names(graph: &ServiceGraph) -> Vec<(Arc<str>, Arc<str>, String)> {
    let mut names: Vec<(Arc<str>, Arc<str>, String)> = Vec::new();
    let mut add = |namespace: &Arc<str>, name: &Arc<str>, key: String| {
        if !names.iter().any(|known| known.0 == *namespace && known.1 == *name) {
            names.push((namespace.clone(), name.clone(), key));
        }
    };
    for (number, edge) in graph.edges.iter().enumerate() {
        if let Client::ServiceAccount { namespace: Some(namespace), name: Some(name) } = &edge.from {
            add(namespace, name, format!("spec.edges[{number}].from"));
        }
        if let Server::ServiceAccount(Some(name)) = &edge.to {
            add(&graph.namespace, name, format!("spec.edges[{number}].to"));
        }
    }
    names
}

/// Edges with the same ends and ports, and no HTTP rules that could tell them apart: the weaker one is what counts.
fn repeated(graph: &ServiceGraph) -> Vec<Warning> {
    let mut seen = HashMap::default();
    let mut warnings = Vec::new();
    for (number, edge) in graph.edges.iter().enumerate().filter(|(_, edge)| edge.http.is_empty()) {
        let key = (format!("{:?}", edge.from), format!("{:?}", edge.to), edge.ports.clone());
        if let Some(first) = seen.insert(key, number) {
            warnings.push(Warning {
                file: graph.file.clone(),
                object: graph.source().into(),
                key: format!("spec.edges[{number}]"),
                message: format!(
                    "has the ends and ports of spec.edges[{first}]: the weaker of the two counts; keep one"
                ),
            });
        }
    }
    warnings
}
