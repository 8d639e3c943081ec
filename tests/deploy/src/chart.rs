//! The chart, as helm renders it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Of the release that is rendered.
pub const RELEASE: &str = "observer";
pub const NAMESPACE: &str = "watch";

/// The objects of one rendering.
pub struct Rendered(Vec<Value>);

/// What people may set, one thing each.
pub const VALUES: [&[&str]; 12] = [
    &[],
    &["namespace.create=true"],
    &["privileged=true"],
    &["rbac.posture=false", "rbac.ciliumNodes=false"],
    &["rbac.graph.cilium=false", "rbac.graph.serviceGraph=false"],
    &["rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine"],
    &["metrics.podMonitor.enabled=true", "metrics.service.enabled=false"],
    &["metrics.serviceMonitor.enabled=true", "metrics.port=9999", "metrics.address=[::]"],
    &["metrics.prometheusRule.enabled=true", "metrics.prometheusRule.disabled={ObserverUnencrypted}"],
    &["dashboards.enabled=true", "dashboards.annotations.grafana_folder=Observer"],
    &[
        "fullnameOverride=other",
        "image.digest=sha256:0123456789012345678901234567890123456789012345678901234567890123",
    ],
    &[
        "config.output=none",
        "config.cluster_cidr={10.0.0.0/8,fd00::/8}",
        "nodeSelector.a=b",
        "podAnnotations.a=b",
    ],
];

/// Runs the helm that setup built, in the repository.
///
/// # Errors
/// There is none.
pub fn helm(arguments: &[&str]) -> Result<Output> {
    helm_with(arguments, &[])
}

/// With more in its environment.
///
/// # Errors
/// As [`helm`].
pub fn helm_with(arguments: &[&str], environment: &[(&str, &Path)]) -> Result<Output> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = top.join("target/tools/bin/helm");
    let program = if built.is_file() { built.canonicalize()? } else { PathBuf::from("helm") };
    Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(top)
        .output()
        .context("helm does not start; `cargo xtask setup --for chart` builds it")
}

fn template(values: &[&str]) -> Result<Output> {
    let mut arguments = vec!["template", RELEASE, "deploy/helm", "--namespace", NAMESPACE];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments)
}

/// Renders the chart with these values, each as `--set` takes it.
///
/// # Errors
/// helm refuses them, or what it renders is no YAML.
pub fn render(values: &[&str]) -> Result<Rendered> {
    let output = template(values)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm template {values:?}: {said}");
    Ok(Rendered(objects_in(&String::from_utf8(output.stdout)?)?))
}

/// The objects of a file with several documents.
///
/// # Errors
/// It is no YAML.
pub fn objects_in(text: &str) -> Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).with_context(|| text.to_owned())?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// What helm says as it refuses these values.
///
/// # Errors
/// It takes them.
pub fn refusal(values: &[&str]) -> Result<String> {
    let output = template(values)?;
    if output.status.success() {
        bail!("helm takes {values:?}");
    }
    Ok(String::from_utf8(output.stderr)?)
}

impl Rendered {
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.0
    }

    /// The only object of a kind.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn one(&self, kind: &str) -> Result<&Value> {
        let mut found = self.0.iter().filter(|object| object["kind"] == kind);
        let one = found.next().with_context(|| format!("no {kind}"))?;
        ensure!(found.next().is_none(), "more than one {kind}");
        Ok(one)
    }

    #[must_use]
    pub fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|object| object["kind"] == kind)
    }

    /// The DaemonSet's `spec.template.spec`.
    ///
    /// # Errors
    /// There is no DaemonSet.
    pub fn pod(&self) -> Result<&Value> {
        Ok(&self.one("DaemonSet")?["spec"]["template"]["spec"])
    }

    /// The pod's only container.
    ///
    /// # Errors
    /// It has none, or several.
    pub fn container(&self) -> Result<&Value> {
        match self.pod()?["containers"].as_array().map(Vec::as_slice) {
            Some([container]) => Ok(container),
            other => bail!("not one container: {other:?}"),
        }
    }

    /// The ConfigMap with the file of `observer run --config`.
    ///
    /// # Errors
    /// There is none.
    pub fn config_map(&self) -> Result<&Value> {
        let mut maps = self.0.iter().filter(|object| object["kind"] == "ConfigMap");
        maps.find(|map| !map["data"]["config.yaml"].is_null()).context("no config.yaml")
    }

    /// The file of `observer run --config`.
    ///
    /// # Errors
    /// There is none.
    pub fn config(&self) -> Result<&str> {
        self.config_map()?["data"]["config.yaml"].as_str().context("no config.yaml")
    }
}
