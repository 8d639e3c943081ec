//! The whole line: a kernel event becomes a record with the right verdicts.

use std::process::Command;

use anyhow::Result;
use observer_harness::SimNode;
use observer_integration::{Claims, Daemon, TokenIssuer};
use serde_json::json;

fn http_server(port: u16) -> Command {
    let mut server = Command::new("python3");
    server.args([
        "-m",
        "http.server",
        &port.to_string(),
        "--bind",
        "::",
        "--directory",
        "/usr/share/common-licenses",
    ]);
    server
}

#[test]
fn a_request_without_a_credential_is_one_record_with_its_findings() -> Result<()> {
    let node = SimNode::builder().start()?;
    let orders = node.pod("shop", "orders").deployment("orders").start()?;
    let frontend = node.pod("shop", "frontend").deployment("frontend").start()?;
    let _server = orders.spawn(http_server(8080))?;
    orders.wait_listening(8080)?;
    let daemon = Daemon::start(&node)?;
    frontend.run_ok(["curl", "-sS", &format!("http://{}:8080/", orders.ip4)])?;
    let record = daemon.wait_final("shop/frontend", "shop/orders")?;
    eprintln!("{record:#}");
    assert_eq!(record["reporter"], "server");
    assert_eq!(record["encryption"]["status"], "plaintext");
    assert_eq!(record["findings"], json!(["unencrypted", "unauthenticated"]));
    Ok(())
}

#[test]
fn a_token_in_cleartext_is_verified_and_named() -> Result<()> {
    let issuer = TokenIssuer::new("https://kubernetes.default.svc.cluster.local")?;
    let node = SimNode::builder().start()?;
    let receiver = node.pod("server-ns", "default").deployment("receiver").start()?;
    let curl = node.pod("client-ns", "curl-sa").start()?;
    let service = node.service("server-ns", "receiver-svc").port(80, 8080).backend(&receiver).start()?;
    let _server = receiver.spawn(http_server(8080))?;
    receiver.wait_listening(8080)?;
    let token = issuer.bound(&curl, &Claims { audiences: vec![issuer.url.clone()], expires_in: 3600 })?;
    let header = issuer.header_file("header", &token)?;
    let daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;
    curl.run_ok([
        "curl",
        "-sS",
        "-H",
        &format!("@{}", header.display()),
        &format!("http://{}/", service.cluster_ip),
    ])?;
    let record = daemon.wait_final("client-ns/curl-sa", "server-ns/default")?;
    eprintln!("{record:#}");
    assert_eq!(record["authentication"]["status"], "verified");
    assert_eq!(record["server"]["service"], "receiver-svc");
    assert_eq!(
        record["findings"],
        json!(["unencrypted", "credential-in-cleartext", "api-audience-token", "default-service-account"])
    );
    Ok(())
}
