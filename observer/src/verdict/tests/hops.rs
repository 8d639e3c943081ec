use super::super::hop;
use super::{UNKNOWN, node, orders, payments, service_account};
use crate::model::{Hop, Identity};

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
        assert_eq!(hop(&client, &server, port), expected, "{client:?} -> {server:?}:{port}");
    }
}
