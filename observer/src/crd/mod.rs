//! Stage `crd`: the observer's own kind of object, as the API server and `kubectl explain` know it. The texts here are the
//! CRD's; `cargo xtask docs` writes it into the chart.

mod declared;
mod service_graph;

pub use declared::DeclaredEdge;
pub use service_graph::{
    Authentication, Client, Edge, Encryption, Exception, Governs, HttpRule, Server, ServiceGraph,
    ServiceGraphSpec, ServiceGraphStatus,
};

use kube::CustomResourceExt as _;

pub const GROUP: &str = "observer.dev";
pub const VERSION: &str = "v1alpha1";

/// The CustomResourceDefinition, as YAML.
///
/// # Panics
/// Never: its parts are plain values.
#[must_use]
pub fn definition() -> String {
    let definition = serde_json::to_value(ServiceGraph::crd()).expect("plain values are JSON");
    yaml::write(&definition)
}

mod yaml;
