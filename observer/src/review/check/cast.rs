//! Who there is in the inventory: pods of each workload, ServiceAccounts, labels of namespaces.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::{CheckRow, Level};
use crate::crd::DeclaredEdge;
use crate::graph::NamespaceLabels;
use crate::identity::{self, Index, Inventory, Object};
use crate::model::{Label, Pod, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct Cast {
    /// One for each workload and revision: the others are like it.
    pub pods: Vec<Arc<Pod>>,
    index: Index,
    namespaces: HashMap<String, Vec<Label>>,
}

impl Cast {
    /// # Errors
    /// Something in it cannot be used: one line.
    pub fn read(path: &Path, now: Timestamp) -> Result<Self, String> {
        let inventory = Inventory::read(path).map_err(|error| error.to_string())?;
        let mut index = Index::new(identity::Settings {
            cluster_cidrs: Vec::new(),
            node_name: Arc::from(""),
            ipsec: false,
        });
        inventory.apply_to(&mut index, now).map_err(|error| error.to_string())?;
        let mut namespaces = HashMap::new();
        for object in inventory.objects() {
            let Object::Namespace(namespace) = object else { continue };
            let Some(name) = &namespace.metadata.name else { continue };
            let mut labels: Vec<Label> = namespace
                .metadata
                .labels
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect();
            // The API server sets it, and a file written by hand may lack it.
            let own: Label = ("kubernetes.io/metadata.name".into(), name.as_str().into());
            if !labels.contains(&own) {
                labels.push(own);
            }
            namespaces.insert(name.clone(), labels);
        }
        let mut seen = HashSet::new();
        let mut pods: Vec<Arc<Pod>> = index.living_pods().cloned().collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pods.retain(|pod| {
            let own: Vec<(String, String)> = match &pod.own_labels {
                Some(own) => own.0.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
                None => Vec::new(),
            };
            seen.insert((pod.template.clone(), own))
        });
        Ok(Self { pods, index, namespaces })
    }

    /// ServiceAccounts that edges name and the inventory lacks.
    pub fn miss(&self, edges: &[DeclaredEdge], rows: &mut Vec<CheckRow>) {
        for declared in edges {
            let (from, to) = (&declared.edge.from, &declared.edge.to);
            let ends = [
                ("from", from.namespace.as_deref(), from.service_account.as_deref()),
                ("to", to.namespace.as_deref(), to.service_account.as_deref()),
            ];
            for (key, namespace, name) in ends {
                let (Some(namespace), Some(name)) = (namespace, name) else { continue };
                if namespace == "*" || name == "*" || self.index.knows_service_account(namespace, name) {
                    continue;
                }
                let message = format!(
                    "the inventory has no ServiceAccount {namespace}/{name}; mend the name, or create it"
                );
                rows.push(CheckRow {
                    object: Some(declared.source.to_string()),
                    key: Some(format!("{}.{key}", declared.clause)),
                    ..CheckRow::new(Level::Error, message)
                });
            }
        }
    }
}

impl NamespaceLabels for Cast {
    fn labels(&self, namespace: &str) -> Option<&[Label]> {
        self.namespaces.get(namespace).map(Vec::as_slice)
    }
}
