//! A large cluster's objects, one after another, as they would come from its API server.

#![allow(dead_code, reason = "the test and the benchmark need different parts")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use observer::identity::{Index, Object, PodObject, Settings};
use observer::model::Timestamp;
use serde_json::{Value, json};

/// A workload has so many pods; two of three workloads have a Service.
const PODS_PER_WORKLOAD: u32 = 10;
/// Of ten workloads so many have a label whose value is each pod's own.
const STATEFUL_TENTHS: u32 = 2;
const SLICE: usize = 100;

/// When it all was heard of.
pub const NOW: Timestamp = Timestamp(1_793_613_600_000_000_000);
/// When all pods have their addresses.
pub const LATER: Timestamp = Timestamp(1_793_613_700_000_000_000);

#[derive(Clone, Copy)]
pub struct Cluster {
    pub pods: u32,
    pub dual_stack: bool,
}

impl Cluster {
    /// As large as Kubernetes is tested to (5,000 nodes, 150,000 pods, 10,000 Services).
    pub const fn largest(dual_stack: bool) -> Self {
        Self { pods: 150_000, dual_stack }
    }

    pub const fn services(self) -> u32 {
        self.pods / 15
    }

    const fn nodes(self) -> u32 {
        self.pods / 30
    }

    const fn namespaces(self) -> u32 {
        self.pods / 75
    }

    const fn accounts(self) -> u32 {
        self.pods / 15 * 2
    }

    pub fn index() -> Index {
        Index::new(Settings {
            cluster_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
            node_name: "node-0001.cluster.example".into(),
            ipsec: false,
        })
    }

    /// Gives every object to `take`.
    pub fn each(self, mut take: impl FnMut(&Object)) {
        for number in 0..self.namespaces() {
            take(&namespace(&self.namespace(number)));
        }
        for number in 0..self.accounts() {
            take(&named("ServiceAccount", &self.account(number), &self.namespace(number)));
        }
        for number in 0..self.nodes() {
            take(&node(number));
        }
        for workload in 0..self.pods / PODS_PER_WORKLOAD {
            let mut pod = self.template(workload);
            for number in 0..PODS_PER_WORKLOAD {
                self.individual(&mut pod, workload, number);
                let object = Object::Pod(pod);
                take(&object);
                let Object::Pod(back) = object else { return };
                pod = back;
            }
        }
        for number in 0..self.services() {
            take(&self.service(number));
            take(&self.slice(number));
        }
    }

    fn template(self, workload: u32) -> Box<PodObject> {
        let name = workload_name(workload);
        let (kind, owner) = match is_stateful(workload) {
            true => ("StatefulSet", name.clone()),
            false => ("ReplicaSet", format!("{name}-{}", hash(workload))),
        };
        let mut labels = json!({
            "app.kubernetes.io/name": name, "app.kubernetes.io/instance": format!("release-{workload}"),
            "app.kubernetes.io/component": "server", "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/part-of": format!("shop-{}", workload % self.namespaces()),
            "app.kubernetes.io/version": format!("1.{}.0", workload % 40), "helm.sh/chart": format!("chart-{}", workload % 300),
        });
        match is_stateful(workload) {
            true => labels["controller-revision-hash"] = owner.clone().into(),
            false => labels["pod-template-hash"] = hash(workload).into(),
        }
        let mut status = json!({"phase": "Running", "startTime": NOW.to_string(), "podIP": "10.0.0.0",
            "podIPs": [{"ip": "10.0.0.0"}],
            "conditions": [{"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": NOW.to_string()}],
            "containerStatuses": [{"state": {"running": {"startedAt": NOW.to_string()}}}]});
        if self.dual_stack {
            status["podIPs"] = json!([{"ip": "10.0.0.0"}, {"ip": "fd00::"}]);
        }
        let pod = json!({
            "metadata": {"name": "", "namespace": self.namespace(workload), "uid": "", "labels": labels,
                "creationTimestamp": NOW.to_string(),
                "ownerReferences": [{"kind": kind, "name": owner, "controller": true}]},
            "spec": {"serviceAccountName": self.account(workload), "nodeName": "", "containers": [
                {"ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                 "livenessProbe": {"httpGet": {"port": "http"}}, "readinessProbe": {"httpGet": {"port": "http"}}}]},
            "status": status,
        });
        match object("v1", "Pod", pod) {
            Object::Pod(pod) => pod,
            _ => unreachable!("it was a Pod"),
        }
    }

    fn individual(self, pod: &mut PodObject, workload: u32, number: u32) {
        let pod_number = workload * PODS_PER_WORKLOAD + number;
        let name = workload_name(workload);
        let name = match is_stateful(workload) {
            true => format!("{name}-{number}"),
            false => format!("{name}-{}-{:05x}", hash(workload), mix(pod_number) & 0xf_ffff),
        };
        if is_stateful(workload) {
            let labels = &mut pod.metadata.labels;
            labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.clone());
            labels.insert("apps.kubernetes.io/pod-index".to_owned(), number.to_string());
        }
        pod.metadata.name = Some(name);
        pod.metadata.uid = Some(uid(pod_number));
        pod.spec.node_name = Some(node_name(mix(pod_number) % self.nodes()));
        pod.status.pod_ip = Some(pod_v4(pod_number).to_string());
        pod.status.pod_ips[0].ip = Some(pod_v4(pod_number).to_string());
        if self.dual_stack {
            pod.status.pod_ips[1].ip = Some(pod_v6(pod_number).to_string());
        }
    }

    fn service(self, number: u32) -> Object {
        let name = workload_name(number);
        let spec = json!({
            "clusterIP": service_ip(number).to_string(), "clusterIPs": [service_ip(number).to_string()],
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "metrics", "port": 9090, "targetPort": 9090}],
            "selector": {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": format!("release-{number}")},
        });
        object(
            "v1",
            "Service",
            json!({"metadata": {"name": name, "namespace": self.namespace(number)}, "spec": spec}),
        )
    }

    fn namespace(self, number: u32) -> String {
        format!("team-{}", number % self.namespaces())
    }

    fn account(self, number: u32) -> String {
        format!("service-account-{}", number % self.accounts())
    }

    fn slice(self, number: u32) -> Object {
        let pods = number * PODS_PER_WORKLOAD..(number + 1) * PODS_PER_WORKLOAD;
        let endpoints: Vec<Value> = pods
            .take(SLICE)
            .map(|pod| {
                json!({"addresses": [pod_v4(pod).to_string()], "targetRef": {"kind": "Pod", "uid": uid(pod)}})
            })
            .collect();
        let name = workload_name(number);
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"metadata": {"name": format!("{name}-{:05x}", mix(number) & 0xf_ffff), "namespace": self.namespace(number),
                   "labels": {"kubernetes.io/service-name": name}}, "endpoints": endpoints}),
        )
    }
}

