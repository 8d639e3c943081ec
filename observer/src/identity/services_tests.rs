use serde_json::json;

use crate::identity::builders::{NODE, at, ip, mk_index, mk_node, mk_pod, mk_service, mk_slice, object};
use crate::identity::{Index, Object};
use crate::model::{Identity, Transport};

#[test]
fn a_service_is_found_at_each_of_its_addresses() {
    let mut index = mk_index();
    index.apply(&mk_node(NODE, &[("InternalIP", "172.18.0.2")], &[]), at(0)).unwrap();
    let spec = json!({
        "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:96::9"], "externalIPs": ["203.0.113.5"],
        "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}, {"port": 9, "protocol": "SCTP"}]});
    let mut service = json!({"metadata": {"name": "s", "namespace": "shop"}, "spec": spec});
    service["status"] =
        json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.6"}, {"hostname": "lb.example"}]}});
    index.apply(&object("v1", "Service", service.clone()), at(0)).unwrap();
    for (address, port, transport, found) in [
        ("10.96.0.9", 80, Transport::Tcp, true),
        ("fd00:96::9", 80, Transport::Tcp, true),
        ("203.0.113.5", 80, Transport::Tcp, true),
        ("203.0.113.6", 80, Transport::Tcp, true),
        ("10.96.0.9", 53, Transport::Udp, true),
        ("172.18.0.2", 30080, Transport::Tcp, true),
        ("10.96.0.9", 80, Transport::Udp, false),
        ("10.96.0.9", 9, Transport::Tcp, false),
        ("10.96.0.9", 30080, Transport::Tcp, false),
        ("172.18.0.2", 80, Transport::Tcp, false),
        ("172.18.0.4", 30080, Transport::Tcp, false),
    ] {
        assert_eq!(
            index.service(ip(address), port, transport).is_some(),
            found,
            "{address} {port} {transport:?}"
        );
    }
    index.delete(&object("v1", "Service", service), at(1));
    assert!(index.service(ip("10.96.0.9"), 80, Transport::Tcp).is_none());
    assert!(index.service(ip("172.18.0.2"), 30080, Transport::Tcp).is_none());
    assert!(!index.is_cluster_address(ip("10.96.0.9")));
}

#[test]
fn a_headless_service_has_no_address() {
    let mut index = mk_index();
    index
        .apply(
            &mk_service(
                "db",
                json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 5432}]}),
            ),
            at(0),
        )
        .unwrap();
    assert_eq!(index.counts().services, 1);
}

#[test]
fn a_services_backend_is_the_service_account_that_all_endpoints_share() {
    let backend = |slices: &[Object]| {
        let mut index = mk_index();
        let as_orders =
            |name: &str, ip: &str| mk_pod(name, ip, json!({"spec": {"serviceAccountName": "orders"}}));
        index.apply(&as_orders("o1", "10.244.0.1"), at(0)).unwrap();
        index.apply(&as_orders("o2", "10.244.0.2"), at(0)).unwrap();
        index.apply(&mk_pod("stranger", "10.244.0.3", json!({})), at(0)).unwrap();
        index
            .apply(&mk_service("s", json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]})), at(0))
            .unwrap();
        for slice in slices {
            index.apply(slice, at(0)).unwrap();
        }
        index.service(ip("10.96.0.9"), 80, Transport::Tcp).unwrap().backend
    };
    let orders = Identity::ServiceAccount { namespace: "shop".into(), name: "orders".into() };
    let unknown = Identity::Unknown("service-backend");
    assert_eq!(backend(&[mk_slice("s", 1, &["o1", "o2"], &[])]), orders);
    assert_eq!(backend(&[mk_slice("s", 1, &["o1"], &[]), mk_slice("s", 2, &[], &["10.244.0.2"])]), orders);
    assert_eq!(backend(&[mk_slice("s", 1, &["o1"], &[]), mk_slice("s", 2, &["stranger"], &[])]), unknown);
    assert_eq!(backend(&[mk_slice("s", 1, &["o1", "never-heard-of"], &[])]), unknown);
    assert_eq!(backend(&[mk_slice("s", 1, &["o1"], &["198.51.100.9"])]), unknown);
    assert_eq!(backend(&[mk_slice("s", 1, &[], &[])]), unknown);
    assert_eq!(backend(&[mk_slice("other", 1, &["o1"], &[])]), unknown);
    assert_eq!(backend(&[]), unknown);
    // The same slice, changed.
    assert_eq!(backend(&[mk_slice("s", 1, &["stranger"], &[]), mk_slice("s", 1, &["o1"], &[])]), orders);
}

