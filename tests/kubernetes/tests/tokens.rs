//! Tokens of a real API server, sent by curl from pod to pod.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process};
use observer_integration::wire::{self, Manners};
use observer_integration::{Daemon, Directory};
use observer_kubernetes::{Scene, header_file};
use serde_json::{Value, json};

/// `client-ns/curl-sa` and `receiver-svc.server-ns`, whose pods run as `default`.
struct Shop {
    scene: Scene,
    curl: Pod,
    receiver: Pod,
    url: String,
    directory: Directory,
    _server: Process,
}

impl Shop {
    fn open() -> Result<Self> {
        let scene = Scene::start()?;
        let receiver = scene.pod("server-ns", "default", "receiver-0")?;
        let curl = scene.pod("client-ns", "curl-sa", "curl-0")?;
        let service = scene.node.service("server-ns", "receiver-svc").port(80, 8080).backend(&receiver);
        let service = scene.service(service)?;
        let server = wire::listen(&receiver, &[(8080, Manners::Answer)])?;
        let url = format!("http://{}/", service.cluster_ip);
        Ok(Self { scene, curl, receiver, url, directory: Directory::new()?, _server: server })
    }

    /// A token for the API server, as `kubectl create token` gets it, bound to the pod.
    fn token(&self, pod: &Pod) -> Result<PathBuf> {
        let cluster = self.scene.control_plane.cluster();
        let bound = Some((pod.name.as_str(), pod.uid.as_str()));
        let token = cluster.token(&pod.namespace, &pod.service_account, bound, &[])?;
        header_file(self.directory.path(), &format!("header-{}", pod.name), &token)
    }

    fn call(&self, from: &Pod, header: &Path) -> Result<String> {
        from.run_ok(["curl", "-sS", "-H", &format!("@{}", header.display()), &self.url])
    }

    /// The first record of a request that was judged `status` by now.
    fn judged(&self, daemon: &Daemon, client: &str, status: &str) -> Result<Value> {
        daemon.wait_for(&format!("{client} {status}"), |record| {
            record["final"] == true
                && record["client"]["principal"] == client
                && record["authentication"]["status"] == status
        })
    }
}

/// Keys come from the API server within a second of the start.
fn wait_for_keys(daemon: &Daemon) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !daemon.log().contains("keys of an issuer") {
        ensure!(Instant::now() < deadline, "no keys:\n{}", daemon.log());
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(100));
    Ok(())
}

#[test]
fn a_token_of_the_api_server_sent_in_cleartext_is_verified_and_what_is_wrong_with_it_said() -> Result<()> {
    let shop = Shop::open()?;
    let header = shop.token(&shop.curl)?;
    let daemon = shop.scene.daemon()?.start(&shop.scene.node)?;
    wait_for_keys(&daemon)?;
    shop.call(&shop.curl, &header)?;
    let record = daemon.wait_final("client-ns/curl-sa", "server-ns/default")?;
    eprintln!("{record:#}");
    assert_eq!(record["authentication"]["status"], "verified");
    let token = &record["authentication"]["token"];
    assert_eq!(token["kind"], "bound");
    assert_eq!(token["service_account"], "client-ns/curl-sa");
    assert_eq!(token["pod_uid"], shop.curl.uid);
    assert_eq!(token["issuer"], observer_kubernetes::ISSUER);
    assert_eq!(record["server"]["service"], "receiver-svc");
    assert_eq!(record["server"]["pod"], shop.receiver.name);
    assert_eq!(
        record["findings"],
        json!(["unencrypted", "credential-in-cleartext", "api-audience-token", "default-service-account"])
    );
    Ok(())
}

#[test]
fn the_same_token_sent_by_another_pod_is_replayed() -> Result<()> {
    let shop = Shop::open()?;
    let header = shop.token(&shop.curl)?;
    let thief = shop.scene.pod("client-ns", "other-sa", "thief-0")?;
    let daemon = shop.scene.daemon()?.start(&shop.scene.node)?;
    wait_for_keys(&daemon)?;
    shop.call(&thief, &header)?;
    let record = shop.judged(&daemon, "client-ns/other-sa", "verified")?;
    eprintln!("{record:#}");
    assert_eq!(record["authentication"]["reason"], "replayed");
    let findings = record["findings"].as_array().context("findings")?;
    assert!(findings.contains(&json!("identity-mismatch")), "{findings:?}");
    assert_eq!(record["authentication"]["token"]["service_account"], "client-ns/curl-sa");
    Ok(())
}