fn node(number: u32) -> Object {
    let address = Ipv4Addr::from(0xac10_0000 + number);
    let range = Ipv4Addr::from(0x6440_0000 + (number << 8));
    let node = json!({"metadata": {"name": node_name(number)}, "spec": {"podCIDRs": [format!("{range}/24")]},
                      "status": {"addresses": [{"type": "InternalIP", "address": address.to_string()}]}});
    object("v1", "Node", node)
}

/// With the labels that the API server, an admission controller and people give it.
fn namespace(name: &str) -> Object {
    let labels = json!({
        "kubernetes.io/metadata.name": name, "pod-security.kubernetes.io/enforce": "restricted",
        "istio-injection": "enabled", "team": name, "cost-centre": format!("cost-centre-of-{name}"),
    });
    object("v1", "Namespace", json!({"metadata": {"name": name, "labels": labels}}))
}

fn named(kind: &str, name: &str, namespace: &str) -> Object {
    object("v1", kind, json!({"metadata": {"name": name, "namespace": namespace}}))
}

fn object(api_version: &str, kind: &str, value: Value) -> Object {
    Object::from_value(api_version, kind, value).unwrap().unwrap()
}

fn workload_name(number: u32) -> String {
    format!("workload-{number}")
}

fn node_name(number: u32) -> String {
    format!("node-{number:04}.cluster.example")
}

/// As a Deployment's controller would choose it: ten letters.
fn hash(workload: u32) -> String {
    format!("{:010x}", u64::from(mix(workload)) * 251)
}

fn is_stateful(workload: u32) -> bool {
    workload % 10 < STATEFUL_TENTHS
}

/// A UUID of version 4, always the same for a number.
pub fn uid(pod: u32) -> String {
    let [a, b, c, d] = [1, 2, 3, 4].map(|salt| mix(pod.wrapping_mul(4).wrapping_add(salt)));
    format!("{a:08x}-{:04x}-4{:03x}-8{:03x}-{:04x}{d:08x}", b >> 16, b & 0xfff, c >> 20, c & 0xffff)
}

pub fn cgroup(pod: u32) -> String {
    let uid = uid(pod).replace('-', "_");
    let container = format!("{:032x}{:032x}", mix(pod), mix(!pod));
    format!(
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{container}.scope"
    )
}

pub fn pod_ip(pod: u32) -> IpAddr {
    pod_v4(pod).into()
}

fn pod_v4(pod: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x6440_0000 + pod)
}

fn pod_v6(pod: u32) -> Ipv6Addr {
    Ipv6Addr::from(0xfd00_0000_0000_0000_0000_0000_0000_0000 + u128::from(pod))
}

pub fn service_ip(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a60_0000 + number).into()
}

/// Spreads numbers: the same for the same, and otherwise as if by chance (the finalizer of MurmurHash3).
pub fn mix(number: u32) -> u32 {
    let mut mixed = number.wrapping_add(0x9e37_79b9);
    mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x85eb_ca6b);
    mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    mixed ^ (mixed >> 16)
}

/// Memory of this process that is its own (`RssAnon` of proc_pid_status(5)), in KiB.
pub fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
