//! Thousands of pods come and go while traffic flows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Request;
use kube::Client;
use observer_integration::wire::{self, Manners};
use observer_kubernetes::{Scene, running};
use serde_json::{Value, json};

/// How many come and go; `cargo xtask test --churn` has 20,000 of them.
const PODS: &str = "OBSERVER_CHURN_PODS";
const USUAL: usize = 1_000;
/// Requests at a time.
const AT_ONCE: usize = 24;
/// The daemon's budget, in KiB.
const RSS_ANON: u64 = 96 * 1024;

async fn send(client: &Client, method: &str, path: String, kind: &str, body: &Value) -> Result<()> {
    let body = serde_json::to_vec(body)?;
    let request = Request::builder().method(method).uri(&path).header("content-type", kind).body(body)?;
    client.request_text(request).await.with_context(|| path)?;
    Ok(())
}

/// A pod's whole life: created, started, and deleted unless it stays.
async fn live(client: &Client, number: usize, stays: bool) -> Result<()> {
    let pods = "/api/v1/namespaces/churn/pods";
    let (name, json) = (format!("pod-{number}"), "application/json");
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "churn"}},
        "spec": {
            "serviceAccountName": "default", "nodeName": format!("far-{}", number % 100),
            "containers": [{"name": "main", "image": "example.test/main:1"}],
        },
    });
    send(client, "POST", pods.to_owned(), json, &pod).await?;
    let [_, high, low, _] = u32::try_from(number % 16_000).unwrap_or_default().to_be_bytes().map(u32::from);
    let ip = format!("100.{}.{}.{}", 64 + high, low, number % 250 + 1);
    let status = running(&[&ip]);
    send(client, "PATCH", format!("{pods}/{name}/status"), "application/merge-patch+json", &status).await?;
    if !stays {
        send(client, "DELETE", format!("{pods}/{name}"), json, &json!({"gracePeriodSeconds": 0})).await?;
    }
    Ok(())
}

fn rss_anon(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    line.split_whitespace().next().context("RssAnon")?.parse().context("RssAnon")
}

#[test]
fn pods_that_come_and_go_by_the_thousand_cost_no_flow_and_little_memory() -> Result<()> {
    let total = std::env::var(PODS).ok().map_or(Ok(USUAL), |text| text.parse()).context(PODS)?;
    let scene = Scene::start()?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let frontend = scene.pod("shop", "frontend", "frontend-0")?;
    let _server = wire::listen(&orders, &[(8080, Manners::Answer)])?;
    let cluster = scene.control_plane.cluster();
    cluster.namespace("churn")?;
    let daemon = scene.daemon()?.start(&scene.node)?;
    let stop = AtomicBool::new(false);
    let url = format!("http://{}:8080/", orders.ip4);
    let stays = |number: usize| number.is_multiple_of(10);
    let kept = (0..total).filter(|number| stays(*number)).count();

    let (calls, lag, took) = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) {
                frontend.run_ok(["curl", "-sS", &url])?;
                calls += 1;
                thread::sleep(Duration::from_millis(50));
            }
            anyhow::Ok(calls)
        });
        let watcher = scope.spawn(|| {
            let mut worst: f64 = 0.0;
            while !stop.load(Ordering::Relaxed) {
                worst = worst.max(daemon.metric("observer_identity_lag_seconds", &[])?);
                thread::sleep(Duration::from_millis(500));
            }
            anyhow::Ok(worst)
        });
        let start = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let churn = cluster.runtime().block_on(async {
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..AT_ONCE {
                let (client, next) = (cluster.client().clone(), next.clone());
                workers.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= total {
                            return anyhow::Ok(());
                        }
                        live(&client, number, number.is_multiple_of(10)).await?;
                    }
                });
            }
            while let Some(worker) = workers.join_next().await {
                worker??;
            }
            anyhow::Ok(())
        });
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        let died = |_| anyhow::anyhow!("a thread died");
        let (calls, lag) = (traffic.join().map_err(died)?, watcher.join().map_err(died)?);
        churn?;
        anyhow::Ok((calls?, lag?, took))
    })?;

    let rss = rss_anon(daemon.pid())?;
    let rate = 3.0 * total as f64 / took.as_secs_f64();
    eprintln!(
        "{total} pods in {took:?}, {rate:.0} changes/s; lag at worst {lag:.2} s; RssAnon {rss} KiB; {calls} calls"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    let told = || daemon.finals("shop/frontend", "shop/orders").map(|finals| finals.len());
    while told()? < calls {
        ensure!(Instant::now() < deadline, "{} of {calls} calls are told by name\n{}", told()?, daemon.log());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(rss <= RSS_ANON, "{rss} KiB");
    assert!(lag < 2.0, "{lag} s");
    assert_eq!(daemon.metric("observer_malformed_objects_total", &[])?, 0.0, "{}", daemon.log());
    // Deleted ones still answer for two minutes.
    let known = daemon.metric("observer_identities", &["kind=\"pod\""])?;
    assert!(known >= (kept + 2) as f64, "{known} pods are known, of {kept}");
    Ok(())
}
