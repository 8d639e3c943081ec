use serde_json::{Value, json};

use crate::identity::builders::{at, ip, mk_index, mk_node, mk_pod, object};
use crate::identity::{Index, Object, ObjectKind};
use crate::model::{Identity, Link};

const ADDRESSES: [&str; 3] = ["10.244.1.2", "10.244.2.2", "10.244.1.3"];

/// Pods a and c on n1 and b on n2, of both address families.
fn three_pods(ipsec: bool) -> Index {
    let mut index = mk_index();
    if ipsec {
        let settings =
            crate::identity::Settings { cluster_cidrs: Vec::new(), node_name: "n1".into(), ipsec: true };
        index = Index::new(settings);
    }
    for (name, node, last) in [("a", "n1", 0), ("b", "n2", 1), ("c", "n1", 2)] {
        let ips = json!([{"ip": ADDRESSES[last]}, {"ip": format!("fd00::{last}")}]);
        let patch = json!({"spec": {"nodeName": node}, "status": {"podIPs": ips}});
        index.apply(&mk_pod(name, ADDRESSES[last], patch), at(0)).unwrap();
    }
    index
}

fn pod(index: &Index, place: usize) -> Identity {
    index.by_address(ip(ADDRESSES[place]), at(1))
}

/// Between the pods of two nodes, and of one.
fn links(index: &Index) -> (Link, Link) {
    let [a, b, c] = [0, 1, 2].map(|place| pod(index, place));
    assert_eq!(index.link(&a, &b, ip("10.244.2.2")), index.link(&b, &a, ip("10.244.1.2")));
    (index.link(&a, &b, ip("10.244.2.2")), index.link(&a, &c, ip("10.244.1.3")))
}

/// As the Cilium agent writes it.
fn mk_cilium(name: &str, key: Option<&str>) -> Object {
    let annotations = key.map_or(json!({}), |key| json!({"network.cilium.io/wg-pub-key": key}));
    object(
        "cilium.io/v2",
        "CiliumNode",
        json!({"metadata": {"name": name, "annotations": annotations},
               "spec": {"addresses": [{"type": "InternalIP", "ip": "172.18.0.3"}, {"type": "CiliumInternalIP", "ip": "10.244.2.217"}],
                        "encryption": {"key": 255}, "ipam": {"podCIDRs": ["10.244.2.0/24"]}}}),
    )
}

/// As Calico's agent writes it.
fn mk_calico(name: &str, address: &str, annotations: Value) -> Object {
    let node = json!({"metadata": {"name": name, "annotations": annotations},
                      "status": {"addresses": [{"type": "InternalIP", "address": address}]}});
    object("v1", "Node", node)
}

const KEY: &str = "2wFkjIlTxOcfpb8P2bQpYBZrnB7X3g9Xx9JlZ1Y3Zn0=";

#[test]
fn a_link_is_wireguard_where_cilium_shows_a_key_of_both_nodes() {
    let mut index = three_pods(false);
    assert_eq!(links(&index), (Link::Unknown, Link::None));
    index.apply(&mk_cilium("n1", Some(KEY)), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Unknown, Link::None), "one node's key proves nothing");
    index.apply(&mk_cilium("n2", Some(KEY)), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Wireguard, Link::None));
    index.apply(&mk_cilium("n2", None), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Unknown, Link::None), "encryption was switched off");
    index.apply(&mk_cilium("n2", Some(KEY)), at(0)).unwrap();
    index.begin_list(ObjectKind::CiliumNode);
    index.apply(&mk_cilium("n1", Some(KEY)), at(0)).unwrap();
    index.end_list(ObjectKind::CiliumNode, at(0));
    assert_eq!(links(&index), (Link::Unknown, Link::None), "the node is gone");
}

#[test]
fn a_link_is_wireguard_where_calico_shows_a_key_of_both_nodes_for_this_address_family() {
    let mut index = three_pods(false);
    let v4 = || json!({"projectcalico.org/WireguardPublicKey": KEY});
    index.apply(&mk_calico("n1", "172.18.0.2", v4()), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Unknown, Link::None));
    index.apply(&mk_calico("n2", "172.18.0.3", v4()), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Wireguard, Link::None));
    let v6 = |index: &Index| index.link(&pod(index, 0), &pod(index, 1), ip("fd00::1"));
    assert_eq!(v6(&index), Link::Unknown);
    let both = || json!({"projectcalico.org/WireguardPublicKey": KEY, "projectcalico.org/WireguardPublicKeyV6": KEY});
    index.apply(&mk_calico("n1", "172.18.0.2", both()), at(0)).unwrap();
    index.apply(&mk_calico("n2", "172.18.0.3", both()), at(0)).unwrap();
    assert_eq!(v6(&index), Link::Wireguard);
    index
        .apply(&mk_calico("n2", "172.18.0.3", json!({"projectcalico.org/WireguardPublicKey": ""})), at(0))
        .unwrap();
    assert_eq!(links(&index), (Link::Unknown, Link::None));
}

