use std::fs;
use std::path::PathBuf;

use super::*;
use crate::identity::Settings;
use crate::model::{Identity, Transport};

const SHOP: &str = include_str!("testdata/shop.yaml");
const NOW: Timestamp = Timestamp(1_793_613_600_000_000_000); // 2026-11-02T10:00:00Z

/// A directory of its own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("observer-inventory-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(path: &Path) -> Result<Index, InventoryError> {
    let mut index = Index::new(Settings { cluster_cidrs: Vec::new(), node_name: "n1".into(), ipsec: false });
    Inventory::read(path)?.apply_to(&mut index, NOW)?;
    Ok(index)
}

/// The error of an inventory `bad.yaml` that holds `text`: one line, without the directory's name.
fn error(name: &str, text: &str) -> String {
    let directory = Temporary::new(name, &[("bad.yaml", text)]);
    let error = load(&directory.file("bad.yaml")).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&format!("{}/", directory.0.display()), "")
}

#[test]
fn what_kubectl_prints_tells_who_is_who() {
    let directory = Temporary::new("kubectl", &[("shop.yaml", SHOP)]);
    let inventory = Inventory::read(&directory.0).unwrap();
    assert_eq!(inventory.ignored, BTreeMap::from([("Secret".to_owned(), 1), ("Service".to_owned(), 1)]));
    let mut index = load(&directory.0).unwrap();
    let counts = index.counts();
    assert_eq!((counts.pods, counts.services, counts.endpoint_slices, counts.nodes), (2, 1, 2, 1));
    assert_eq!((counts.namespaces, counts.service_accounts), (1, 1));

    let Identity::Pod(orders) = index.by_address("10.244.0.2".parse().unwrap(), NOW) else { panic!() };
    assert_eq!((&*orders.namespace, &*orders.service_account), ("shop", "orders"));
    assert_eq!(&*orders.name, "orders-7d9f8c6b5-x2kqp");
    let workload = orders.workload.as_ref().unwrap();
    assert_eq!((&*workload.kind, &*workload.name), ("Deployment", "orders"));
    assert_eq!(*orders.probe_ports, [8080]);
    assert_eq!(orders.ports.iter().map(|port| port.number).collect::<Vec<_>>(), [8080, 9090]);
    assert_eq!(orders.node.as_deref(), Some("n1"));
    assert_eq!(index.by_address("fd00:10:244::2".parse().unwrap(), NOW), Identity::Pod(orders.clone()));
    let path = "kubepods.slice/kubepods-burstable.slice/\
                kubepods-burstable-pod1b3f6c1e_7a0d_4c55_9e5b_0a1b2c3d4e5f.slice/cri-containerd-9a.scope";
    assert_eq!(index.by_cgroup(path), Some(Identity::Pod(orders)));

    let etcd = index.by_cgroup("kubepods/burstable/pod3c1b7e0f9a5d4c2b8e6f0a1d2c3b4e5f/9a").unwrap();
    let etcd = etcd.pod().unwrap();
    assert_eq!((&*etcd.name, &*etcd.service_account, etcd.host_network), ("etcd-n1", "", true));
    assert_eq!(index.by_address("172.18.0.2".parse().unwrap(), NOW), Identity::Node("n1".into()));

    let service = index.service("10.96.14.7".parse().unwrap(), 80, Transport::Tcp).unwrap();
    assert_eq!((&*service.namespace, &*service.name), ("shop", "orders"));
    assert_eq!(service.backend, Identity::ServiceAccount { namespace: "shop".into(), name: "orders".into() });
    // Nobody has it, and the Node says whose range it is.
    let free = index.by_address("10.244.0.99".parse().unwrap(), NOW);
    assert_eq!(free, Identity::Unknown("no-pod-at-address"));
    assert!(index.knows_service_account("shop", "orders"));
    assert!(!index.knows_service_account("shop", "default"));
}

