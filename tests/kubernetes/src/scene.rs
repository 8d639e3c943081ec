//! A simulated node whose pods and Services are objects of a real API server.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use observer_harness::{Pod, PodBuilder, Service, ServiceBuilder, SimNode};
use observer_integration::{Daemon, DaemonBuilder};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// Where the manifests are that users install.
const MANIFEST: &str = "deploy/observer.yaml";
/// The observer's own, in the manifest.
const NAMESPACE: &str = "observer";
const ACCOUNT: &str = "observer";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// See the module.
pub struct Scene {
    // The daemon's API server may go before its node.
    pub control_plane: ControlPlane,
    pub node: SimNode,
}

impl Scene {
    /// # Errors
    /// As of node and control plane.
    pub fn start() -> Result<Self> {
        Self::with(|control_plane| control_plane)
    }

    /// With a control plane of another kind.
    ///
    /// # Errors
    /// As of node and control plane.
    pub fn with(
        change: impl FnOnce(crate::ControlPlaneBuilder) -> crate::ControlPlaneBuilder,
    ) -> Result<Self> {
        let node = SimNode::builder().start()?;
        let control_plane = change(ControlPlane::builder().service_cidrs(&node.service_cidrs())).start()?;
        let scene = Self { control_plane, node };
        scene.install(&[])?;
        scene.mirror()?;
        Ok(scene)
    }

    /// Creates what of the manifest is about rights, without the rules that `refused` names by resource.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn install(&self, refused: &[&str]) -> Result<()> {
        let cluster = self.control_plane.cluster();
        for mut object in manifest()? {
            let name = object["metadata"]["name"].as_str().context("an object without a name")?.to_owned();
            let collection = match object["kind"].as_str() {
                Some("Namespace") => {
                    cluster.namespace(&name)?;
                    continue;
                }
                Some("ServiceAccount") => format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
                Some("CustomResourceDefinition") => CRDS.to_owned(),
                Some(kind @ ("Role" | "RoleBinding")) => format!(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/{}s",
                    kind.to_lowercase()
                ),
                Some("ClusterRole") => "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
                Some("ClusterRoleBinding") => {
                    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned()
                }
                _ => continue,
            };
            for rule in object["rules"].as_array_mut().into_iter().flatten() {
                if let Some(resources) = rule["resources"].as_array_mut() {
                    resources.retain(|resource| !refused.iter().any(|refused| resource == refused));
                }
            }
            if let Some(rules) = object["rules"].as_array_mut() {
                rules.retain(|rule| {
                    rule["resources"].as_array().is_none_or(|resources| !resources.is_empty())
                });
            }
            let path = format!("{collection}/{name}");
            if cluster.get(&path).is_ok() {
                // Its objects would go with it.
                if collection == CRDS {
                    continue;
                }
                cluster.delete(&path)?;
            }
            cluster.create(&collection, &object)?;
        }
        Ok(())
    }

    /// The rules that the manifest gives the observer, of the cluster and of its own namespace.
    ///
    /// # Errors
    /// There is no manifest, or no role in it.
    pub fn rules() -> Result<Vec<Value>> {
        let mut rules = Vec::new();
        for role in
            manifest()?.iter().filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role")
        {
            rules.extend(role["rules"].as_array().cloned().context("a role without rules")?);
        }
        ensure!(!rules.is_empty(), "no ClusterRole in {MANIFEST}");
        Ok(rules)
    }

    /// A kubeconfig with a token of the observer's own ServiceAccount.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let token = self.control_plane.cluster().token(NAMESPACE, ACCOUNT, None, &[])?;
        self.control_plane.kubeconfig_in(NAMESPACE, "observer", &token)
    }

    /// A daemon with the rights of the manifest.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn daemon(&self) -> Result<DaemonBuilder> {
        Ok(Daemon::builder().kubeconfig(&self.kubeconfig()?))
    }

    /// A pod that is both: first the object, whose uid is the API server's, then the pod, then its address.
    ///
    /// # Errors
    /// As of both.
    pub fn pod(&self, namespace: &str, account: &str, name: &str) -> Result<Pod> {
        self.pod_with(namespace, account, name, |pod| pod)
    }

    /// One that `change` describes further.
    ///
    /// # Errors
    /// As of both.
    pub fn pod_with(
        &self,
        namespace: &str,
        account: &str,
        name: &str,
        change: impl FnOnce(PodBuilder) -> PodBuilder,
    ) -> Result<Pod> {
        let cluster = self.control_plane.cluster();
        cluster.namespace(namespace)?;
        cluster.service_account(namespace, account)?;
        let uid = cluster.pod(namespace, account, name, self.node.name())?;
        let pod = change(self.node.pod(namespace, account).name(name)).uid(&uid).start()?;
        cluster.run_pod(namespace, name, &[&pod.ip4.to_string(), &pod.ip6.to_string()])?;
        Ok(pod)
    }

    /// A Service that is both.
    ///
    /// # Errors
    /// As of both.
    pub fn service(&self, builder: ServiceBuilder) -> Result<Service> {
        let service = builder.start()?;
        self.mirror()?;
        Ok(service)
    }

    /// Makes objects of the node, its Services and their endpoints.
    fn mirror(&self) -> Result<()> {
        let cluster = self.control_plane.cluster();
        let inventory: Value = serde_saphyr::from_str(&self.node.inventory_yaml())?;
        for object in inventory["items"].as_array().into_iter().flatten() {
            let metadata = &object["metadata"];
            let (name, namespace) = (metadata["name"].as_str(), metadata["namespace"].as_str());
            let name = name.context("an object without a name")?;
            let collection = match (object["kind"].as_str(), namespace) {
                (Some("Node"), _) => "/api/v1/nodes".to_owned(),
                (Some("Service"), Some(namespace)) => format!("/api/v1/namespaces/{namespace}/services"),
                (Some("EndpointSlice"), Some(namespace)) => {
                    format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
                }
                _ => continue,
            };
            if cluster.get(&format!("{collection}/{name}")).is_ok() {
                continue;
            }
            if let Some(namespace) = namespace {
                cluster.namespace(namespace)?;
            }
            // The test's YAML reader takes a time for text, and the API server sets these itself.
            let mut object = object.clone();
            for own in ["uid", "creationTimestamp"] {
                object["metadata"].as_object_mut().and_then(|metadata| metadata.remove(own));
            }
            cluster.create(&collection, &object)?;
        }
        Ok(())
    }
}

fn manifest() -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(MANIFEST);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let objects: Vec<Option<Value>> = serde_saphyr::from_multiple(&text)?;
    let objects: Vec<Value> = objects.into_iter().flatten().filter(Value::is_object).collect();
    if objects.is_empty() {
        bail!("{MANIFEST} is empty");
    }
    Ok(objects)
}

/// `Authorization: Bearer ...` in a file for `curl -H @FILE`, so that no token stands on a command line.
///
/// # Errors
/// It cannot be written.
pub fn header_file(directory: &Path, name: &str, token: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    std::fs::write(&path, format!("Authorization: Bearer {token}\n"))?;
    Ok(path)
}

/// The status of a pod that runs and has these addresses.
#[must_use]
pub fn running(ips: &[&str]) -> Value {
    // As the API server writes times.
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"status": {
        "phase": "Running", "podIP": ips[0], "podIPs": ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
        "startTime": now, "hostIP": "127.0.0.1",
    }})
}
