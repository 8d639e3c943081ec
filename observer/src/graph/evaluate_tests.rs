use std::path::PathBuf;

use super::*;
use crate::graph::ServiceGraph;
use crate::model::{Pod, Template};

const SHOP: &str = "
- from: {serviceAccount: orders}
  to: {serviceAccount: payments}
  ports: [8080]
  http: [{methods: [POST], pathPrefix: /charge}, {methods: [GET]}]
- from: {serviceAccount: gateway, namespace: edge}
  to: {serviceAccount: orders}
- from: {serviceAccount: '*'}
  to: {serviceAccount: ledger}
  ports: [8443, 9443]
- from: {serviceAccount: '*', namespace: '*'}
  to: {serviceAccount: catalog}
- from: {serviceAccount: '*', namespace: monitoring}
  to: {serviceAccount: '*'}
  ports: [9090]
- from: node
  to: {serviceAccount: probed}
- from: external
  to: {serviceAccount: front}
  ports: [443]
- from: {cidr: 198.51.100.0/24}
  to: {serviceAccount: partner}
- from: '*'
  to: {serviceAccount: public}
- from: {serviceAccount: orders}
  to: {cidr: 203.0.113.0/24}
  ports: [443]
- from: {serviceAccount: mailer}
  to: external
  ports: [587]
";

fn mk_graph(name: &str, governs: &str, edges: &str) -> ServiceGraph {
    let edges: serde_json::Value = serde_saphyr::from_str(edges).unwrap();
    let (namespace, name) = name.split_once('/').unwrap();
    let value = serde_json::json!({"metadata": {"namespace": namespace, "name": name},
        "spec": {"governs": governs, "edges": edges}});
    ServiceGraph::from_value(PathBuf::from("graph.yaml"), "observer.dev/v1alpha1", value).unwrap()
}

fn compile(graphs: Vec<ServiceGraph>) -> Graph {
    Graph::compile(graphs).unwrap().0
}

/// `namespace/name` of a pod's ServiceAccount, `via namespace/name` where only its Service is known, `node`, `external`
/// or `unknown`.
fn mk_identity(text: &str) -> Identity {
    match text {
        "node" => Identity::Node("n1".into()),
        "external" => Identity::External,
        "unknown" => Identity::Unknown("no-pod-at-address"),
        _ => match text.strip_prefix("via ") {
            Some(account) => {
                let (namespace, name) = account.split_once('/').unwrap();
                Identity::ServiceAccount { namespace: namespace.into(), name: name.into() }
            }
            None => mk_pod(text),
        },
    }
}

fn mk_pod(account: &str) -> Identity {
    let (namespace, name) = account.split_once('/').unwrap();
    let template =
        Template { namespace: namespace.into(), service_account: name.into(), ..Template::default() };
    Identity::Pod(Arc::new(Pod {
        uid: account.into(),
        name: "p".into(),
        template: Arc::new(template),
        ..Pod::default()
    }))
}

/// Ends are [`mk_identity`]'s, an address may follow after `@`; `request` is `METHOD path`, `METHOD ?` or empty.
fn evaluate(graph: &Graph, client: &str, server: &str, port: u16, request: &str) -> Evaluation {
    let end = |text: &str| {
        let (identity, ip) = text.split_once('@').unwrap_or((text, "10.244.0.9"));
        (mk_identity(identity), ip.parse::<IpAddr>().unwrap())
    };
    let ((client, client_ip), (server, server_ip)) = (end(client), end(server));
    let http = request
        .split_once(' ')
        .map(|(method, path)| HttpFacts { method, path: (path != "?").then_some(path) });
    let transport = Transport::Tcp;
    graph.evaluate(&Query {
        client: &client,
        client_ip,
        server: &server,
        server_ip,
        port,
        transport,
        encryption: EncryptionStatus::Plaintext,
        http,
        authentication: None,
        namespaces: &(),
    })
}

