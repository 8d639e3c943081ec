use std::sync::Arc;

use super::super::{Way, hop};
use super::{UNKNOWN, node, orders, payments, service_account};
use crate::model::{Hop, Identity, Pod, Template};

#[test]
fn a_hop_is_named_by_its_ends() {
    let external = || Identity::External;
    let table = [
        (orders(), payments(), 8080, Hop::PodToPod),
        (orders(), service_account(), 8080, Hop::PodToPod),
        (service_account(), payments(), 8080, Hop::PodToPod),
        (orders(), orders(), 8080, Hop::IntraPod),
        // The port of a probe, from the node and from elsewhere, and another port.
        (node(), payments(), 8081, Hop::KubeletProbe),
        (orders(), payments(), 8081, Hop::PodToPod),
        (external(), payments(), 8081, Hop::External),
        (node(), payments(), 8080, Hop::NodeLocal),
        (node(), service_account(), 8080, Hop::NodeLocal),
        (node(), node(), 10250, Hop::NodeLocal),
        (orders(), node(), 10250, Hop::NodeLocal),
        (service_account(), node(), 10250, Hop::NodeLocal),
        (orders(), external(), 443, Hop::External),
        (external(), payments(), 443, Hop::External),
        (node(), external(), 443, Hop::External),
        (external(), node(), 443, Hop::External),
        (orders(), UNKNOWN, 443, Hop::External),
        (UNKNOWN, payments(), 443, Hop::External),
        (node(), UNKNOWN, 443, Hop::External),
    ];
    for (client, server, port, expected) in table {
        assert_eq!(hop(&client, &server, port, Way::default()), expected, "{client:?} -> {server:?}:{port}");
    }
}

/// A proxy in a pod's network namespace delivers what it decrypted, and may keep the address of whoever sent it.
#[test]
fn what_never_leaves_a_pods_network_is_inside_the_pod() {
    let (direct, through_proxy) =
        (Way { loopback: true, proxied: false }, Way { loopback: true, proxied: true });
    for client in [orders(), payments(), node(), Identity::External, UNKNOWN] {
        assert_eq!(hop(&client, &payments(), 8080, direct), Hop::IntraPod, "{client:?}");
        assert_eq!(hop(&client, &payments(), 8080, through_proxy), Hop::Sidecar, "{client:?}");
    }
}

/// A mesh's proxy that calls a pod which is not in the mesh does so in clear, from the network of its own pod.
#[test]
fn what_a_proxy_sends_to_another_pod_is_from_pod_to_pod() {
    let way = Way { loopback: false, proxied: true };
    assert_eq!(hop(&orders(), &payments(), 8080, way), Hop::PodToPod);
}

/// The node's loopback is shared by all that run in its network.
#[test]
fn loopback_on_the_node_is_no_pods_inside() {
    let Identity::Pod(pod) = payments() else { unreachable!() };
    let template = Template { host_network: true, ..(*pod.template).clone() };
    let agent = Identity::Pod(Arc::new(Pod { template: Arc::new(template), ..(*pod).clone() }));
    let way = Way { loopback: true, proxied: false };
    assert_eq!(hop(&node(), &agent, 9100, way), Hop::NodeLocal);
    assert_eq!(hop(&orders(), &agent, 9100, way), Hop::PodToPod);
}
