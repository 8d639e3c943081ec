//! Declared edges and policies at the size of a large cluster: how fast they are compiled, and how fast a flow is told.
//! `cargo xtask bench graph` runs it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use observer::graph::{Declarations, Graph, GraphKind, HttpFacts, NamespaceLabels, Query};
use observer::model::{EncryptionStatus, Identity, Label, Pod, PodIps, Port, Template, Transport};
use serde_json::{Value, json};

const NAMESPACES: u32 = 100;
/// Workloads of each namespace; each is a ServiceAccount, a set of labels, and a server of edges.
const WORKLOADS: u32 = 20;
/// Edges to each workload.
const EDGES: u32 = 5;
/// Policies of each kind in each namespace.
const NETWORK_POLICIES: u32 = 10;
const CILIUM_POLICIES: u32 = 10;
const COMPILE_BOUND: Duration = Duration::from_secs(1);
/// Nanoseconds of the median evaluation. Only told where it is exceeded: machines differ.
const EVALUATE_BOUND: u128 = 1_000;
const FLOWS: usize = 4_096;
const BATCH: usize = 256;
const BATCHES: usize = 1_001;

fn main() {
    let documents = documents();
    let mut declarations = Declarations::default();
    let start = Instant::now();
    for (kind, document) in documents {
        let version = format!("{}/v1alpha1", kind.group());
        declarations.apply(kind, PathBuf::new(), &version, document).expect("the objects are well formed");
    }
    let read = start.elapsed();
    let start = Instant::now();
    let (graph, _) = declarations.compile().expect("there are not too many edges");
    let compiled = start.elapsed();
    assert_eq!(graph.declared_edges(), (NAMESPACES * WORKLOADS * EDGES) as usize);
    let policies = NAMESPACES * (NETWORK_POLICIES + CILIUM_POLICIES);

    let labels = Namespaces::new();
    let pods: Vec<Identity> =
        (0..NAMESPACES * WORKLOADS).map(|number| pod(number / WORKLOADS, number % WORKLOADS)).collect();
    let flows: Vec<Flow> = (0..FLOWS as u32).map(|number| Flow::of(number, &pods)).collect();
    let statuses = statuses(&graph, &flows, &labels);
    let (median, slow) = measure(&graph, &flows, &labels);
    println!("| edges | policies | read | compiled | evaluated, median | 99th percentile | of them |");
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {} | {policies} | {} ms | {} ms | {median} ns | {slow} ns | {statuses} |",
        graph.declared_edges(),
        read.as_millis(),
        compiled.as_millis()
    );
    assert!(read + compiled < COMPILE_BOUND, "{:?} are more than {COMPILE_BOUND:?}", read + compiled);
    if median > EVALUATE_BOUND {
        println!("the median is more than {EVALUATE_BOUND} ns");
    }
}

struct Flow {
    client: Identity,
    client_ip: IpAddr,
    server: Identity,
    server_ip: IpAddr,
    port: u16,
    http: Option<(&'static str, &'static str)>,
}

#[derive(Debug)]
struct Namespaces(Vec<Vec<Label>>);

impl Namespaces {
    fn new() -> Self {
        let labels = |number| {
            let label = |key: &str, value: String| (Arc::from(key), value.into());
            vec![
                label("kubernetes.io/metadata.name", namespace(number)),
                label("team", format!("team-{}", number % 10)),
            ]
        };
        Self((0..NAMESPACES).map(labels).collect())
    }
}

impl NamespaceLabels for Namespaces {
    fn labels(&self, namespace: &str) -> Option<&[Label]> {
        let number: usize = namespace.strip_prefix("namespace-")?.parse().ok()?;
        self.0.get(number).map(Vec::as_slice)
    }
}

impl Flow {
    /// Three of four are declared edges; one in eight leaves the cluster, one in eight is HTTP.
    fn of(number: u32, pods: &[Identity]) -> Self {
        let chance = mix(number);
        let of_namespace = (chance >> 8) % NAMESPACES;
        let edge = (chance >> 16) % (WORKLOADS * EDGES);
        let server = of_namespace * WORKLOADS + edge % WORKLOADS;
        let client = match chance % 4 {
            0 => mix(chance) % (NAMESPACES * WORKLOADS),
            _ => of_namespace * WORKLOADS + client_of(of_namespace, edge),
        };
        let ip = |number: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
        let (server_end, server_ip) = match chance % 8 {
            3 => (Identity::External, IpAddr::from([203, 0, 113, (chance >> 4) as u8])),
            _ => (pods[server as usize].clone(), ip(server)),
        };
        Self {
            client: pods[client as usize].clone(),
            client_ip: ip(client),
            server: server_end,
            server_ip,
            port: if chance.is_multiple_of(16) { 9090 } else { 8080 },
            http: (chance % 8 == 5).then_some(("GET", "/v1/items/7")),
        }
    }

    fn query<'q>(&'q self, namespaces: &'q Namespaces) -> Query<'q> {
        Query {
            client: &self.client,
            client_ip: self.client_ip,
            server: &self.server,
            server_ip: self.server_ip,
            port: self.port,
            transport: Transport::Tcp,
            encryption: EncryptionStatus::Plaintext,
            http: self.http.map(|(method, path)| HttpFacts { method, path: Some(path) }),
            authentication: None,
            namespaces,
        }
    }
}

/// How many flows there are of each status: a benchmark of nothing would show here.
fn statuses(graph: &Graph, flows: &[Flow], namespaces: &Namespaces) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for flow in flows {
        let status = graph.evaluate(&flow.query(namespaces)).declaration.status.as_str();
        match counts.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => counts.push((status, 1)),
        }
    }
    counts.sort_unstable();
    let texts: Vec<String> =
        counts.iter().map(|(status, count)| format!("{} % {status}", count * 100 / FLOWS)).collect();
    texts.join(", ")
}

