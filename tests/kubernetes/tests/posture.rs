//! What a token could do, as the Roles and Bindings of a real API server have it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_integration::wire::{self, Manners};
use observer_integration::{Daemon, Directory};
use observer_kubernetes::{Scene, header_file};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn rows(daemon: &Daemon) -> Result<Vec<Value>> {
    let text = String::from_utf8(daemon.ask(&["posture", "-o", "json"])?.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Waits for the row about what a token of `shop/orders` allows.
fn leaked(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = rows(daemon)?;
        let is_it =
            |row: &&Value| row["kind"] == "cleartext-token" && row["namespace"] == "shop" && wanted(row);
        if let Some(row) = rows.iter().find(is_it) {
            return Ok(row.clone());
        }
        ensure!(Instant::now() < deadline, "{rows:#?}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(600));
    }
}

/// Lets shop/orders read Secrets, and starts a daemon that sees a token of it go by.
fn leak(scene: &Scene) -> Result<(Daemon, Directory)> {
    let cluster = scene.control_plane.cluster();
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let payments = scene.pod("shop", "payments", "payments-0")?;
    cluster.create(
        &format!("{RBAC}/namespaces/shop/roles"),
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
    )?;
    cluster.create(
        &format!("{RBAC}/namespaces/shop/rolebindings"),
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "orders", "namespace": "shop"}]}),
    )?;
    let directory = Directory::new()?;
    let token = cluster.token("shop", "orders", Some((&orders.name, &orders.uid)), &[])?;
    let header = header_file(directory.path(), "header", &token)?;
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !daemon.log().contains("keys of an issuer") {
        ensure!(Instant::now() < deadline, "no keys:\n{}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_millis(200));
    let url = format!("http://{}:8080/", payments.ip4);
    orders.run_ok(["curl", "-sS", "-H", &format!("@{}", header.display()), &url])?;
    daemon.wait_final("shop/orders", "shop/payments")?;
    Ok((daemon, directory))
}

#[test]
fn what_a_token_allows_follows_the_bindings_of_the_api_server() -> Result<()> {
    let scene = Scene::start()?;
    let (daemon, _directory) = leak(&scene)?;
    // Everything else that a ServiceAccount may do in a fresh cluster is discovery.
    let row = leaked(&daemon, |row| row["powers"] == json!(["can read Secrets in shop"]))?;
    assert!(row["reason"].is_null(), "{row:#}");
    let admins: Vec<Value> =
        rows(&daemon)?.into_iter().filter(|row| row["kind"] == "cluster-admin").collect();
    assert!(admins.is_empty(), "{admins:#?}");

    scene.control_plane.cluster().delete(&format!("{RBAC}/namespaces/shop/rolebindings/reader"))?;
    leaked(&daemon, |row| row["powers"] == json!(["nothing beyond discovery"]))?;
    scene.control_plane.cluster().create(
        &format!("{RBAC}/clusterrolebindings"),
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "too-much"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "orders", "namespace": "shop"}]}),
    )?;
    leaked(&daemon, |row| row["powers"] == json!(["can do anything in every namespace"]))?;
    Ok(())
}

#[test]
fn without_the_right_to_read_roles_what_a_token_allows_is_unknown() -> Result<()> {
    let scene = Scene::start()?;
    scene.install(&["roles", "rolebindings", "clusterroles", "clusterrolebindings"])?;
    let (daemon, _directory) = leak(&scene)?;
    let row = leaked(&daemon, |row| row["reason"] == "not-allowed")?;
    assert!(row["powers"][0].as_str().is_some_and(|power| power.starts_with("unknown")), "{row:#}");
    let rows = rows(&daemon)?;
    let is_unknown = |row: &Value| row["kind"] == "cluster-admin" && row["status"] == "unknown";
    assert!(rows.iter().any(is_unknown), "{rows:#?}");
    Ok(())
}
