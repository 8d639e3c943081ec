use super::*;
use crate::sink::fixture::TempDir;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// The rows of a check of one file: level, object, key, and of conflicts and the like why.
fn told(graph: &str, inventory: Option<&str>) -> Vec<String> {
    rows(graph, inventory)
        .into_iter()
        .map(|row| {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let why = row.reason.or(row.against);
            format!("{} {} {} {}", row.level.as_str(), or_dash(row.object), or_dash(row.key), or_dash(why))
        })
        .collect()
}

fn rows(graph: &str, inventory: Option<&str>) -> Vec<CheckRow> {
    let directory = TempDir::new();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let graph = write("graph.yaml", graph);
    let inventory = inventory.map(|text| write("inventory.yaml", text));
    let report = check(std::slice::from_ref(&graph), inventory.as_deref(), NOW).unwrap();
    assert!(report.rows.iter().all(|row| row.file.is_some()), "{:?}", report.rows);
    report.rows
}

fn graph(edges: &str) -> String {
    format!(
        "apiVersion: observer.dev/v1alpha1\nkind: ServiceGraph\nmetadata: {{name: shop, namespace: shop}}\nspec:\n  \
         edges:\n{edges}"
    )
}

const ORDERS: &str =
    "    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080]}\n";

/// Denies all ingress of the namespace, but for what `rules` allow.
fn policy(pods: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: rules, namespace: shop}}\nspec: \
         {{podSelector: {pods}, policyTypes: [Ingress], ingress: {rules}}}\n"
    )
}

fn inventory(server_labels: &str) -> String {
    let pod = |name: &str, labels: &str, ip: u8| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-1, namespace: shop, uid: \
             11111111-1111-1111-1111-1111111111{ip:02}, labels: {labels}}}\nspec: {{serviceAccountName: {name}, \
             nodeName: n1, containers: [{{name: main, ports: [{{containerPort: 8080}}]}}]}}\nstatus: {{podIP: \
             10.0.0.{ip}, phase: Running}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, \
             namespace: shop}}\n"
        )
    };
    pod("orders", "{app: orders}", 10) + &pod("payments", server_labels, 11)
}

#[test]
fn every_problem_of_a_file_is_told_at_its_own_place() {
    let edges = "    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [0]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}}
    - {from: {cidr: nonsense}, to: {serviceAccount: payments}}
    - {from: {serviceAccount: orders}, to: {serviceAccount: cart}, http: [{pathPrefix: x}]}
";
    assert_eq!(
        told(&graph(edges), None),
        [
            "error ServiceGraph shop/shop spec.edges[0].ports[0] -",
            "error ServiceGraph shop/shop spec.edges[2].from.cidr -",
            "error ServiceGraph shop/shop spec.edges[3].http[0].pathPrefix -",
        ]
    );
    // Also where nothing is left, in other kinds, and of two objects with one name.
    let bad = "    - {from: {cidr: x}, to: {serviceAccount: payments}}\n";
    assert_eq!(told(&graph(bad), None), ["error ServiceGraph shop/shop spec.edges[0].from.cidr -"]);
    let rules = "[{from: [{}]}, {from: [{podSelector: {}}]}, {from: [{ipBlock: {cidr: x}}]}]";
    let found = told(&(graph(ORDERS) + &policy("{}", rules)), None);
    assert!(found[0].starts_with("error NetworkPolicy shop/rules spec.ingress[0]"), "{found:?}");
    assert!(found[1].starts_with("error NetworkPolicy shop/rules spec.ingress[2]"), "{found:?}");
    assert_eq!(
        told(&format!("{}---\n{}", graph(ORDERS), graph(ORDERS)), None),
        ["error ServiceGraph shop/shop - -"]
    );
    let broken = rows("a: [", None);
    assert_eq!((broken[0].level, broken.len()), (Level::Error, 1), "{broken:?}");
    assert!(
        rows("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", None)[0]
            .message
            .contains("nothing in it declares")
    );
}

