//! What the cluster's objects declare is in force as soon as they are there, without a restart.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::Pod;
use observer_integration::Daemon;
use observer_integration::wire::{self, Manners};
use observer_kubernetes::{Cluster, Scene};
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GRAPHS: &str = "/apis/observer.dev/v1alpha1/namespaces/shop/servicegraphs";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/observer/leases/observer-status";
/// For what need not be quick.
const WITHIN: Duration = Duration::from_secs(60);
/// The promise is a second; the rest is the call itself, on a busy machine.
const IN_FORCE_WITHIN: Duration = Duration::from_millis(1500);

fn graph(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "observer.dev/v1alpha1", "kind": "ServiceGraph",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"edges": [{"from": {"serviceAccount": from}, "to": {"serviceAccount": "orders"}}]},
    })
}

fn wait_until(what: &str, within: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while !holds()? {
        ensure!(start.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(start.elapsed())
}

/// Calls until a call is declared so; answers after how long that was, and its declaration.
fn calls_until(daemon: &Daemon, from: &Pod, to: &Pod, status: &str) -> Result<(Duration, Value)> {
    let start = Instant::now();
    loop {
        let called = start.elapsed();
        let seen = daemon.records()?.len();
        from.run_ok(["curl", "-sS", &format!("http://{}:8080/", to.ip4)])?;
        let record = wait_record(daemon, seen)?;
        let declaration = record["declaration"].clone();
        if declaration["status"] == status {
            return Ok((called, declaration));
        }
        ensure!(start.elapsed() < WITHIN, "never {status}: {record}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The record of the first call after the first `seen` records.
fn wait_record(daemon: &Daemon, seen: usize) -> Result<Value> {
    let mut found = None;
    wait_until("the call's record", WITHIN, || {
        found = daemon
            .records()?
            .into_iter()
            .skip(seen)
            .find(|record| record["server"]["port"] == 8080 && record["final"] == true);
        Ok(found.is_some())
    })?;
    found.context("no record")
}

fn accepted(cluster: &Cluster, name: &str) -> Result<Value> {
    let object = cluster.get(&format!("{GRAPHS}/{name}"))?;
    Ok(json!({
        "status": object["status"]["conditions"][0]["status"],
        "message": object["status"]["conditions"][0]["message"],
        "current": object["status"]["observedGeneration"] == object["metadata"]["generation"],
        "edges": object["status"]["edges"],
    }))
}

#[test]
fn a_graph_is_in_force_within_a_second_of_being_applied_changed_and_deleted() -> Result<()> {
    let scene = Scene::start()?;
    let cluster = scene.control_plane.cluster();
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    calls_until(&daemon, &frontend, &orders, "ungoverned")?;

    cluster.create(GRAPHS, &graph("shop", "frontend"))?;
    let (after, declaration) = calls_until(&daemon, &frontend, &orders, "allowed")?;
    ensure!(after < IN_FORCE_WITHIN, "applied: {after:?}");
    assert_eq!(declaration["source"], "ServiceGraph shop/shop");
    assert_eq!(daemon.metric("observer_declared_edges", &["state=\"loaded\""])?, 1.0);
    wait_until("the status says so", WITHIN, || {
        let status = accepted(cluster, "shop")?;
        Ok(status["status"] == "True" && status["edges"] == 1 && status["current"] == true)
    })?;

    ensure!(!daemon.log().contains("WARN"), "{}", daemon.log());

    // Under traffic. Nobody is called `checkout`, which is no more than a warning.
    let changed = json!({"spec": graph("shop", "checkout")["spec"]});
    cluster.patch(&format!("{GRAPHS}/shop"), &changed)?;
    let (after, _) = calls_until(&daemon, &frontend, &orders, "unexpected")?;
    ensure!(after < IN_FORCE_WITHIN, "changed: {after:?}");
    wait_until("the status follows", WITHIN, || Ok(accepted(cluster, "shop")?["current"] == true))?;
    // Names are looked at once a second: a graph that is gone by then is not.
    let warning = "the cluster has no ServiceAccount shop/checkout";
    wait_until("the warning", WITHIN, || Ok(daemon.log().contains(warning)))?;

    cluster.delete(&format!("{GRAPHS}/shop"))?;
    let (after, _) = calls_until(&daemon, &frontend, &orders, "ungoverned")?;
    ensure!(after < IN_FORCE_WITHIN, "deleted: {after:?}");
    assert_eq!(daemon.metric("observer_declared_edges", &["state=\"loaded\""])?, 0.0);
    let log = daemon.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    ensure!(warnings.len() == 1 && warnings[0].contains(warning), "{log}");
    Ok(())
}

#[test]
fn a_network_policy_is_in_force_within_a_second_and_selects_namespaces_by_their_labels() -> Result<()> {
    let scene = Scene::start()?;
    let cluster = scene.control_plane.cluster();
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let prometheus = scene.pod("monitoring", "prometheus", "prometheus-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    calls_until(&daemon, &prometheus, &orders, "ungoverned")?;
    cluster.create(
        POLICIES,
        &json!({
            "metadata": {"name": "from-team-a"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "orders"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}],
            },
        }),
    )?;
    let (after, declaration) = calls_until(&daemon, &prometheus, &orders, "unexpected")?;
    ensure!(after < IN_FORCE_WITHIN, "{after:?}");
    assert_eq!(declaration["source"], "NetworkPolicy shop/from-team-a");
    cluster.patch("/api/v1/namespaces/monitoring", &json!({"metadata": {"labels": {"team": "a"}}}))?;
    calls_until(&daemon, &prometheus, &orders, "allowed")?;
    cluster.delete(&format!("{POLICIES}/from-team-a"))?;
    calls_until(&daemon, &prometheus, &orders, "ungoverned")?;
    Ok(())
}

#[test]
fn a_crd_that_is_installed_after_the_start_is_picked_up_and_its_absence_is_no_warning() -> Result<()> {
    let scene = Scene::start()?;
    let cluster = scene.control_plane.cluster();
    cluster.delete(&format!("{CRDS}/servicegraphs.observer.dev"))?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    calls_until(&daemon, &frontend, &orders, "ungoverned")?;
    ensure!(!daemon.log().contains("WARN"), "{}", daemon.log());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/helm/crds/servicegraphs.yaml");
    cluster.create(CRDS, &serde_saphyr::from_str(&std::fs::read_to_string(path)?)?)?;
    wait_until("the API server takes graphs", WITHIN, || {
        Ok(cluster.create(GRAPHS, &graph("shop", "frontend")).is_ok())
    })?;
    calls_until(&daemon, &frontend, &orders, "allowed")?;
    // It goes with all its objects.
    cluster.delete(&format!("{CRDS}/servicegraphs.observer.dev"))?;
    calls_until(&daemon, &frontend, &orders, "ungoverned")?;
    Ok(())
}

#[test]
fn a_broken_graph_keeps_its_last_good_version_and_says_so_in_status_metrics_and_log() -> Result<()> {
    let scene = Scene::start()?;
    let cluster = scene.control_plane.cluster();
    // A CRD that lets everything pass, as an older one might.
    let crd = cluster.get(&format!("{CRDS}/servicegraphs.observer.dev"))?;
    let mut versions = crd["spec"]["versions"].clone();
    versions[0]["schema"] =
        json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    cluster.patch(&format!("{CRDS}/servicegraphs.observer.dev"), &json!({"spec": {"versions": versions}}))?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    cluster.create(GRAPHS, &graph("shop", "frontend"))?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    calls_until(&daemon, &frontend, &orders, "allowed")?;
    wait_until("the permissive schema is in use", WITHIN, || {
        let broken =
            json!({"spec": {"edges": [{"from": {"user": "x"}, "to": {"serviceAccount": "orders"}}]}});
        Ok(cluster.patch(&format!("{GRAPHS}/shop"), &broken).is_ok())
    })?;
    wait_until("the status says so", WITHIN, || {
        let status = accepted(cluster, "shop")?;
        let message = status["message"].as_str().unwrap_or_default();
        let says = message.contains("spec.edges[0].from") && status["edges"] == 1;
        Ok(status["status"] == "False" && says && status["current"] == true)
    })?;
    calls_until(&daemon, &frontend, &orders, "allowed")?;
    ensure!(daemon.metric("observer_malformed_objects_total", &["kind=\"ServiceGraph\""])? >= 1.0);
    let told = daemon.log().lines().filter(|line| line.contains("stays in force")).count();
    assert_eq!(told, 1, "{}", daemon.log());
    // Mended, it is in force.
    cluster.patch(&format!("{GRAPHS}/shop"), &json!({"spec": graph("shop", "checkout")["spec"]}))?;
    calls_until(&daemon, &frontend, &orders, "unexpected")?;
    wait_until("the status is good again", WITHIN, || Ok(accepted(cluster, "shop")?["status"] == "True"))?;
    Ok(())
}

#[test]
fn of_two_observers_one_writes_and_the_other_does_once_that_one_is_gone() -> Result<()> {
    let scene = Scene::with(|control_plane| control_plane.audit())?;
    let cluster = scene.control_plane.cluster();
    let mut daemons = vec![scene.daemon()?.start(&scene.node)?, scene.daemon()?.start(&scene.node)?];
    for number in 0..3 {
        cluster.namespace("shop")?;
        cluster.create(GRAPHS, &graph(&format!("g{number}"), "frontend"))?;
        wait_until("the status is written", WITHIN, || {
            Ok(accepted(cluster, &format!("g{number}"))?["status"] == "True")
        })?;
    }
    let holder = |cluster: &Cluster| -> Result<String> {
        let lease = cluster.get(LEASE)?;
        Ok(lease["spec"]["holderIdentity"].as_str().context("no holder")?.to_owned())
    };
    let first = holder(cluster)?;
    thread::sleep(Duration::from_secs(6));
    let patches = |audit: &str| {
        let is_patch = |event: &Value| {
            event["verb"] == "patch"
                && event["objectRef"]["subresource"] == "status"
                && event["objectRef"]["resource"] == "servicegraphs"
        };
        audit.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_patch).count()
    };
    assert_eq!(patches(&scene.control_plane.audit_log()?), 3, "each status is written once");
    // Whichever of them held it: with both gone but one, the status goes on.
    drop(daemons.remove(0));
    cluster.create(GRAPHS, &graph("later", "frontend"))?;
    wait_until(
        "the one that is left writes",
        WITHIN,
        || Ok(accepted(cluster, "later")?["status"] == "True"),
    )?;
    drop(daemons);
    let third = scene.daemon()?.start(&scene.node)?;
    cluster.create(GRAPHS, &graph("last", "frontend"))?;
    wait_until("a new one takes over", WITHIN, || Ok(accepted(cluster, "last")?["status"] == "True"))?;
    ensure!(holder(cluster)? != first, "nobody took over");
    drop(third);
    Ok(())
}
