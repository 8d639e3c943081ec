use serde_json::{Value, json};

use crate::identity::builders::{NODE, at, ip, mk_index, mk_node, mk_pod, mk_service, mk_slice, object};
use crate::identity::{Index, Object, ObjectKind};
use crate::model::Identity;

fn named(kind: &str, name: &str) -> Object {
    object("v1", kind, json!({"metadata": {"name": name, "namespace": "shop"}}))
}

/// Roles and Bindings are kept elsewhere.
fn of_identity() -> impl Iterator<Item = ObjectKind> {
    ObjectKind::ALL.into_iter().filter(|kind| !kind.is_rights())
}

/// Two of each kind.
fn two_of_each() -> Vec<[Object; 2]> {
    let service = |name: &str, ip: &str| mk_service(name, json!({"clusterIP": ip, "ports": [{"port": 80}]}));
    vec![
        [mk_pod("a", "10.244.0.2", json!({})), mk_pod("b", "10.244.0.3", json!({}))],
        [service("a", "10.96.0.2"), service("b", "10.96.0.3")],
        [mk_slice("a", 1, &["a"], &[]), mk_slice("b", 1, &["b"], &[])],
        [
            mk_node("n1", &[("InternalIP", "172.18.0.2")], &[]),
            mk_node("n2", &[("InternalIP", "172.18.0.3")], &[]),
        ],
        ["a", "b"].map(|name| object("cilium.io/v2", "CiliumNode", json!({"metadata": {"name": name}}))),
        [named("Namespace", "a"), named("Namespace", "b")],
        [named("ServiceAccount", "a"), named("ServiceAccount", "b")],
    ]
}

/// How many there are, in the order of [`of_identity`].
fn counts(index: &Index) -> [usize; 7] {
    let counts = index.counts();
    let pods = index.pods().count();
    [
        pods,
        counts.services,
        counts.endpoint_slices,
        counts.nodes,
        counts.cilium_nodes,
        counts.namespaces,
        counts.service_accounts,
    ]
}

#[test]
fn what_a_list_lacks_is_deleted_and_other_kinds_are_left_alone() {
    for (place, kind) in of_identity().enumerate() {
        let mut index = mk_index();
        for object in two_of_each().iter().flatten() {
            index.apply(object, at(0)).unwrap();
        }
        let mut expected = [2; 7];
        assert_eq!(counts(&index), expected, "{kind:?}");
        index.begin_list(kind);
        index.apply(&two_of_each()[place][0], at(10)).unwrap();
        assert_eq!(counts(&index), expected, "{kind:?}");
        assert_eq!(index.end_list(kind, at(10)), 1, "{kind:?}");
        expected[place] = 1;
        assert_eq!(counts(&index), expected, "{kind:?}");
        // What is heard after the list belongs to it, too.
        index.apply(&two_of_each()[place][1], at(11)).unwrap();
        assert_eq!(index.end_list(kind, at(12)), 0, "{kind:?}");
    }
}

#[test]
fn a_pod_that_vanished_unheard_answers_for_its_last_connections() {
    let mut index = mk_index();
    index.apply(&mk_pod("a", "10.244.0.2", json!({})), at(0)).unwrap();
    index.begin_list(ObjectKind::Pod);
    assert_eq!(index.end_list(ObjectKind::Pod, at(10)), 1);
    assert!(index.by_address(ip("10.244.0.2"), at(9)).pod().is_some());
    assert_eq!(index.by_address(ip("10.244.0.2"), at(10)), Identity::Unknown("no-pod-at-address"));
    // It is gone only once.
    index.begin_list(ObjectKind::Pod);
    assert_eq!(index.end_list(ObjectKind::Pod, at(20)), 0);
}

#[test]
fn a_list_that_was_broken_off_deletes_nothing_until_one_is_complete() {
    let mut index = mk_index();
    let [a, b] = [mk_pod("a", "10.244.0.2", json!({})), mk_pod("b", "10.244.0.3", json!({}))];
    index.apply(&a, at(0)).unwrap();
    index.apply(&b, at(0)).unwrap();
    index.begin_list(ObjectKind::Pod);
    index.apply(&a, at(1)).unwrap();
    index.begin_list(ObjectKind::Pod);
    assert_eq!(index.pods().count(), 2);
    index.apply(&b, at(2)).unwrap();
    assert_eq!(index.end_list(ObjectKind::Pod, at(3)), 1);
    assert_eq!(index.pods().map(|pod| pod.name.to_string()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_object_that_can_no_longer_be_read_keeps_its_last_good_state_through_a_list() {
    let mut index = mk_index();
    let broken: Vec<(Object, Value)> = vec![
        (mk_pod("a", "10.244.0.2", json!({})), json!({"status": {"podIP": "x"}})),
        (mk_service("a", json!({"clusterIP": "10.96.0.2"})), json!({"spec": {"clusterIP": "x"}})),
        (mk_node(NODE, &[("InternalIP", "172.18.0.2")], &[]), json!({"status": {"addresses": []}})),
    ];
    for (good, bad) in broken {
        let kind = good.kind();
        index.apply(&good, at(0)).unwrap();
        index.begin_list(kind);
        let metadata = good.metadata();
        let mut bad = bad;
        bad["metadata"] =
            json!({"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid});
        index.apply(&object("v1", &format!("{kind:?}"), bad), at(1)).unwrap_err();
        assert_eq!(index.end_list(kind, at(1)), 0, "{kind:?}");
    }
    // Of some not even the fields can be read.
    for kind in of_identity() {
        let mut index = mk_index();
        let both = &two_of_each()[kind as usize];
        both.iter().for_each(|object| index.apply(object, at(0)).unwrap());
        index.begin_list(kind);
        index.still_there(kind, both[1].metadata());
        assert_eq!(index.end_list(kind, at(1)), 1, "{kind:?}");
    }
}