#[test]
fn a_policy_that_denies_what_a_graph_allows_is_a_conflict() {
    let denies = graph(ORDERS) + &policy("{}", "[]");
    let conflict = "conflict ServiceGraph shop/shop spec.edges[0] NetworkPolicy shop/rules";
    assert_eq!(told(&denies, None), [conflict]);
    assert_eq!(told(&denies, Some(&inventory("{app: payments}"))), [conflict]);
    let row = &rows(&denies, None)[0];
    assert_eq!((row.client.as_deref(), row.server.as_deref()), (Some("shop/orders"), Some("shop/payments")));
    assert_eq!(row.port, Some(8080));
    // It allows another port, or another client.
    let pods = Some(inventory("{app: payments}"));
    let other_port = graph(ORDERS) + &policy("{}", "[{ports: [{port: 9090}]}]");
    assert_eq!(told(&other_port, pods.as_deref()), [conflict]);
    let other = graph(ORDERS) + &policy("{}", "[{from: [{podSelector: {matchLabels: {app: cart}}}]}]");
    assert_eq!(told(&other, pods.as_deref()), [conflict]);
    // It allows it, or selects others.
    let allows = graph(ORDERS) + &policy("{}", "[{from: [{podSelector: {matchLabels: {app: orders}}}]}]");
    assert_eq!(told(&allows, pods.as_deref()), [""; 0]);
    let others = graph(ORDERS) + &policy("{matchLabels: {app: cart}}", "[]");
    assert_eq!(told(&others, pods.as_deref()), [""; 0]);
}

#[test]
fn what_needs_labels_or_addresses_that_are_not_known_is_no_conflict() {
    let by_label = graph(ORDERS) + &policy("{matchLabels: {app: payments}}", "[]");
    let unevaluable = "unevaluable ServiceGraph shop/shop spec.edges[0]";
    assert_eq!(told(&by_label, None), [format!("{unevaluable} service-backend")]);
    let anybody = "    - {from: \"*\", to: {serviceAccount: payments}, ports: [8080]}\n";
    assert_eq!(told(&(graph(anybody) + &policy("{}", "[]")), None), [format!("{unevaluable} no-inventory")]);
    let external = "    - {from: external, to: {serviceAccount: payments}, ports: [8080]}\n";
    let block = policy("{}", "[{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]");
    assert_eq!(told(&(graph(external) + &block), None), [format!("{unevaluable} address-unknown")]);
    // No address would help.
    let conflict = "conflict ServiceGraph shop/shop spec.edges[0] NetworkPolicy shop/rules";
    assert_eq!(told(&(graph(external) + &policy("{}", "[]")), None), [conflict]);
    // The kubelet of the pod's own node is let in, whatever a policy says.
    let node = "    - {from: node, to: {serviceAccount: payments}, ports: [8080]}\n";
    let with_pods = told(&(graph(node) + &policy("{}", "[]")), Some(&inventory("{app: payments}")));
    assert_eq!(with_pods, [""; 0]);
    assert_eq!(told(&(graph(node) + &policy("{}", "[]")), None), [format!("{unevaluable} node-unknown")]);
}

#[test]
fn names_that_nobody_has_are_errors_with_an_inventory_alone() {
    let edges = "    - {from: {serviceAccount: oders}, to: {serviceAccount: payments}}\n";
    assert_eq!(told(&graph(edges), None), [""; 0]);
    let found = told(&graph(edges), Some(&inventory("{}")));
    assert_eq!(found, ["error ServiceGraph shop/shop spec.edges[0].from -"]);
}

#[test]
fn edges_within_others_are_told_with_what_counts() {
    let edges = "    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}, ports: [8080]}
    - {from: {serviceAccount: orders}, to: {serviceAccount: payments}}
    - {from: {serviceAccount: orders}, to: {serviceAccount: cart}, encryption: mtls}
    - {from: \"*\", to: {serviceAccount: cart}}
";
    let rows = rows(&graph(edges), None);
    let short: Vec<_> = rows.iter().map(|row| (row.level, row.key.as_deref().unwrap_or_default())).collect();
    assert_eq!(short, [(Level::Warning, "spec.edges[0]"), (Level::Warning, "spec.edges[2]")]);
    assert!(
        rows[0].message.contains("spec.edges[1]") && rows[0].message.contains("leave it out"),
        "{rows:?}"
    );
    assert!(rows[1].message.contains("the weaker of the two counts"), "{rows:?}");
}

#[test]
fn an_exception_whose_time_is_over_is_a_warning() {
    let exceptions = "  exceptions:
    - {finding: unencrypted, reason: migration, until: 2023-01-01T00:00:00Z}
    - {finding: unencrypted, reason: migration, until: 2033-01-01T00:00:00Z}
";
    assert_eq!(
        told(&(graph(ORDERS) + exceptions), None),
        ["warning ServiceGraph shop/shop spec.exceptions[0].until -"]
    );
}
