use std::path::PathBuf;

use serde_json::json;

use crate::graph::import::cluster::{self, Cluster};
use crate::graph::{Declarations, Graph, GraphKind};

/// A `spec`, flow, verdict, and where the expected verdict is from: pages of docs.cilium.io, and their examples.
type Row = (&'static str, &'static str, &'static str, &'static str);

const SIMPLE: &str = "{endpointSelector: {matchLabels: {role: backend}}, ingress: [{fromEndpoints: [{matchLabels: {role: frontend}}]}]}";
const ALL_ENDPOINTS: &str =
    "{endpointSelector: {matchLabels: {role: victim}}, ingress: [{fromEndpoints: [{}]}]}";
const EGRESS: &str = "{endpointSelector: {matchLabels: {role: frontend}}, egress: [{toEndpoints: [{matchLabels: {role: backend}}]}]}";
const DEFAULT_DENY: &str = "{endpointSelector: {matchLabels: {role: restricted}}, egress: [{}]}";
const NO_RULES: &str = "{endpointSelector: {}, ingress: []}";
const NOBODY: &str =
    "{endpointSelector: {}, ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}]}";
const EGRESS_DENY: &str = "{endpointSelector: {matchLabels: {role: frontend}}, egress: [{toEntities: [all]}], egressDeny: [{toEndpoints: [{matchLabels: {role: backend}}]}]}";
const HOST: &str = "{endpointSelector: {matchLabels: {env: dev}}, egress: [{toEntities: [host]}]}";
const NODES: &str =
    "{endpointSelector: {matchLabels: {env: dev}}, ingress: [{fromEntities: [host, remote-node]}]}";
const WORLD: &str = "{endpointSelector: {matchLabels: {role: public}}, ingress: [{fromEntities: [world]}]}";
const WORLD_6: &str = "{endpointSelector: {}, ingress: [{fromEntities: [world-ipv6]}]}";
const CLUSTER: &str = "{endpointSelector: {}, ingress: [{fromEntities: [cluster]}]}";
const API_SERVER: &str =
    "{endpointSelector: {matchLabels: {env: dev}}, egress: [{toEntities: [kube-apiserver]}]}";
const NONE: &str = "{endpointSelector: {}, ingress: [{fromEntities: [none]}]}";
const CIDR: &str = "{endpointSelector: {}, egress: [{toCIDR: [20.1.1.1/32]}, {toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.96.0.0/12]}]}]}";
const L4: &str = "{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}";
const L4_RANGE: &str =
    "{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: '80', endPort: 444, protocol: TCP}]}]}]}";
const L4_ANY: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]}";
const L4_ZERO: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '0', protocol: UDP}]}]}]}";
const L4_NAME: &str =
    "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: serve-80-tcp, protocol: TCP}]}]}]}";
const L3_L4: &str = "{endpointSelector: {matchLabels: {role: backend}}, ingress: [{fromEndpoints: [{matchLabels: {role: frontend}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}";
const CIDR_L4: &str = "{endpointSelector: {}, egress: [{toCIDR: [192.0.2.0/24], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}";
const L7: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {env: prod}}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET, path: /public}]}}]}]}";
const L7_HEADERS: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET, path: /path1$}, {method: PUT, path: /path2$, headers: ['X-My-Header: true']}]}}]}]}";
const L7_AND_L4: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}, {toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}";
const L7_ANYTHING: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}]}";
const L7_QUERY: &str = "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '/search\\\\?q=.*'}]}}]}]}";
const DNS: &str = "{endpointSelector: {}, egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': z, 'k8s:k8s-app': kube-dns}}], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*'}]}}]}, {toFQDNs: [{matchName: cilium.io}]}]}";
const ACROSS: &str = "{endpointSelector: {matchLabels: {name: leia}}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': \"y\", name: luke}}]}]}";
const NAMESPACES: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchExpressions: [{key: 'k8s:io.kubernetes.pod.namespace', operator: In, values: [\"y\", z]}, {key: 'k8s:policy', operator: In, values: [strict]}]}]}]}";
const NOT_NAMESPACE: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [\"y\"]}]}]}]}";
const NAMESPACE_LABELS: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.ns': \"y\"}}]}]}";
const ACCOUNTS: &str = "{endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: a}}, ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: b}}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET, path: '/public$'}]}}]}]}";
const CLUSTER_NAME: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {name: luke, io.cilium.k8s.policy.cluster: cluster2}}]}]}";
const WRONG_NAMESPACE: &str =
    "{endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': \"y\"}}, ingress: [{}]}";