/// `status source reason`, without `ServiceGraph` and what is absent.
fn verdict(graph: &Graph, client: &str, server: &str, port: u16, request: &str) -> String {
    let declaration = evaluate(graph, client, server, port, request).declaration;
    let mut text = declaration.status.as_str().to_owned();
    if let Some(source) = declaration.source {
        text += &source.replace("ServiceGraph", "");
    }
    if let Some(reason) = declaration.reason {
        text += " ";
        text += &reason;
    }
    text
}

#[test]
fn a_flow_is_declared_as_section_7_says() {
    let graph = compile(vec![mk_graph("shop/shop", "listed", SHOP)]);
    assert!(graph.has_http_rules());
    let shop = |status: &str| format!("{status} shop/shop");
    let (allowed, unexpected) = (shop("allowed"), shop("unexpected"));
    let unseen = format!("{allowed} http-unseen");
    let unknown_client = format!("{} client-unknown", shop("unevaluable"));
    let rows: &[(&str, &str, u16, &str, &str)] = &[
        // ServiceAccount, port, and HTTP where it can be seen
        ("shop/orders", "shop/payments", 8080, "POST /charge", &allowed),
        ("shop/orders", "shop/payments", 8080, "POST /charge/", &allowed),
        ("shop/orders", "shop/payments", 8080, "POST /charge/1?x=/2", &allowed),
        ("shop/orders", "shop/payments", 8080, "POST /charge?x=1", &allowed),
        ("shop/orders", "shop/payments", 8080, "POST /charger", &unexpected),
        ("shop/orders", "shop/payments", 8080, "POST /", &unexpected),
        ("shop/orders", "shop/payments", 8080, "GET /anything", &allowed),
        ("shop/orders", "shop/payments", 8080, "DELETE /charge", &unexpected),
        ("shop/orders", "shop/payments", 8080, "", &unseen),
        ("shop/orders", "shop/payments", 8080, "POST ?", &unseen),
        ("shop/orders", "shop/payments", 8080, "DELETE ?", &unexpected),
        // What leads back up may be anywhere.
        ("shop/orders", "shop/payments", 8080, "POST /charge/../refund", &unseen),
        ("shop/orders", "shop/payments", 8080, "POST /charge/%2E./refund", &unseen),
        ("shop/orders", "shop/payments", 8081, "POST /charge", &unexpected),
        ("shop/orders", "shop/payments", 8081, "", &unexpected),
        ("shop/catalog", "shop/payments", 8080, "POST /charge", &unexpected),
        ("other/orders", "shop/payments", 8080, "POST /charge", &unexpected),
        ("node", "shop/payments", 8080, "", &unexpected),
        ("external@192.0.2.9", "shop/payments", 8080, "", &unexpected),
        ("unknown", "shop/payments", 8080, "", &unknown_client),
        // known by its Service alone: the port is the Service's
        ("shop/orders", "via shop/payments", 80, "", &format!("{} service-port", shop("unevaluable"))),
        ("shop/catalog", "via shop/payments", 80, "", &unexpected),
        ("via shop/orders", "shop/payments", 8080, "GET /", &allowed),
        // another namespace's client
        ("edge/gateway", "shop/orders", 1, "", &allowed),
        ("shop/gateway", "shop/orders", 1, "", &unexpected),
        // "*" is any of the graph's namespace
        ("shop/anything", "shop/ledger", 9443, "", &allowed),
        ("other/anything", "shop/ledger", 9443, "", &unexpected),
        ("shop/anything", "shop/ledger", 443, "", &unexpected),
        ("node", "shop/ledger", 8443, "", &unexpected),
        // of any namespace
        ("other/anything", "shop/catalog", 1, "", &allowed),
        ("external@192.0.2.9", "shop/catalog", 1, "", &unexpected),
        // to "*": every ServiceAccount of the namespace is named, and governed
        ("monitoring/prometheus", "shop/payments", 9090, "", &allowed),
        ("monitoring/prometheus", "shop/never-named", 9090, "", &allowed),
        ("monitoring/prometheus", "shop/never-named", 9091, "", &unexpected),
        ("shop/orders", "shop/never-named", 9090, "", &unexpected),
        // the words
        ("node", "shop/probed", 1, "", &allowed),
        ("shop/orders", "shop/probed", 1, "", &unexpected),
        ("external@192.0.2.9", "shop/front", 443, "", &allowed),
        ("external@192.0.2.9", "shop/front", 80, "", &unexpected),
        ("node", "shop/front", 443, "", &unexpected),
        ("external@198.51.100.7", "shop/partner", 1, "", &allowed),
        ("external@::ffff:198.51.100.7", "shop/partner", 1, "", &allowed),
        ("external@198.51.101.7", "shop/partner", 1, "", &unexpected),
        ("node@198.51.100.7", "shop/partner", 1, "", &allowed),
        ("shop/orders@198.51.100.7", "shop/partner", 1, "", &unexpected),
        ("shop/orders", "shop/public", 1, "", &allowed),
        ("external@192.0.2.9", "shop/public", 1, "", &allowed),
        ("node", "shop/public", 1, "", &allowed),
        ("unknown", "shop/public", 1, "", &unknown_client),
        // servers of which no graph speaks
        ("shop/orders", "other/payments", 8080, "", "ungoverned"),
        ("unknown", "other/payments", 8080, "", "ungoverned"),
        ("shop/orders", "node@10.0.0.1", 10250, "", "ungoverned"),
        ("shop/orders", "unknown", 8080, "", "unevaluable server-unknown"),
        // what leaves the cluster
        ("shop/orders", "external@203.0.113.7", 443, "", &allowed),
        ("shop/orders", "external@203.0.113.7", 80, "", &unexpected),
        ("shop/mailer", "external@192.0.2.25", 587, "", &allowed),
        ("shop/orders", "external@192.0.2.25", 587, "", &unexpected),
        ("shop/orders", "node@203.0.113.7", 443, "", &allowed),
        ("other/orders", "external@203.0.113.7", 443, "", "ungoverned"),
        ("node", "external@203.0.113.7", 443, "", "ungoverned"),
        ("unknown", "external@203.0.113.7", 443, "", &unknown_client),
    ];
    for (client, server, port, request, expected) in rows {
        let row = format!("{client} -> {server}:{port} {request}");
        assert_eq!(verdict(&graph, client, server, *port, request), *expected, "{row}");
    }
}

