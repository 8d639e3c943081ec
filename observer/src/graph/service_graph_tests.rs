use std::fs;
use std::path::Path;

use super::*;
use crate::graph::{Declarations, Graph};

const GOOD: &str = "apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: listed
  edges:
    - from: {serviceAccount: orders}
      to:   {serviceAccount: payments}
      ports: [8080]
      http: [{methods: [POST], pathPrefix: /charge}]
      encryption: required
      authentication: required
      audiences: [payments]
";

/// A directory of its own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("observer-graph-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(name: &str, files: &[(&str, &str)]) -> Result<Vec<ServiceGraph>, String> {
    let directory = Temporary::new(name, files);
    let path = match files {
        [(file, _)] => directory.0.join(file),
        _ => directory.0.clone(),
    };
    let mut declarations = Declarations::default();
    let graphs = declarations.read(&path).map(|()| declarations.service_graphs().cloned().collect());
    graphs.map_err(|error| {
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text}");
        text.replace(&format!("{}/", directory.0.display()), "")
    })
}

fn error(name: &str, text: &str) -> String {
    load(name, &[("g.yaml", text)]).unwrap_err()
}

/// The graph above with its edges replaced.
fn with_edges(edges: &str) -> String {
    format!("{}  edges: {edges}\n", GOOD.split_once("  edges:").unwrap().0)
}

#[test]
fn the_designs_example_is_read() {
    let graphs = load("good", &[("g.yaml", GOOD)]).unwrap();
    assert_eq!(graphs.len(), 1);
    assert_eq!(graphs[0].source(), "ServiceGraph shop/shop");
    let edge = &graphs[0].edges[0];
    let orders = Client::ServiceAccount { namespace: Some("shop".into()), name: Some("orders".into()) };
    assert_eq!((&edge.from, &edge.to), (&orders, &Server::ServiceAccount(Some("payments".into()))));
    assert_eq!((&edge.ports[..], &*edge.audiences), (&[8080][..], &[Arc::from("payments")][..]));
}