#[test]
fn keys_of_two_programs_make_no_link() {
    let mut index = three_pods(false);
    index.apply(&mk_cilium("n1", Some(KEY)), at(0)).unwrap();
    let calico = json!({"projectcalico.org/WireguardPublicKey": KEY});
    index.apply(&mk_calico("n2", "172.18.0.3", calico), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Unknown, Link::None));
}

#[test]
fn ipsec_is_what_the_operator_says_and_never_within_a_node() {
    let mut index = three_pods(true);
    assert_eq!(links(&index), (Link::Ipsec, Link::None));
    let external = Identity::External;
    assert_eq!(index.link(&external, &pod(&index, 0), ip("10.244.1.2")), Link::Unknown);
    index.apply(&mk_cilium("n1", Some(KEY)), at(0)).unwrap();
    index.apply(&mk_cilium("n2", Some(KEY)), at(0)).unwrap();
    assert_eq!(links(&index), (Link::Wireguard, Link::None));
}

#[test]
fn what_leaves_a_node_itself_goes_beside_the_pods_tunnel() {
    let mut index = three_pods(false);
    index.apply(&mk_cilium("n1", Some(KEY)), at(0)).unwrap();
    index.apply(&mk_cilium("n2", Some(KEY)), at(0)).unwrap();
    let (node, other) = (Identity::Node("n1".into()), pod(&index, 1));
    assert_eq!(index.link(&node, &other, ip("10.244.2.2")), Link::Unknown);
    assert_eq!(index.link(&node, &pod(&index, 0), ip("10.244.1.2")), Link::None);
    index.apply(&mk_pod("host", "172.18.0.2", json!({"spec": {"hostNetwork": true}})), at(0)).unwrap();
    let host = index.by_cgroup("kubepods/poduid-host/c").unwrap();
    assert_eq!(index.link(&host, &other, ip("10.244.2.2")), Link::Unknown);
    // Of a pod whose node is not known there is nothing to say, nor of a Service.
    let account = Identity::ServiceAccount { namespace: "shop".into(), name: "b".into() };
    assert_eq!(index.link(&pod(&index, 0), &account, ip("10.96.0.9")), Link::Unknown);
}

#[test]
fn an_address_that_a_network_plugin_gave_to_a_node_is_that_nodes() {
    let mut index = mk_index();
    let calico = json!({"projectcalico.org/IPv4IPIPTunnelAddr": "10.244.9.64", "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.9.65",
                        "projectcalico.org/IPv6VXLANTunnelAddr": "fd00::9", "projectcalico.org/IPv4WireguardInterfaceAddr": "10.244.9.66",
                        "projectcalico.org/IPv6WireguardInterfaceAddr": "fd00::10"});
    index.apply(&mk_calico("n1", "172.18.0.2", calico), at(0)).unwrap();
    for address in ["172.18.0.2", "10.244.9.64", "10.244.9.65", "10.244.9.66", "fd00::9", "fd00::10"] {
        assert_eq!(index.by_address(ip(address), at(1)), Identity::Node("n1".into()), "{address}");
    }
    // flannel's: the first address of the node's range.
    index.apply(&mk_node("n4", &[("InternalIP", "172.18.0.5")], &["10.244.4.0/24"]), at(0)).unwrap();
    assert_eq!(index.by_address(ip("10.244.4.0"), at(1)), Identity::Node("n4".into()));
    assert_eq!(index.by_address(ip("10.244.4.1"), at(1)), Identity::Unknown("no-pod-at-address"));

    index.apply(&mk_node("n2", &[("InternalIP", "172.18.0.3")], &[]), at(0)).unwrap();
    index.apply(&mk_cilium("n2", None), at(0)).unwrap();
    assert_eq!(index.by_address(ip("10.244.2.217"), at(1)), Identity::Node("n2".into()));
    index.delete(&mk_cilium("n2", None), at(2));
    assert_eq!(index.by_address(ip("10.244.2.217"), at(3)), Identity::Unknown("no-pod-at-address"));
    assert_eq!(
        index.by_address(ip("172.18.0.3"), at(3)),
        Identity::Node("n2".into()),
        "the Node has it still"
    );
}
