//! The memory of the index. A program of its own, for its memory to be the index's alone.

mod cluster;

use cluster::{Cluster, LATER, NOW};

/// An eighth of the largest cluster, for the time that it takes without optimization; `cargo xtask bench identity`
/// measures the whole.
const CLUSTER: Cluster = Cluster { pods: 150_000 / 8, dual_stack: false };
/// An eighth of what the largest cluster's index may have, and what a test's thread takes for itself.
const BOUND_KIB: u64 = 10 * 1024;

#[test]
fn an_index_of_18_750_pods_and_1_250_services_fits_in_10_mib() {
    let before = cluster::anonymous_kib();
    let mut index = Cluster::index();
    CLUSTER.each(|object| index.apply(object, NOW).unwrap());
    let kib = cluster::anonymous_kib().saturating_sub(before);
    let counts = index.counts();
    assert_eq!((counts.pods, counts.services), (18_750, 1_250));
    for pod in [0, 1, 7_500, 18_749] {
        let by_address = index.by_address(cluster::pod_ip(pod), LATER);
        assert_eq!(by_address.pod().unwrap().uid, cluster::uid(pod).as_str().into());
        assert_eq!(index.by_cgroup(&cluster::cgroup(pod)), Some(by_address));
    }
    assert!(kib < BOUND_KIB, "{kib} KiB");
}
