//! The index at the size that Kubernetes is tested to. A program of its own, for its memory to be the index's alone.

mod cluster;

use cluster::{Cluster, LATER, NOW, PODS, SERVICES};

/// The whole daemon may have 96.
const BOUND_MIB: u64 = 75;

#[test]
fn an_index_of_150_000_pods_and_10_000_services_fits_in_75_mib() {
    let before = cluster::anonymous_kib();
    let mut index = Cluster::index();
    Cluster { dual_stack: false }.each(|object| index.apply(object, NOW).unwrap());
    let mib = cluster::anonymous_kib().saturating_sub(before) / 1024;
    let counts = index.counts();
    assert_eq!((counts.pods, counts.services), (PODS as usize, SERVICES as usize));
    for pod in [0, 1, PODS / 2, PODS - 1] {
        let by_address = index.by_address(cluster::pod_ip(pod), LATER);
        assert_eq!(by_address.pod().unwrap().uid, cluster::uid(pod).as_str().into());
        assert_eq!(index.by_cgroup(&cluster::cgroup(pod)), Some(by_address));
    }
    assert!(mib < BOUND_MIB, "{mib} MiB");
}
