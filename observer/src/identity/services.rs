use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use super::intern::Interner;
use super::lists::Mark;
use super::malformed::{Malformed, Problem, parse_ip};
use super::objects::{EndpointSliceObject, NumberOrName, ServiceObject};
use crate::model::{HashMap, Identity, Label, Transport, Uid};

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Services of one cluster; Kubernetes itself is tested to 10,000.
pub(super) const MAX_SERVICES: usize = 50_000;
/// Endpoints are cut into slices of 100 by default, so 150,000 pods make a few thousand.
pub(super) const MAX_SLICES: usize = 100_000;
/// Addresses and ports of API servers that one slice may name: there are rarely more than five.
const MAX_API_SERVERS: usize = 64;

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
    places: HashMap<Key, Place>,
    services: Vec<Option<Service>>,
    free: Vec<Place>,
    slices: HashMap<Key, Slice>,
    /// The names of a Service's slices, in order.
    slices_of: HashMap<Key, Vec<Arc<str>>>,
    frontends: HashMap<(IpAddr, u16, Transport), Claims>,
    node_ports: HashMap<(u16, Transport), Claims>,
    /// How many Services have the address.
    addresses: HashMap<IpAddr, u32>,
    /// The API server's own addresses and ports, of each of its slices.
    api_server: HashMap<Key, Box<[(IpAddr, u16)]>>,
}

/// Of a Service in the list of them.
type Place = u32;

/// More than one Service may claim an external address: the first by name has it.
#[derive(Debug)]
struct Claims {
    first: Place,
    others: Vec<Place>,
}

#[derive(Debug)]
struct Service {
    key: Key,
    addresses: Box<[IpAddr]>,
    ports: Box<[ServicePort]>,
    selector: Box<[Label]>,
    backend: Backend,
    listed: Mark,
}

#[derive(Clone, Copy, Debug)]
struct ServicePort {
    number: u16,
    transport: Transport,
    /// A name stands for a port that each pod may have elsewhere.
    target: Option<u16>,
    node_port: Option<u16>,
}

/// What is known of the ServiceAccount behind a Service, so that most questions need not look at its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Backend {
    /// The first `endpoints` of its slices share `account`. That of a pod never changes: the rest is looked at when
    /// it is asked for.
    Listed { endpoints: usize, account: Option<Key> },
    /// All do.
    Shared(Key),
    /// They do not.
    Differs,
    /// By the Service's selector, as of a number of changes to the pods. Only where no slice is known.
    Selected { changes: u64, account: Option<Key> },
}

const UNSEEN: Backend = Backend::Listed { endpoints: 0, account: None };

#[derive(Debug)]
struct Slice {
    service: Key,
    endpoints: Box<[Endpoint]>,
    listed: Mark,
}

/// What a Service sends its clients to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Pod(Uid),
    Address(IpAddr),
}

/// Who stands behind endpoints, as the pods tell.
pub(super) trait Accounts {
    /// `(namespace, name)` of the ServiceAccount.
    fn of(&self, endpoint: &Endpoint) -> Option<Key>;
    /// That all living pods of the namespace share that carry these labels.
    fn of_selected(&self, namespace: &str, selector: &[Label]) -> Option<Key>;
    /// Grows whenever a pod is new, different or gone.
    fn changes(&self) -> u64;
}

