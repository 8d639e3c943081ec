//! The node's nftables: Services as kube-proxy's nftables mode does them, and what a CNI plugin adds.
//!
//! The tables and chains follow kube-proxy (KEP-3866) by name and by effect: DNAT at prerouting and output, one chain a
//! Service port and one an endpoint, masquerade for what does not come from a pod and for a pod that reaches itself.

use std::fmt::Write as _;
use std::net::IpAddr;

/// One port of a Service in one address family.
#[derive(Debug)]
pub struct Forwarding {
    /// `namespace/name`.
    pub service: String,
    pub protocol: &'static str,
    pub cluster_ip: IpAddr,
    pub port: u16,
    pub target_port: u16,
    pub backends: Vec<IpAddr>,
    pub pod_cidr: String,
}

/// The tables as they are before the first Service. Arguments: pods' ranges and the node's addresses, IPv4 then IPv6.
pub fn base(pod_cidrs: &[String; 2], node: (IpAddr, IpAddr)) -> String {
    let mut rules = String::new();
    for (family, kind, reject) in [("ip", "ipv4_addr", "icmp"), ("ip6", "ipv6_addr", "icmpv6")] {
        let _ = write!(
            rules,
            "table {family} kube-proxy {{
  map service-ips {{
    type {kind} . inet_proto . inet_service : verdict
  }}
  set cluster-ips {{
    type {kind}
  }}
  chain mark-for-masquerade {{
    meta mark set meta mark or 0x4000
  }}
  chain services {{
    {family} daddr . meta l4proto . th dport vmap @service-ips
  }}
  chain reject-cluster-ips {{
    {family} daddr @cluster-ips reject with {reject} type port-unreachable
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority dstnat
    jump services
  }}
  chain nat-output {{
    type nat hook output priority -100
    jump services
  }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat
    meta mark and 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }}
  chain filter-forward {{
    type filter hook forward priority filter
    jump reject-cluster-ips
  }}
  chain filter-output {{
    type filter hook output priority filter
    jump reject-cluster-ips
  }}
}}
"
        );
    }
    // What the CNI's `ipMasq` does: outside, a pod's address means nothing. Pods share a link with the gateway, which
    // is why IPv6 would send redirects for each pod-to-pod packet; they would bypass the node's NAT.
    let [pods4, pods6] = pod_cidrs;
    let (node4, node6) = node;
    let _ = write!(
        rules,
        "table inet observer-harness {{
  chain to-outside {{
    type nat hook postrouting priority srcnat + 1
    oifname \"out*\" ip saddr {pods4} snat ip to {node4}
    oifname \"out*\" ip6 saddr {pods6} snat ip6 to {node6}
  }}
  chain no-redirects {{
    type filter hook output priority filter
    icmpv6 type nd-redirect drop
  }}
}}
"
    );
    rules
}

/// What one Service port adds.
pub fn forwarding(entry: &Forwarding) -> String {
    let Forwarding { service, protocol, cluster_ip, port, target_port, backends, pod_cidr } = entry;
    let family = if cluster_ip.is_ipv4() { "ip" } else { "ip6" };
    let mut rules = format!("add element {family} kube-proxy cluster-ips {{ {cluster_ip} }}\n");
    if backends.is_empty() {
        // Nothing rewrites it, so it is rejected: a Service without endpoints refuses.
        return rules;
    }
    let chain = format!("service-{service}/{protocol}/{port}");
    let mut verdicts = Vec::new();
    let mut endpoints = String::new();
    for (index, backend) in backends.iter().enumerate() {
        let target = crate::subnets::with_port(*backend, *target_port);
        // Chain names may not hold brackets or colons.
        let name = format!("endpoint-{service}/{protocol}/{port}__{index}");
        let _ = writeln!(endpoints, "add chain {family} kube-proxy {name}");
        let _ = writeln!(
            endpoints,
            "add rule {family} kube-proxy {name} {family} saddr {backend} jump mark-for-masquerade"
        );
        let _ = writeln!(
            endpoints,
            "add rule {family} kube-proxy {name} meta l4proto {protocol} dnat to {target}"
        );
        verdicts.push(format!("{index} : goto {name}"));
    }
    rules += &endpoints;
    let _ = writeln!(rules, "add chain {family} kube-proxy {chain}");
    let _ = writeln!(
        rules,
        "add rule {family} kube-proxy {chain} {family} daddr {cluster_ip} {protocol} dport {port} \
         {family} saddr != {pod_cidr} jump mark-for-masquerade"
    );
    let _ = writeln!(
        rules,
        "add rule {family} kube-proxy {chain} numgen random mod {} vmap {{ {} }}",
        backends.len(),
        verdicts.join(", ")
    );
    let _ = writeln!(
        rules,
        "add element {family} kube-proxy service-ips {{ {cluster_ip} . {protocol} . {port} : goto {chain} }}"
    );
    rules
}
