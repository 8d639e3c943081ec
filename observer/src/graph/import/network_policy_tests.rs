use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::graph::import::cluster::{self, Cluster, Labels, NAMESPACES, PODS};
use crate::graph::{Graph, GraphKind};

const E2E: &str = include_str!("testdata/network_policy_e2e.yaml");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    case: String,
    port: Option<String>,
    policies: Vec<Given>,
    #[serde(default)]
    namespace_labels: BTreeMap<String, Labels>,
    #[serde(default)]
    pod_labels: BTreeMap<String, Labels>,
    expect: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    r#in: Option<String>,
    name: Option<String>,
    spec: Value,
}

/// `x/*` and `*` stand for many.
fn means(pattern: &str, pod: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == pod, |prefix| pod.starts_with(prefix))
}

fn compile(objects: Vec<Value>) -> Graph {
    cluster::compile(GraphKind::NetworkPolicy, objects)
}

fn from_yaml(policies: &str) -> Graph {
    let given: Vec<Given> = serde_saphyr::from_str(policies).unwrap();
    compile(given.iter().map(object).collect())
}

fn object(given: &Given) -> Value {
    cluster::object(given.r#in.as_deref(), given.name.as_deref().unwrap_or("p"), &given.spec)
}

#[test]
fn the_truth_tables_of_kubernetes_own_tests_hold() {
    let cases: Vec<Case> = serde_saphyr::from_str(E2E).unwrap();
    assert!(cases.len() >= 50, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let graph = compile(case.policies.iter().map(object).collect());
        let mut cluster = Cluster::new();
        case.namespace_labels.iter().for_each(|(name, labels)| cluster.label_namespace(name, labels));
        case.pod_labels.into_iter().for_each(|(pod, labels)| cluster.label_pod(&pod, labels));
        let pods = || NAMESPACES.iter().flat_map(|namespace| PODS.map(|pod| format!("{namespace}/{pod}")));
        for (client, server) in pods().flat_map(|client| pods().map(move |server| (client.clone(), server))) {
            if client == server {
                continue;
            }
            let mut expected = "yes";
            for line in &case.expect {
                let mut words = line.split([' ', '>']).filter(|word| !word.is_empty());
                let mut next = || words.next().unwrap();
                if means(next(), &client) & means(next(), &server) {
                    expected = next();
                }
            }
            let flow = format!("{client} > {server} {}", case.port.as_deref().unwrap_or("80/tcp"));
            let found = cluster.passes(&graph, &flow);
            if found != expected {
                wrong.push(format!("{}: {flow}: {found}, not {expected}", case.case));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Policies, flow, verdict, and where the expected verdict is from.
type Row = (&'static str, &'static str, &'static str, &'static str);

const DENY: &str = "[{name: deny, spec: {podSelector: {}, policyTypes: [Ingress]}}]";
const BLOCK: &str = "[{spec: {podSelector: {}, policyTypes: [Ingress, Egress],
    ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}}, {ipBlock: {cidr: '2001:db8::/32'}}]}],
    egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 443}]}]}}]";
const RANGE: &str = "[{spec: {podSelector: {}, ingress: [{ports: [{port: 32000, endPort: 32768}]}]}}]";
const SELECTED: &str =
    "[{name: web, spec: {podSelector: {matchLabels: {role: web}}, ingress: [{ports: [{port: 80}]}]}}]";
const LABEL: &str =
    "[{spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}}]";
const NAMESPACE: &str =
    "[{spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}}]";
const TO_LABEL: &str = "[{spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: \
                        {pod: b}}}], ports: [{port: 80}]}]}}]";
const EGRESS_RULES_ALONE: &str = "[{spec: {podSelector: {}, egress: [{}]}}]";
const DEFAULTED: &str = "[{spec: {podSelector: {}, ingress: [{}], egress: []}}]";
const ONLY_EGRESS: &str = "[{spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}}]";
const DNS: &str =
    "[{spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}}]";
const NAME: &str = "[{spec: {podSelector: {}, ingress: [{ports: [{port: serve-80-tcp}]}]}}]";
const EMPTY: &str = "[{spec: {}}]";

