//! ClusterIP Services.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::node::{Node, check_name};
use crate::pod::Pod;
use crate::proxy::{self, Forwarding};
use crate::subnets::Network;

/// A Service with an address in both families.
#[derive(Clone, Debug)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub cluster_ip: Ipv4Addr,
    pub cluster_ip6: Ipv6Addr,
}

/// How a [`Service`] will be.
#[derive(Debug)]
#[must_use]
pub struct ServiceBuilder {
    node: Arc<Node>,
    namespace: String,
    name: String,
    spec: ServiceSpec,
}

/// What a Service's object says beyond its identity.
#[derive(Debug, Default)]
pub struct ServiceSpec {
    pub ports: Vec<ServicePort>,
    /// With their labels, which make the selector.
    pub backends: Vec<(Pod, BTreeMap<String, String>)>,
}

#[derive(Clone, Copy, Debug)]
pub struct ServicePort {
    pub protocol: Protocol,
    pub port: u16,
    pub target: u16,
}

#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As in Kubernetes objects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    const fn in_nft(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl ServiceBuilder {
    pub(crate) fn new(node: Arc<Node>, namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { node, namespace, name, spec: ServiceSpec::default() }
    }

    /// Forwards a TCP port of the Service to a port of its backends.
    pub fn port(mut self, port: u16, target: u16) -> Self {
        self.spec.ports.push(ServicePort { protocol: Protocol::Tcp, port, target });
        self
    }

    /// Forwards a UDP port of the Service to a port of its backends.
    pub fn udp_port(mut self, port: u16, target: u16) -> Self {
        self.spec.ports.push(ServicePort { protocol: Protocol::Udp, port, target });
        self
    }

    /// Adds an endpoint. Each new connection goes to one of them at random; without any, it is refused.
    pub fn backend(mut self, pod: &Pod) -> Self {
        self.spec.backends.push((pod.clone(), pod.labels.clone()));
        self
    }

    /// Makes the Service.
    ///
    /// # Errors
    /// If it has no port, or its name is not one that the API server would take; if the node is full or gone.
    pub fn start(self) -> Result<Service> {
        let context = format!("start the Service {}/{}", self.namespace, self.name);
        self.build().context(context)
    }

    fn build(self) -> Result<Service> {
        check_name("namespace", &self.namespace)?;
        check_name("Service", &self.name)?;
        if self.spec.ports.is_empty() {
            bail!("it has no port: add one with `.port(80, 8080)`");
        }
        self.node.state().inventory.check_free("Service", &self.namespace, &self.name)?;
        let number = self.node.state().next_host(Network::Services)?;
        let (cluster_ip, cluster_ip6) = self.node.subnets.host(Network::Services, number);
        let [pods4, pods6] = self.node.subnets.cidrs(Network::Pods);
        let mut rules = String::new();
        for port in &self.spec.ports {
            let forwarding = |cluster_ip, pod_cidr: &str, address: fn(&Pod) -> IpAddr| Forwarding {
                service: format!("{}/{}", self.namespace, self.name),
                protocol: port.protocol.in_nft(),
                cluster_ip,
                port: port.port,
                target_port: port.target,
                backends: self.spec.backends.iter().map(|(pod, _)| address(pod)).collect(),
                pod_cidr: pod_cidr.to_owned(),
            };
            rules += &proxy::forwarding(&forwarding(cluster_ip.into(), &pods4, |pod| pod.ip4.into()));
            rules += &proxy::forwarding(&forwarding(cluster_ip6.into(), &pods6, |pod| pod.ip6.into()));
        }
        self.node.nft(&rules)?;
        let service = Service { namespace: self.namespace, name: self.name, cluster_ip, cluster_ip6 };
        self.node.state().inventory.add_service(&self.node.name, &service, &self.spec)?;
        Ok(service)
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service {}/{}", self.namespace, self.name)
    }
}
