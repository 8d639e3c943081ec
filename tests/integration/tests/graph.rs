//! `observer graph`: what was seen becomes declarations that allow just that, in every format; and what differs is told.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::servers::{Certificate, authority, s_server};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};
use serde_json::Value;

const ISSUER: &str = "https://kubernetes.default.svc";

struct Scene {
    node: SimNode,
    payments: Pod,
    vault: Pod,
    orders: Pod,
    thief: Pod,
    issuer: TokenIssuer,
    certificate: Certificate,
    own: Certificate,
    _servers: Vec<Process>,
}

impl Scene {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let sidecar = |pod: observer_harness::PodBuilder| pod.label("security.istio.io/tlsMode", "istio");
        let payments = node.pod("shop", "payments").deployment("payments").start()?;
        // With certificates alone, as behind a sidecar.
        let vault = sidecar(node.pod("shop", "vault").deployment("vault")).start()?;
        let orders = node.pod("shop", "orders").deployment("orders").start()?;
        let thief = node.pod("shop", "thief").start()?;
        let issuer = TokenIssuer::new(ISSUER)?;
        let certificate = Certificate::new("vault.shop.svc")?;
        let own = Certificate::new("orders")?;
        let mut servers = vec![wire::listen(&payments, &[(8080, Manners::Answer), (8081, Manners::Answer)])?];
        let asks = ["-Verify", "1", "-tls1_2", "-www"];
        servers.extend(s_server(&vault, 8443, &certificate, &asks)?);
        Ok(Self { node, payments, vault, orders, thief, issuer, certificate, own, _servers: servers })
    }

    fn daemon(&self, graph: Option<&str>) -> Result<Daemon> {
        let mut builder = Daemon::builder().arguments(self.issuer.arguments());
        if let Some(graph) = graph {
            builder = builder.graph(graph);
        }
        builder.start(&self.node)
    }

    /// What orders does every day: in clear, and with certificates.
    fn traffic(&self, daemon: &Daemon) -> Result<()> {
        let token = self.issuer.bound(&self.orders, &claims())?;
        let ip = self.payments.ip4.to_string();
        for (port, head) in [
            (8080, wire::get(&[("Authorization", &format!("Bearer {token}"))])),
            (8080, wire::get(&[])),
            (8081, wire::get(&[])),
        ] {
            wire::talk(&self.orders, &ip, port, &[Step::Send(head.as_bytes()), Step::Hear])?;
        }
        let to = authority(self.vault.ip4, 8443);
        let mut line: Vec<String> =
            ["curl", "-sSk", "--tlsv1.2", "--tls-max", "1.2"].map(str::to_owned).into();
        line.extend(["--cert".to_owned(), self.own.certificate.display().to_string()]);
        line.extend(["--key".to_owned(), self.own.key.display().to_string(), format!("https://{to}/")]);
        self.orders.run_ok(&line)?;
        // The server of s_client's other family is not called, but its certificate is used.
        let _ = &self.certificate;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (payments, vault) =
                (daemon.finals("shop/orders", "shop/payments")?, daemon.finals("shop/orders", "shop/vault")?);
            if payments.len() >= 3 && !vault.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{}\n{}", daemon.stdout(), daemon.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Somebody else's token.
    fn theft(&self, daemon: &Daemon) -> Result<()> {
        let token = self.issuer.bound(&self.orders, &claims())?;
        let head = wire::get(&[("Authorization", &format!("Bearer {token}"))]);
        let ip = self.payments.ip4.to_string();
        wire::talk(&self.thief, &ip, 8080, &[Step::Send(head.as_bytes()), Step::Hear])?;
        daemon.wait_final("shop/thief", "shop/payments")?;
        Ok(())
    }
}

fn claims() -> Claims {
    Claims { audiences: vec![ISSUER.to_owned()], expires_in: 3600 }
}

