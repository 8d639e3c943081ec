//! `observer graph diff --prometheus`: of what all observers of a cluster saw, as a real Prometheus has it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::Daemon;
use observer_integration::wire::{self, Manners, Step};
use observer_monitoring::{Prometheus, Scraped};
use serde_json::Value;

const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  edges:
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080, 9999]}
    - {from: {serviceAccount: web}, to: {serviceAccount: payments}, ports: [8080]}
";

struct Node {
    daemon: Daemon,
    payments: Pod,
    client: Pod,
    _server: Process,
    _node: SimNode,
}

impl Node {
    fn new(client: &str) -> Result<Self> {
        let node = SimNode::builder().start()?;
        let payments = node.pod("shop", "payments").start()?;
        let client = node.pod("shop", client).start()?;
        let server = wire::listen(&payments, &[(8080, Manners::Answer), (8081, Manners::Answer)])?;
        let daemon = Daemon::builder().graph(GRAPH).start(&node)?;
        Ok(Self { daemon, payments, client, _server: server, _node: node })
    }

    fn call(&self, port: u16) -> Result<()> {
        let ip = self.payments.ip4.to_string();
        wire::talk(&self.client, &ip, port, &[Step::Send(wire::get(&[]).as_bytes()), Step::Hear])
    }
}

#[test]
fn what_one_node_saw_is_not_stale_for_the_cluster_and_what_any_saw_undeclared_is_told() -> Result<()> {
    let (one, two) = (Node::new("orders")?, Node::new("web")?);
    let prometheus = Prometheus::start(&[
        Scraped { job: "observer", address: one.daemon.address(), labels: &[("node", "one")] },
        Scraped { job: "observer-two", address: two.daemon.address(), labels: &[("node", "two")] },
    ])?;
    one.call(8080)?;
    two.call(8080)?;
    two.call(8081)?;
    let url = format!("http://{}", prometheus.address());
    let wanted = ["undeclared shop/web shop/payments [8081]", "stale shop/orders shop/payments [9999]"];
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let output =
            one.daemon.ask(&["graph", "diff", "--prometheus", &url, "--since", "1h", "-o", "json"])?;
        let text = String::from_utf8(output.stdout)?;
        let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let short: Vec<String> = rows
            .iter()
            .map(|row| {
                let of = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                format!("{} {} {} {}", of("difference"), of("client"), of("server"), row["ports"])
            })
            .collect();
        if short == wanted {
            ensure!(output.status.code() == Some(1), "{}", output.status);
            let last = rows.first().context("a row")?["last_seen"].as_str().unwrap_or_default();
            ensure!(last.starts_with("20"), "{text}");
            break;
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(Instant::now() < deadline, "{text}\n{why}\n{}", prometheus.log());
        thread::sleep(Duration::from_millis(500));
    }
    // Alone, the node knows nothing of the other's.
    let alone = one.daemon.ask(&["graph", "diff"])?;
    let text = String::from_utf8(alone.stdout)?;
    ensure!(text.contains("shop/web") && !text.contains("undeclared"), "{text}");
    // Nobody there, and a Prometheus that is none.
    let nobody = one.daemon.ask(&["graph", "diff", "--prometheus", "http://127.0.0.1:1"])?;
    ensure!(nobody.status.code() == Some(1) && nobody.stdout.is_empty(), "{nobody:?}");
    let other = format!("http://{}", one.daemon.address());
    let other = one.daemon.ask(&["graph", "diff", "--prometheus", &other])?;
    ensure!(String::from_utf8_lossy(&other.stderr).contains("no Prometheus does"), "{other:?}");
    Ok(())
}