const ROWS: &[Row] = &[
    // kubernetes.io, "Network Policies": traffic to and from the node where a pod runs is always allowed.
    (DENY, "node n-x > x/a 80/tcp", "allowed x/deny own-node", "own node"),
    (DENY, "node n-y > x/a 80/tcp", "unexpected x/deny", "another node is not the pod's own"),
    (DENY, "host x/b > x/a 80/tcp", "allowed x/deny own-node", "hostNetwork pod: as its node"),
    (DENY, "host y/b > x/a 80/tcp", "unexpected x/deny", "hostNetwork pod of another node"),
    (DENY, "x/b > host x/a 80/tcp", "ungoverned", "most plugins pass hostNetwork pods over"),
    (LABEL, "host y/b > x/a 80/tcp", "unexpected x/p", "another namespace, whatever a hostNetwork pod is"),
    (LABEL, "host x/b@172.16.0.9 > y/a 80/tcp", "ungoverned", "another namespace's server"),
    (DENY, "external > x/a 80/tcp", "unexpected x/deny", "default deny"),
    (
        DENY,
        "unknown > x/a 80/tcp",
        "unevaluable x/deny own-node (client-unknown)",
        "an unknown client is unevaluable",
    ),
    (DENY, "x/a > unknown 80/tcp", "unevaluable (server-unknown)", "it may be one that is governed"),
    (DENY, "x/a > y/a 80/tcp", "ungoverned", "only pods of the policy's namespace"),
    (DENY, "y/a > via x/a 80/tcp", "unexpected x/deny", "selects every pod, whichever is behind the Service"),
    // "ipBlock": ranges with exceptions, for addresses outside of the cluster.
    (BLOCK, "external@198.51.100.1 > x/a 80/tcp", "allowed x/p spec.ingress[0]", "in the range"),
    (BLOCK, "external@198.51.100.200 > x/a 80/tcp", "unexpected x/p", "in its exception"),
    (BLOCK, "external@198.51.101.1 > x/a 80/tcp", "unexpected x/p", "outside"),
    (BLOCK, "external@2001:db8::7 > x/a 80/tcp", "allowed x/p spec.ingress[0]", "IPv6"),
    (BLOCK, "external@2001:db9::7 > x/a 80/tcp", "unexpected x/p", "IPv6, outside"),
    (BLOCK, "external@::ffff:198.51.100.1 > x/a 80/tcp", "allowed x/p spec.ingress[0]", "RFC 4291 2.5.5.2"),
    (BLOCK, "node n-y@198.51.100.3 > x/a 80/tcp", "allowed x/p spec.ingress[0]", "a node's address is one"),
    (
        BLOCK,
        "y/a@198.51.100.3 > x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (ip-block-of-pods)",
        "left to plugins",
    ),
    (BLOCK, "y/a > x/a 80/tcp", "unexpected x/p", "a pod's address outside of it, whatever the plugin"),
    (BLOCK, "x/a > external@203.0.113.9 443/tcp", "allowed x/p spec.egress[0]", "egress: address and port"),
    (
        BLOCK,
        "x/a > external@203.0.113.9 80/tcp",
        "unexpected x/p",
        "a rule's `to` and `ports` both have to fit",
    ),
    (
        BLOCK,
        "x/a > via y/a 443/tcp",
        "unevaluable x/p spec.egress[0] (service-port)",
        "not the pod's address",
    ),
    // "Targeting a range of ports": endPort, both ends included.
    (RANGE, "y/a > x/a 31999/tcp", "unexpected x/p", "endPort"),
    (RANGE, "y/a > x/a 32000/tcp", "allowed x/p spec.ingress[0]", "endPort"),
    (RANGE, "y/a > x/a 32768/tcp", "allowed x/p spec.ingress[0]", "endPort"),
    (RANGE, "y/a > x/a 32769/tcp", "unexpected x/p", "endPort"),
    (RANGE, "y/a > x/a 32000/udp", "unexpected x/p", "protocol is TCP by default"),
    (
        RANGE,
        "y/a > via x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (service-port)",
        "rules mean the pod's port",
    ),
    // Who is selected.
    (SELECTED, "y/a > x/a+role=web 81/tcp", "unexpected x/web", "selected"),
    (SELECTED, "y/a > x/a 81/tcp", "ungoverned", "not selected: not isolated"),
    (
        SELECTED,
        "y/a > via x/a 81/tcp",
        "unevaluable x/web spec.ingress[0] (service-port)",
        "labels of the backend not known",
    ),
    (LABEL, "via x/b > x/a 80/tcp", "unevaluable x/p spec.ingress[0] (service-backend)", "labels not known"),
    (
        NAMESPACE,
        "w/a > x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (namespace-unknown)",
        "labels not known",
    ),
    (NAMESPACE, "y/a > x/a 80/tcp", "unexpected x/p", "labels known, and others"),
    (TO_LABEL, "x/a > x/b 80/tcp", "allowed x/p spec.egress[0]", "egress"),
    (TO_LABEL, "x/a > external 80/tcp", "unexpected x/p", "selectors mean pods"),
    (TO_LABEL, "x/a > node n-x 80/tcp", "unexpected x/p", "the own-node rule is of ingress"),
    (
        TO_LABEL,
        "x/a > via x/b 80/tcp",
        "unevaluable x/p spec.egress[0] (service-port)",
        "two things not known",
    ),
    (TO_LABEL, "unknown > y/a 80/tcp", "unevaluable (client-unknown)", "it may be one that is governed"),
    // NetworkPolicySpec.policyTypes: Ingress always, Egress if there are egress rules; if given, just those.
    (EGRESS_RULES_ALONE, "y/a > x/a 80/tcp", "unexpected x/p", "policyTypes"),
    (EGRESS_RULES_ALONE, "x/a > y/a 80/tcp", "allowed x/p spec.egress[0]", "policyTypes"),
    (DEFAULTED, "x/a > y/a 80/tcp", "ungoverned", "no egress rules: ingress only"),
    (ONLY_EGRESS, "y/a > x/a 80/tcp", "ungoverned", "ingress not named"),
    (EMPTY, "y/a > x/a 80/tcp", "unexpected x/p", "an empty podSelector selects all pods of the namespace"),
    (DNS, "x/a > y/a 53/udp", "allowed x/p spec.egress[0]", "UDP"),
    (DNS, "x/a > y/a 53/tcp", "unexpected x/p", "another protocol"),
    (NAME, "y/a > x/a 80/tcp", "allowed x/p spec.ingress[0]", "a name of the server's pod"),
    (NAME, "y/a > x/a 80/udp", "unexpected x/p", "a name and a protocol"),
    (
        NAME,
        "y/a > via x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (service-port)",
        "the pod's names not known",
    ),
];

