//! What the cluster's objects declare, kept in order as news of them come; sans-IO.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Change, Declaring, DeclaringObject};
use crate::graph::{Declarations, Graph, GraphError, GraphKind, ObjectName, Warning};

/// News are in force after so long a silence, and at most so long after the first of them: a list brings thousands.
const QUIET: Duration = Duration::from_millis(150);
const AT_MOST: Duration = Duration::from_millis(600);
/// While a list comes, half of it must not be taken for the whole: what is not listed yet may allow a flow.
const WITH_LIST: Duration = Duration::from_secs(5);
/// Without all first lists, what is known is in force after so long.
const LISTS_WITHIN: Duration = Duration::from_secs(30);
/// What was complained of and is not said again; then all may be said again.
const MAX_TOLD: usize = 1024;

/// What messages have in the place of a file.
const ORIGIN: &str = "the API server";

/// See the module.
pub struct Ledger {
    declarations: Declarations,
    /// Objects of files, which win.
    of_files: HashSet<ObjectName>,
    /// Objects whose latest version is not in force, and why. What they said before goes on.
    broken: HashMap<ObjectName, Refused>,
    /// Kinds whose first list is not complete.
    unsettled: HashSet<GraphKind>,
    /// What the list that comes has had so far.
    listing: HashMap<GraphKind, HashSet<ObjectName>>,
    graphs: BTreeMap<ObjectName, Standing>,
    since: Instant,
    /// When the first and the latest news came that are not in force.
    news: Option<(Instant, Instant)>,
    told: HashSet<String>,
}

/// A ServiceGraph as it was last heard of, and what of it is in force.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub uid: Option<String>,
    pub generation: Option<i64>,
    pub status: Value,
    /// In force, maybe of an earlier version.
    pub edges: usize,
    /// Of each exception in force, until when it is.
    pub until: Vec<Option<String>>,
}

/// Why the latest version of an object is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A word, as conditions have it.
    pub reason: &'static str,
    pub message: String,
}

/// What became of an object that was heard of.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Fine,
    /// Nothing but its status is new, which may be our own doing.
    Status,
    /// It cannot be used. The text is there if it was not said before.
    Broken(Option<String>),
}

impl Ledger {
    /// `files`: what is declared by files; `kinds`: of what the API server will tell.
    #[must_use]
    pub fn new(files: Declarations, kinds: impl IntoIterator<Item = GraphKind>, now: Instant) -> Self {
        Self {
            of_files: files.names().cloned().collect(),
            declarations: files,
            broken: HashMap::new(),
            unsettled: kinds.into_iter().collect(),
            listing: HashMap::new(),
            graphs: BTreeMap::new(),
            since: now,
            news: None,
            told: HashSet::new(),
        }
    }

    pub fn take(
        &mut self,
        Declaring(kind): Declaring,
        change: Change<DeclaringObject>,
        now: Instant,
    ) -> Taken {
        match change {
            Change::Begin => {
                self.listing.insert(kind, HashSet::new());
                Taken::Fine
            }
            Change::Apply(object) => self.apply(kind, object, now),
            Change::Delete(object) => {
                if let Ok(name) = ObjectName::of(kind, &object.value) {
                    self.forget(&name, now);
                }
                Taken::Fine
            }
            Change::End => {
                let listed = self.listing.remove(&kind).unwrap_or_default();
                let known = self.declarations.names().chain(self.broken.keys()).chain(self.graphs.keys());
                let gone: Vec<_> =
                    known.filter(|name| name.kind == kind && !listed.contains(name)).cloned().collect();
                gone.iter().for_each(|name| self.forget(name, now));
                Taken::Fine
            }
            Change::Malformed { object, metadata, problem } => {
                if let (Some(listed), Some(namespace), Some(name)) =
                    (self.listing.get_mut(&kind), &metadata.namespace, &metadata.name)
                {
                    let (namespace, name) = (namespace.as_str().into(), name.as_str().into());
                    listed.insert(ObjectName { kind, namespace, name });
                }
                Taken::Broken(self.tell(format!("{object}: {problem}")))
            }
            Change::Settled => {
                self.unsettled.remove(&kind);
                self.note(now);
                Taken::Fine
            }
        }
    }

