//! What a real kube-apiserver says to the chart.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use observer_deployment::{NAMESPACE, Session, VALUES, objects_in, render};
use observer_kubernetes::{Cluster, ControlPlane};
use serde_json::{Value, json};

/// The collection that an object belongs to.
fn collection(object: &Value) -> Result<String> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().context("no kind")?;
    Ok(match kind {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
        "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
        "Role" | "RoleBinding" => {
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{}s", kind.to_lowercase())
        }
        "CustomResourceDefinition" => "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
        "DaemonSet" => format!("/apis/apps/v1/namespaces/{namespace}/daemonsets"),
        "ServiceAccount" | "ConfigMap" | "Service" | "Pod" => {
            format!("/api/v1/namespaces/{namespace}/{}s", kind.to_lowercase())
        }
        _ => anyhow::bail!("a {kind} in the chart: say here where it belongs"),
    })
}

/// Its CRD is the Prometheus operator's.
fn is_foreign(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("monitoring.coreos.com/"))
}

/// As `kubectl apply --server-side` sends it; `more` as `&dryRun=All`. The answer.
fn apply(cluster: &Cluster, object: &Value, more: &str) -> Result<Value> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let path = format!("{}/{name}?fieldManager=test&fieldValidation=Strict{more}", collection(object)?);
    let request = Request::patch(&path)
        .header("content-type", "application/apply-patch+yaml")
        .body(serde_json::to_vec(object)?)?;
    cluster.runtime().block_on(cluster.client().request(request)).with_context(|| path)
}

#[test]
fn it_takes_every_object_of_every_rendering_in_a_dry_run() -> Result<()> {
    let control_plane = ControlPlane::builder().start()?;
    let cluster = control_plane.cluster();
    cluster.namespace(NAMESPACE)?;
    let mut seen = 0;
    for values in VALUES {
        let chart = render(values)?;
        for object in chart.objects().iter().filter(|object| !is_foreign(object)) {
            let answer = apply(cluster, object, "&dryRun=All").with_context(|| format!("{values:?}"))?;
            assert_eq!(answer["kind"], object["kind"]);
            seen += 1;
        }
    }
    ensure!(seen >= 5 * VALUES.len(), "{seen} objects");
    // Strict validation does notice.
    let mut wrong = render(&[])?.one("DaemonSet")?.clone();
    wrong["spec"]["template"]["spec"]["hostPid"] = json!(false);
    ensure!(apply(cluster, &wrong, "&dryRun=All").is_err(), "a field that does not exist was taken");
    Ok(())
}

#[test]
fn the_manifest_installs_and_installs_again_without_a_change() -> Result<()> {
    let control_plane = ControlPlane::builder().start()?;
    let cluster = control_plane.cluster();
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observer.yaml"))?;
    let objects = objects_in(&manifest)?;
    ensure!(objects.len() >= 10, "{} objects", objects.len());
    let versions = || -> Result<Vec<Value>> {
        objects
            .iter()
            .map(|object| {
                // The API server itself writes the status of a definition.
                let definition = object["kind"] == "CustomResourceDefinition";
                let version = if definition { "generation" } else { "resourceVersion" };
                Ok(apply(cluster, object, "")?["metadata"][version].take())
            })
            .collect()
    };
    assert_eq!(versions()?, versions()?);
    Ok(())
}

#[test]
fn pod_security_admission_takes_the_pod_at_the_level_privileged_and_at_no_other() -> Result<()> {
    let control_plane = ControlPlane::builder().start()?;
    let cluster = control_plane.cluster();
    let chart = render(&["namespace.create=true"])?;
    for kind in ["Namespace", "ServiceAccount"] {
        apply(cluster, chart.one(kind)?, "")?;
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "observer-x", "namespace": NAMESPACE},
        "spec": chart.pod()?,
    });
    let pods = format!("{}?dryRun=All&fieldValidation=Strict", collection(&pod)?);
    cluster.create(&pods, &pod)?;
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    cluster.patch(&format!("/api/v1/namespaces/{NAMESPACE}"), &level)?;
    let refused = format!("{:#}", cluster.create(&pods, &pod).err().context("taken at the level baseline")?);
    ensure!(refused.contains("hostPath") && refused.contains("NET_ADMIN"), "{refused}");
    Ok(())
}

#[test]
fn it_takes_the_monitors_and_the_rules_by_the_operators_own_definitions() -> Result<()> {
    let session = Session::start()?;
    let values =
        ["podMonitor", "serviceMonitor", "prometheusRule"].map(|name| format!("metrics.{name}.enabled=true"));
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let line = format!(
        "helm install observer deploy/helm --namespace {NAMESPACE} --create-namespace --set {}",
        values.join(",")
    );
    let output = session.run(&line)?;
    ensure!(output.status.success(), "{output:?}");
    let path = format!("/apis/monitoring.coreos.com/v1/namespaces/{NAMESPACE}");
    let rendered = render(&values)?;
    for (kind, plural) in [
        ("PodMonitor", "podmonitors"),
        ("ServiceMonitor", "servicemonitors"),
        ("PrometheusRule", "prometheusrules"),
    ] {
        // A field that the definition does not have would have been dropped.
        let stored = session.cluster().get(&format!("{path}/{plural}/observer"))?;
        assert_eq!(stored["spec"], rendered.one(kind)?["spec"], "{kind}");
    }
    Ok(())
}
