//! The addresses of one node, made of its slot and of random bits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::entropy;

/// Nodes that a machine can hold at the same time.
pub const SLOTS: u16 = 512;

/// A node's networks. Host number 1 is the gateway; pods, Services and outside hosts count from 2.
#[derive(Clone, Debug)]
pub struct Subnets {
    pods4: Ipv4Addr,
    services4: Ipv4Addr,
    outside4: Ipv4Addr,
    nodes4: Ipv4Addr,
    /// A unique local /48 (RFC 4193): `:0::/64` for pods, `:1::/112` for Services, `:2::/64` for nodes.
    local6: Ipv6Addr,
    outside6: Ipv6Addr,
}

/// One of a node's networks, with its IPv4 and IPv6 range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Pods,
    Services,
    /// Hosts outside the cluster: addresses of the benchmarking (RFC 2544) and documentation (RFC 3849) ranges.
    Outside,
    /// Only where the node's address is not the pods' gateway.
    Nodes,
}

impl Subnets {
    /// The IPv4 /24 networks of a slot, in the order of [`Network`].
    pub fn ipv4_of(slot: u16) -> [Ipv4Addr; 4] {
        let [high, low] = slot.to_be_bytes();
        [
            Ipv4Addr::new(10, 200 + high, low, 0),
            Ipv4Addr::new(10, 210 + high, low, 0),
            Ipv4Addr::new(198, 18 + high, low, 0),
            Ipv4Addr::new(10, 220 + high, low, 0),
        ]
    }

    pub fn new(slot: u16) -> Result<Self> {
        let [pods4, services4, outside4, nodes4] = Self::ipv4_of(slot);
        let mut local = [0; 16];
        local[0] = 0xfd;
        local[1..6].copy_from_slice(&entropy::random::<5>()?);
        let outside6 = Ipv6Addr::new(0x2001, 0xdb8, slot, 0, 0, 0, 0, 0);
        Ok(Self { pods4, services4, outside4, nodes4, local6: local.into(), outside6 })
    }

    /// Host `number` of a network.
    pub fn host(&self, network: Network, number: u8) -> (Ipv4Addr, Ipv6Addr) {
        let (net4, net6) = self.bases(network);
        let host4 = Ipv4Addr::from_bits(net4.to_bits() | u32::from(number));
        let host6 = Ipv6Addr::from_bits(net6.to_bits() | u128::from(number));
        (host4, host6)
    }

    /// The ranges in CIDR notation.
    pub fn cidrs(&self, network: Network) -> [String; 2] {
        let (net4, net6) = self.bases(network);
        let bits6 = if network == Network::Services { 112 } else { 64 };
        [format!("{net4}/24"), format!("{net6}/{bits6}")]
    }

    fn bases(&self, network: Network) -> (Ipv4Addr, Ipv6Addr) {
        let local = |subnet: u128| Ipv6Addr::from_bits(self.local6.to_bits() | subnet << 64);
        match network {
            Network::Pods => (self.pods4, local(0)),
            Network::Services => (self.services4, local(1)),
            Network::Outside => (self.outside4, self.outside6),
            Network::Nodes => (self.nodes4, local(2)),
        }
    }
}

/// An address with its port as URLs and nftables write it: IPv6 in brackets.
pub fn with_port(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}