#[test]
fn json_and_typed_lists_without_kinds_in_their_items_are_read_too() {
    let json = r#"{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a", "namespace": "x", "uid": "u1"},
        "status": {"phase": "Running", "podIP": "10.0.0.1"}}]}"#;
    let yaml = "apiVersion: v1\nkind: ServiceList\nitems: null\n---\n# nothing\n---\napiVersion: v1\nkind: Pod\n\
                metadata: {name: b, namespace: x, uid: u2}\nstatus: {phase: Pending}\n";
    let directory =
        Temporary::new("lists", &[("1.json", json), ("2.yml", yaml), ("notes.txt", "not: [read")]);
    let index = load(&directory.0).unwrap();
    let mut names: Vec<String> = index.pods().map(|pod| pod.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_missing_file_names_itself() {
    let text = load(Path::new("/nonexistent/pods.yaml")).map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("inventory /nonexistent/pods.yaml: No such file or directory"), "{text}");
    assert!(text.ends_with("give a file or a directory that this process may read"), "{text}");
}

#[test]
fn an_empty_directory_says_what_belongs_there() {
    let directory = Temporary::new("empty", &[("readme.txt", "")]);
    let text = load(&directory.0).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("no *.yaml, *.yml or *.json in it"), "{text}");
}

#[test]
fn broken_yaml_names_the_line_and_shows_none_of_it() {
    let text = error("broken", "apiVersion: v1\nkind: Secret\ndata: {token: hunter2,\n  other: [}\n");
    assert!(text.starts_with("inventory bad.yaml: line 4: not valid YAML: "), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn broken_json_names_the_line() {
    let directory = Temporary::new("json", &[("bad.json", "{\"apiVersion\": \"v1\",\n\"kind\": }")]);
    let text = load(&directory.0).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("bad.json: line 2: not valid JSON: "), "{text}");
}

#[test]
fn yaml_that_is_not_kubernetes_says_what_is_missing_where() {
    for (text, expected) in [
        ("name: shop\n", "document 1 is no Kubernetes object: apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {}\n", "document 1 is no Kubernetes object: kind is missing"),
        ("- 1\n- 2\n", "document 1 is no Kubernetes object: apiVersion is missing"),
        ("just words\n", "document 1 is no Kubernetes object: apiVersion is missing"),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n",
            "document 1, items[0] is no Kubernetes object: kind is missing",
        ),
    ] {
        let text = error("not-kubernetes", text);
        assert!(text.starts_with(&format!("inventory bad.yaml: {expected}; ")), "{text}");
    }
}

#[test]
fn an_inventory_of_nobody_says_how_to_write_one() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: x}\n";
    for text in ["", config, "apiVersion: v1\nkind: List\nitems: []\n"] {
        let text = error("nobody", text);
        assert!(
            text.starts_with("inventory bad.yaml: no Pod, Service or Node in it; write it with `kubectl get"),
            "{text}"
        );
    }
}

#[test]
fn a_field_of_the_wrong_type_names_object_and_key() {
    let text = error(
        "field",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: x}\nspec:\n  ports:\n  - port: 80\n  - port: many\n",
    );
    assert!(
        text.starts_with("inventory bad.yaml: Service x/a: spec.ports[1].port: invalid type: string"),
        "{text}"
    );
}

#[test]
fn an_object_without_an_ip_names_itself_and_the_way_out() {
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x, uid: u}\nstatus: {phase: Running}\n";
    let text = error("podless", pod);
    assert!(text.starts_with("inventory bad.yaml: Pod x/a: it is Running but has no status.podIP"), "{text}");
    assert!(text.contains("set status.podIP"), "{text}");

    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {addresses: [{type: Hostname, address: n1}]}\n";
    let text = error("nodeless", node);
    assert!(
        text.starts_with("inventory bad.yaml: Node n1: no status.addresses entry of type InternalIP"),
        "{text}"
    );
}

#[test]
fn an_address_that_is_none_names_its_key() {
    let text = error(
        "address",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x, uid: u}\nstatus: {phase: Running, podIP: 10.0.0}\n",
    );
    assert!(
        text.starts_with(
            "inventory bad.yaml: Pod x/a: status.podIP is \"10.0.0\", which is not an IP address"
        ),
        "{text}"
    );
}

#[test]
fn an_object_without_a_name_or_uid_is_told_apart() {
    for (metadata, expected) in [
        ("{}", "Pod: metadata.name is missing"),
        ("{name: a}", "Pod a: metadata.namespace is missing"),
        ("{name: a, namespace: x}", "Pod x/a: metadata.uid is missing"),
    ] {
        let text = error("unnamed", &format!("apiVersion: v1\nkind: Pod\nmetadata: {metadata}\n"));
        assert!(text.starts_with(&format!("inventory bad.yaml: {expected}; ")), "{text}");
    }
}
