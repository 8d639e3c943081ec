//! What the edges of a ServiceGraph ask for, and what its exceptions leave out.

use anyhow::{Result, ensure};
use observer_harness::{Pod, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, TokenIssuer};
use serde_json::Value;

const ISSUER: &str = "https://kubernetes.default.svc";

const GRAPH: &str = r#"
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  edges:
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080], audiences: [payments]}
    - {from: {serviceAccount: reports}, to: {serviceAccount: payments}, encryption: optional, authentication: optional}
    - {from: {serviceAccount: legacy}, to: {serviceAccount: payments}}
    - {from: {serviceAccount: late}, to: {serviceAccount: payments}}
  exceptions:
    - {finding: unencrypted, from: {serviceAccount: legacy}, reason: migration, until: "2099-01-01T00:00:00Z"}
    - {finding: unencrypted, from: {serviceAccount: late}, reason: forgotten, until: "2020-01-01T00:00:00Z"}
"#;

fn findings(record: &Value) -> Vec<&str> {
    record["findings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn an_edge_asks_for_audiences_does_without_visibly_and_its_exceptions_end() -> Result<()> {
    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").start()?;
    let [orders, reports, legacy, late] =
        ["orders", "reports", "legacy", "late"].map(|name| node.pod("shop", name).start());
    let (orders, reports, legacy, late) = (orders?, reports?, legacy?, late?);
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let issuer = TokenIssuer::new(ISSUER)?;
    let daemon = Daemon::builder().graph(GRAPH).arguments(issuer.arguments()).start(&node)?;
    let host = payments.ip4.to_string();
    let call = |client: &Pod, token: Option<&str>| -> Result<()> {
        let value = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            value.iter().map(|value| ("Authorization", value.as_str())).collect();
        let head = wire::get(&headers);
        wire::talk(client, &host, 8080, &[Step::Send(head.as_bytes()), Step::Hear])
    };

    let token = |audience: &str| {
        issuer.bound(&orders, &Claims { audiences: vec![audience.to_owned()], expires_in: 3600 })
    };
    call(&orders, Some(&token("elsewhere")?))?;
    let record = daemon.wait_final("shop/orders", "shop/payments")?;
    assert_eq!(findings(&record), ["unencrypted", "credential-in-cleartext", "wrong-audience"], "{record:#}");
    assert_eq!(record["declaration"]["source"], "ServiceGraph shop/shop", "{record:#}");
    assert_eq!(record["declaration"]["clause"], "spec.edges[0]", "{record:#}");
    call(&orders, Some(&token("payments")?))?;
    daemon.wait_for("one with the right audience", |record| {
        record["final"] == true
            && record["client"]["principal"] == "shop/orders"
            && findings(record) == ["unencrypted", "credential-in-cleartext"]
    })?;

    call(&reports, None)?;
    let record = daemon.wait_final("shop/reports", "shop/payments")?;
    assert_eq!(findings(&record), [""; 0], "{record:#}");
    call(&legacy, None)?;
    let record = daemon.wait_final("shop/legacy", "shop/payments")?;
    assert_eq!(findings(&record), ["unauthenticated"], "{record:#}");
    call(&late, None)?;
    let record = daemon.wait_final("shop/late", "shop/payments")?;
    assert_eq!(findings(&record), ["unencrypted", "unauthenticated"], "{record:#}");

    for (kind, reason) in [
        ("unencrypted", "declared-optional"),
        ("unauthenticated", "declared-optional"),
        ("unencrypted", "migration"),
    ] {
        let labels = [format!("kind=\"{kind}\""), format!("reason=\"{reason}\"")];
        let counted = daemon.metric("observer_exempted_total", &labels.each_ref().map(String::as_str))?;
        ensure!((counted - 1.0).abs() < f64::EPSILON, "{kind}, {reason}: {counted}");
    }
    for state in ["active", "expired"] {
        let counted = daemon.metric("observer_declared_exceptions", &[&format!("state=\"{state}\"")])?;
        ensure!((counted - 1.0).abs() < f64::EPSILON, "{state}: {counted}");
    }
    Ok(())
}