#[test]
fn a_token_for_somebody_else_is_no_api_audience_token() -> Result<()> {
    let shop = Shop::open()?;
    let cluster = shop.scene.control_plane.cluster();
    let token = cluster.token("client-ns", "curl-sa", None, &["payments"])?;
    let header = header_file(shop.directory.path(), "header", &token)?;
    let daemon = shop.scene.daemon()?.start(&shop.scene.node)?;
    wait_for_keys(&daemon)?;
    shop.call(&shop.curl, &header)?;
    let record = shop.judged(&daemon, "client-ns/curl-sa", "verified")?;
    assert_eq!(record["authentication"]["token"]["audiences"], json!(["payments"]));
    let findings = record["findings"].as_array().context("findings")?;
    assert!(!findings.contains(&json!("api-audience-token")), "{findings:?}");
    assert!(findings.contains(&json!("credential-in-cleartext")), "{findings:?}");
    Ok(())
}

#[test]
fn a_token_of_a_new_signing_key_is_unverified_once_and_then_verified() -> Result<()> {
    let mut shop = Shop::open()?;
    let old = shop.token(&shop.curl)?;
    let new = shop.scene.pod("client-ns", "new-sa", "new-0")?;
    let daemon = shop.scene.daemon()?.start(&shop.scene.node)?;
    wait_for_keys(&daemon)?;
    shop.call(&shop.curl, &old)?;
    shop.judged(&daemon, "client-ns/curl-sa", "verified")?;

    shop.scene.control_plane.rotate_signing_key()?;
    shop.scene.control_plane.kill_apiserver();
    shop.scene.control_plane.start_apiserver()?;
    let header = shop.token(&new)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        shop.call(&new, &header)?;
        thread::sleep(Duration::from_millis(300));
        let calls = daemon.finals("client-ns/new-sa", "server-ns/default")?;
        let status = |record: &Value| record["authentication"]["status"].as_str().unwrap_or("").to_owned();
        if calls.last().is_some_and(|record| status(record) == "verified") {
            let first = calls.first().context("no call")?;
            assert_eq!(status(first), "present", "{first:#}");
            assert_eq!(first["authentication"]["reason"], "unverified");
            break;
        }
        ensure!(Instant::now() < deadline, "{calls:#?}\n{}", daemon.log());
    }
    // The old key still counts.
    shop.call(&shop.curl, &old)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while daemon.finals("client-ns/curl-sa", "server-ns/default")?.len() < 2 {
        ensure!(Instant::now() < deadline, "the second call is not told");
        thread::sleep(Duration::from_millis(50));
    }
    let calls = daemon.finals("client-ns/curl-sa", "server-ns/default")?;
    assert!(calls.iter().all(|record| record["authentication"]["status"] == "verified"), "{calls:#?}");
    Ok(())
}

#[test]
fn the_audiences_of_this_api_server_are_learnt_from_the_observers_own_token() -> Result<()> {
    // As k3s starts its API server.
    let both = format!("--api-audiences={},k3s", observer_kubernetes::ISSUER);
    let scene = Scene::with(|control_plane| control_plane.flag(&both))?;
    let receiver = scene.pod("server-ns", "default", "receiver-0")?;
    let curl = scene.pod("client-ns", "curl-sa", "curl-0")?;
    let _server = wire::listen(&receiver, &[(8080, Manners::Answer)])?;
    let token = scene.control_plane.cluster().token("client-ns", "curl-sa", None, &["k3s"])?;
    let directory = Directory::new()?;
    let header = header_file(directory.path(), "header", &token)?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    wait_for_keys(&daemon)?;
    let url = format!("http://{}:8080/", receiver.ip4);
    curl.run_ok(["curl", "-sS", "-H", &format!("@{}", header.display()), &url])?;
    let record = daemon.wait_final("client-ns/curl-sa", "server-ns/default")?;
    let findings = record["findings"].as_array().context("findings")?;
    assert!(findings.contains(&json!("api-audience-token")), "{record:#}");
    Ok(())
}