#[test]
fn directories_lists_json_and_other_kinds_are_read() {
    let named = |name: &str| GOOD.replace("name: shop,", &format!("name: {name},"));
    let indented = named("b").replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", indented.trim_end());
    let json = r#"{"apiVersion": "observer.dev/v1alpha1", "kind": "ServiceGraph",
        "metadata": {"name": "c", "namespace": "shop", "resourceVersion": "1"},
        "spec": {"governs": "namespace", "edges": []}, "status": {"observedGeneration": 1}}"#;
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    let two = format!("{}---\n{other}", named("a"));
    let graphs =
        load("kinds", &[("1.yaml", two.as_str()), ("2.yml", list.as_str()), ("3.json", json)]).unwrap();
    assert_eq!(graphs.iter().map(|graph| &*graph.name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn every_form_of_an_end_is_read() {
    let from = |end: &str| {
        load("forms", &[("g.yaml", &with_edges(&format!("[{{from: {end}, to: {{serviceAccount: b}}}}]")))])
    };
    let account = |namespace: Option<&str>, name: Option<&str>| Client::ServiceAccount {
        namespace: namespace.map(Into::into),
        name: name.map(Into::into),
    };
    for (text, expected) in [
        ("'*'", Client::Anybody),
        ("node", Client::Node),
        ("{node: true}", Client::Node),
        ("external", Client::External),
        ("{external: true}", Client::External),
        ("{cidr: 10.0.0.0/8}", Client::Range("10.0.0.0/8".parse().unwrap())),
        ("{cidr: 'fd00::/8'}", Client::Range("fd00::/8".parse().unwrap())),
        ("{serviceAccount: a}", account(Some("shop"), Some("a"))),
        ("{serviceAccount: '*'}", account(Some("shop"), None)),
        ("{serviceAccount: '*', namespace: x}", account(Some("x"), None)),
        ("{serviceAccount: a, namespace: '*'}", account(None, Some("a"))),
    ] {
        assert_eq!(from(text).unwrap()[0].edges[0].from, expected, "{text}");
    }
}

#[test]
fn a_missing_file_and_an_empty_directory_name_themselves() {
    let text = Declarations::default().read(Path::new("/nonexistent/g.yaml")).unwrap_err().to_string();
    assert!(text.starts_with("graph /nonexistent/g.yaml: No such file or directory"), "{text}");
    let text = load("empty", &[]).unwrap_err();
    assert!(text.contains("no *.yaml, *.yml or *.json in it"), "{text}");
}

#[test]
fn broken_yaml_names_the_line() {
    let text = error("broken", &GOOD.replace("ports: [8080]", "ports: [8080"));
    assert!(text.starts_with("graph g.yaml: line "), "{text}");
    assert!(text.contains("not valid YAML"), "{text}");
}

#[test]
fn yaml_that_is_not_kubernetes_says_what_is_missing_where() {
    let text = error("plain", "edges: []\n");
    assert!(
        text.starts_with("graph g.yaml: document 1 is no Kubernetes object: apiVersion is missing; "),
        "{text}"
    );
    let text = error("kindless", &format!("{GOOD}---\napiVersion: v1\n"));
    assert!(
        text.starts_with("graph g.yaml: document 2 is no Kubernetes object: kind is missing; "),
        "{text}"
    );
}

#[test]
fn a_file_without_a_graph_says_so() {
    for text in ["", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"] {
        assert_eq!(
            error("none", text),
            "graph g.yaml: nothing in it declares edges; add a ServiceGraph or a policy, or leave --graph out"
        );
    }
}

#[test]
fn an_edge_that_is_not_right_names_its_key() {
    let edge = |fields: &str| {
        with_edges(&format!("[{{from: {{serviceAccount: a}}, to: {{serviceAccount: b}}, {fields}}}]"))
    };
    let ends = |from: &str, to: &str| with_edges(&format!("[{{from: {from}, to: {to}}}]"));
    let b = "{serviceAccount: b}";
    for (text, expected) in [
        (edge("port: 80"), "spec.edges[0].port: unknown field `port`, expected one of `from`, `to`, `ports`"),
        (edge("ports: [80000]"), "spec.edges[0].ports[0]: invalid value: integer `80000`, expected u16"),
        (edge("ports: [80, 0]"), "spec.edges[0].ports[1]: 0 is no port"),
        (edge("encryption: always"), "spec.edges[0].encryption: unknown variant `always`, expected one of"),
        (
            edge("http: [{pathPrefix: charge}]"),
            "spec.edges[0].http[0].pathPrefix: \"charge\" does not start with /",
        ),
        (edge("http: [{path: /charge}]"), "spec.edges[0].http[0].path: unknown field `path`"),
        (with_edges("[{from: {serviceAccount: a}}]"), "spec.edges[0]: missing field `to`"),
        (ends("{name: a}", b), "spec.edges[0].from.name: unknown field `name`"),
        (ends("orders", b), "spec.edges[0].from: \"orders\" is not known; write {serviceAccount: orders}"),
        (ends("{namespace: x}", b), "spec.edges[0].from: must be one of {serviceAccount, namespace}"),
        (ends("{serviceAccount: a, cidr: 10.0.0.0/8}", b), "spec.edges[0].from: must be one of"),
        (ends("{serviceAccount: ''}", b), "spec.edges[0].from.serviceAccount: is empty"),
        (ends("{cidr: 10.0.0.0}", b), "spec.edges[0].from.cidr: \"10.0.0.0\" is no address range"),
        (ends("[a]", b), "spec.edges[0].from: invalid type: sequence, expected {serviceAccount: NAME}"),
        (ends("{serviceAccount: a}", "node"), "spec.edges[0].to: a node cannot be governed"),
        (
            ends("{serviceAccount: a}", "{serviceAccount: b, namespace: other}"),
            "spec.edges[0].to.namespace: a graph governs its own namespace shop alone; write the edge into a graph of namespace other",
        ),
        (
            ends("{serviceAccount: a, namespace: x}", "external"),
            "spec.edges[0].from: must name ServiceAccounts of shop",
        ),
        (ends("external", "{cidr: 10.0.0.0/8}"), "spec.edges[0].from: must name ServiceAccounts of shop"),
        (
            GOOD.replace("governs: listed", "governs: everything"),
            "spec.governs: unknown variant `everything`",
        ),
        (GOOD.replace("governs: listed", "mode: x"), "spec.mode: unknown field `mode`"),
    ] {
        let text = error("edge", &text);
        assert!(text.starts_with(&format!("graph g.yaml: ServiceGraph shop/shop: {expected}")), "{text}");
    }
}

#[test]
fn a_graph_without_a_name_namespace_or_known_version_is_an_error() {
    for (from, to, expected) in [
        (", namespace: shop", "", "ServiceGraph shop: metadata.namespace: is missing"),
        ("name: shop, ", "", "ServiceGraph: metadata.name: is missing"),
        (
            "v1alpha1",
            "v2",
            "ServiceGraph shop/shop: apiVersion is observer.dev/v2, which is not known; write observer.dev/v1alpha1",
        ),
    ] {
        let text = error("version", &GOOD.replacen(from, to, 1));
        assert!(text.starts_with(&format!("graph g.yaml: {expected}")), "{text}");
    }
}

#[test]
fn a_graph_without_edges_names_nobody_unless_it_governs_its_namespace() {
    let text = error("no-edges", &with_edges("[]"));
    assert!(
        text.starts_with(
            "graph g.yaml: ServiceGraph shop/shop names nobody: spec.edges is empty; add an edge"
        ),
        "{text}"
    );
    let whole = with_edges("[]").replace("governs: listed", "governs: namespace");
    assert!(load("whole", &[("g.yaml", whole.as_str())]).is_ok());
}

fn names_nobody(edges: &str, cluster: &[&str]) -> Result<Vec<String>, String> {
    let graphs = load("names", &[("g.yaml", &with_edges(edges))]).unwrap();
    let graph = Graph::compile(graphs).unwrap().0;
    let warnings =
        graph.names_nobody(&|namespace, name| cluster.contains(&format!("{namespace}/{name}").as_str()));
    let in_file = |text: String| text.rsplit_once("/g.yaml: ").unwrap().1.to_owned();
    warnings
        .map(|warnings| warnings.into_iter().map(|warning| in_file(warning.to_string())).collect())
        .map_err(|error| in_file(error.to_string()))
}

#[test]
fn a_graph_none_of_whose_service_accounts_exist_names_nobody() {
    let edges = "[{from: {serviceAccount: a, namespace: x}, to: {serviceAccount: b}}]";
    let error = names_nobody(edges, &["shop/a", "x/b"]).unwrap_err();
    let expected =
        "ServiceGraph shop/shop names nobody: the cluster has none of its ServiceAccounts (x/a, shop/b); ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn an_edge_that_names_an_unknown_service_account_is_a_warning() {
    let edges = "[{from: {serviceAccount: a}, to: {serviceAccount: b}}, {from: {serviceAccount: c}, to: {serviceAccount: b}}]";
    let warnings = names_nobody(edges, &["shop/a", "shop/b"]).unwrap();
    let expected = "ServiceGraph shop/shop: spec.edges[1].from: the cluster has no ServiceAccount shop/c; mend the name, or create it";
    assert_eq!(warnings, [expected]);
    assert_eq!(names_nobody(edges, &["shop/a", "shop/b", "shop/c"]).unwrap(), [""; 0]);
}

#[test]
fn a_graph_of_wildcards_names_everybody() {
    assert_eq!(names_nobody("[{from: external, to: '*'}]", &[]).unwrap(), [""; 0]);
}

#[test]
fn the_same_graph_twice_names_both_files() {
    let text = load("twice", &[("1.yaml", GOOD), ("2.yaml", GOOD)]).unwrap_err();
    assert!(text.contains("2.yaml: ServiceGraph shop/shop is also in 1.yaml; keep one"), "{text}");
}

#[test]
fn the_same_edge_twice_is_a_warning() {
    let edge = "{from: {serviceAccount: a}, to: {serviceAccount: b}, ports: [80]}";
    let graphs = load("same", &[("g.yaml", &with_edges(&format!("[{edge}, {edge}]")))]).unwrap();
    let warnings = Graph::compile(graphs).unwrap().1;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, "spec.edges[1]");
}
