use std::sync::Arc;

use super::index::MAX_NAMES;
use super::intern::Interner;
use super::lists::{Mark, keep_listed};
use super::malformed::{Malformed, Problem};
use super::objects::Metadata;
use crate::model::{HashMap, Label};

/// Labels of all namespaces together: ten for each of 10,000, as many as Kubernetes is made for. Each is some 100 bytes at
/// most where its text is nobody else's.
const MAX_LABELS: usize = 100_000;

/// The namespaces that exist, with the labels by which policies select them.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    entries: HashMap<Arc<str>, Entry>,
    /// Labels that are kept.
    labels: usize,
}

#[derive(Debug)]
struct Entry {
    /// By key. `None`: there was no room for them, and half of them would be wrong.
    labels: Option<Box<[Label]>>,
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
        let full =
            |bound, kind| Err(Malformed::new(&format!("Namespace {name}"), Problem::Full { bound, kind }));
        if self.entries.len() >= MAX_NAMES && !self.entries.contains_key(&name) {
            return full(MAX_NAMES, "Namespaces");
        }
        self.remove(&name);
        let fits = self.labels + metadata.labels.len() <= MAX_LABELS;
        let labels: Option<Box<[Label]>> = fits.then(|| {
            metadata.labels.iter().map(|(key, value)| (names.intern(key), names.intern(value))).collect()
        });
        self.labels += labels.as_deref().map_or(0, <[Label]>::len);
        self.entries.insert(name.clone(), Entry { labels, listed });
        if fits { Ok(()) } else { full(MAX_LABELS, "labels of Namespaces") }
    }

    pub fn remove(&mut self, name: &str) {
        let gone = self.entries.remove(name).and_then(|entry| entry.labels);
        self.labels -= gone.map_or(0, |labels| labels.len());
    }

    pub fn mark(&mut self, name: &str, listed: Mark) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.listed = listed;
        }
    }

    /// Forgets what a list lacked; answers how many.
    pub fn keep_listed(&mut self, listed: Mark) -> usize {
        let gone = keep_listed(&mut self.entries, |entry| entry.listed == listed);
        self.labels = self.entries.values().filter_map(|entry| entry.labels.as_deref()).map(<[_]>::len).sum();
        gone
    }

    pub fn labels(&self, name: &str) -> Option<&[Label]> {
        self.entries.get(name)?.labels.as_deref()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::ObjectKind;
    use crate::identity::builders::{at, mk_index, object};

    fn namespace(name: &str, labels: Value) -> crate::identity::Object {
        object("v1", "Namespace", json!({"metadata": {"name": name, "labels": labels}}))
    }

    fn labels(index: &crate::identity::Index, name: &str) -> Option<Vec<(String, String)>> {
        let labels = index.namespace_labels(name)?.iter();
        Some(labels.map(|(key, value)| (key.to_string(), value.to_string())).collect())
    }

    #[test]
    fn a_namespace_has_the_labels_of_its_latest_version_and_none_once_it_is_gone() {
        let mut index = mk_index();
        assert_eq!(labels(&index, "shop"), None);
        index.apply(&namespace("shop", json!({"team": "a", "env": "prod"})), at(0)).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(labels(&index, "shop"), Some(vec![pair("env", "prod"), pair("team", "a")]));
        index.apply(&namespace("shop", json!({"team": "b"})), at(1)).unwrap();
        assert_eq!(labels(&index, "shop"), Some(vec![pair("team", "b")]));
        index.apply(&namespace("bare", Value::Null), at(1)).unwrap();
        assert_eq!(labels(&index, "bare"), Some(Vec::new()));
        index.delete(&namespace("shop", Value::Null), at(2));
        assert_eq!(labels(&index, "shop"), None);
        index.begin_list(ObjectKind::Namespace);
        assert_eq!(index.end_list(ObjectKind::Namespace, at(3)), 1);
        assert_eq!(labels(&index, "bare"), None);
    }

    #[test]
    fn labels_beyond_the_bound_are_unknown_and_not_half_known() {
        let mut index = mk_index();
        let many: serde_json::Map<_, _> =
            (0..MAX_LABELS - 1).map(|n| (format!("k{n}"), json!("v"))).collect();
        index.apply(&namespace("large", many.into()), at(0)).unwrap();
        index.apply(&namespace("small", json!({"a": "1"})), at(0)).unwrap();
        let refused = index.apply(&namespace("late", json!({"a": "1"})), at(0)).unwrap_err();
        assert!(refused.to_string().contains("100000 labels of Namespaces"), "{refused}");
        assert_eq!(labels(&index, "late"), None);
        assert_eq!(index.counts().namespaces, 3);
        // There is room again.
        index.delete(&namespace("large", Value::Null), at(1));
        index.apply(&namespace("late", json!({"a": "1"})), at(1)).unwrap();
        assert_eq!(labels(&index, "late").unwrap().len(), 1);
    }
}
