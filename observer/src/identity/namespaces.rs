use std::collections::HashMap;
use std::sync::Arc;

use super::index::MAX_NAMES;
use super::intern::Interner;
use super::lists::{Mark, keep_listed};
use super::malformed::{Malformed, Problem};
use super::objects::Metadata;
use crate::model::Label;

/// Labels of a namespace that are kept, the first by key: policies select by few, and people can write thousands.
const MAX_LABELS: usize = 64;

/// The namespaces that exist, with the labels by which policies select them.
#[derive(Debug, Default)]
pub(super) struct Namespaces(HashMap<Arc<str>, Entry>);

#[derive(Debug)]
struct Entry {
    /// By key.
    labels: Box<[Label]>,
    listed: Mark,
}

impl Namespaces {
    pub fn apply(
        &mut self,
        name: Arc<str>,
        metadata: &Metadata,
        names: &mut Interner,
        listed: Mark,
    ) -> Result<(), Malformed> {
        if self.0.len() >= MAX_NAMES && !self.0.contains_key(&name) {
            return Err(Malformed::new("Namespace", Problem::Full { bound: MAX_NAMES, kind: "Namespaces" }));
        }
        let labels = metadata.labels.iter().take(MAX_LABELS);
        // The name's own label repeats the name, which is shared too.
        let labels = labels.map(|(key, value)| (names.intern(key), names.intern(value))).collect();
        self.0.insert(name, Entry { labels, listed });
        Ok(())
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub fn mark(&mut self, name: &str, listed: Mark) {
        if let Some(entry) = self.0.get_mut(name) {
            entry.listed = listed;
        }
    }

    /// Forgets what a list lacked; answers how many.
    pub fn keep_listed(&mut self, listed: Mark) -> usize {
        keep_listed(&mut self.0, |entry| entry.listed == listed)
    }

    pub fn labels(&self, name: &str) -> Option<&[Label]> {
        self.0.get(name).map(|entry| &*entry.labels)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
