use std::path::PathBuf;

use crate::manifest::ManifestError;

/// Why declared graphs cannot be used. One line; names file, object and key, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("graph {0}")]
    Manifest(#[from] ManifestError),
    #[error("graph {path}: nothing in it declares edges; add a ServiceGraph or a policy, or leave --graph out", path = .path.display())]
    NoGraph { path: PathBuf },
    #[error("graph {file}: {object}: apiVersion is {found}, which is not known; write observer.dev/v1alpha1", file = .file.display())]
    Version { file: PathBuf, object: String, found: String },
    #[error("graph {file}: {object}: {key}: {message}", file = .file.display())]
    Field { file: PathBuf, object: String, key: String, message: String },
    #[error(
        "graph {file}: {object} names nobody: spec.edges is empty; add an edge, or set `governs: namespace` if nobody \
         may call anybody",
        file = .file.display()
    )]
    NoEdges { file: PathBuf, object: String },
    #[error(
        "graph {file}: {object} names nobody: the cluster has none of its ServiceAccounts ({names}); mend the names and \
         namespaces, or give the inventory of the cluster that it is for",
        file = .file.display()
    )]
    NamesNobody { file: PathBuf, object: String, names: String },
    #[error("graph {file}: {object} is also in {other}; keep one, or give one another name", file = .file.display(), other = .other.display())]
    Twice { file: PathBuf, object: String, other: PathBuf },
    #[error("graph {file}: {object}: more than {bound} edges in all graphs; let \"*\" stand for some", file = .file.display())]
    TooManyEdges { file: PathBuf, object: String, bound: usize },
    #[error("graph: more than {bound} objects declare edges; leave some kinds out")]
    TooManyObjects { bound: usize },
}