/// Nanoseconds of one evaluation: the median of many batches, and what one batch in a hundred exceeds.
fn measure(graph: &Graph, flows: &[Flow], namespaces: &Namespaces) -> (u128, u128) {
    let mut flows = flows.iter().cycle();
    let mut batches: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for flow in flows.by_ref().take(BATCH) {
                black_box(graph.evaluate(&flow.query(namespaces)));
            }
            start.elapsed().as_nanos() / BATCH as u128
        })
        .collect();
    batches.sort_unstable();
    (batches[BATCHES / 2], batches[BATCHES * 99 / 100])
}

fn documents() -> Vec<(GraphKind, Value)> {
    let mut documents = Vec::new();
    for number in 0..NAMESPACES {
        documents.push((GraphKind::ServiceGraph, service_graph(number)));
        for place in 0..NETWORK_POLICIES {
            documents.push((GraphKind::NetworkPolicy, network_policy(number, place)));
        }
        for place in 0..CILIUM_POLICIES {
            documents.push((GraphKind::CiliumNetworkPolicy, cilium_policy(number, place)));
        }
    }
    documents
}

fn service_graph(number: u32) -> Value {
    let edges: Vec<Value> = (0..WORKLOADS * EDGES)
        .map(|edge| {
            let server = edge % WORKLOADS;
            let client = client_of(number, edge);
            json!({"from": {"serviceAccount": account(client)}, "to": {"serviceAccount": account(server)}, "ports": [8080]})
        })
        .collect();
    object(number, "graph".to_owned(), json!({"governs": "listed", "edges": edges}))
}

/// The first denies by default and lets names be asked for, the second lets in the namespace and monitoring; the others are each of some workloads, half by app, half by
/// tier and expression.
fn network_policy(number: u32, place: u32) -> Value {
    let spec = match place {
        0 => json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}]}, {"ports": [{"port": 53, "protocol": "UDP"}]}]}),
        1 => {
            json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}, {"from": [{"namespaceSelector": {"matchLabels":
            {"team": format!("team-{}", number % 10)}}}], "ports": [{"port": 9090}]}]})
        }
        2 => {
            json!({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}}]}]})
        }
        _ => json!({"podSelector": {"matchLabels": {"app": account(place * 2)}}, "ingress": [
            {"from": [{"podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web", "api"]}]}}],
             "ports": [{"port": 8080}, {"port": "metrics"}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace((number + 1) % NAMESPACES)}},
                       "podSelector": {"matchLabels": {"tier": "web"}}}]}]}),
    };
    object(number, format!("network-{place}"), spec)
}

fn cilium_policy(number: u32, place: u32) -> Value {
    let app = account(place * 2 + 1);
    let spec = match place % 3 {
        0 => json!({"endpointSelector": {"matchLabels": {"k8s:app": app}}, "ingress": [
            {"fromEndpoints": [{"matchLabels": {"k8s:tier": "api"}}], "toPorts": [{"ports": [{"port": "8080", "protocol": "TCP"}],
             "rules": {"http": [{"method": "GET", "path": "/v1/items/[0-9]+"}, {"method": "POST", "path": "/v1/.*"}]}}]}]}),
        1 => json!({"endpointSelector": {"matchLabels": {"app": app}}, "egress": [
            {"toEntities": ["cluster"]}, {"toCIDRSet": [{"cidr": "203.0.113.0/24"}], "toPorts": [{"ports": [{"port": "443"}]}]}]}),
        _ => json!({"endpointSelector": {"matchLabels": {"app": app}}, "ingress": [
            {"fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace((number + 3) % NAMESPACES)}},
                               {"matchLabels": {"io.cilium.k8s.policy.serviceaccount": account(1)}}]}],
            "ingressDeny": [{"fromEntities": ["world"]}]}),
    };
    object(number, format!("cilium-{place}"), spec)
}

/// Of an edge of that namespace.
fn client_of(number: u32, edge: u32) -> u32 {
    mix(number * 10_000 + edge) % WORKLOADS
}

fn object(number: u32, name: String, spec: Value) -> Value {
    json!({"metadata": {"namespace": namespace(number), "name": name}, "spec": spec})
}

fn pod(number: u32, place: u32) -> Identity {
    let label = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
    let tier = ["web", "api", "data"][place as usize % 3];
    let template = Template {
        namespace: namespace(number).into(),
        service_account: account(place).into(),
        labels: [
            label("app.kubernetes.io/name", &account(place)),
            label("app.kubernetes.io/instance", "production"),
            label("app.kubernetes.io/managed-by", "Helm"),
            label("helm.sh/chart", "workload-1.2.3"),
            label("app", &account(place)),
            label("tier", tier),
            label("version", "v1"),
            label("pod-template-hash", "5d78c9869d"),
        ]
        .into(),
        ports: [Port { name: Some("metrics".into()), number: 9090 }].into(),
        ..Template::default()
    };
    let mut ips = PodIps::default();
    ips.insert(Ipv4Addr::from(0x0a00_0000 + number * WORKLOADS + place).into());
    Identity::Pod(Arc::new(Pod {
        uid: format!("{number}-{place}").as_str().into(),
        name: "pod".into(),
        node: Some(format!("node-{}", place % 7).into()),
        ips,
        own_labels: None,
        template: Arc::new(template),
    }))
}

fn namespace(number: u32) -> String {
    format!("namespace-{number}")
}

fn account(place: u32) -> String {
    format!("workload-{}", place % WORKLOADS)
}

/// Scatters numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
fn mix(number: u32) -> u32 {
    let mut mixed = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as u32
}