const RESERVED: &str =
    "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {'reserved:remote-node': ''}}]}]}";
const MUTUAL: &str = "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {role: frontend}}], authentication: {mode: required}}]}";
const NO_DEFAULT: &str = "{endpointSelector: {}, enableDefaultDeny: {egress: false}, egress: [{toEntities: [all], toPorts: [{ports: [{port: '53', protocol: UDP}]}]}]}";
const DENY_ALONE: &str =
    "{endpointSelector: {}, enableDefaultDeny: {ingress: false}, ingressDeny: [{fromEntities: [world]}]}";
const REQUIRES: &str = "{endpointSelector: {matchLabels: {env: prod}}, ingress: [{fromRequires: [{matchLabels: {env: prod}}]}, {fromEndpoints: [{matchLabels: {role: frontend}}]}]}";
const SERVICES: &str =
    "{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: myservice}}]}]}";
const ICMP: &str = "{endpointSelector: {}, egress: [{icmps: [{fields: [{type: 8, family: IPv4}]}]}]}";
const GROUP: &str = "{endpointSelector: {}, egress: [{toCIDRSet: [{cidrGroupRef: partners}]}]}";

const ROWS: &[Row] = &[
    (
        SIMPLE,
        "x/a+role=frontend > x/b+role=backend 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Simple Ingress Allow",
    ),
    (SIMPLE, "x/a > x/b+role=backend 80/tcp", "unexpected x/p", "Simple Ingress Allow"),
    (SIMPLE, "x/a > x/b 80/tcp", "ungoverned", "not selected"),
    (
        SIMPLE,
        "y/a+role=frontend > x/b+role=backend 80/tcp",
        "unexpected x/p",
        "Namespaces: its own by default",
    ),
    (SIMPLE, "node n-x > x/b+role=backend 80/tcp", "allowed x/p own-node", "Access from local host"),
    (SIMPLE, "node n-y > x/b+role=backend 80/tcp", "unexpected x/p", "Access from local host"),
    (
        SIMPLE,
        "host y/a+role=frontend > x/b+role=backend 80/tcp",
        "unexpected x/p",
        "remote-node: host networking too",
    ),
    (
        SIMPLE,
        "via x/a > x/b+role=backend 80/tcp",
        "unevaluable x/p spec.ingress[0] (service-backend)",
        "labels not known",
    ),
    (
        ALL_ENDPOINTS,
        "x/a > x/b+role=victim 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Ingress Allow All Endpoints",
    ),
    (
        ALL_ENDPOINTS,
        "y/a > x/b+role=victim 80/tcp",
        "unexpected x/p",
        "an empty selector: the policy's namespace",
    ),
    (ALL_ENDPOINTS, "external > x/b+role=victim 80/tcp", "unexpected x/p", "endpoints are pods"),
    (
        EGRESS,
        "x/a+role=frontend > x/b+role=backend 80/tcp",
        "allowed x/p spec.egress[0]",
        "Simple Egress Allow",
    ),
    (EGRESS, "x/a+role=frontend > x/b 80/tcp", "unexpected x/p", "Simple Egress Allow"),
    (
        EGRESS,
        "x/a+role=frontend > via x/b 80/tcp",
        "unevaluable x/p spec.egress[0] (service-backend)",
        "labels not known",
    ),
    (DEFAULT_DENY, "x/a+role=restricted > x/b 80/tcp", "unexpected x/p", "Ingress/Egress Default Deny"),
    (DEFAULT_DENY, "x/a+role=restricted > external 80/tcp", "unexpected x/p", "Ingress/Egress Default Deny"),
    (DEFAULT_DENY, "x/b > x/a+role=restricted 80/tcp", "ungoverned", "per direction"),
    (NO_RULES, "x/a > x/b 80/tcp", "ungoverned", "Rule.Ingress: if omitted or empty, does not apply"),
    (NOBODY, "x/a > x/b 80/tcp", "unexpected x/p", "IngressCommonRule: an empty list selects no identity"),
    (
        EGRESS_DENY,
        "x/a+role=frontend > x/b+role=backend 80/tcp",
        "unexpected x/p spec.egressDeny[0]",
        "Simple Egress Deny",
    ),
    (EGRESS_DENY, "x/a+role=frontend > x/b 80/tcp", "allowed x/p spec.egress[0]", "Simple Egress Deny"),
    (HOST, "x/a+env=dev > node n-x 80/tcp", "allowed x/p spec.egress[0]", "Access to local host"),
    (HOST, "x/a+env=dev > node n-y 80/tcp", "unexpected x/p", "another host"),
    (
        HOST,
        "x/a+env=dev > host x/b 80/tcp",
        "allowed x/p spec.egress[0]",
        "host: containers in host networking mode",
    ),
    (
        NODES,
        "node n-y > x/a+env=dev 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Access from all nodes in the cluster",
    ),
    (NODES, "external > x/a+env=dev 80/tcp", "unexpected x/p", "Access from all nodes in the cluster"),
    (
        WORLD,
        "external > x/a+role=public 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Access from outside cluster",
    ),
    (WORLD, "x/b > x/a+role=public 80/tcp", "unexpected x/p", "Access from outside cluster"),
    (
        WORLD,
        "unknown > x/a+role=public 80/tcp",
        "unevaluable x/p own-node (client-unknown)",
        "who it is is not known",
    ),
    (WORLD_6, "external@2001:db8::1 > x/a 80/tcp", "allowed x/p spec.ingress[0]", "Entities"),
    (WORLD_6, "external@192.0.2.1 > x/a 80/tcp", "unexpected x/p", "Entities"),
    (CLUSTER, "z/c > x/a 80/tcp", "allowed x/p spec.ingress[0]", "cluster: all endpoints and nodes"),
    (CLUSTER, "host z/c > x/a 80/tcp", "allowed x/p spec.ingress[0]", "cluster: all endpoints and nodes"),
    (CLUSTER, "external > x/a 80/tcp", "unexpected x/p", "cluster: not the world"),
    (
        API_SERVER,
        "x/a+env=dev > node n-y 6443/tcp",
        "unevaluable x/p spec.egress[0] (api-server-unseen)",
        "inside or outside",
    ),
    (API_SERVER, "x/a+env=dev > y/a 443/tcp", "unexpected x/p", "a pod is none"),
    (NONE, "x/a > x/b 80/tcp", "unexpected x/p", "EntityNone: can be selected, never exists"),
    (CIDR, "x/a > external@20.1.1.1 80/tcp", "allowed x/p spec.egress[0]", "Allow to external CIDR block"),
    (CIDR, "x/a > external@10.1.2.3 80/tcp", "allowed x/p spec.egress[1]", "Allow to external CIDR block"),
    (CIDR, "x/a > external@10.97.0.1 80/tcp", "unexpected x/p", "Allow to external CIDR block: except"),
    (CIDR, "x/a > y/b 80/tcp", "unexpected x/p", "CIDR rules do not apply between endpoints"),
    (
        CIDR,
        "x/a > node n-y@10.1.2.3 80/tcp",
        "unevaluable x/p spec.egress[1] (cidr-of-nodes)",
        "Selecting nodes with CIDR",
    ),
    (L4, "x/a > y/b 80/tcp", "allowed x/p spec.egress[0]", "Limit ports: any layer 3 destination"),
    (L4, "x/a > external 443/tcp", "unexpected x/p", "Limit ports"),
    (L4, "x/a > y/b 80/udp", "unexpected x/p", "Limit ports"),
    (
        L4,
        "x/a > via y/b 8080/tcp",
        "unevaluable x/p spec.egress[0] (service-port)",
        "ports are the backend's",
    ),
    (L4_RANGE, "x/a > y/b 444/tcp", "allowed x/p spec.egress[0]", "Example Port Ranges"),
    (L4_RANGE, "x/a > y/b 445/tcp", "unexpected x/p", "Example Port Ranges"),
    (L4_ANY, "x/b > x/a 53/udp", "allowed x/p spec.ingress[0]", "PortProtocol.Protocol: ANY"),
    (L4_ANY, "x/b > x/a 53/tcp", "allowed x/p spec.ingress[0]", "PortProtocol.Protocol: ANY"),
    (L4_ZERO, "x/b > x/a 999/udp", "allowed x/p spec.ingress[0]", "port 0 is any"),
    (L4_ZERO, "x/b > x/a 999/tcp", "unexpected x/p", "port 0 is any, of its protocol"),
    (L4_NAME, "x/b > x/a 80/tcp", "allowed x/p spec.ingress[0]", "PortProtocol.Port: a name"),
    (L4_NAME, "x/b > x/a 81/tcp", "unexpected x/p", "PortProtocol.Port: a name"),
    (
        L3_L4,
        "x/a+role=frontend > x/b+role=backend 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Labels-dependent Layer 4 rule",
    ),
    (L3_L4, "x/a+role=frontend > x/b+role=backend 81/tcp", "unexpected x/p", "Labels-dependent Layer 4 rule"),
    (L3_L4, "x/a > x/b+role=backend 80/tcp", "unexpected x/p", "Labels-dependent Layer 4 rule"),
    (CIDR_L4, "x/a > external@192.0.2.9 80/tcp", "allowed x/p spec.egress[0]", "CIDR-dependent Layer 4 Rule"),
    (CIDR_L4, "x/a > external@192.0.2.9 81/tcp", "unexpected x/p", "CIDR-dependent Layer 4 Rule"),
    (L7, "x/a+env=prod > x/b 80/tcp GET /public", "allowed x/p spec.ingress[0]", "Allow GET /public"),
    (L7, "x/a+env=prod > x/b 80/tcp GET /public/1", "unexpected x/p", "Allow GET /public: any other URL"),
    (L7, "x/a+env=prod > x/b 80/tcp POST /public", "unexpected x/p", "Allow GET /public: another method"),
    (L7, "x/a+env=prod > x/b 81/tcp GET /public", "unexpected x/p", "Allow GET /public: another port"),
    (L7, "x/a+env=prod > x/b 80/tcp", "allowed x/p spec.ingress[0] (http-unseen)", "as far as it was seen"),
    (L7, "x/a > x/b 80/tcp", "unexpected x/p", "whatever the request is"),
    (
        L7_HEADERS,
        "x/a > x/b 80/tcp GET /path1",
        "allowed x/p spec.ingress[0]",
        "GET /path1 and PUT /path2 when header set",
    ),
    (
        L7_HEADERS,
        "x/a > x/b 80/tcp PUT /path2",
        "unevaluable x/p spec.ingress[0] (headers-unseen)",
        "the header is not kept",
    ),
    (
        L7_HEADERS,
        "x/a > x/b 80/tcp PUT /path1",
        "unexpected x/p",
        "GET /path1 and PUT /path2 when header set",
    ),
    (
        L7_AND_L4,
        "x/a > x/b 80/tcp POST /",
        "allowed x/p spec.ingress[1]",
        "a similar layer 4 rule: layer 7 has no effect",
    ),
    (
        L7_ANYTHING,
        "x/a > x/b 80/tcp POST /",
        "allowed x/p spec.ingress[0]",
        "PortRuleHTTP: all fields are optional",
    ),
    (
        L7_QUERY,
        "x/a > x/b 80/tcp GET /search",
        "unevaluable x/p spec.ingress[0] (query-unseen)",
        "queries are not kept",
    ),
    (
        DNS,
        "x/a > z/a+k8s-app=kube-dns 53/udp",
        "unevaluable x/p spec.egress[0] (dns-names-unseen)",
        "DNS Policy",
    ),
    (DNS, "x/a > external 443/tcp", "unevaluable x/p spec.egress[1] (names-unseen)", "DNS based"),
    (DNS, "x/a > y/b 443/tcp", "unexpected x/p", "DNS based: behave like CIDR rules"),
    (
        ACROSS,
        "y/b+name=luke > x/a+name=leia 80/tcp",
        "allowed x/p spec.ingress[0]",
        "Expose pods across namespaces",
    ),
    (ACROSS, "x/b+name=luke > x/a+name=leia 80/tcp", "unexpected x/p", "Expose pods across namespaces"),
    (NAMESPACES, "z/b+policy=strict > x/a 80/tcp", "allowed x/p spec.ingress[0]", "and-statement.yaml"),
    (NAMESPACES, "z/b > x/a 80/tcp", "unexpected x/p", "and-statement.yaml"),
    (NAMESPACES, "x/b+policy=strict > x/a 80/tcp", "unexpected x/p", "and-statement.yaml"),
    (NOT_NAMESPACE, "z/b > x/a 80/tcp", "allowed x/p spec.ingress[0]", "LabelSelector: NotIn"),
    (NOT_NAMESPACE, "y/b > x/a 80/tcp", "unexpected x/p", "LabelSelector: NotIn"),
    (NAMESPACE_LABELS, "y/b > x/a 80/tcp", "allowed x/p spec.ingress[0]", "getEndpointSelector: as of 1.19"),
    (NAMESPACE_LABELS, "x/b > x/a 80/tcp", "unexpected x/p", "getEndpointSelector: as of 1.19"),
    (ACCOUNTS, "x/b > x/a 80/tcp GET /public", "allowed x/p spec.ingress[0]", "ServiceAccounts"),
    (ACCOUNTS, "x/c > x/a 80/tcp GET /public", "unexpected x/p", "ServiceAccounts"),
    (ACCOUNTS, "x/c > x/b 80/tcp GET /public", "ungoverned", "ServiceAccounts"),
    (
        ACCOUNTS,
        "x/b > via x/a 80/tcp GET /public",
        "unevaluable x/p spec.ingress[0] (service-port)",
        "ports are the backend's",
    ),
    (
        CLUSTER_NAME,
        "x/b+name=luke > x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (cluster-name-unseen)",
        "Multi-Cluster",
    ),
    (CLUSTER_NAME, "x/b > x/a 80/tcp", "unexpected x/p", "Multi-Cluster"),
    (
        WRONG_NAMESPACE,
        "x/b > x/a 80/tcp",
        "unexpected x/p",
        "endpointSelector: always the policy's namespace",
    ),
    (WRONG_NAMESPACE, "x/b > y/a 80/tcp", "ungoverned", "endpointSelector: always the policy's namespace"),
    (RESERVED, "node n-y > x/a 80/tcp", "allowed x/p spec.ingress[0]", "Special identities"),
    (RESERVED, "x/b > x/a 80/tcp", "unexpected x/p", "Special identities"),
    (
        MUTUAL,
        "x/b+role=frontend > x/a 80/tcp",
        "unevaluable x/p spec.ingress[0] (mutual-authentication-unseen)",
        "Mutual Authentication",
    ),
    (MUTUAL, "x/b > x/a 80/tcp", "unexpected x/p", "Mutual Authentication"),
    (NO_DEFAULT, "x/a > y/a 53/udp", "allowed x/p spec.egress[0]", "enableDefaultDeny"),
    (NO_DEFAULT, "x/a > y/a 80/tcp", "allowed x/p", "enableDefaultDeny: the rest is not denied"),
    (DENY_ALONE, "external > x/a 80/tcp", "unexpected x/p spec.ingressDeny[0]", "enableDefaultDeny"),
    (DENY_ALONE, "x/b > x/a 80/tcp", "allowed x/p", "enableDefaultDeny"),
    (
        REQUIRES,
        "x/b+role=frontend+env=prod > x/a+env=prod 80/tcp",
        "allowed x/p spec.ingress[1]",
        "Additional Label Requirements",
    ),
    (
        REQUIRES,
        "x/b+role=frontend > x/a+env=prod 80/tcp",
        "unevaluable x/p spec.ingress[0].requires (requirements-unseen)",
        "not since 1.19",
    ),
    (REQUIRES, "x/b+env=prod > x/a+env=prod 80/tcp", "unexpected x/p", "does not allow anything on its own"),
    (SERVICES, "x/a > y/a 80/tcp", "unevaluable x/p spec.egress[0] (services-unseen)", "Services based"),
    (ICMP, "x/a > y/a 80/tcp", "unexpected x/p", "If any ICMP policy is specified, layer 4 is blocked"),
    (GROUP, "x/a > external 80/tcp", "unevaluable x/p spec.egress[0] (cidr-group-unseen)", "CiliumCIDRGroup"),
    (GROUP, "x/a > y/a 80/tcp", "unexpected x/p", "CIDR rules do not apply between endpoints"),
];

