use serde_json::json;

use super::*;
use crate::identity::MAX_DEPARTED;
use crate::identity::builders::{NODE, at, ip, mk_index, mk_node, mk_pod, mk_service, rfc3339};
use crate::identity::pods::MAX_FORMER;

fn name_at(index: &Index, address: &str, moment: Timestamp) -> String {
    match index.by_address(ip(address), moment) {
        Identity::Pod(pod) => pod.name.to_string(),
        other => format!("{other:?}"),
    }
}

const NOBODY: &str = "Unknown(\"no-pod-at-address\")";
const CONTESTED: &str = "Unknown(\"address-contested\")";

#[test]
fn an_address_leads_to_the_pod_that_has_it() {
    let mut index = mk_index();
    index
        .apply(
            &mk_pod(
                "a",
                "10.244.0.2",
                json!({"status": {"podIPs": [{"ip": "10.244.0.2"}, {"ip": "fd00::2"}]}}),
            ),
            at(0),
        )
        .unwrap();
    for address in ["10.244.0.2", "fd00::2", "::ffff:10.244.0.2"] {
        assert_eq!(name_at(&index, address, at(1)), "a", "{address}");
    }
}

#[test]
fn an_address_that_changed_hands_leads_to_who_had_it_at_the_time() {
    let mut index = mk_index();
    let first = mk_pod("first", "10.244.0.2", json!({"status": {"startTime": rfc3339(10)}}));
    // Created before the first one was gone, and waiting for an address.
    let second = mk_pod("second", "10.244.0.2", json!({"status": {"startTime": rfc3339(40)}}));
    index.apply(&first, at(12)).unwrap();
    index.delete(&first, at(50));
    index.apply(&second, at(55)).unwrap();
    for (moment, expected) in [(9, NOBODY), (10, "first"), (49, "first"), (50, "second"), (1_000, "second")] {
        assert_eq!(name_at(&index, "10.244.0.2", at(moment)), expected, "at {moment}");
    }
}

#[test]
fn a_new_holder_ends_the_older_ones_time_when_nobody_told_of_its_end() {
    let mut index = mk_index();
    index
        .apply(&mk_pod("second", "10.244.0.2", json!({"status": {"startTime": rfc3339(40)}})), at(60))
        .unwrap();
    // News may come in any order.
    index
        .apply(&mk_pod("first", "10.244.0.2", json!({"status": {"startTime": rfc3339(10)}})), at(61))
        .unwrap();
    // The second one got it after 40 and before 60, when that was heard.
    for (moment, expected) in
        [(39, "first"), (40, CONTESTED), (59, CONTESTED), (60, "second"), (70, "second")]
    {
        assert_eq!(name_at(&index, "10.244.0.2", at(moment)), expected, "at {moment}");
    }
}

#[test]
fn a_pod_can_have_its_address_as_soon_as_its_kubelet_took_it_on() {
    let mut index = mk_index();
    let conditions =
        json!([{"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": rfc3339(30)}]);
    let status = json!({"startTime": rfc3339(20), "conditions": conditions});
    let metadata = json!({"creationTimestamp": rfc3339(10)});
    index.apply(&mk_pod("a", "10.244.0.2", json!({"metadata": metadata, "status": status})), at(99)).unwrap();
    assert_eq!(name_at(&index, "10.244.0.2", at(19)), NOBODY);
    assert_eq!(name_at(&index, "10.244.0.2", at(20)), "a");
}

#[test]
fn a_gap_between_two_holders_is_nobodys() {
    let mut index = mk_index();
    let first = mk_pod("first", "10.244.0.2", json!({}));
    index.apply(&first, at(0)).unwrap();
    index.delete(&first, at(50));
    index
        .apply(&mk_pod("second", "10.244.0.2", json!({"status": {"startTime": rfc3339(60)}})), at(62))
        .unwrap();
    assert_eq!(name_at(&index, "10.244.0.2", at(49)), "first");
    assert_eq!(name_at(&index, "10.244.0.2", at(55)), NOBODY);
    assert_eq!(name_at(&index, "10.244.0.2", at(60)), "second");
}

#[test]
fn a_pod_that_ended_keeps_its_uid_and_loses_its_address() {
    for phase in ["Succeeded", "Failed"] {
        let mut index = mk_index();
        let ended = mk_pod("job", "10.244.0.9", json!({"status": {"phase": phase}}));
        index.apply(&ended, at(0)).unwrap();
        assert_eq!(name_at(&index, "10.244.0.9", at(1)), "Unknown(\"no-pod-at-address\")");
        assert!(index.by_cgroup("kubepods/poduid-job/c").unwrap().pod().is_some());

        let mut index = mk_index();
        index.apply(&mk_pod("job", "10.244.0.9", json!({})), at(0)).unwrap();
        index.apply(&ended, at(10)).unwrap();
        assert_eq!(name_at(&index, "10.244.0.9", at(9)), "job");
        assert_eq!(name_at(&index, "10.244.0.9", at(10)), NOBODY);
    }
}