#[test]
fn what_the_documentation_says_beyond_its_tests_holds() {
    let cluster = Cluster::new();
    let mut wrong = Vec::new();
    for (policies, flow, expected, why) in ROWS {
        let found = cluster.verdict(&from_yaml(policies), flow);
        if found != *expected {
            wrong.push(format!("{flow}: {found}, not {expected} ({why})"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_flow_that_one_direction_forbids_is_not_held_against_the_other_of_the_same_kind() {
    let graph = from_yaml(
        "[{name: out, spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}},
          {in: 'y', name: deny, spec: {podSelector: {}, policyTypes: [Ingress]}}]",
    );
    let declaration = Cluster::new().declaration(&graph, "x/a > y/a 80/tcp");
    assert_eq!(declaration.source.as_deref(), Some("NetworkPolicy y/deny"));
    assert!(declaration.against.is_empty(), "{:?}", declaration.against);
}

#[test]
fn what_the_api_server_refuses_is_refused_by_key_with_a_way_out() {
    // Kubernetes' validation of NetworkPolicy (pkg/apis/networking/validation).
    let rule = |rule: Value| json!({"podSelector": {}, "ingress": [rule]});
    let port = |port: Value| rule(json!({"ports": [port]}));
    let block = |block: Value| rule(json!({"from": [{"ipBlock": block}]}));
    let rows = [
        (port(json!({"port": 0})), "spec.ingress[0].ports[0].port", "1 to 65535"),
        (port(json!({"port": 65536})), "spec.ingress[0].ports[0].port", "1 to 65535"),
        (port(json!({"port": "HTTP_80"})), "spec.ingress[0].ports[0].port", "a port's name"),
        (port(json!({"port": true})), "spec.ingress[0].ports[0].port", "a port's name"),
        (port(json!({"endPort": 90})), "spec.ingress[0].ports[0].endPort", "give the first one"),
        (port(json!({"port": 90, "endPort": 80})), "spec.ingress[0].ports[0].endPort", "not below"),
        (
            port(json!({"port": "http", "endPort": 80})),
            "spec.ingress[0].ports[0].endPort",
            "leave endPort out",
        ),
        (port(json!({"port": 80, "protocol": "ICMP"})), "spec.ingress[0].ports[0].protocol", "`TCP`, `UDP`"),
        (block(json!({"cidr": "10.0.0.0"})), "spec.ingress[0].from[0].ipBlock.cidr", "write it like"),
        (block(json!({"cidr": "10.0.0.0/33"})), "spec.ingress[0].from[0].ipBlock.cidr", "write it like"),
        (
            block(json!({"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]})),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "a smaller range",
        ),
        (
            block(json!({"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]})),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "a smaller range",
        ),
        (
            block(json!({"cidr": "10.0.0.0/8", "except": ["2001:db8::/32"]})),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "a smaller range",
        ),
        (rule(json!({"from": [{}]})), "spec.ingress[0].from[0]", "give it a podSelector"),
        (
            rule(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]})),
            "spec.ingress[0].from[0]",
            "a peer of its own",
        ),
        (
            rule(json!({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]})),
            "spec.ingress[0].from[0].podSelector",
            "give it values",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
            "spec.podSelector",
            "leave `values` out",
        ),
        (json!({"podSelector": {}, "policyTypes": ["Both"]}), "spec.policyTypes[0]", "`Ingress`"),
        (
            json!({"podSelector": {}, "egress": [{"to": [{}]}]}),
            "spec.egress[0].to[0]",
            "give it a podSelector",
        ),
    ];
    for (spec, key, way_out) in rows {
        let result = cluster::try_compile(GraphKind::NetworkPolicy, vec![cluster::object(None, "p", &spec)]);
        let message = result.expect_err(key);
        let start = format!("graph policies.yaml: NetworkPolicy x/p: {key}: ");
        assert!(message.starts_with(&start) && message.contains(way_out), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
