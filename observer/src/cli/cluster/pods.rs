//! Where the observers are: the pods of the DaemonSet.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::{ClusterArgs, Target};
use crate::cli::parse::{one_line, with_causes};

/// Pods of one page of the list.
const PAGE: u32 = 500;
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// What the chart calls it.
const CONTAINER: &str = "observer";

/// A client with the caller's own rights.
///
/// # Errors
/// One line with the way out.
pub async fn client(args: &ClusterArgs) -> Result<Client, String> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let way_out =
        "name a kubeconfig that works for kubectl with --kubeconfig FILE or KUBECONFIG, and --context NAME";
    let complaint =
        |error: &(dyn std::error::Error + 'static)| format!("{}; {way_out}", one_line(&with_causes(error)));
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| complaint(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    }
    .map_err(|error| complaint(&error))?;
    config.connect_timeout = Some(Duration::from_secs(args.request_timeout));
    // A node that does not answer is told, not asked again in silence.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| complaint(&error))
}

/// One for each node, sorted by it.
///
/// # Errors
/// One line with the way out.
pub async fn find(client: &Client, args: &ClusterArgs, within: Duration) -> Result<Vec<Target>, String> {
    let namespace = &args.observer_namespace;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut params = ListParams::default().labels(&args.selector).limit(PAGE);
    let mut pods = Vec::new();
    loop {
        let page = tokio::time::timeout(within, api.list(&params)).await.map_err(|_| {
            format!(
                "the API server did not list the pods of namespace {namespace} within {} s; see --request-timeout",
                within.as_secs()
            )
        })?;
        let page = page.map_err(|error| refused(namespace, &error))?;
        pods.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let mut targets = by_node(pods);
    if targets.is_empty() {
        return Err(format!(
            "no pod in namespace {namespace} has the labels {}; say where the observer is installed with \
             --observer-namespace NS and --selector LABELS",
            args.selector
        ));
    }
    if !args.node.is_empty() {
        if let Some(strange) =
            args.node.iter().find(|node| targets.iter().all(|target| target.node != **node))
        {
            return Err(format!("no observer runs on a node {strange}; leave --node out to ask all"));
        }
        targets.retain(|target| args.node.contains(&target.node));
    }
    Ok(targets)
}

fn refused(namespace: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "no right to list pods in namespace {namespace}: {}; ask for a Role with pods: get, list and pods/exec: get, create",
            one_line(&status.message)
        ),
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not know who asks (401); log in again, as kubectl would need it".to_owned()
        }
        kube::Error::Api(status) => {
            format!("the API server does not list pods: {}", one_line(&status.message))
        }
        error => format!(
            "the API server cannot be asked: {}; see whether `kubectl get nodes` works, and --context",
            one_line(&with_causes(error))
        ),
    }
}

/// Where a node has several, as while they are replaced, the one that runs, and of those the newest.
fn by_node(pods: Vec<Pod>) -> Vec<Target> {
    let mut nodes: BTreeMap<String, (bool, String, Target)> = BTreeMap::new();
    for pod in pods {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
        let (Some(name), Some(namespace)) = (pod.metadata.name.clone(), pod.metadata.namespace.clone())
        else {
            continue;
        };
        let absent = absent(&pod).map(|why| format!("its pod {namespace}/{name} {why}"));
        let created =
            pod.metadata.creation_timestamp.as_ref().map_or_else(String::new, |time| time.0.to_string());
        let container = pod
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(DEFAULT_CONTAINER))
            .map_or(CONTAINER, String::as_str)
            .to_owned();
        let target = Target { node: node.clone(), namespace, pod: name, container, absent };
        let candidate = (target.absent.is_none(), created, target);
        let is_better = nodes
            .get(&node)
            .is_none_or(|(runs, since, _)| (candidate.0, candidate.1.as_str()) > (*runs, since.as_str()));
        if is_better {
            nodes.insert(node, candidate);
        }
    }
    nodes.into_values().map(|(.., target)| target).collect()
}

fn absent(pod: &Pod) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted".to_owned());
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Running") => None,
        phase => Some(format!("is {}, not Running; `kubectl describe pod` says why", phase.unwrap_or("new"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: &str, phase: &str, created: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "observer", "creationTimestamp": created},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn each_node_has_one_the_one_that_runs_and_the_newest_of_those() {
        let targets = by_node(vec![
            pod("b-old", "b", "Running", "2026-01-01T00:00:00Z"),
            pod("b-new", "b", "Running", "2026-01-02T00:00:00Z"),
            pod("b-next", "b", "Pending", "2026-01-03T00:00:00Z"),
            pod("a", "a", "Pending", "2026-01-01T00:00:00Z"),
        ]);
        let pods: Vec<(&str, &str)> =
            targets.iter().map(|target| (target.node.as_str(), target.pod.as_str())).collect();
        assert_eq!(pods, [("a", "a"), ("b", "b-new")]);
        let why = targets[0].absent.as_deref().unwrap();
        assert!(why.contains("observer/a is Pending"), "{why}");
        assert_eq!(targets[1].absent, None);
    }
}
