use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Edge;

/// One edge of a graph that is in force, with nothing left to default: ends name their namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeclaredEdge {
    /// `ServiceGraph shop/shop`.
    pub source: Arc<str>,
    /// `spec.edges[0]`.
    pub clause: Arc<str>,
    /// The graph's own, which it governs.
    pub namespace: Arc<str>,
    pub edge: Edge,
}
