//! What is known of the cluster follows the API server, through its restarts too.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::Pod;
use observer_integration::wire::{self, Manners};
use observer_integration::{Daemon, Directory};
use observer_kubernetes::Scene;
use serde_json::Value;

/// Long enough for a watch to come back after its longest wait.
const BACK_WITHIN: Duration = Duration::from_secs(60);

fn call(from: &Pod, to: &Pod) -> Result<()> {
    from.run_ok(["curl", "-sS", &format!("http://{}:8080/", to.ip4)]).map(drop)
}

fn wait_until(daemon: &Daemon, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + BACK_WITHIN;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {BACK_WITHIN:?}: {what}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// All six resources are watched.
fn wait_watching(daemon: &Daemon) -> Result<()> {
    // What names depend on; Roles and Bindings have no part in that.
    const RESOURCES: [&str; 6] =
        ["pods", "services", "endpointslices", "nodes", "namespaces", "serviceaccounts"];
    wait_until(daemon, "every watch is up", || {
        let mut up = true;
        for resource in RESOURCES {
            up &= daemon.metric("observer_watch_up", &[&format!("resource=\"{resource}\"")])? == 1.0;
        }
        Ok(up)
    })
}

#[test]
fn a_pod_that_starts_while_it_watches_is_known_by_its_service_account_and_workload() -> Result<()> {
    let scene = Scene::start()?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    wait_watching(&daemon)?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    call(&frontend, &orders)?;
    let record = daemon.wait_final("shop/frontend", "shop/orders")?;
    assert_eq!(record["client"]["pod"], "frontend-0");
    assert_eq!(record["server"]["pod"], "orders-0");
    assert!(daemon.metric("observer_identity_lag_seconds", &[])? < 1.0);
    wait_until(&daemon, "two pods are counted", || {
        Ok(daemon.metric("observer_identities", &["kind=\"pod\""])? >= 2.0)
    })
}

#[test]
fn the_pods_own_credentials_do_where_there_is_no_kubeconfig() -> Result<()> {
    let scene = Scene::start()?;
    let cluster = scene.control_plane.cluster();
    let token = cluster.token("observer", "observer", None, &[])?;
    let secrets = Directory::new()?;
    secrets.write("token", &token)?;
    secrets.write("namespace", "observer")?;
    std::fs::copy(scene.control_plane.ca(), secrets.path().join("ca.crt"))?;
    let binary = observer_integration::release_binary()?;
    let output = secrets.path().join("doctor.json");
    // The kubelet's directory, in a mount namespace of its own.
    let script = format!(
        "mkdir -p /run/secrets && mount -t tmpfs tmpfs /run/secrets && \
         mkdir -p /run/secrets/kubernetes.io/serviceaccount && \
         cp {0}/token {0}/namespace {0}/ca.crt /run/secrets/kubernetes.io/serviceaccount && \
         exec {1} doctor -o json --cgroup-root {2} >{3}",
        secrets.path().display(),
        binary.display(),
        scene.node.cgroup_root().display(),
        output.display(),
    );
    std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env_remove("KUBECONFIG")
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", scene.control_plane.port().to_string())
        .status()?;
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&output)?)?;
    let checks = report["checks"].as_array().context("checks")?;
    let state = |name: &str| checks.iter().find(|check| check["name"] == name).map(|check| &check["state"]);
    for name in ["api-server", "cluster-role", "token-keys"] {
        assert_eq!(state(name), Some(&"ok".into()), "{name}: {report:#}");
    }
    Ok(())
}

