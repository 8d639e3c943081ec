//! What `observer posture` tells of a node's ServiceAccounts and of the tokens that went by.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::wire::{self, Manners};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};
use serde_json::Value;

const ISSUER: &str = "https://kubernetes.default.svc";

/// As `kubectl get roles,rolebindings,clusterroles,clusterrolebindings -A -o yaml` prints them, and where the API
/// server is.
fn cluster(api_server: &str) -> String {
    format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: secret-reader, namespace: shop}}
rules:
  - {{apiGroups: [""], resources: [configmaps], verbs: [get, list]}}
  - {{apiGroups: [""], resources: [secrets], verbs: [get, list]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: orders, namespace: shop}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: secret-reader}}
subjects:
  - {{kind: ServiceAccount, name: orders, namespace: shop}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: cluster-admin}}
rules:
  - {{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}}
  - {{nonResourceURLs: ["*"], verbs: ["*"]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: deployer}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects:
  - {{kind: ServiceAccount, name: deployer, namespace: ci}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kubernetes, namespace: default, labels: {{kubernetes.io/service-name: kubernetes}}}}
addressType: IPv4
endpoints: [{{addresses: ["{api_server}"], conditions: {{ready: true}}}}]
ports: [{{name: https, port: 8443, protocol: TCP}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: old, namespace: shop}}
secrets: [{{name: old-token-x7k2p}}]
"#
    )
}

struct Answer {
    rows: Vec<Value>,
    code: Option<i32>,
}

fn ask(daemon: &Daemon, arguments: &[&str]) -> Result<Answer> {
    let output = daemon.ask(&[&["posture", "-o", "json"], arguments].concat())?;
    let text = String::from_utf8(output.stdout)?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(text.clone())?;
    Ok(Answer { rows, code: output.status.code() })
}

impl Answer {
    /// The rows of a kind about a ServiceAccount.
    fn of(&self, kind: &str, account: &str) -> Vec<&Value> {
        let (namespace, name) = account.split_once('/').unwrap_or_default();
        let rows = self.rows.iter().filter(|row| {
            row["kind"] == kind && row["namespace"] == namespace && row["service_account"] == name
        });
        rows.collect()
    }
}

#[test]
fn a_token_in_cleartext_is_told_with_what_it_allows_and_a_token_that_nobody_uses_as_unused() -> Result<()> {
    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").start()?;
    let orders = node.pod("shop", "orders").start()?;
    let ledger = node.pod("shop", "ledger").start()?;
    let operator = node.pod("shop", "operator").start()?;
    let _web = node.pod("shop", "default").start()?;
    let api_server = node.external("apiserver")?;
    let _payments = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let _api_server = wire::listen(&api_server, &[(8443, Manners::Answer)])?;
    let issuer = TokenIssuer::new(ISSUER)?;
    let directory = Directory::new()?;
    let config = directory.write("config.yaml", "token_unused_after: 2\n")?.display().to_string();
    let daemon = Daemon::builder()
        .elsewhere(&cluster(&api_server.ip4.to_string()))
        .arguments(issuer.arguments())
        .arguments(["--config", &config])
        .start(&node)?;

    let claims = Claims { audiences: vec![ISSUER.to_owned()], expires_in: 3600 };
    let url = format!("http://{}:8080/", payments.ip4);
    for pod in [&orders, &ledger] {
        let header = issuer.header_file(&pod.name, &issuer.bound(pod, &claims)?)?;
        pod.run_ok(["curl", "-sS", "-H", &format!("@{}", header.display()), &url])?;
    }
    let legacy = issuer.header_file("legacy", &issuer.legacy(&operator)?)?;
    operator.run_ok(["curl", "-sS", "-H", &format!("@{}", legacy.display()), &url])?;
    operator.run_ok(["curl", "-sS", &format!("http://{}:8443/", api_server.ip4)])?;
    daemon.wait_final("shop/orders", "shop/payments")?;
    daemon.wait_for("the call of the API server", |record| record["server"]["port"] == 8443)?;

    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        let answer = ask(&daemon, &[])?;
        if answer.of("unused-token", "shop/orders").iter().any(|row| row["status"] == "found") {
            break answer;
        }
        ensure!(Instant::now() < deadline, "{:#?}", answer.rows);
        thread::sleep(Duration::from_millis(300));
    };
    assert_eq!(answer.code, Some(1));

    let leaked = answer.of("cleartext-token", "shop/orders");
    assert_eq!(leaked.len(), 1, "{:#?}", answer.rows);
    assert_eq!(leaked[0]["powers"][0], "can read Secrets in shop");
    assert_eq!(leaked[0]["powers"][1], "can read ConfigMaps in shop");
    assert_eq!(leaked[0]["flows"], 1);
    assert!(leaked[0]["fix"].as_str().is_some_and(|fix| fix.contains("automountServiceAccountToken: false")));
    let harmless = answer.of("cleartext-token", "shop/ledger");
    assert_eq!(harmless.len(), 1, "{:#?}", answer.rows);
    assert_eq!(harmless[0]["powers"], serde_json::json!(["nothing beyond discovery"]));
    assert_eq!(answer.rows[0], *leaked[0], "the worst is not first");

    assert_eq!(answer.of("cluster-admin", "ci/deployer").len(), 1);
    assert_eq!(answer.of("legacy-token", "shop/operator").len(), 1);
    assert_eq!(answer.of("legacy-secret", "shop/old").len(), 1);
    assert_eq!(answer.of("default-service-account", "shop/default").len(), 1);
    assert!(answer.of("unused-token", "shop/operator").is_empty(), "it has called the API server");
    assert_eq!(answer.of("unused-token", "shop/payments").len(), 1);

    let of_ci = ask(&daemon, &["-n", "ci"])?;
    assert!(of_ci.rows.iter().all(|row| row["namespace"] == "ci" || row["namespace"].is_null()));
    assert_eq!(of_ci.code, Some(1));
    assert_eq!(ask(&daemon, &["-n", "nowhere"])?.code, Some(0));
    assert_eq!(ask(&daemon, &["--nonsense"])?.code, Some(2));
    let table = String::from_utf8(daemon.ask(&["posture"])?.stdout)?;
    assert!(table.contains("can read Secrets in shop"), "{table}");

    let labels = ["kind=\"cleartext-token\"", "namespace=\"shop\"", "service_account=\"orders\""];
    assert_eq!(daemon.metric("observer_posture_findings", &labels)?, 1.0);
    assert_eq!(daemon.metric("observer_posture_known", &["kind=\"cluster-admin\""])?, 1.0);
    Ok(())
}
