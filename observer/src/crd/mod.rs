//! Stage `crd`: the observer's own kind of object, as the API server and `kubectl explain` know it. The texts here are the
//! CRD's; `cargo xtask docs` writes it, and a test finds drift.

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
/// # Errors
/// Never: its parts are plain values.
pub fn definition() -> Result<String, serde_json::Error> {
    let definition = serde_json::to_value(ServiceGraph::crd())?;
    Ok(yaml::write(&definition))
}

mod yaml;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_in_the_chart_is_made_of_these_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/crds/servicegraphs.yaml");
        let made = definition().unwrap();
        if std::env::var_os("OBSERVER_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &made).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == made,
            "deploy/helm/crds/servicegraphs.yaml is not up to date: `cargo xtask docs` writes it"
        );
    }
}
