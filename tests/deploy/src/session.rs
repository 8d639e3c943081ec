//! A person's shell: helm and kubectl, as an administrator of a cluster with nothing but its API server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use observer_kubernetes::{Cluster, ControlPlane};
use serde_json::{Value, json};

use crate::objects_in;

const TOOLS: &str = "target/tools/bin";
const CRDS: &str = "target/tools/prometheus-operator-crd";

/// See the module.
pub struct Session {
    control_plane: ControlPlane,
    kubeconfig: PathBuf,
}

impl Session {
    /// On a new cluster that has the Prometheus operator's CRDs.
    ///
    /// # Errors
    /// The API server does not start or does not take them.
    pub fn start() -> Result<Self> {
        let control_plane = ControlPlane::builder().start()?;
        let cluster = control_plane.cluster();
        for namespace in ["default", "kube-system"] {
            cluster.namespace(namespace)?;
        }
        cluster.service_account("kube-system", "administrator")?;
        cluster.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &json!({
                "metadata": {"name": "administrator"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"
                },
                "subjects": [{"kind": "ServiceAccount", "name": "administrator", "namespace": "kube-system"}],
            }),
        )?;
        let token = cluster.token("kube-system", "administrator", None, &[])?;
        let kubeconfig = control_plane.kubeconfig("administrator", &token)?;
        let session = Self { control_plane, kubeconfig };
        for crd in operator_crds()? {
            session.cluster().create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd)?;
        }
        let told =
            session.run("kubectl wait --for condition=Established --timeout 30s crd --all --output name")?;
        ensure!(told.status.success(), "{told:?}");
        Ok(session)
    }

    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.control_plane.cluster()
    }

    /// Runs a command line in the repository's root.
    ///
    /// # Errors
    /// There is no shell.
    pub fn run(&self, line: &str) -> Result<Output> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", format!("{}:{path}", top.join(TOOLS).display()));
        command.env("KUBECONFIG", &self.kubeconfig).current_dir(top);
        command.output().context("sh does not start")
    }
}

/// The Prometheus operator's definitions of what shall be scraped and which rules there are.
fn operator_crds() -> Result<Vec<Value>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(CRDS);
    let files = std::fs::read_dir(&directory)
        .with_context(|| format!("{CRDS} is missing: `cargo xtask setup --for test` fetches it"))?;
    let mut crds = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            crds.extend(objects_in(&std::fs::read_to_string(path)?)?);
        }
    }
    Ok(crds)
}