#[test]
fn a_pod_on_the_hosts_network_is_found_by_its_cgroup_alone() {
    let mut index = mk_index();
    index.apply(&mk_node(NODE, &[("InternalIP", "172.18.0.2")], &[]), at(0)).unwrap();
    index.apply(&mk_pod("proxy", "172.18.0.2", json!({"spec": {"hostNetwork": true}})), at(0)).unwrap();
    assert_eq!(index.by_address(ip("172.18.0.2"), at(1)), Identity::Node(NODE.into()));
    let found = index.by_cgroup("kubepods.slice/kubepods-poduid_proxy.slice/crio-1.scope").unwrap();
    assert_eq!(&*found.pod().unwrap().name, "proxy");
}

#[test]
fn a_pod_brought_up_to_date_keeps_its_address_and_shows_its_new_labels() {
    let mut index = mk_index();
    index.apply(&mk_pod("a", "10.244.0.2", json!({"status": {"startTime": rfc3339(5)}})), at(5)).unwrap();
    let changed = json!({"metadata": {"labels": {"app": "b"}}, "status": {"startTime": rfc3339(5)}});
    index.apply(&mk_pod("a", "10.244.0.2", changed), at(50)).unwrap();
    let Identity::Pod(pod) = index.by_address(ip("10.244.0.2"), at(6)) else { panic!() };
    assert_eq!(pod.label("app"), Some("b"));
    // A new sandbox, a new address.
    index.apply(&mk_pod("a", "10.244.0.3", json!({})), at(60)).unwrap();
    assert_eq!(name_at(&index, "10.244.0.2", at(60)), NOBODY);
    assert_eq!(name_at(&index, "10.244.0.3", at(60)), "a");
}

#[test]
fn a_pod_that_changes_its_address_again_and_again_leaves_nothing_behind() {
    let mut index = mk_index();
    let mut pod = mk_pod("a", "10.244.1.0", json!({}));
    for number in 0..100 {
        pod = mk_pod("a", &format!("10.244.1.{number}"), json!({}));
        index.apply(&pod, at(number)).unwrap();
    }
    assert!(index.pods.addresses() <= MAX_FORMER + 1);
    index.delete(&pod, at(200));
    index.delete(&pod, at(400));
    assert_eq!((index.pods.addresses(), index.counts().pods), (0, 0));
}

#[test]
fn a_deleted_pod_answers_for_two_minutes() {
    let mut index = mk_index();
    let pod = mk_pod("a", "10.244.0.2", json!({}));
    index.apply(&pod, at(0)).unwrap();
    index.delete(&pod, at(10));
    assert_eq!(index.pods().count(), 0);
    index.delete(&mk_pod("other", "10.244.0.3", json!({})), at(10 + 119));
    assert_eq!(name_at(&index, "10.244.0.2", at(9)), "a");
    assert!(index.by_cgroup("kubepods/poduid-a/c").unwrap().pod().is_some());
    index.delete(&mk_pod("other", "10.244.0.3", json!({})), at(10 + 120));
    assert_eq!(name_at(&index, "10.244.0.2", at(9)), NOBODY);
    assert_eq!(index.by_cgroup("kubepods/poduid-a/c"), Some(Identity::Unknown("pod-not-known")));
    assert_eq!(index.counts().pods, 0);
}

#[test]
fn deleted_pods_and_holders_of_one_address_are_bounded_and_counted() {
    let mut index = mk_index();
    let over = 5;
    for number in 0..MAX_DEPARTED + over {
        let pod = mk_pod(&format!("p{number}"), "10.244.0.2", json!({}));
        index.apply(&pod, at(1)).unwrap();
        index.delete(&pod, at(1));
    }
    assert_eq!(index.counts().pods, MAX_DEPARTED);
    assert!(index.counts().forgotten_early >= over as u64);
}

#[test]
fn a_cgroup_leads_to_the_pod_the_node_or_a_reason() {
    let mut index = mk_index();
    index
        .apply(
            &mk_pod("a", "10.244.0.2", json!({"metadata": {"uid": "1b3f6c1e-7a0d-4c55-9e5b-0a1b2c3d4e5f"}})),
            at(0),
        )
        .unwrap();
    let known = "kubepods.slice/kubepods-pod1b3f6c1e_7a0d_4c55_9e5b_0a1b2c3d4e5f.slice";
    assert_eq!(&*index.by_cgroup(known).unwrap().pod().unwrap().name, "a");
    assert_eq!(&*index.by_cgroup(&format!("/{known}/crio-1.scope/x")).unwrap().pod().unwrap().name, "a");
    // A node in a pod: of its own pods nothing is known here, of the pod it is in there is.
    let nested =
        format!("{known}/c/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod9_9.slice/y.scope");
    assert_eq!(&*index.by_cgroup(&nested).unwrap().pod().unwrap().name, "a");
    assert_eq!(index.by_cgroup("kubepods/pod0000/c"), Some(Identity::Unknown("pod-not-known")));
    for host in ["system.slice/kubelet.service", "init.scope", "kubepods.slice"] {
        assert_eq!(index.by_cgroup(host), Some(Identity::Node(NODE.into())), "{host}");
    }
    assert_eq!(index.by_cgroup(""), None);
    assert_eq!(index.by_cgroup("/"), None);
}