#[test]
fn a_killed_api_server_stops_no_observation_and_is_watched_again_when_it_is_back() -> Result<()> {
    let mut scene = Scene::start()?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    wait_watching(&daemon)?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut calls = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                call(&frontend, &orders)?;
                calls += 1;
                thread::sleep(Duration::from_millis(20));
            }
            anyhow::Ok(calls)
        });
        let outage = (|| {
            scene.control_plane.kill_apiserver();
            wait_until(&daemon, "no watch is up", || Ok(daemon.metric("observer_watch_up", &[])? == 0.0))?;
            wait_until(&daemon, "the lag grows", || {
                Ok(daemon.metric("observer_identity_lag_seconds", &[])? > 1.0)
            })?;
            scene.control_plane.start_apiserver()?;
            wait_watching(&daemon)
        })();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let calls = traffic.join().map_err(|_| anyhow::anyhow!("the traffic's thread died"))?;
        outage.and(calls)
    })?;
    wait_until(&daemon, "each call is told, by name", || {
        Ok(daemon.finals("shop/frontend", "shop/orders")?.len() >= calls)
    })?;
    assert_eq!(daemon.finals("shop/frontend", "shop/orders")?.len(), calls);
    wait_until(&daemon, "nothing lags", || Ok(daemon.metric("observer_identity_lag_seconds", &[])? < 1.0))?;

    let late = scene.pod("shop", "late", "late-0")?;
    thread::sleep(Duration::from_millis(300));
    call(&late, &orders)?;
    daemon.wait_final("shop/late", "shop/orders")?;
    Ok(())
}

#[test]
fn what_vanished_while_the_api_server_had_forgotten_us_is_gone_after_the_new_list() -> Result<()> {
    let mut scene = Scene::start()?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let outside = scene.node.external("elsewhere")?;
    let ip = outside.ip4.to_string();
    let cluster = scene.control_plane.cluster();
    cluster.namespace("remote")?;
    // Pods of another node, at an address that is really somebody's.
    cluster.pod("remote", "default", "old-0", "n2")?;
    cluster.run_pod("remote", "old-0", &[&ip])?;
    cluster.service_account("remote", "heir")?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    wait_watching(&daemon)?;
    let url = format!("http://{}:8080/", orders.ip4);
    outside.run_ok(["curl", "-sS", &url])?;
    daemon.wait_final("remote/default", "shop/orders")?;

    scene.control_plane.kill_apiserver();
    scene.control_plane.meanwhile(|cluster| {
        cluster.delete("/api/v1/namespaces/remote/pods/old-0")?;
        cluster.pod("remote", "heir", "new-0", "n2")?;
        cluster.run_pod("remote", "new-0", &[&ip])
    })?;
    scene.control_plane.start_apiserver()?;
    wait_watching(&daemon)?;
    thread::sleep(Duration::from_millis(500));
    outside.run_ok(["curl", "-sS", &url])?;
    daemon.wait_final("remote/heir", "shop/orders")?;
    assert_eq!(daemon.finals("remote/default", "shop/orders")?.len(), 1, "{}", daemon.log());
    Ok(())
}

#[test]
fn an_address_that_another_pod_has_within_100_ms_is_never_blamed_on_the_one_before() -> Result<()> {
    let scene = Scene::start()?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let outside = scene.node.external("elsewhere")?;
    let ip = outside.ip4.to_string();
    let url = format!("http://{}:8080/", orders.ip4);
    let cluster = scene.control_plane.cluster();
    cluster.namespace("remote")?;
    let names = ["first", "second", "third", "fourth", "fifth"];
    for name in names {
        cluster.service_account("remote", name)?;
        // Created beforehand, as a scheduler does; the address comes later.
        cluster.pod("remote", name, name, "n2")?;
    }
    cluster.run_pod("remote", names[0], &[&ip])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    wait_watching(&daemon)?;
    outside.run_ok(["curl", "-sS", &url])?;
    daemon.wait_final("remote/first", "shop/orders")?;
    for pair in names.windows(2) {
        let freed = Instant::now();
        cluster.delete(&format!("/api/v1/namespaces/remote/pods/{}", pair[0]))?;
        cluster.run_pod("remote", pair[1], &[&ip])?;
        let reused = freed.elapsed();
        outside.run_ok(["curl", "-sS", &url])?;
        eprintln!("{}: reused after {reused:?}, called after {:?}", pair[1], freed.elapsed());
        daemon.wait_final(&format!("remote/{}", pair[1]), "shop/orders")?;
    }
    for name in names {
        assert_eq!(daemon.finals(&format!("remote/{name}"), "shop/orders")?.len(), 1, "{name}");
    }
    Ok(())
}
