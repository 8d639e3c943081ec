//! What the observer may do, and what it does without.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_integration::release_binary;
use observer_integration::wire::{self, Manners};
use observer_kubernetes::{Cluster, Scene};
use serde_json::{Value, json};

const OBSERVER: &str = "system:serviceaccount:observer:observer";

/// (group, resource, verb) of each request of the observer's that was allowed.
fn asked(audit: &str) -> Result<BTreeSet<[String; 3]>> {
    let mut asked = BTreeSet::new();
    for line in audit.lines() {
        // The last line may not be whole yet.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
        if event["user"]["username"] == OBSERVER && allowed {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let resource = match object["subresource"].as_str() {
                Some(part) => format!("{}/{part}", text(&object["resource"])),
                None => text(&object["resource"]),
            };
            asked.insert([text(&object["apiGroup"]), resource, text(&event["verb"])]);
        }
    }
    Ok(asked)
}

/// All that the roles of the manifest allow.
fn allowed() -> Result<BTreeSet<[String; 3]>> {
    let mut allowed = BTreeSet::new();
    for rule in Scene::rules()? {
        let texts = |key: &str| -> Vec<String> {
            rule[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|text| Some(text.as_str()?.to_owned()))
                .collect()
        };
        for group in texts("apiGroups") {
            for resource in texts("resources") {
                for verb in texts("verbs") {
                    allowed.insert([group.clone(), resource.clone(), verb]);
                }
            }
        }
    }
    ensure!(!allowed.is_empty(), "the manifest's role allows nothing");
    Ok(allowed)
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Collections of others that the observer watches: group, version, plural, kind.
const FOREIGN: [[&str; 4]; 9] = [
    ["cilium.io", "v2", "ciliumnodes", "CiliumNode"],
    ["cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy"],
    ["security.istio.io", "v1", "authorizationpolicies", "AuthorizationPolicy"],
    ["security.istio.io", "v1", "peerauthentications", "PeerAuthentication"],
    ["policy.linkerd.io", "v1beta3", "servers", "Server"],
    ["policy.linkerd.io", "v1beta1", "serverauthorizations", "ServerAuthorization"],
    ["policy.linkerd.io", "v1alpha1", "authorizationpolicies", "AuthorizationPolicy"],
    ["policy.linkerd.io", "v1alpha1", "meshtlsauthentications", "MeshTLSAuthentication"],
    ["policy.linkerd.io", "v1alpha1", "networkauthentications", "NetworkAuthentication"],
];

/// The least that a CRD can be.
fn crd([group, version, plural, kind]: [&str; 4]) -> Value {
    let scope = if kind == "CiliumNode" { "Cluster" } else { "Namespaced" };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// Has a status written, and after a while, when the Lease has to be renewed, another one.
fn write_statuses(cluster: &Cluster) -> Result<()> {
    const GRAPHS: &str = "/apis/observer.dev/v1alpha1/namespaces/shop/servicegraphs";
    cluster.namespace("shop")?;
    for (number, pause) in [Duration::from_secs(11), Duration::ZERO].into_iter().enumerate() {
        let path = format!("{GRAPHS}/graph-{number}");
        cluster.create(
            GRAPHS,
            &json!({
                "apiVersion": "observer.dev/v1alpha1", "kind": "ServiceGraph",
                "metadata": {"name": format!("graph-{number}")}, "spec": {"governs": "namespace"},
            }),
        )?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while cluster.get(&path)?["status"].is_null() {
            ensure!(Instant::now() < deadline, "no status");
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(pause);
    }
    Ok(())
}

#[test]
fn each_right_of_the_manifests_roles_is_used_and_no_other_is_asked_for() -> Result<()> {
    let mut used = BTreeSet::new();
    // An API server that streams lists, and one that does not.
    for streams in [true, false] {
        let gate = format!("--feature-gates=WatchList={streams}");
        let scene = Scene::with(|control_plane| control_plane.audit().flag(&gate))?;
        if !streams {
            // The other one has none.
            for foreign in FOREIGN {
                scene.control_plane.cluster().create(CRDS, &crd(foreign))?;
            }
        }
        let daemon = scene.daemon()?.start(&scene.node)?;
        if !streams {
            write_statuses(scene.control_plane.cluster())?;
        }
        let watches = allowed()?.into_iter().filter(|[.., verb]| verb == "watch");
        let resources: BTreeSet<String> = watches.map(|[_, resource, _]| resource).collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = asked(&scene.control_plane.audit_log()?)?;
            let watched =
                |resource: &String| asked.iter().any(|[_, of, verb]| of == resource && verb == "watch");
            if resources.iter().all(watched) || Instant::now() > deadline {
                break;
            }
            thread::sleep(Duration::from_millis(200));
        }
        drop(daemon);
        used.extend(asked(&scene.control_plane.audit_log()?)?);
    }
    let unused: Vec<_> = allowed()?.difference(&used).cloned().collect();
    assert!(unused.is_empty(), "the role allows what is never asked for: {unused:?}");
    let beyond: Vec<_> =
        used.difference(&allowed()?).filter(|[_, resource, _]| !resource.is_empty()).cloned().collect();
    assert!(beyond.is_empty(), "allowed by another role than the manifest's: {beyond:?}");
    Ok(())
}

#[test]
fn a_resource_that_is_refused_is_told_by_metric_log_and_doctor_and_the_rest_goes_on() -> Result<()> {
    let scene = Scene::start()?;
    scene.install(&["services"])?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    frontend.run_ok(["curl", "-sS", &format!("http://{}:8080/", orders.ip4)])?;
    daemon.wait_final("shop/frontend", "shop/orders")?;
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.metric("observer_watch_up", &["resource=\"services\""])?, 0.0);
    assert_eq!(daemon.metric("observer_watch_up", &["resource=\"pods\""])?, 1.0);
    assert!(daemon.log().contains("services is forbidden"), "{}", daemon.log());

    let doctor = Command::new(release_binary()?)
        .args(["doctor", "-o", "json", "--cgroup-root"])
        .arg(scene.node.cgroup_root())
        .env("KUBECONFIG", scene.kubeconfig()?)
        .output()?;
    let report: Value = serde_json::from_slice(&doctor.stdout)?;
    let checks = report["checks"].as_array().context("checks")?;
    let role: Vec<&Value> = checks.iter().filter(|check| check["name"] == "cluster-role").collect();
    assert_eq!(role.len(), 1, "{report:#}");
    assert_eq!(role[0]["detail"], "may not list and watch services");
    assert_eq!(role[0]["state"], "degraded");
    assert!(checks.iter().any(|check| check["name"] == "token-keys" && check["state"] == "ok"), "{report:#}");
    Ok(())
}

#[test]
fn an_expired_token_is_said_to_be_one_and_observation_goes_on() -> Result<()> {
    let scene = Scene::start()?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    // To the API server a token that it did not sign is as good as one that has expired.
    let token = scene.control_plane.cluster().token("observer", "observer", None, &[])?;
    let (signed, _) = token.rsplit_once('.').context("no JWT")?;
    let kubeconfig = scene.control_plane.kubeconfig("expired", &format!("{signed}.AAAA"))?;
    let daemon =
        observer_integration::Daemon::builder().kubeconfig(&kubeconfig).unready().start(&scene.node)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !daemon.log().contains("does not take these credentials (401)") {
        ensure!(Instant::now() < deadline, "{}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
    frontend.run_ok(["curl", "-sS", &format!("http://{}:8080/", orders.ip4)])?;
    daemon.wait_for("the call", |record| record["final"] == true && record["server"]["port"] == 8080)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while daemon.metric("observer_identity_lag_seconds", &[])? == 0.0 {
        ensure!(Instant::now() < deadline, "nothing lags");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(daemon.metric("observer_watch_up", &[])?, 0.0);
    assert!(!daemon.log().contains(signed), "the log has the token");
    Ok(())
}

#[test]
fn a_kubeconfig_that_is_missing_ends_it_with_one_line_that_says_so() -> Result<()> {
    let output = Command::new(release_binary()?)
        .args(["run", "--socket", "/nowhere"])
        .env("KUBECONFIG", "/nowhere/kubeconfig")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nowhere/kubeconfig") && said.contains("--inventory"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    Ok(())
}