#[test]
fn an_address_without_a_pod_says_as_much_as_is_known() {
    let mut index = mk_index();
    index
        .apply(
            &mk_node(
                "n2",
                &[("InternalIP", "172.18.0.3"), ("ExternalIP", "203.0.113.7"), ("Hostname", "n2")],
                &["10.200.1.0/24"],
            ),
            at(0),
        )
        .unwrap();
    index.apply(&mk_service("s", json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]})), at(0)).unwrap();
    for (address, expected) in [
        ("172.18.0.3", Identity::Node("n2".into())),
        ("203.0.113.7", Identity::Node("n2".into())),
        ("10.244.7.7", Identity::Unknown("no-pod-at-address")),
        ("10.200.1.9", Identity::Unknown("no-pod-at-address")),
        ("10.96.0.9", Identity::Unknown("service-address")),
        ("192.168.1.1", Identity::External),
        ("198.51.100.1", Identity::External),
        ("2001:db8::1", Identity::External),
        // No IPv6 range of this cluster is known.
        ("fd00::1", Identity::Unknown("cluster-cidr-unknown")),
        ("0.0.0.0", Identity::Unknown("unspecified-address")),
        ("::1", Identity::Unknown("loopback-address")),
        ("127.0.0.53", Identity::Unknown("loopback-address")),
        ("224.0.0.251", Identity::Unknown("multicast-address")),
        ("255.255.255.255", Identity::Unknown("multicast-address")),
        ("ff02::fb", Identity::Unknown("multicast-address")),
        ("169.254.169.254", Identity::Unknown("link-local-address")),
        ("fe80::1", Identity::Unknown("link-local-address")),
    ] {
        assert_eq!(index.by_address(ip(address), at(1)), expected, "{address}");
    }
    for (address, expected) in
        [("10.244.7.7", true), ("172.18.0.3", true), ("10.96.0.9", true), ("192.168.1.1", false)]
    {
        assert_eq!(index.is_cluster_address(ip(address)), expected, "{address}");
    }
}

#[test]
fn without_any_range_a_private_address_may_be_anybodys() {
    let index = Index::new(Settings { cluster_cidrs: Vec::new(), node_name: NODE.into(), ipsec: false });
    for private in ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "100.127.255.1", "fd12::1"] {
        let identity = index.by_address(ip(private), at(0));
        assert_eq!(identity, Identity::Unknown("cluster-cidr-unknown"), "{private}");
    }
    for public in ["198.51.100.1", "172.32.0.1", "100.128.0.1", "100.63.0.1", "2001:db8::1"] {
        assert_eq!(index.by_address(ip(public), at(0)), Identity::External, "{public}");
    }
}

#[test]
fn a_node_that_is_gone_takes_its_address_and_range_along() {
    let mut index = Index::new(Settings { cluster_cidrs: Vec::new(), node_name: NODE.into(), ipsec: false });
    let node = mk_node("n2", &[("InternalIP", "172.18.0.3")], &["10.200.1.0/24"]);
    index.apply(&node, at(0)).unwrap();
    index.delete(&node, at(1));
    for address in ["172.18.0.3", "10.200.1.1"] {
        assert_eq!(index.by_address(ip(address), at(2)), Identity::Unknown("cluster-cidr-unknown"));
    }
}

#[test]
fn a_pod_without_a_service_account_runs_as_default_unless_it_is_a_static_pods_mirror() {
    let mut index = mk_index();
    index
        .apply(&mk_pod("plain", "10.244.0.2", json!({"spec": {"serviceAccountName": null}})), at(0))
        .unwrap();
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.hash": "3c1b7e0f9a5d4c2b8e6f0a1d2c3b4e5f"}},
                        "spec": {"serviceAccountName": null}});
    index.apply(&mk_pod("mirror", "10.244.0.3", mirror), at(0)).unwrap();
    let account = |address| index.by_address(ip(address), at(1)).service_account().unwrap().1.to_string();
    assert_eq!(account("10.244.0.2"), "default");
    assert_eq!(account("10.244.0.3"), "");
}

#[test]
fn a_malformed_object_changes_nothing() {
    let mut index = mk_index();
    index.apply(&mk_pod("a", "10.244.0.2", json!({})), at(0)).unwrap();
    let broken =
        index.apply(&mk_pod("a", "10.244.0.2", json!({"status": {"podIP": null, "podIPs": null}})), at(5));
    assert_eq!(broken.unwrap_err().problem, Problem::PodWithoutAddress);
    assert_eq!(name_at(&index, "10.244.0.2", at(9)), "a");
    for phase in ["Pending", "Succeeded", "Failed"] {
        let status = json!({"phase": phase, "podIP": null, "podIPs": null});
        index.apply(&mk_pod(phase, "10.244.0.7", json!({"status": status})), at(5)).unwrap();
    }
}
