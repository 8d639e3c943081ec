//! Pods that lie about who they are, or send as much as they can. Each has root in its own network namespace.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::hostile::{Packet, by_hand, udp_scan};
use observer_integration::servers::{python, python_server};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, TokenIssuer, proven};
use serde_json::Value;

const ISSUER: &str = "https://issuer.test";
const HTTP: u16 = 8080;
const UDP: u16 = 5000;
/// What tables may take at most, all together, beyond what a quiet daemon has.
const MAY_GROW: u64 = 64 << 20;
/// Longer than a record takes.
const A_WHILE: Duration = Duration::from_millis(2500);

const UDP_SINK: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', int(sys.argv[1])))
while True:
    s.recvfrom(65536)
";

const SEND: &str = "
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'own', (sys.argv[1], int(sys.argv[2])))
";

/// Everybody who is governed by it, and not named, is unexpected.
const GRAPH: &str = "
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: namespace
  edges: [{from: {serviceAccount: friend}, to: {serviceAccount: payments}}]
";

struct Scene {
    daemon: Daemon,
    /// Whose name is abused.
    victim: Pod,
    attacker: Pod,
    /// Who does as it should.
    friend: Pod,
    server: Pod,
    issuer: TokenIssuer,
    _servers: [Process; 2],
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let issuer = TokenIssuer::new(ISSUER)?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "payments").start()?;
        let victim = node.pod("shop", "victim").start()?;
        let attacker = node.pod("shop", "attacker").start()?;
        let friend = node.pod("shop", "friend").start()?;
        let servers = [
            wire::listen(&server, &[(HTTP, Manners::Answer)])?,
            python_server(&server, UDP, UDP_SINK, &[&UDP.to_string()])?,
        ];
        let daemon = Daemon::builder().graph(GRAPH).arguments(issuer.arguments()).start(&node)?;
        Ok(Self { daemon, victim, attacker, friend, server, issuer, _servers: servers, _node: node })
    }

    fn call(&self, client: &Pod, headers: &[(&str, &str)]) -> Result<()> {
        let request = wire::get(headers);
        let steps = [Step::Send(request.as_bytes()), Step::Hear];
        wire::talk(client, &self.server.ip4.to_string(), HTTP, &steps)
    }

    /// Whatever is said with the victim as client.
    fn accusations(&self) -> Result<Vec<Value>> {
        let mut records = self.daemon.records()?;
        records.retain(|record| record["client"]["principal"] == "shop/victim");
        Ok(records)
    }

    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Counted as it was told: `requests` of the friend, all without a credential.
    fn counts_the_friend(&self, requests: usize) -> Result<()> {
        let labels = ["client_service_account=\"friend\"", "authentication=\"none\""];
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let counted = self.daemon.metric("observer_requests_total", &labels)?;
            if counted == requests as f64 {
                break;
            }
            ensure!(Instant::now() < deadline, "{counted} of {requests} requests: {}", self.daemon.log());
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(500));
        ensure!(self.daemon.metric("observer_requests_total", &labels)? == requests as f64);
        Ok(())
    }

    /// Requests of the friend beside what `attack` does; says how many it made.
    fn beside<T: Send>(&self, attack: impl FnOnce() -> Result<T> + Send) -> Result<(usize, T)> {
        thread::scope(|scope| {
            let attack = scope.spawn(attack);
            let mut calls = 0;
            while calls < 20 || !attack.is_finished() {
                self.call(&self.friend, &[])?;
                calls += 1;
            }
            let done = attack.join().map_err(|_| anyhow::anyhow!("the attack died"))??;
            Ok((calls, done))
        })
    }

    fn is_well(&self) -> Result<()> {
        let health = self.daemon.get("/healthz")?;
        ensure!(health.starts_with("HTTP/1.1 200"), "{health}\n{}", self.daemon.log());
        ensure!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
        Ok(())
    }
}

#[test]
fn a_datagram_under_a_pods_address_is_nobodys_finding() -> Result<()> {
    let scene = Scene::new()?;
    let (victim, server) = (scene.victim.ip4, scene.server.ip4);
    by_hand(&scene.attacker, Packet::Udp(b"spoofed"), (victim, 40_000), (server, UDP), 3)?;
    let record = scene.daemon.wait_for("of the datagrams", |record| record["transport"] == "udp")?;
    eprintln!("{record:#}");
    thread::sleep(A_WHILE);
    let accused = scene.accusations()?;
    ensure!(accused.is_empty(), "the victim is accused: {accused:#?}");
    assert_eq!(record["client"]["principal"], "unknown", "{record:#}");
    assert_eq!(record["client"]["reason"], "sender-unseen", "{record:#}");
    assert_eq!(record["declaration"]["status"], "unevaluable", "{record:#}");
    ensure!(record["findings"].as_array().is_none_or(Vec::is_empty), "{record:#}");
    // The victim's own datagrams are its own.
    scene.victim.run_ok(python(SEND, &[&server.to_string(), &UDP.to_string()]))?;
    let own = |record: &Value| record["client"]["principal"] == "shop/victim" && record["transport"] == "udp";
    let record = scene.daemon.wait_for("of the victim's own datagram", own)?;
    assert_eq!(record["declaration"]["status"], "unexpected", "{record:#}");
    scene.is_well()?;
    proven!(
        Input,
        "datagrams under the address of another pod of the node",
        "client unknown (sender-unseen), no finding; the pod's own datagram is its own"
    );
    Ok(())
}