/// stdout of a command that asks the daemon, and its exit code.
fn said(daemon: &Daemon, arguments: &[&str]) -> Result<(String, Option<i32>)> {
    let output = daemon.ask(arguments)?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(!text.is_empty() || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((text, output.status.code()))
}

fn statuses(daemon: &Daemon, server: &str) -> Result<Vec<String>> {
    let finals = daemon.finals("shop/orders", server)?;
    Ok(finals
        .iter()
        .map(|record| record["declaration"]["status"].as_str().unwrap_or_default().to_owned())
        .collect())
}

#[test]
fn exported_and_loaded_again_every_format_expects_the_same_traffic_and_nothing_else() -> Result<()> {
    let scene = Scene::new()?;
    let learner = scene.daemon(None)?;
    scene.traffic(&learner)?;
    scene.theft(&learner)?;
    // What each allows; a NetworkPolicy knows no certificates, and Istio's no callers without them.
    for (format, payments, vault) in [
        ("servicegraph", "allowed", "allowed"),
        ("networkpolicy", "allowed", "allowed"),
        ("authorizationpolicy", "ungoverned", "allowed"),
    ] {
        let (text, code) = said(&learner, &["graph", "export", "--format", format])?;
        ensure!(code == Some(1), "the thief's calls are left out, which is told: {code:?}\n{text}");
        ensure!(text.contains("shop/thief -> shop/payments 8080/tcp: identity-mismatch"), "{text}");
        ensure!(
            text == said(&learner, &["graph", "export", "--format", format])?.0,
            "{format} is not stable"
        );
        let judge = scene.daemon(Some(&text)).with_context(|| text.clone())?;
        scene.traffic(&judge)?;
        let found = (statuses(&judge, "shop/payments")?, statuses(&judge, "shop/vault")?);
        ensure!(found.0.iter().all(|status| status == payments), "{format}: {found:?}\n{text}");
        ensure!(found.1.iter().all(|status| status == vault), "{format}: {found:?}\n{text}");
        if payments == "allowed" {
            scene.theft(&judge)?;
            let theft = judge.wait_final("shop/thief", "shop/payments")?;
            ensure!(theft["declaration"]["status"] == "unexpected", "{format}: {theft}\n{text}");
        }
        // Nothing was silenced: plaintext and missing credentials are still found.
        let finals = judge.finals("shop/orders", "shop/payments")?;
        for kind in ["unencrypted", "unauthenticated", "credential-in-cleartext"] {
            ensure!(
                finals.iter().any(|one| one["findings"].to_string().contains(kind)),
                "{kind}: {finals:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn diff_tells_what_is_declared_and_silent_and_what_speaks_undeclared() -> Result<()> {
    const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  edges:
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080, 9999]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: vault}}
    - {from: {serviceAccount: cart}, to: {serviceAccount: payments}}
";
    let scene = Scene::new()?;
    let daemon = scene.daemon(Some(GRAPH))?;
    scene.traffic(&daemon)?;
    let (text, code) = said(&daemon, &["graph", "diff", "-o", "json"])?;
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let short: Vec<String> = rows
        .iter()
        .map(|row| {
            let of = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {}", of("difference"), of("client"), of("server"), row["ports"])
        })
        .collect();
    ensure!(
        short
            == [
                "undeclared shop/orders shop/payments [8081]",
                "stale shop/cart shop/payments []",
                "stale shop/orders shop/payments [9999]",
            ],
        "{text}"
    );
    ensure!(code == Some(1), "{code:?}");
    // Against a file that says just what is done, there is no difference.
    let (exported, _) = said(&daemon, &["graph", "export"])?;
    let directory = Directory::new()?;
    let file = directory.write("exported.yaml", exported)?;
    let path = file.to_str().context("a path in UTF-8")?;
    let (text, code) = said(&daemon, &["graph", "diff", "--graph", path, "-o", "json"])?;
    ensure!(text.is_empty() && code == Some(0), "{code:?} {text}");
    Ok(())
}