impl Services {
    pub(super) fn apply(
        &mut self,
        key: Key,
        object: &ServiceObject,
        text: &str,
        names: &mut Interner,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let spec = &object.spec;
        let mut addresses = Vec::new();
        let cluster_ips = spec.cluster_ips.iter().chain(&spec.cluster_ip);
        for ip in cluster_ips.filter(|ip| !ip.is_empty() && *ip != "None") {
            addresses.push(parse_ip(ip, text, "spec.clusterIPs")?);
        }
        for ip in &spec.external_ips {
            addresses.push(parse_ip(ip, text, "spec.externalIPs")?);
        }
        for ip in object.status.load_balancer.ingress.iter().filter_map(|ingress| ingress.ip.as_ref()) {
            addresses.push(parse_ip(ip, text, "status.loadBalancer.ingress[].ip")?);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let ports = spec.ports.iter().filter_map(|port| {
            let transport = match port.protocol.as_deref() {
                None | Some("TCP") => Transport::Tcp,
                Some("UDP") => Transport::Udp,
                Some(_) => return None,
            };
            let target = match &port.target_port {
                Some(NumberOrName::Number(target)) => Some(*target),
                _ => None,
            };
            let node_port = port.node_port.filter(|number| *number != 0);
            Some(ServicePort { number: port.port?, transport, target, node_port })
        });
        let service = Service {
            key: key.clone(),
            addresses: addresses.into(),
            ports: ports.collect(),
            selector: spec
                .selector
                .iter()
                .map(|(key, value)| (names.intern(key), names.intern(value)))
                .collect(),
            backend: UNSEEN,
            listed,
        };
        if self.places.len() >= MAX_SERVICES && !self.places.contains_key(&key) {
            return Err(Malformed::new(text, Problem::Full { bound: MAX_SERVICES, kind: "Services" }));
        }
        self.delete(&key);
        let place = self.free.pop().unwrap_or_else(|| {
            self.services.push(None);
            self.services.len() as Place - 1
        });
        let named_before = |other: Place| {
            self.services[other as usize].as_ref().is_some_and(|other| other.key < service.key)
        };
        for ip in &service.addresses {
            *self.addresses.entry(*ip).or_default() += 1;
            for port in &service.ports {
                let at = (*ip, port.number, port.transport);
                claim(&mut self.frontends, at, place, named_before);
            }
        }
        for port in &service.ports {
            if let Some(node_port) = port.node_port {
                claim(&mut self.node_ports, (node_port, port.transport), place, named_before);
            }
        }
        self.services[place as usize] = Some(service);
        self.places.insert(key, place);
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else { return };
        let Some(service) = self.services[place as usize].take() else { return };
        self.free.push(place);
        for ip in &service.addresses {
            if let Some(count) = self.addresses.get_mut(ip) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(ip);
                }
            }
            for port in &service.ports {
                withdraw(&mut self.frontends, &(*ip, port.number, port.transport), place);
            }
        }
        for port in &service.ports {
            if let Some(node_port) = port.node_port {
                withdraw(&mut self.node_ports, &(node_port, port.transport), place);
            }
        }
    }

    /// A slice without a Service's label belongs to nobody and is left out.
    pub(super) fn apply_slice(
        &mut self,
        key: Key,
        object: &EndpointSliceObject,
        text: &str,
        names: &mut Interner,
        listed: Mark,
    ) -> Result<(), Malformed> {
        let endpoints = object.endpoints.iter().filter_map(|endpoint| {
            let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            match target.and_then(|target| target.uid.as_deref()) {
                Some(uid) => Some(Endpoint::Pod(Uid::of(uid))),
                // `addressType: FQDN` has names here.
                None => endpoint.addresses.first()?.parse().ok().map(Endpoint::Address),
            }
        });
        let endpoints = endpoints.collect();
        self.delete_slice(&key);
        let Some(service) = object.metadata.labels.get(SERVICE_NAME) else { return Ok(()) };
        if self.slices.len() >= MAX_SLICES {
            return Err(Malformed::new(text, Problem::Full { bound: MAX_SLICES, kind: "EndpointSlices" }));
        }
        let service = (key.0.clone(), names.intern(service));
        if is_api_server(&service) {
            let addresses = object.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            let addresses: Vec<IpAddr> = addresses.filter_map(|ip| ip.parse().ok()).collect();
            let ports = object.ports.iter().filter_map(|port| port.port);
            let pairs = ports.flat_map(|port| addresses.iter().map(move |ip| (*ip, port)));
            self.api_server.insert(key.clone(), pairs.take(MAX_API_SERVERS).collect());
        }
        let names_of = self.slices_of.entry(service.clone()).or_default();
        if let Err(place) = names_of.binary_search(&key.1) {
            names_of.reserve_exact(1);
            names_of.insert(place, key.1.clone());
        }
        self.look_again(&service);
        self.slices.insert(key, Slice { service, endpoints, listed });
        Ok(())
    }

    pub(super) fn delete_slice(&mut self, key: &Key) {
        let Some(slice) = self.slices.remove(key) else { return };
        self.api_server.remove(key);
        if let Some(names) = self.slices_of.get_mut(&slice.service) {
            names.retain(|name| *name != key.1);
            if names.is_empty() {
                self.slices_of.remove(&slice.service);
            }
        }
        self.look_again(&slice.service);
    }

    pub(super) fn mark(&mut self, key: &Key, listed: Mark) {
        if let Some(service) = self.by_key(key) {
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
        let services = self.services.iter().flatten().filter(|service| service.listed != listed);
        services.map(|service| service.key.clone()).collect()
    }

    /// The EndpointSlices that are not part of this list.
    pub(super) fn unlisted_slices(&self, listed: Mark) -> Vec<Key> {
        let slices = self.slices.iter().filter(|(_, slice)| slice.listed != listed);
        slices.map(|(key, _)| key.clone()).collect()
    }

    /// The Service at an address and port, or at a node's port if the address is one.
    pub(super) fn at(
        &mut self,
        ip: IpAddr,
        port: u16,
        transport: Transport,
        is_node: impl FnOnce() -> bool,
        accounts: &impl Accounts,
    ) -> Option<ServiceMatch> {
        let Self { services, slices, slices_of, frontends, node_ports, .. } = self;
        let at_node = || node_ports.get(&(port, transport)).filter(|_| is_node());
        let place = frontends.get(&(ip, port, transport)).or_else(at_node)?.first;
        let service = services.get_mut(place as usize)?.as_mut()?;
        let key = &service.key;
        let target_port =
            service.ports.iter().find(|known| known.number == port && known.transport == transport);
        let target_port = target_port.and_then(|port| port.target);
        let account = match &service.backend {
            Backend::Shared(account) => Some(account.clone()),
            Backend::Differs => None,
            Backend::Selected { changes, account } if *changes == accounts.changes() => account.clone(),
            backend => {
                let (backend, account) = match slices_of.get(key) {
                    Some(names) => {
                        let all = names.iter().filter_map(|name| slices.get(&(key.0.clone(), name.clone())));
                        look_on(backend, all, accounts)
                    }
                    None => {
                        let account = match &*service.selector {
                            [] => None,
                            selector => accounts.of_selected(&key.0, selector),
                        };
                        (Backend::Selected { changes: accounts.changes(), account: account.clone() }, account)
                    }
                };
                service.backend = backend;
                account
            }
        };
        let backend = match account {
            Some((namespace, name)) => Identity::ServiceAccount { namespace, name },
            None => Identity::Unknown("service-backend"),
        };
        Some(ServiceMatch { namespace: key.0.clone(), name: key.1.clone(), backend, target_port })
    }

    pub(super) fn is_api_server(&self, ip: IpAddr, port: u16) -> bool {
        self.api_server.values().any(|known| known.contains(&(ip, port)))
    }

    pub(super) fn knows_api_server(&self) -> bool {
        !self.api_server.is_empty() || self.places.keys().any(is_api_server)
    }

    pub(super) fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.contains_key(&ip)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn slices(&self) -> usize {
        self.slices.len()
    }

    fn look_again(&mut self, key: &Key) {
        if let Some(service) = self.by_key(key) {
            service.backend = UNSEEN;
        }
    }

    fn by_key(&mut self, key: &Key) -> Option<&mut Service> {
        let place = *self.places.get(key)?;
        self.services.get_mut(place as usize)?.as_mut()
    }
}