#[test]
fn without_a_graph_nothing_is_governed() {
    let graph = compile(Vec::new());
    assert!(graph.is_empty() && !graph.has_http_rules());
    assert_eq!(evaluate(&graph, "shop/a", "shop/b", 80, ""), Evaluation::default());
    for server in ["shop/payments", "external", "node", "unknown"] {
        assert_eq!(verdict(&graph, "unknown", server, 80, ""), "ungoverned");
    }
}

#[test]
fn governs_listed_leaves_out_whom_no_edge_names_and_namespace_does_not() {
    let edges = "[{from: {serviceAccount: a}, to: {serviceAccount: b}}]";
    let listed = compile(vec![mk_graph("shop/g", "listed", edges)]);
    let namespace = compile(vec![mk_graph("shop/g", "namespace", edges)]);
    // A client that an edge names is not thereby governed as a server.
    assert_eq!(verdict(&listed, "shop/b", "shop/a", 80, ""), "ungoverned");
    assert_eq!(verdict(&namespace, "shop/b", "shop/a", 80, ""), "unexpected shop/g");
    assert_eq!(verdict(&namespace, "shop/b", "shop/never-named", 80, ""), "unexpected shop/g");
    assert_eq!(verdict(&namespace, "shop/a", "shop/b", 80, ""), "allowed shop/g");
    assert_eq!(verdict(&namespace, "shop/b", "other/a", 80, ""), "ungoverned");
    let nobody = compile(vec![mk_graph("shop/g", "namespace", "[]")]);
    assert_eq!(verdict(&nobody, "shop/a", "shop/b", 80, ""), "unexpected shop/g");
}

