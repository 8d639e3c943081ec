use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::lists::Mark;
use super::malformed::{Malformed, Problem, parse_ip};
use super::objects::{EndpointSliceObject, NumberOrName, ServiceObject};
use crate::model::{Identity, Transport};

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Services of one cluster; Kubernetes itself is tested to 10,000.
pub(super) const MAX_SERVICES: usize = 50_000;
/// Endpoints are cut into slices of 100 by default, so 150,000 pods make a few thousand.
pub(super) const MAX_SLICES: usize = 100_000;

/// The Service that an address and port belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceMatch {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The ServiceAccount that all its endpoints share, else unknown with reason `service-backend`.
    pub backend: Identity,
    /// The port of the pods behind it, where the Service gives it as a number.
    pub target_port: Option<u16>,
}

/// `(namespace, name)`.
pub(super) type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Services {
    services: HashMap<Key, Service>,
    slices: HashMap<Key, Slice>,
    slices_of: HashMap<Key, BTreeSet<Arc<str>>>,
    /// More than one Service may claim an external address: the first by name has it.
    frontends: HashMap<(IpAddr, u16, Transport), BTreeSet<Key>>,
    node_ports: HashMap<(u16, Transport), BTreeSet<Key>>,
    /// How many Services have the address.
    addresses: HashMap<IpAddr, usize>,
}

#[derive(Debug, Default)]
struct Service {
    addresses: BTreeSet<IpAddr>,
    ports: Vec<(u16, Transport)>,
    /// By the Service's port; a name stands for a port that each pod may have elsewhere.
    targets: Vec<((u16, Transport), u16)>,
    node_ports: Vec<(u16, Transport)>,
    selector: Vec<(Arc<str>, Arc<str>)>,
    listed: Mark,
}

#[derive(Debug)]
struct Slice {
    service: Key,
    endpoints: Vec<Endpoint>,
    listed: Mark,
}

/// What a Service sends its clients to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// By uid.
    Pod(Arc<str>),
    Address(IpAddr),
}