/// Every cluster has this Service, which the API server itself makes.
fn is_api_server(service: &Key) -> bool {
    &*service.0 == "default" && &*service.1 == "kubernetes"
}

/// Looks at the endpoints that were not looked at yet, up to one of which nothing is known. Answers what to keep, and
/// the ServiceAccount that all share.
fn look_on<'a>(
    known: &Backend,
    slices: impl Iterator<Item = &'a Slice>,
    accounts: &impl Accounts,
) -> (Backend, Option<Key>) {
    let (mut endpoints, mut shared) = match known {
        Backend::Listed { endpoints, account } => (*endpoints, account.clone()),
        _ => (0, None),
    };
    let mut skip = endpoints;
    // An address may be another's tomorrow: what it tells is not kept.
    let mut keep = None;
    for slice in slices {
        let passed = skip.min(slice.endpoints.len());
        skip -= passed;
        for endpoint in &slice.endpoints[passed..] {
            let so_far = || Backend::Listed { endpoints, account: shared.clone() };
            if keep.is_none() && matches!(endpoint, Endpoint::Address(_)) {
                keep = Some(so_far());
            }
            let Some(account) = accounts.of(endpoint) else {
                return (keep.unwrap_or_else(so_far), None);
            };
            if shared.as_ref().is_some_and(|shared| *shared != account) {
                return (keep.unwrap_or(Backend::Differs), None);
            }
            shared = Some(account);
            endpoints += 1;
        }
    }
    let all = shared.clone().map_or(UNSEEN, Backend::Shared);
    (keep.unwrap_or(all), shared)
}

fn claim<K: std::hash::Hash + Eq>(
    claims: &mut HashMap<K, Claims>,
    at: K,
    place: Place,
    named_before: impl Fn(Place) -> bool,
) {
    match claims.entry(at) {
        Entry::Vacant(entry) => {
            entry.insert(Claims { first: place, others: Vec::new() });
        }
        Entry::Occupied(mut entry) => {
            let claims = entry.get_mut();
            // A Service may name a port twice.
            if claims.first == place || claims.others.contains(&place) {
                return;
            }
            if named_before(claims.first) {
                let after = claims.others.partition_point(|other| named_before(*other));
                claims.others.insert(after, place);
            } else {
                claims.others.insert(0, std::mem::replace(&mut claims.first, place));
            }
        }
    }
}

fn withdraw<K: std::hash::Hash + Eq>(claims: &mut HashMap<K, Claims>, at: &K, place: Place) {
    let Some(claim) = claims.get_mut(at) else { return };
    if claim.first != place {
        claim.others.retain(|other| *other != place);
    } else if claim.others.is_empty() {
        claims.remove(at);
    } else {
        claim.first = claim.others.remove(0);
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
