//! The node's Kubernetes objects. Needs root.

use std::process::{Command, Stdio};
use std::time::SystemTime;

use observer_harness::{Qos, SimNode};
use serde_json::Value;

/// The List's items, read by a YAML parser that the harness itself does not use.
fn items(node: &SimNode) -> Vec<Value> {
    let list: Value = serde_saphyr::from_str(&node.inventory_yaml()).expect("the inventory is YAML");
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
    list["items"].as_array().expect("items is a list").clone()
}

fn find<'a>(items: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = items.iter().find(|item| item["kind"] == kind && item["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn a_pods_object_says_what_was_asked_for() {
    let node = SimNode::builder().name("worker-1").start().unwrap();
    let uid = "d6e9c5b2-1c1f-4b6e-9a4e-0f6a3a5f0a11";
    let pod = node
        .pod("shop", "orders-sa")
        .name("orders-7d9f-x2")
        .uid(uid)
        .deployment("orders")
        .label("tier", "backend")
        .label("version", "1.10")
        .qos(Qos::BestEffort)
        .probe_port(8081)
        .container_port("http", 8080)
        .start()
        .unwrap();
    let items = items(&node);
    let object = find(&items, "Pod", "orders-7d9f-x2");
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);

    assert_eq!(object["apiVersion"], "v1");
    assert_eq!((&metadata["namespace"], &metadata["uid"]), (&"shop".into(), &uid.into()));
    let labels = &metadata["labels"];
    assert_eq!((&labels["app"], &labels["tier"]), (&"orders".into(), &"backend".into()));
    // Quoted, or it would come back as a number.
    assert_eq!(labels["version"], "1.10");
    let owner = &metadata["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&"ReplicaSet".into(), &true.into()));
    let replica_set = format!("orders-{}", labels["pod-template-hash"].as_str().unwrap());
    assert_eq!(owner["name"], replica_set);

    assert_eq!((&spec["serviceAccountName"], &spec["nodeName"]), (&"orders-sa".into(), &"worker-1".into()));
    assert_eq!(spec["hostNetwork"], Value::Null);
    let container = &spec["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 8080);
    assert_eq!(container["ports"][0]["name"], "http");
    assert_eq!(container["livenessProbe"]["httpGet"]["port"], 8081);

    assert_eq!((&status["phase"], &status["qosClass"]), (&"Running".into(), &"BestEffort".into()));
    // `ip` is the judge of which addresses the pod has.
    let addresses = pod.run_ok(["ip", "-brief", "address", "show", "eth0", "scope", "global"]).unwrap();
    let mut addresses = addresses.split_whitespace().skip(2).map(|cidr| cidr.split('/').next().unwrap());
    assert_eq!(status["podIP"], addresses.next().unwrap());
    assert_eq!(status["podIPs"][1]["ip"], addresses.next().unwrap());
    assert_eq!(status["hostIP"], node.ip4().to_string());
}

#[test]
fn a_host_network_pod_has_the_nodes_addresses() {
    let node = SimNode::builder().start().unwrap();
    node.pod("kube-system", "agent").name("agent").host_network().start().unwrap();
    let items = items(&node);
    let (pod, object) = (find(&items, "Pod", "agent"), find(&items, "Node", "n1"));
    assert_eq!(pod["spec"]["hostNetwork"], true);
    assert_eq!(object["status"]["addresses"][0]["type"], "InternalIP");
    assert_eq!(pod["status"]["podIP"], object["status"]["addresses"][0]["address"]);
    assert_eq!(pod["status"]["podIPs"][1]["ip"], object["status"]["addresses"][1]["address"]);
    assert_eq!(object["spec"]["podCIDR"], node.cluster_cidr());
}

#[test]
fn a_service_selects_its_backends_and_its_slices_name_them() {
    let node = SimNode::builder().start().unwrap();
    let backends = [1, 2].map(|_| node.pod("shop", "pay").deployment("payments").start().unwrap());
    let service = node.service("shop", "payments").port(80, 8080).udp_port(53, 5353);
    let service = backends.iter().fold(service, |service, pod| service.backend(pod)).start().unwrap();
    let items = items(&node);

    let object = find(&items, "Service", "payments");
    assert_eq!(object["spec"]["clusterIP"], service.cluster_ip.to_string());
    assert_eq!(object["spec"]["clusterIPs"][1], service.cluster_ip6.to_string());
    assert_eq!(object["spec"]["selector"]["app"], "payments");
    assert_eq!(object["spec"]["selector"]["pod-template-hash"], Value::Null);
    assert_eq!(object["spec"]["ports"][0]["targetPort"], 8080);
    assert_eq!(object["spec"]["ports"][1]["protocol"], "UDP");

    let slices: Vec<&Value> = items.iter().filter(|item| item["kind"] == "EndpointSlice").collect();
    assert_eq!(slices.len(), 2);
    for (slice, family) in slices.into_iter().zip(["IPv4", "IPv6"]) {
        assert_eq!(slice["apiVersion"], "discovery.k8s.io/v1");
        assert_eq!(slice["addressType"], family);
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "payments");
        assert_eq!(slice["ports"][0]["port"], 8080);
        for (endpoint, pod) in slice["endpoints"].as_array().unwrap().iter().zip(&backends) {
            let address = if family == "IPv4" { pod.ip4.to_string() } else { pod.ip6.to_string() };
            assert_eq!(endpoint["addresses"][0], address);
            assert_eq!(endpoint["targetRef"]["uid"], pod.uid);
        }
    }
}

#[test]
fn every_namespace_in_use_and_its_accounts_are_listed() {
    let node = SimNode::builder().start().unwrap();
    node.pod("server-ns", "default").name("receiver").start().unwrap();
    node.pod("client-ns", "curl-sa").start().unwrap();
    let items = items(&node);
    let of = |kind: &str| -> Vec<String> {
        let items = items.iter().filter(|item| item["kind"] == kind);
        items
            .map(|item| {
                let metadata = &item["metadata"];
                let namespace =
                    metadata["namespace"].as_str().map(|name| format!("{name}/")).unwrap_or_default();
                namespace + metadata["name"].as_str().unwrap()
            })
            .collect()
    };
    assert_eq!(of("Namespace"), ["client-ns", "default", "kube-system", "server-ns"]);
    assert_eq!(
        of("ServiceAccount"),
        [
            "client-ns/curl-sa",
            "client-ns/default",
            "default/default",
            "kube-system/default",
            "server-ns/default"
        ]
    );
}

#[test]
fn objects_are_no_younger_than_the_pods_first_packet() {
    let node = SimNode::builder().start().unwrap();
    node.pod("shop", "orders").name("orders").start().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let items = items(&node);
    let created = find(&items, "Pod", "orders")["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    // GNU date is the judge of the format.
    let mut date = Command::new("date");
    let output = date.args(["-u", "+%s", "-d", &created]).stderr(Stdio::inherit()).output().unwrap();
    let created: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(created <= now && now - created < 60, "{created} {now}");
}
