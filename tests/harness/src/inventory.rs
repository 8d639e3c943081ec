//! The node's Kubernetes objects, with the fields that an API server would show of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::entropy;
use crate::pod::{Pod, PodSpec};
use crate::service::{Service, ServiceSpec};
use crate::yaml;

/// Every object of one node.
#[derive(Debug)]
pub struct Inventory {
    node: Value,
    namespaces: BTreeMap<String, Value>,
    service_accounts: BTreeMap<(String, String), Value>,
    pods: Vec<Value>,
    services: Vec<Value>,
    endpoint_slices: Vec<Value>,
}

impl Inventory {
    pub fn new(node: &str, ip4: Ipv4Addr, ip6: Ipv6Addr, pod_cidrs: &[String; 2]) -> Result<Self> {
        let labels = json!({"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"});
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": node, "uid": entropy::uuid()?, "creationTimestamp": now(), "labels": labels,
            },
            "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": pod_cidrs},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": ip4.to_string()},
                    {"type": "InternalIP", "address": ip6.to_string()},
                    {"type": "Hostname", "address": node},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        let mut inventory = Self {
            node,
            namespaces: BTreeMap::new(),
            service_accounts: BTreeMap::new(),
            pods: Vec::new(),
            services: Vec::new(),
            endpoint_slices: Vec::new(),
        };
        inventory.add_namespace("default")?;
        inventory.add_namespace("kube-system")?;
        Ok(inventory)
    }

    /// `kubectl get pods,services,endpointslices,nodes,namespaces,serviceaccounts -A -o yaml`.
    pub fn yaml(&self) -> String {
        let items = self.pods.iter().chain(&self.services).chain(&self.endpoint_slices);
        let items =
            items.chain([&self.node]).chain(self.namespaces.values()).chain(self.service_accounts.values());
        let items: Vec<&Value> = items.collect();
        yaml::print(
            &json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}),
        )
    }

    fn add_namespace(&mut self, name: &str) -> Result<()> {
        if !self.namespaces.contains_key(name) {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name, "uid": entropy::uuid()?, "creationTimestamp": now(),
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            self.namespaces.insert(name.to_owned(), namespace);
            // The service account controller makes one in each namespace.
            self.add_service_account(name, "default")?;
        }
        Ok(())
    }

    fn add_service_account(&mut self, namespace: &str, name: &str) -> Result<()> {
        if let Entry::Vacant(entry) = self.service_accounts.entry((namespace.to_owned(), name.to_owned())) {
            let account = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {
                    "name": name, "namespace": namespace, "uid": entropy::uuid()?, "creationTimestamp": now(),
                },
            });
            entry.insert(account);
        }
        Ok(())
    }

    pub fn add_pod(&mut self, node: (&str, Ipv4Addr, Ipv6Addr), pod: &Pod, spec: &PodSpec) -> Result<()> {
        self.add_namespace(&pod.namespace)?;
        self.add_service_account(&pod.namespace, &pod.service_account)?;

        let mut metadata = json!({
            "name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "creationTimestamp": now(),
            "labels": spec.labels,
        });
        if let Some(replica_set) = spec.replica_set() {
            metadata["generateName"] = format!("{replica_set}-").into();
            metadata["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set, "uid": entropy::uuid()?,
                "controller": true, "blockOwnerDeletion": true,
            }]);
        }

        let mut container = json!({"name": "main", "image": "example.test/main:1"});
        if !spec.ports.is_empty() {
            let port = |(name, number): &(String, u16)| json!({"name": name, "containerPort": number, "protocol": "TCP"});
            container["ports"] = spec.ports.iter().map(port).collect();
        }
        if let Some(port) = spec.probe_port {
            container["livenessProbe"] = json!({
                "httpGet": {"path": "/healthz", "port": port, "scheme": "HTTP"},
                "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
            });
        }
        let mut pod_spec = json!({
            "serviceAccountName": pod.service_account, "serviceAccount": pod.service_account,
            "nodeName": node.0, "containers": [container], "restartPolicy": "Always",
        });
        if spec.host_network {
            pod_spec["hostNetwork"] = true.into();
        }

        self.pods.push(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": pod_spec,
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
                "containerStatuses": [{
                    "name": "main", "ready": true, "restartCount": 0, "image": "example.test/main:1",
                    "containerID": format!("containerd://{}", pod.container_id),
                    "state": {"running": {"startedAt": now()}},
                }],
                "hostIP": node.1.to_string(),
                "hostIPs": [{"ip": node.1.to_string()}, {"ip": node.2.to_string()}],
                "podIP": pod.ip4.to_string(),
                "podIPs": [{"ip": pod.ip4.to_string()}, {"ip": pod.ip6.to_string()}],
                "startTime": now(),
                "qosClass": spec.qos.as_str(),
            },
        }));
        Ok(())
    }

    /// An API server takes each name once.
    pub fn check_free(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let mut objects = self.pods.iter().chain(&self.services);
        if objects.any(|object| {
            let metadata = &object["metadata"];
            object["kind"] == kind && metadata["namespace"] == namespace && metadata["name"] == name
        }) {
            bail!("the {kind} {namespace}/{name} exists already");
        }
        Ok(())
    }

    pub fn remove_pod(&mut self, uid: &str) {
        self.pods.retain(|pod| pod["metadata"]["uid"] != uid);
        for slice in &mut self.endpoint_slices {
            if let Some(endpoints) = slice["endpoints"].as_array_mut() {
                endpoints.retain(|endpoint| endpoint["targetRef"]["uid"] != uid);
            }
        }
    }

    pub fn add_service(&mut self, node: &str, service: &Service, spec: &ServiceSpec) -> Result<()> {
        self.add_namespace(&service.namespace)?;
        let uid = entropy::uuid()?;
        let single = spec.ports.len() == 1;
        // The API server demands names as soon as there are two ports.
        let named = |mut port: Value, number: u16| {
            if !single {
                port["name"] = format!("p{number}").into();
            }
            port
        };
        let ports: Vec<Value> = spec
            .ports
            .iter()
            .map(|port| {
                named(
                    json!({"port": port.port, "targetPort": port.target, "protocol": port.protocol.as_str()}),
                    port.port,
                )
            })
            .collect();
        self.services.push(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": service.name, "namespace": service.namespace, "uid": uid, "creationTimestamp": now(),
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": service.cluster_ip.to_string(),
                "clusterIPs": [service.cluster_ip.to_string(), service.cluster_ip6.to_string()],
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "ports": ports,
                "selector": selector(&spec.backends),
                "sessionAffinity": "None",
            },
            "status": {"loadBalancer": {}},
        }));
        for family in ["IPv4", "IPv6"] {
            let endpoints: Vec<Value> = spec.backends.iter().map(|(pod, _)| {
                let address = if family == "IPv4" { pod.ip4.to_string() } else { pod.ip6.to_string() };
                json!({
                    "addresses": [address],
                    "conditions": {"ready": true, "serving": true, "terminating": false},
                    "nodeName": node,
                    "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                })
            }).collect();
            let ports: Vec<Value> = spec
                .ports
                .iter()
                .map(|port| {
                    let name = if single { String::new() } else { format!("p{}", port.port) };
                    json!({"name": name, "port": port.target, "protocol": port.protocol.as_str()})
                })
                .collect();
            self.endpoint_slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": family,
                "endpoints": endpoints,
                "metadata": {
                    "name": format!("{}-{}", service.name, entropy::suffix()?),
                    "generateName": format!("{}-", service.name),
                    "namespace": service.namespace, "uid": entropy::uuid()?, "creationTimestamp": now(),
                    "labels": {
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                        "kubernetes.io/service-name": service.name,
                    },
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Service", "name": service.name, "uid": uid,
                        "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "ports": ports,
            }));
        }
        Ok(())
    }
}

/// The labels that all backends share, without the one that changes at each rollout.
fn selector(backends: &[(Pod, BTreeMap<String, String>)]) -> Value {
    let Some(((_, first), rest)) = backends.split_first() else { return Value::Object(Map::new()) };
    let shared = first.iter().filter(|(key, value)| {
        *key != "pod-template-hash" && rest.iter().all(|(_, labels)| labels.get(*key) == Some(*value))
    });
    shared.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

/// As the API server writes times: RFC 3339 in whole seconds.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