/// The endpoints of a Service, as far as the cluster has told.
pub(super) enum Endpoints<'a> {
    Listed(Vec<&'a Endpoint>),
    /// No EndpointSlice was seen: whoever carries these labels in the Service's namespace.
    Selected(&'a [(Arc<str>, Arc<str>)]),
}

impl Services {
    pub(super) fn apply(
        &mut self,
        key: Key,
        object: &ServiceObject,
        text: &str,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let spec = &object.spec;
        let mut service = Service {
            selector: spec
                .selector
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
            listed,
            ..Service::default()
        };
        let cluster_ips = spec.cluster_ips.iter().chain(&spec.cluster_ip);
        for ip in cluster_ips.filter(|ip| !ip.is_empty() && *ip != "None") {
            service.addresses.insert(parse_ip(ip, text, "spec.clusterIPs")?);
        }
        for ip in &spec.external_ips {
            service.addresses.insert(parse_ip(ip, text, "spec.externalIPs")?);
        }
        for ip in object.status.load_balancer.ingress.iter().filter_map(|ingress| ingress.ip.as_ref()) {
            service.addresses.insert(parse_ip(ip, text, "status.loadBalancer.ingress[].ip")?);
        }
        for port in &spec.ports {
            let transport = match port.protocol.as_deref() {
                None | Some("TCP") => Transport::Tcp,
                Some("UDP") => Transport::Udp,
                Some(_) => continue,
            };
            service.ports.extend(port.port.map(|number| (number, transport)));
            if let (Some(number), Some(NumberOrName::Number(target))) = (port.port, &port.target_port) {
                service.targets.push(((number, transport), *target));
            }
            service
                .node_ports
                .extend(port.node_port.filter(|number| *number != 0).map(|number| (number, transport)));
        }
        if self.services.len() >= MAX_SERVICES && !self.services.contains_key(&key) {
            return Err(Malformed::new(text, Problem::Full { bound: MAX_SERVICES, kind: "Services" }));
        }
        self.delete(&key);
        for ip in &service.addresses {
            *self.addresses.entry(*ip).or_default() += 1;
            for (port, transport) in &service.ports {
                self.frontends.entry((*ip, *port, *transport)).or_default().insert(key.clone());
            }
        }
        for port in &service.node_ports {
            self.node_ports.entry(*port).or_default().insert(key.clone());
        }
        self.services.insert(key, service);
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &Key) {
        let Some(service) = self.services.remove(key) else { return };
        for ip in &service.addresses {
            if let Some(count) = self.addresses.get_mut(ip) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(ip);
                }
            }
            for (port, transport) in &service.ports {
                withdraw(&mut self.frontends, &(*ip, *port, *transport), key);
            }
        }
        for port in &service.node_ports {
            withdraw(&mut self.node_ports, port, key);
        }
    }

    /// A slice without a Service's label belongs to nobody and is left out.
    pub(super) fn apply_slice(
        &mut self,
        key: Key,
        object: &EndpointSliceObject,
        text: &str,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let mut endpoints = Vec::with_capacity(object.endpoints.len());
        for endpoint in &object.endpoints {
            let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            match (target.and_then(|target| target.uid.as_deref()), endpoint.addresses.first()) {
                (Some(uid), _) => endpoints.push(Endpoint::Pod(uid.into())),
                // `addressType: FQDN` has names here.
                (None, Some(address)) => endpoints.extend(address.parse().ok().map(Endpoint::Address)),
                (None, None) => {}
            }
        }
        self.delete_slice(&key);
        let Some(service) = object.metadata.labels.get(SERVICE_NAME) else { return Ok(()) };
        if self.slices.len() >= MAX_SLICES {
            return Err(Malformed::new(text, Problem::Full { bound: MAX_SLICES, kind: "EndpointSlices" }));
        }
        let service = (key.0.clone(), Arc::from(service.as_str()));
        self.slices_of.entry(service.clone()).or_default().insert(key.1.clone());
        self.slices.insert(key, Slice { service, endpoints, listed });
        Ok(())
    }

    pub(super) fn delete_slice(&mut self, key: &Key) {
        let Some(slice) = self.slices.remove(key) else { return };
        if let Some(names) = self.slices_of.get_mut(&slice.service) {
            names.remove(&key.1);
            if names.is_empty() {
                self.slices_of.remove(&slice.service);
            }
        }
    }

    pub(super) fn at(&self, ip: IpAddr, port: u16, transport: Transport) -> Option<&Key> {
        self.frontends.get(&(ip, port, transport))?.first()
    }

    pub(super) fn target(&self, key: &Key, port: u16, transport: Transport) -> Option<u16> {
        let targets = &self.services.get(key)?.targets;
        targets.iter().find(|(of, _)| *of == (port, transport)).map(|(_, target)| *target)
    }

    pub(super) fn at_node_port(&self, port: u16, transport: Transport) -> Option<&Key> {
        self.node_ports.get(&(port, transport))?.first()
    }

    pub(super) fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.contains_key(&ip)
    }

    pub(super) fn endpoints(&self, key: &Key) -> Endpoints<'_> {
        match (self.slices_of.get(key), self.services.get(key)) {
            (None, Some(service)) => Endpoints::Selected(&service.selector),
            (names, _) => {
                let slices = names
                    .into_iter()
                    .flatten()
                    .filter_map(|name| self.slices.get(&(key.0.clone(), name.clone())));
                Endpoints::Listed(slices.flat_map(|slice| &slice.endpoints).collect())
            }
        }
    }

    pub(super) fn mark(&mut self, key: &Key, listed: Mark) {
        if let Some(service) = self.services.get_mut(key) {
            service.listed = listed;
        }
    }

    pub(super) fn mark_slice(&mut self, key: &Key, listed: Mark) {
        if let Some(slice) = self.slices.get_mut(key) {
            slice.listed = listed;
        }
    }

    /// The Services that are not part of this list.
    pub(super) fn unlisted(&self, listed: Mark) -> Vec<Key> {
        let services = self.services.iter().filter(|(_, service)| service.listed != listed);
        services.map(|(key, _)| key.clone()).collect()
    }

    /// The EndpointSlices that are not part of this list.
    pub(super) fn unlisted_slices(&self, listed: Mark) -> Vec<Key> {
        let slices = self.slices.iter().filter(|(_, slice)| slice.listed != listed);
        slices.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.services.len()
    }

    pub(super) fn slices(&self) -> usize {
        self.slices.len()
    }
}

fn withdraw<K: std::hash::Hash + Eq>(claims: &mut HashMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(keys) = claims.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            claims.remove(at);
        }
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
