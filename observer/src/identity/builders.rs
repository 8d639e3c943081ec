//! Small objects for tests.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Index, Object, Settings};
use crate::model::Timestamp;

pub(super) const NODE: &str = "n1";

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

pub(super) fn rfc3339(seconds: u64) -> String {
    at(seconds).to_string()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn object(api_version: &str, kind: &str, value: Value) -> Object {
    Object::from_value(api_version, kind, value).unwrap().unwrap()
}

pub(super) fn mk_index() -> Index {
    let cluster_cidrs = vec!["10.244.0.0/16".parse().unwrap()];
    Index::new(Settings { cluster_cidrs, node_name: NODE.into(), ipsec: false })
}

/// A pod as `<name>` with uid `uid-<name>`, changed by `patch` (RFC 7396).
pub(super) fn mk_pod(name: &str, ip: &str, patch: Value) -> Object {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": {"serviceAccountName": name, "nodeName": NODE},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
    });
    merge(&mut pod, patch);
    object("v1", "Pod", pod)
}

pub(super) fn mk_node(name: &str, addresses: &[(&str, &str)], cidrs: &[&str]) -> Object {
    let addresses: Vec<Value> =
        addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address})).collect();
    let node =
        json!({"metadata": {"name": name}, "spec": {"podCIDRs": cidrs}, "status": {"addresses": addresses}});
    object("v1", "Node", node)
}

pub(super) fn mk_service(name: &str, spec: Value) -> Object {
    object("v1", "Service", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
}

/// `pods` by name, and addresses that belong to no pod.
pub(super) fn mk_slice(service: &str, number: u32, pods: &[&str], addresses: &[&str]) -> Object {
    let pods = pods.iter().map(
        |pod| json!({"addresses": ["192.0.2.1"], "targetRef": {"kind": "Pod", "uid": format!("uid-{pod}")}}),
    );
    let addresses = addresses.iter().map(|address| json!({"addresses": [address]}));
    let endpoints: Vec<Value> = pods.chain(addresses).collect();
    object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"metadata": {"name": format!("{service}-{number}"), "namespace": "shop",
               "labels": {"kubernetes.io/service-name": service}}, "endpoints": endpoints}),
    )
}

fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (key, patch) in patch {
                match patch {
                    Value::Null => drop(fields.remove(&key)),
                    patch => merge(fields.entry(key).or_insert(json!({})), patch),
                }
            }
        }
        (value, patch) => *value = patch,
    }
}