    fn apply(&mut self, kind: GraphKind, object: DeclaringObject, now: Instant) -> Taken {
        let DeclaringObject { api_version, value } = object;
        let name = match ObjectName::of(kind, &value) {
            Ok(name) => name,
            Err(why) => return Taken::Broken(self.tell(format!("{}: {why}", kind.kind()))),
        };
        if let Some(listed) = self.listing.get_mut(&kind) {
            listed.insert(name.clone());
        }
        if kind == GraphKind::ServiceGraph {
            let standing = self.graphs.entry(name.clone()).or_default();
            if standing.hear(&value) {
                return Taken::Status;
            }
        }
        if self.of_files.contains(&name) {
            let text = format!("a file of --graph has {} too, and wins: remove one of them", called(&name));
            self.broken.insert(name, Refused { reason: "Overridden", message: text.clone() });
            if let Some(text) = self.tell(text) {
                tracing::warn!("{text}");
            }
            return Taken::Fine;
        }
        let edges = value["spec"]["edges"].as_array().map_or(0, Vec::len);
        let until = until(&value);
        match self.declarations.apply(kind, PathBuf::from(ORIGIN), &api_version, value) {
            Ok(()) => {
                self.broken.remove(&name);
                if let Some(standing) = self.graphs.get_mut(&name) {
                    (standing.edges, standing.until) = (edges, until);
                }
                self.note(now);
                Taken::Fine
            }
            Err(error) => {
                let message = error.to_string();
                let message =
                    message.strip_prefix(&format!("graph {ORIGIN}: ")).unwrap_or(&message).to_owned();
                let kept = self.declarations.contains(&name);
                self.broken.insert(name, Refused { reason: "Invalid", message: message.clone() });
                // Its status has to say so.
                self.note(now);
                let kept = if kept { "; what it said before stays in force" } else { "" };
                Taken::Broken(self.tell(format!("{message}{kept}")))
            }
        }
    }

    fn forget(&mut self, name: &ObjectName, now: Instant) {
        self.broken.remove(name);
        self.graphs.remove(name);
        if !self.of_files.contains(name) && self.declarations.contains(name) {
            self.declarations.delete(name);
            self.note(now);
        }
    }

    fn note(&mut self, now: Instant) {
        self.news = Some((self.news.map_or(now, |(first, _)| first), now));
    }

    /// The text, if it was not said before.
    fn tell(&mut self, text: String) -> Option<String> {
        if self.told.len() >= MAX_TOLD {
            self.told.clear();
        }
        self.told.insert(text.clone()).then_some(text)
    }

    /// All first lists are complete, or are not waited for any more.
    #[must_use]
    pub fn is_settled(&self, now: Instant) -> bool {
        self.unsettled.is_empty() || now.duration_since(self.since) >= LISTS_WITHIN
    }

    /// When what is new has to be put in force; `None`: nothing is.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let (first, latest) = self.news?;
        let due =
            if self.listing.is_empty() { (latest + QUIET).min(first + AT_MOST) } else { first + WITH_LIST };
        let settled = if self.unsettled.is_empty() { now } else { self.since + LISTS_WITHIN };
        Some(due.max(settled))
    }

    /// All that is declared, in force from now on. Warnings that were given before are left out.
    ///
    /// # Errors
    /// There is too much of it: what was in force stays.
    pub fn compile(&mut self) -> Result<(Arc<Graph>, Vec<Warning>), GraphError> {
        self.news = None;
        let (graph, mut warnings) = self.declarations.compile()?;
        warnings.retain(|warning| self.tell(warning.to_string()).is_some());
        Ok((Arc::new(graph), warnings))
    }

    /// The ServiceGraphs of the cluster, and why the latest version of each is not in force, if it is not.
    pub fn graphs(&self) -> impl Iterator<Item = (&ObjectName, &Standing, Option<&Refused>)> {
        self.graphs.iter().map(|(name, standing)| (name, standing, self.broken.get(name)))
    }
}

impl Standing {
    /// Takes note of what was heard; answers whether nothing but the status is new.
    fn hear(&mut self, value: &Value) -> bool {
        let uid = value["metadata"]["uid"].as_str().map(str::to_owned);
        let generation = value["metadata"]["generation"].as_i64();
        let same = generation.is_some() && self.generation == generation && self.uid == uid;
        (self.uid, self.generation) = (uid, generation);
        self.status = value["status"].clone();
        same
    }
}

fn until(value: &Value) -> Vec<Option<String>> {
    let exceptions = value["spec"]["exceptions"].as_array().map(Vec::as_slice).unwrap_or_default();
    exceptions.iter().map(|exception| exception["until"].as_str().map(str::to_owned)).collect()
}

/// `ServiceGraph shop/shop`.
fn called(name: &ObjectName) -> String {
    format!("{} {}/{}", name.kind.kind(), name.namespace, name.name)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