#[test]
fn without_endpoint_slices_a_services_selector_tells_its_backend() {
    let mut index = mk_index();
    let spec = json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}], "selector": {"app": "orders"}});
    index.apply(&mk_service("s", spec), at(0)).unwrap();
    let backend = |index: &mut Index| index.service(ip("10.96.0.9"), 80, Transport::Tcp).unwrap().backend;
    assert_eq!(backend(&mut index), Identity::Unknown("service-backend"));
    index.apply(&mk_pod("orders", "10.244.0.1", json!({})), at(0)).unwrap();
    index
        .apply(
            &mk_pod(
                "elsewhere",
                "10.244.0.2",
                json!({"metadata": {"namespace": "x", "labels": {"app": "orders"}}}),
            ),
            at(0),
        )
        .unwrap();
    let ended = json!({"metadata": {"labels": {"app": "orders"}}, "status": {"phase": "Failed"}});
    index.apply(&mk_pod("ended", "10.244.0.3", ended), at(0)).unwrap();
    assert_eq!(
        backend(&mut index),
        Identity::ServiceAccount { namespace: "shop".into(), name: "orders".into() }
    );
}

#[test]
fn of_services_that_claim_one_address_the_first_by_name_has_it() {
    let mut index = mk_index();
    let claims = |name| mk_service(name, json!({"externalIPs": ["203.0.113.5"], "ports": [{"port": 80}]}));
    let at_address = |index: &mut Index| {
        index.service(ip("203.0.113.5"), 80, Transport::Tcp).map(|found| found.name.to_string())
    };
    for name in ["c", "a", "d", "b"] {
        index.apply(&claims(name), at(0)).unwrap();
        index.apply(&claims(name), at(0)).unwrap();
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(at_address(&mut index).as_deref(), Some(name));
        index.delete(&claims(name), at(1));
    }
    assert_eq!(at_address(&mut index), None);
}

#[test]
fn what_is_known_of_a_backend_is_looked_at_again_when_its_endpoints_change() {
    let mut index = mk_index();
    let backend = |index: &mut Index| index.service(ip("10.96.0.9"), 80, Transport::Tcp).unwrap().backend;
    let as_orders =
        |name: &str, ip: &str| mk_pod(name, ip, json!({"spec": {"serviceAccountName": "orders"}}));
    let orders = Identity::ServiceAccount { namespace: "shop".into(), name: "orders".into() };
    let unknown = Identity::Unknown("service-backend");
    index.apply(&mk_service("s", json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]})), at(0)).unwrap();
    index.apply(&mk_slice("s", 1, &["o1", "o2"], &[]), at(0)).unwrap();
    assert_eq!(backend(&mut index), unknown);
    index.apply(&as_orders("o1", "10.244.0.1"), at(0)).unwrap();
    assert_eq!(backend(&mut index), unknown, "of the second nothing is known");
    index.apply(&as_orders("o2", "10.244.0.2"), at(0)).unwrap();
    assert_eq!((backend(&mut index), backend(&mut index)), (orders.clone(), orders.clone()));
    index.apply(&mk_pod("stranger", "10.244.0.3", json!({})), at(0)).unwrap();
    index.apply(&mk_slice("s", 2, &["stranger"], &[]), at(0)).unwrap();
    assert_eq!((backend(&mut index), backend(&mut index)), (unknown.clone(), unknown.clone()));
    index.delete(&mk_slice("s", 2, &[], &[]), at(0));
    assert_eq!(backend(&mut index), orders);
    // A bare address is whose it is at the time.
    index.apply(&mk_slice("s", 1, &["o1"], &["10.244.0.2"]), at(0)).unwrap();
    assert_eq!((backend(&mut index), backend(&mut index)), (orders.clone(), orders.clone()));
    index.delete(&as_orders("o2", "10.244.0.2"), at(1));
    index.apply(&mk_pod("next", "10.244.0.2", json!({})), at(2)).unwrap();
    assert_eq!(backend(&mut index), unknown);
}
