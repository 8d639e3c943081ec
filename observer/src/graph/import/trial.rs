//! Objects as YAML, flows as lines: what tables of policies are tried with.

use std::path::PathBuf;
use std::sync::Arc;

use crate::graph::{Declarations, Graph, GraphError, GraphKind, HttpFacts, NamespaceLabels, Query};
use crate::model::{
    Authentication, AuthenticationStatus, Declaration, EncryptionStatus, Identity, Label, OwnLabels, Pod,
    Port, Template, TokenFacts, TokenKind, Transport,
};

/// Only `ambient-demo` has a label.
#[derive(Debug)]
struct Namespaces([Label; 1]);

impl NamespaceLabels for Namespaces {
    fn labels(&self, namespace: &str) -> Option<&[Label]> {
        Some(if namespace == "ambient-demo" { &self.0 } else { &[] })
    }
}

/// Documents are separated as in files.
pub fn declare(yaml: &str) -> Result<Graph, GraphError> {
    let mut declarations = Declarations::default();
    for document in yaml.split("\n---\n") {
        let value: serde_json::Value = serde_saphyr::from_str(document).expect(document);
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let kind = GraphKind::of(&text("apiVersion"), &text("kind")).expect("a kind that is imported");
        declarations.apply(kind, PathBuf::from("policy.yaml"), &text("apiVersion"), value)?;
    }
    Ok(declarations.compile()?.0)
}

/// The message about a wrong object.
pub fn refusal(yaml: &str) -> String {
    match declare(yaml) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Evaluates each line of `rows`, `FLOW | EXPECTED`; what differs is told, with the page that the rows are from.
pub fn differences(page: &str, yaml: &str, rows: &str) -> (usize, Vec<String>) {
    let graph = declare(yaml).unwrap();
    let rows: Vec<_> = rows.lines().map(str::trim).filter(|row| !row.is_empty()).collect();
    let wrong = rows.iter().filter_map(|row| {
        let (flow, expected) = row.split_once('|').expect(row);
        let found = verdict(&evaluate(&graph, flow));
        (found != expected.trim()).then(|| format!("{page}: {flow}| {found}, not {}", expected.trim()))
    });
    let wrong = wrong.collect();
    (rows.len(), wrong)
}

/// `STATUS [KIND] [NAMESPACE/NAME] [REASON]`.
pub fn verdict(declaration: &Declaration) -> String {
    let mut text = declaration.status.as_str().to_owned();
    for part in [declaration.source.as_deref(), declaration.reason.as_deref()].into_iter().flatten() {
        text += " ";
        text += part.strip_prefix("AuthorizationPolicy ").unwrap_or(part);
    }
    text
}

/// `CLIENT -> SERVER :PORT ENCRYPTION [METHOD PATH [CREDENTIAL]]`.
///
/// An end is `NAMESPACE/SERVICEACCOUNT`, `service:NAMESPACE/SERVICEACCOUNT` (known by its Service alone), `node`,
/// `external` or `unknown`; then `@ADDRESS`, and labels in braces. `bare` among them is a pod without a proxy, `ambient`
/// one in an ambient mesh, `probed` one whose kubelet probes the port, `web` one that calls port 8080 so; other pods have
/// the labels that injection gives. A port is `:8080`, or `udp:8080`. A credential is `present` or
/// `verified:ISSUER,SUBJECT,AUDIENCE`.
pub fn evaluate(graph: &Graph, flow: &str) -> Declaration {
    let mut words = flow.split_whitespace();
    let client = words.next().unwrap();
    assert_eq!(words.next(), Some("->"), "{flow}");
    let (server, port, encryption) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (transport, port) = match port.strip_prefix("udp:") {
        Some(port) => (Transport::Udp, port),
        None => (Transport::Tcp, port.strip_prefix(':').unwrap()),
    };
    let port = port.parse().unwrap();
    let encryption = match encryption {
        "plain" => EncryptionStatus::Plaintext,
        "tls" => EncryptionStatus::Tls,
        "mtls" => EncryptionStatus::Mtls,
        "unseen" => EncryptionStatus::Unknown,
        other => panic!("{other}"),
    };
    let http = words.next().map(|method| HttpFacts { method, path: words.next() });
    let authentication = http.map(|_| words.next().map_or_else(none, credential));
    let ((client, client_ip), (server, server_ip)) = (end(client, port), end(server, port));
    let label = ("istio.io/dataplane-mode".into(), "ambient".into());
    let query = Query {
        client: &client,
        client_ip: client_ip.parse().unwrap(),
        server: &server,
        server_ip: server_ip.parse().unwrap(),
        port,
        transport,
        encryption,
        http,
        authentication: authentication.as_ref(),
        namespaces: &Namespaces([label]),
    };
    graph.evaluate(&query).declaration
}

fn none() -> Authentication {
    Authentication { status: AuthenticationStatus::None, ..Authentication::default() }
}

fn credential(text: &str) -> Authentication {
    let Some(claims) = text.strip_prefix("verified:") else {
        assert_eq!(text, "present");
        return Authentication { status: AuthenticationStatus::Present, ..Authentication::default() };
    };
    let claims: Vec<Arc<str>> = claims.split(',').map(Into::into).collect();
    let token = TokenFacts {
        issuer: claims.first().cloned(),
        subject: claims.get(1).cloned(),
        audiences: claims.get(2).cloned().into_iter().collect(),
        kind: TokenKind::Jwt,
        service_account: None,
        pod_uid: None,
        expires_at: None,
        key_id: None,
    };
    Authentication {
        status: AuthenticationStatus::Verified,
        token: Some(Arc::new(token)),
        ..Authentication::default()
    }
}

fn end(text: &str, port: u16) -> (Identity, &str) {
    let (text, labels) = text.strip_suffix('}').and_then(|text| text.split_once('{')).unwrap_or((text, ""));
    let (name, ip) = text.split_once('@').unwrap_or((text, "10.244.0.9"));
    let identity = match name {
        "node" => Identity::Node("n1".into()),
        "external" => Identity::External,
        "unknown" => Identity::Unknown("no-pod-at-address"),
        _ => {
            let by_service = name.strip_prefix("service:");
            let (namespace, account) = by_service.unwrap_or(name).split_once('/').unwrap();
            match by_service {
                Some(_) => Identity::ServiceAccount { namespace: namespace.into(), name: account.into() },
                None => pod(namespace, account, labels, port),
            }
        }
    };
    (identity, ip)
}

fn pod(namespace: &str, account: &str, labels: &str, port: u16) -> Identity {
    let words: Vec<&str> = labels.split(',').filter(|word| !word.is_empty()).collect();
    let mut labels: Vec<Label> = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    if words.contains(&"ambient") {
        labels.push(("istio.io/dataplane-mode".into(), "ambient".into()));
    } else if !words.contains(&"bare") {
        labels.push(("security.istio.io/tlsMode".into(), "istio".into()));
        labels.push(("linkerd.io/control-plane-ns".into(), "linkerd".into()));
    }
    let port_of = |name: &str, number| Port { name: Some(name.into()), number };
    let template = Template {
        namespace: namespace.into(),
        service_account: account.into(),
        probe_ports: if words.contains(&"probed") { [port].into() } else { [].into() },
        ports: if words.contains(&"web") { [port_of("web", 8080)].into() } else { [].into() },
        ..Template::default()
    };
    Identity::Pod(Arc::new(Pod {
        uid: format!("{namespace}/{account}").as_str().into(),
        name: account.into(),
        node: Some("n1".into()),
        own_labels: Some(Box::new(OwnLabels(labels.into()))),
        template: Arc::new(template),
        ..Pod::default()
    }))
}