#[test]
fn segments_of_no_connection_accuse_nobody() -> Result<()> {
    let scene = Scene::new()?;
    let token =
        scene.issuer.bound(&scene.victim, &Claims { audiences: vec!["shop".into()], expires_in: 600 })?;
    let forged = wire::get(&[("Authorization", &format!("Bearer {token}"))]);
    let (victim, server) = (scene.victim.ip4, scene.server.ip4);
    let sent =
        by_hand(&scene.attacker, Packet::Data(forged.as_bytes()), (victim, 41_000), (server, HTTP), 50)?;
    ensure!(sent == 50, "the kernel took {sent}");
    thread::sleep(A_WHILE);
    let accused = scene.accusations()?;
    ensure!(accused.is_empty(), "the victim is accused: {accused:#?}");
    // Not even where the victim itself then speaks from that port.
    let words = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "--local-port",
        "41000",
        "--max-time",
        "5",
        &format!("http://{server}:{HTTP}/"),
    ];
    scene.victim.run_ok(words)?;
    let record = scene.daemon.wait_final("shop/victim", "shop/payments")?;
    assert_eq!(record["requests"]["total"], 1, "{record:#}");
    assert_eq!(record["authentication"]["status"], "none", "{record:#}");
    assert_eq!(record["requests"]["none"], 1, "{record:#}");
    scene.is_well()?;
    proven!(
        Input,
        "50 forged TCP segments with a stolen token, under another pod's address and port",
        "no record names the pod; its own connection from that port has 1 request, none with a credential"
    );
    Ok(())
}

#[test]
fn a_stolen_token_is_its_bearers_finding_and_not_its_owners() -> Result<()> {
    let scene = Scene::new()?;
    let token =
        scene.issuer.bound(&scene.victim, &Claims { audiences: vec!["shop".into()], expires_in: 600 })?;
    scene.call(&scene.attacker, &[("Authorization", &format!("Bearer {token}"))])?;
    let record = scene.daemon.wait_final("shop/attacker", "shop/payments")?;
    let findings = record["findings"].as_array().cloned().unwrap_or_default();
    ensure!(findings.iter().any(|finding| finding == "identity-mismatch"), "{record:#}");
    assert_eq!(record["authentication"]["token"]["service_account"], "shop/victim", "{record:#}");
    assert_eq!(record["authentication"]["status"], "verified", "{record:#}");
    ensure!(scene.accusations()?.is_empty());
    let victim = ["client_service_account=\"victim\""];
    for metric in ["observer_findings_total", "observer_flows_total"] {
        assert_eq!(scene.daemon.metric(metric, &victim)?, 0.0, "{metric}");
    }
    proven!(
        Input,
        "a token of another pod",
        "identity-mismatch of who sent it; nothing counted for its owner"
    );
    Ok(())
}

#[test]
fn a_syn_flood_under_false_addresses_leaves_other_edges_counted_and_memory_bounded() -> Result<()> {
    let scene = Scene::new()?;
    scene.call(&scene.friend, &[])?;
    let before = scene.memory()?;
    let (server, own) = (scene.server.ip4, scene.attacker.ip4);
    let (calls, sent) =
        scene.beside(|| by_hand(&scene.attacker, Packet::Syn, (own, 1), (server, HTTP), 60_000))?;
    eprintln!("{sent} SYNs beside {calls} calls");
    ensure!(sent > 50_000, "the kernel took {sent}");
    scene.counts_the_friend(calls + 1)?;
    let grown = scene.memory()?.saturating_sub(before);
    eprintln!("{} KiB more", grown >> 10);
    ensure!(grown < MAY_GROW, "{grown} bytes more");
    // Half a handshake is no flow.
    let others = scene.daemon.metric("observer_flows_total", &[])?
        - scene.daemon.metric("observer_flows_total", &["client_service_account=\"friend\""])?;
    assert_eq!(others, 0.0, "flows of nobody: {}", scene.daemon.get("/metrics")?);
    scene.is_well()?;
    proven!(
        Input,
        "SYN flood under addresses by chance",
        "{sent} SYNs; {calls} of {calls} requests beside it counted; {} KiB more memory; no flow of nobody",
        grown >> 10
    );
    Ok(())
}

#[test]
fn a_udp_scan_fills_a_bounded_table_is_counted_and_leaves_other_edges_exact() -> Result<()> {
    let scene = Scene::new()?;
    scene.call(&scene.friend, &[])?;
    let before = scene.memory()?;
    let server = scene.server.ip4;
    let (calls, sent) = scene.beside(|| udp_scan(&scene.attacker, server, 60_000))?;
    eprintln!("{sent} datagrams beside {calls} calls");
    ensure!(sent > 40_000, "the kernel took {sent}");
    scene.counts_the_friend(calls + 1)?;
    // The kernel's table has 16,384 places: the rest is counted as lost.
    let lost = scene.daemon.metric("observer_lost_events_total", &["stage=\"kernel_conversation\""])?;
    let kept = scene.daemon.metric("observer_flows_total", &["transport=\"udp\""])?;
    eprintln!("{lost} lost, {kept} kept");
    let grown = scene.memory()?.saturating_sub(before);
    eprintln!("{} KiB more", grown >> 10);
    ensure!(grown < MAY_GROW, "{grown} bytes more");
    ensure!(lost + kept > 0.0, "{}", scene.daemon.get("/metrics")?);
    scene.is_well()?;
    proven!(
        Input,
        "UDP scan of 60,000 ports",
        "{sent} datagrams, {lost} counted as lost; {calls} of {calls} requests beside it counted; {} KiB more memory",
        grown >> 10
    );
    Ok(())
}
