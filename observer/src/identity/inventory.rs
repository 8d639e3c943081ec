use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::index::Index;
use super::malformed::Malformed;
use super::objects::{FieldError, Object};
use crate::manifest::{self, ManifestError};
use crate::model::Timestamp;

/// The cluster's objects from files, for where there is no API server to ask.
#[derive(Debug, Default)]
pub struct Inventory {
    objects: Vec<(PathBuf, Object)>,
    /// Objects of kinds that say nothing about identity.
    pub ignored: BTreeMap<String, usize>,
}

/// One line; names file, object and key, and the way out. Holds nothing of a Secret that may lie in the same file.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    #[error("inventory {0}")]
    Document(#[from] ManifestError),
    #[error("inventory {file}: {object}: {key}: {message}; write it as `kubectl get -o yaml` does", file = .file.display())]
    Field { file: PathBuf, object: String, key: String, message: String },
    #[error("inventory {file}: {malformed}", file = .file.display())]
    Malformed { file: PathBuf, malformed: Malformed },
    #[error(
        "inventory {path}: no Pod, Service or Node in it; write it with \
         `kubectl get pods,services,endpointslices,nodes,namespaces,serviceaccounts -A -o yaml`",
        path = .path.display()
    )]
    Nobody { path: PathBuf },
}

impl Inventory {
    /// Reads a file, or the *.yaml, *.yml and *.json of a directory, as `kubectl get -o yaml|json` prints them.
    ///
    /// # Errors
    /// Something is there that cannot be read as Kubernetes objects, or nothing that tells who anybody is.
    pub fn read(path: &Path) -> Result<Self, InventoryError> {
        let mut inventory = Self::default();
        for document in manifest::read(path)? {
            let object = named(&document.kind, &document.value);
            match Object::from_value(&document.api_version, &document.kind, document.value) {
                Ok(Some(object)) => inventory.objects.push((document.file, object)),
                Ok(None) => *inventory.ignored.entry(document.kind).or_default() += 1,
                Err(error) => return Err(field_error(document.file, object, &error)),
            }
        }
        let somebody =
            |object: &Object| matches!(object, Object::Pod(_) | Object::Service(_) | Object::Node(_));
        match inventory.objects.iter().any(|(_, object)| somebody(object)) {
            true => Ok(inventory),
            false => Err(InventoryError::Nobody { path: path.to_owned() }),
        }
    }

    /// Takes every object into `index`.
    ///
    /// # Errors
    /// At the first object that cannot be used: a file can be mended, so it is not passed over.
    pub fn apply_to(&self, index: &mut Index, now: Timestamp) -> Result<(), InventoryError> {
        for (file, object) in &self.objects {
            index
                .apply(object, now)
                .map_err(|malformed| InventoryError::Malformed { file: file.clone(), malformed })?;
        }
        Ok(())
    }

    /// What was read and is of use.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().map(|(_, object)| object)
    }

    /// Objects that were read and are of use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

fn named(kind: &str, value: &serde_json::Value) -> String {
    let text = |key: &str| {
        value.get("metadata").and_then(|metadata| metadata.get(key)).and_then(|text| text.as_str())
    };
    match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        (_, None) => format!("{kind} without a name"),
    }
}

fn field_error(file: PathBuf, object: String, error: &FieldError) -> InventoryError {
    InventoryError::Field { file, object, key: error.path().to_string(), message: error.inner().to_string() }
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