fn from_yaml(spec: &str) -> serde_json::Value {
    cluster::object(
        None,
        "p",
        &serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}")),
    )
}

fn compile(objects: Vec<serde_json::Value>) -> Graph {
    cluster::compile(GraphKind::CiliumNetworkPolicy, objects)
}

fn assert_rows(rows: &[Row]) {
    let cluster = Cluster::new();
    let mut wrong = Vec::new();
    for (spec, flow, expected, why) in rows {
        let found = cluster.verdict(&compile(vec![from_yaml(spec)]), flow);
        if found != *expected {
            wrong.push(format!("{flow}: {found}, not {expected} ({why})"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_examples_of_ciliums_documentation_hold() {
    assert_rows(ROWS);
}

#[test]
fn what_is_denied_is_denied_whatever_allows_it() {
    // docs.cilium.io, "Deny Policies", the table: policies of a server's pod, and what is left of its client's traffic.
    let rule = |l3: bool, port: Option<&str>, http: bool| {
        let mut rule = json!({});
        if l3 {
            rule["fromEndpoints"] = json!([{"matchLabels": {"role": "client"}}]);
        }
        if let Some(port) = port {
            rule["toPorts"] = json!([{"ports": [{"port": port, "protocol": "TCP"}]}]);
        }
        if http {
            rule["toPorts"][0]["rules"] = json!({"http": [{}]});
        }
        rule
    };
    let allow = vec![
        rule(false, Some("80"), true),
        rule(false, Some("80"), false),
        rule(false, Some("81"), false),
        rule(true, None, false),
    ];
    let (deny_80, deny_client) = (rule(false, Some("80"), false), rule(true, None, false));
    let columns = [
        (allow.clone(), vec![], ["yes", "yes"]),
        (allow.clone(), vec![deny_80.clone()], ["yes", "no"]),
        (allow.clone(), vec![deny_client.clone()], ["no", "no"]),
        (allow, vec![deny_80.clone(), deny_client], ["no", "no"]),
        (vec![], vec![deny_80], ["no", "no"]),
    ];
    for (place, (allow, deny, expected)) in columns.into_iter().enumerate() {
        let spec = json!({"endpointSelector": {}, "ingress": allow, "ingressDeny": deny});
        let graph = compile(vec![cluster::object(None, "p", &spec)]);
        let found = ["81", "80"]
            .map(|port| Cluster::new().passes(&graph, &format!("x/b+role=client > x/a {port}/tcp")));
        assert_eq!(found, expected, "column {place}");
    }
}

#[test]
fn several_specs_and_several_policies_are_a_union() {
    let graph = compile(vec![
        json!({"metadata": {"namespace": "x", "name": "two"}, "specs": [
            {"endpointSelector": {}, "ingress": [{}]},
            {"endpointSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"fromEndpoints": [{"matchLabels": {"pod": "b"}}]}]},
        ]}),
        from_yaml("{endpointSelector: {}, ingress: [{fromEntities: [world]}]}"),
    ]);
    let cluster = Cluster::new();
    let rows = [
        ("x/b > x/a 80/tcp", "allowed x/two specs[1].ingress[0]"),
        ("x/b > x/c 80/tcp", "unexpected x/p"),
        ("external > x/c 80/tcp", "allowed x/p spec.ingress[0]"),
    ];
    for (flow, expected) in rows {
        assert_eq!(cluster.verdict(&graph, flow), expected, "{flow}");
    }
}

#[test]
fn where_cilium_enforces_policies_of_kubernetes_too_what_either_allows_is_allowed() {
    // docs.cilium.io, "Network Policy": several types may be used at the same time, and what they allow adds up; a deny
    // rule goes before any of them ("Deny Policies").
    let mut declarations = Declarations::default();
    let mut apply = |kind, object| declarations.apply(kind, PathBuf::from("p.yaml"), "", object).unwrap();
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    apply(GraphKind::NetworkPolicy, cluster::object(None, "deny", &deny));
    apply(
        GraphKind::CiliumNetworkPolicy,
        from_yaml(
            "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {pod: b}}]}], ingressDeny: [{fromEntities: [world]}]}",
        ),
    );
    let all = json!({"podSelector": {"matchLabels": {"pod": "c"}}, "ingress": [{}]});
    apply(GraphKind::NetworkPolicy, cluster::object(None, "open", &all));
    let graph = declarations.compile().unwrap().0;
    let cluster = Cluster::new();
    for (flow, passes) in [
        ("x/b > x/a 80/tcp", "yes"),
        ("x/c > x/a 80/tcp", "no"),
        ("y/c > x/c 80/tcp", "yes"),
        ("external > x/c 80/tcp", "no"),
    ] {
        assert_eq!(cluster.passes(&graph, flow), passes, "{flow}");
        assert!(cluster.declaration(&graph, flow).against.is_empty(), "{flow}");
    }
}

#[test]
fn what_the_agent_refuses_is_refused_by_key_with_a_way_out() {
    // Cilium's own checks (pkg/policy/api, Sanitize).
    let rows = [
        ("{ingress: [{}]}", "spec.endpointSelector: is missing; select pods"),
        (
            "{nodeSelector: {}, ingress: [{}]}",
            "spec.nodeSelector: is for CiliumClusterwideNetworkPolicy; select pods",
        ),
        (
            "{endpointSelector: {}, ingress: [{fromEntities: [moon]}]}",
            "spec.ingress[0].fromEntities[0]: moon is no entity; write",
        ),
        (
            "{endpointSelector: {}, egress: [{toCIDR: [nowhere]}]}",
            "spec.egress[0].toCIDR[0]: nowhere is no range",
        ),
        (
            "{endpointSelector: {}, egress: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}]}",
            "spec.egress[0].toCIDRSet[0]: 11.0.0.0/16 is no part of 10.0.0.0/8; write",
        ),
        (
            "{endpointSelector: {}, ingress: [{fromEntities: [world], fromCIDR: [10.0.0.0/8]}]}",
            "spec.ingress[0]: names its peers in several ways, which Cilium refuses; make a rule of each",
        ),
        (
            "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '65536'}]}]}]}",
            "spec.ingress[0].toPorts[0].ports[0].port: \"65536\" is no port; write",
        ),
        (
            "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: HTTP}]}]}]}",
            "spec.ingress[0].toPorts[0].ports[0].protocol: HTTP is not known; write",
        ),
        (
            "{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '/(a'}]}}]}]}",
            "spec.ingress[0].toPorts[0].rules.http[0].path: /(a is no regular expression; mend it",
        ),
    ];
    for (spec, expected) in rows {
        let message =
            cluster::try_compile(GraphKind::CiliumNetworkPolicy, vec![from_yaml(spec)]).expect_err(spec);
        let start = format!("graph policies.yaml: CiliumNetworkPolicy x/p: {expected}");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