#[test]
fn several_graphs_are_a_union_and_the_first_by_name_speaks_for_all() {
    let to_b = |from: &str| format!("[{{from: {{serviceAccount: {from}}}, to: {{serviceAccount: b}}}}]");
    let graph = compile(vec![
        mk_graph("shop/z", "listed", &to_b("from-z")),
        mk_graph("shop/a", "listed", &to_b("from-a")),
        mk_graph("other/a", "namespace", "[]"),
    ]);
    assert_eq!((graph.declared_edges(), graph.has_http_rules()), (2, false));
    assert_eq!(verdict(&graph, "shop/from-z", "shop/b", 80, ""), "allowed shop/z");
    assert_eq!(verdict(&graph, "shop/from-a", "shop/b", 80, ""), "allowed shop/a");
    assert_eq!(verdict(&graph, "shop/c", "shop/b", 80, ""), "unexpected shop/a");
    assert_eq!(verdict(&graph, "unknown", "shop/b", 80, ""), "unevaluable shop/a client-unknown");
}

#[test]
fn an_edge_asks_for_what_it_says_and_by_default_for_encryption_and_a_credential() {
    use AuthenticationRequirement as A;
    use EncryptionRequirement as E;
    let graph = compile(vec![mk_graph(
        "shop/g",
        "listed",
        "[{from: {serviceAccount: plain}, to: {serviceAccount: b}},
          {from: {serviceAccount: lax}, to: {serviceAccount: b}, encryption: optional, authentication: optional},
          {from: {serviceAccount: strict}, to: {serviceAccount: b}, encryption: mtls, authentication: verified, audiences: [b, c]}]",
    )]);
    let asked = |client: &str| {
        let evaluation = evaluate(&graph, client, "shop/b", 80, "");
        let audiences = evaluation.audiences.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        (evaluation.encryption, evaluation.authentication, audiences)
    };
    assert_eq!(asked("shop/plain"), (E::Required, A::Required, String::new()));
    assert_eq!(asked("shop/lax"), (E::Optional, A::Optional, String::new()));
    assert_eq!(asked("shop/strict"), (E::Mtls, A::Verified, "b,c".to_owned()));
    assert_eq!(asked("shop/undeclared"), (E::Required, A::Required, String::new()));
}

#[test]
fn of_edges_that_fit_alike_the_weakest_demand_counts_and_a_better_fit_goes_first() {
    use AuthenticationRequirement as A;
    use EncryptionRequirement as E;
    let graph = compile(vec![mk_graph(
        "shop/g",
        "listed",
        "[{from: {serviceAccount: a}, to: {serviceAccount: b}, http: [{pathPrefix: /pay}], encryption: mtls, authentication: verified, audiences: [b]},
          {from: {serviceAccount: a}, to: {serviceAccount: b}, http: [{pathPrefix: /public/}], encryption: optional, authentication: optional},
          {from: {serviceAccount: a}, to: {serviceAccount: b}, ports: [81], authentication: optional}]",
    )]);
    let asked = |port, request| {
        let evaluation = evaluate(&graph, "shop/a", "shop/b", port, request);
        (evaluation.encryption, evaluation.authentication, evaluation.audiences.len())
    };
    assert_eq!(asked(80, "GET /pay/1"), (E::Mtls, A::Verified, 1));
    assert_eq!(asked(80, "GET /public"), (E::Optional, A::Optional, 0));
    // Either may turn out to be the one.
    assert_eq!(asked(80, ""), (E::Optional, A::Optional, 0));
    // The third edge fits whatever the request is.
    assert_eq!(asked(81, ""), (E::Required, A::Optional, 0));
    assert_eq!(evaluate(&graph, "shop/a", "shop/b", 81, "").declaration.reason, None);
}
