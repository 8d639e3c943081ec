//! Declared edges, and whether a flow is one of them.
//!
//! What a ServiceGraph's author can rely on:
//! - `from` is `{serviceAccount: NAME}` with `namespace` defaulting to the graph's, either of which may be `"*"`; the
//!   words `"*"` (anybody whose identity is known), `node` and `external`, also as `{node: true}` and
//!   `{external: true}`; or `{cidr: RANGE}`, which speaks of nodes and of clients outside the cluster, not of pods.
//! - `to` is `{serviceAccount: NAME}` of the graph's own namespace, `"*"` standing for each of them; or, to govern what
//!   leaves the cluster, `external` or `{cidr: RANGE}`: `from` must then name ServiceAccounts of the graph's namespace.
//! - A server outside of the cluster is governed where an edge's `to` covers it, for clients of the graph's namespace.
//! - `pathPrefix` ends at a segment's boundary: `/charge` covers `/charge` and `/charge/1`, not `/charger`. A trailing
//!   `/` changes nothing.
//! - Where several edges allow a flow, the weakest of what they ask for is asked for.
//!
//! Of imported policies ([`GraphKind`]), each kind is one set, for each direction: ingress governs the server, egress the
//! client, and a flow needs both. NetworkPolicy and CiliumNetworkPolicy are one set where there are any of the latter.

mod compile;
mod condition;
mod declarations;
mod error;
mod evaluate;
mod expression;
mod import;
mod kinds;
mod listing;
mod mesh;
mod pattern;
mod policies;
mod policy;
mod selector;
mod service_graph;

#[cfg(test)]
mod disagreement_tests;

pub use compile::{Graph, Warning};
pub use declarations::{Declarations, MAX_OBJECTS, ObjectName};
pub use error::GraphError;
pub use evaluate::{
    AuthenticationRequirement, EncryptionRequirement, Evaluation, HttpFacts, NamespaceLabels, Query,
};
pub use kinds::GraphKind;
pub use policy::SourceKind;
pub use service_graph::ServiceGraph;
