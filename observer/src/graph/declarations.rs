//! All objects that declare edges, as files or the API server tell them: one that is broken keeps what it last said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::compile::{Graph, Warning};
use super::error::GraphError;
use super::import::{self, Imported, Named};
use super::kinds::GraphKind;
use super::service_graph::ServiceGraph;
use crate::manifest;

/// Objects that are kept; what comes beyond is refused by name.
pub const MAX_OBJECTS: usize = 50_000;

/// An object's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub kind: GraphKind,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Declarations {
    objects: BTreeMap<ObjectName, Entry>,
}

#[derive(Debug)]
struct Entry {
    file: PathBuf,
    object: Object,
}

#[derive(Debug)]
enum Object {
    ServiceGraph(ServiceGraph),
    Imported(Imported),
}

impl ObjectName {
    /// # Errors
    /// It has none.
    pub fn of(kind: GraphKind, value: &Value) -> Result<Self, String> {
        let text = |key: &str| value["metadata"][key].as_str().filter(|text| !text.is_empty());
        let name = text("name").ok_or("metadata.name is missing")?;
        let namespace = text("namespace").ok_or("metadata.namespace is missing")?;
        Ok(Self { kind, namespace: namespace.into(), name: name.into() })
    }
}

impl Declarations {
    /// Takes an object in, in place of what it said before. `file` is only for messages.
    ///
    /// # Errors
    /// It is not what its kind may say: what it said before goes on.
    pub fn apply(
        &mut self,
        kind: GraphKind,
        file: PathBuf,
        api_version: &str,
        value: Value,
    ) -> Result<(), GraphError> {
        let at = file.clone();
        let field = |object: String, key: String, message: String| GraphError::Field {
            file: at.clone(),
            object,
            key,
            message,
        };
        if kind == GraphKind::ServiceGraph {
            let graph = ServiceGraph::from_value(file, api_version, value)?;
            let name = ObjectName { kind, namespace: graph.namespace.clone(), name: graph.name.clone() };
            return self.insert(name, graph.file.clone(), Object::ServiceGraph(graph));
        }
        let name = ObjectName::of(kind, &value)
            .map_err(|why| field(kind.kind().to_owned(), "metadata".to_owned(), why))?;
        let named = Named { kind, namespace: name.namespace.clone(), name: name.name.clone() };
        let imported = import::read(&named, &value)
            .map_err(|(key, message)| field(named.source().to_string(), key, message))?;
        self.insert(name, file, Object::Imported(imported))
    }

    /// Takes in all objects of a file or directory that declare edges. Other kinds are passed over.
    ///
    /// # Errors
    /// Something cannot be read, is not what its kind may say, is there twice, or nothing declares edges.
    pub fn read(&mut self, path: &Path) -> Result<(), GraphError> {
        let mut seen = 0;
        for document in manifest::read(path)? {
            let Some(kind) = GraphKind::of(&document.api_version, &document.kind) else { continue };
            seen += 1;
            if let Ok(name) = ObjectName::of(kind, &document.value)
                && let Some(other) = self.objects.get(&name)
            {
                let object = format!("{} {}/{}", kind.kind(), name.namespace, name.name);
                return Err(GraphError::Twice { file: document.file, object, other: other.file.clone() });
            }
            self.apply(kind, document.file, &document.api_version, document.value)?;
        }
        if seen == 0 { Err(GraphError::NoGraph { path: path.to_owned() }) } else { Ok(()) }
    }

    fn insert(&mut self, name: ObjectName, file: PathBuf, object: Object) -> Result<(), GraphError> {
        if self.objects.len() >= MAX_OBJECTS && !self.objects.contains_key(&name) {
            return Err(GraphError::TooManyObjects { bound: MAX_OBJECTS });
        }
        self.objects.insert(name, Entry { file, object });
        Ok(())
    }

    pub fn delete(&mut self, name: &ObjectName) {
        self.objects.remove(name);
    }

    /// Forgets the objects of this kind that a complete list lacks.
    pub fn retain(&mut self, kind: GraphKind, listed: impl Fn(&ObjectName) -> bool) {
        self.objects.retain(|name, _| name.kind != kind || listed(name));
    }

    #[must_use]
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.objects.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.keys()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn service_graphs(&self) -> impl Iterator<Item = &ServiceGraph> {
        self.objects.values().filter_map(|entry| match &entry.object {
            Object::ServiceGraph(graph) => Some(graph),
            Object::Imported(_) => None,
        })
    }

    /// Everything in the form in which flows are asked about.
    ///
    /// # Errors
    /// There are too many edges.
    pub fn compile(&self) -> Result<(Graph, Vec<Warning>), GraphError> {
        let imported = self.objects.values().filter_map(|entry| match &entry.object {
            Object::Imported(imported) => Some(imported),
            Object::ServiceGraph(_) => None,
        });
        let (graph, warnings) = Graph::compile(self.service_graphs().cloned().collect())?;
        Ok((graph.with_policies(import::compile(imported)), warnings))
    }
}
