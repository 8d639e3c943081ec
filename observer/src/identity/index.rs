use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::address_history::AddressHistory;
use super::cgroup;
use super::intern::Interner;
use super::lists::{Lists, Mark};
use super::malformed::{Malformed, Problem, parse_ip};
use super::nodes::{self, Nodes};
use super::objects::{EndpointSliceObject, Metadata, Object, ObjectKind, PodObject, ServiceObject};
use super::services::{Endpoint, Endpoints, Key, ServiceMatch, Services};
use super::workload;
use crate::model::{Identity, Pod, Port, Timestamp, Transport, Workload};

/// Kubernetes is tested to 150,000 pods a cluster; the rest is room for those that are gone and still asked for.
pub const MAX_PODS: usize = 200_000;
/// Namespaces and ServiceAccounts, of which only the names are kept.
pub const MAX_NAMES: usize = 200_000;
/// How long a deleted pod still answers: events of its last connections arrive after the news of its end.
pub const DEPARTED_FOR: Duration = Duration::from_secs(120);
/// Deleted pods that still answer; the oldest is forgotten early, which is counted.
pub const MAX_DEPARTED: usize = 20_000;
/// Addresses that one pod had before; each new sandbox brings another.
const MAX_FORMER: usize = 8;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Pod and Service ranges, besides the pod ranges that Nodes name.
    pub cluster_cidrs: Vec<IpNet>,
    /// Whoever runs outside of pods here.
    pub node_name: Arc<str>,
}

/// How much is known, for `identities{kind}` and coverage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Including those deleted in the last [`DEPARTED_FOR`].
    pub pods: usize,
    pub services: usize,
    pub endpoint_slices: usize,
    pub nodes: usize,
    pub namespaces: usize,
    pub service_accounts: usize,
    /// Deleted pods forgotten early, and holders of an address that gave way to later ones.
    pub forgotten_early: u64,
}

/// Who stands behind an address or a cgroup, from the cluster's objects. The pod's uid is the primary key; everything
/// else is derived. Sans-IO: `now` is when an object was heard of, `at` the moment that is asked about.
#[derive(Debug)]
pub struct Index {
    node_name: Arc<str>,
    names: Interner,
    pods: HashMap<Arc<str>, Entry>,
    /// Static pods: the kubelet's hash to the API's uid.
    static_pods: HashMap<Arc<str>, Arc<str>>,
    addresses: AddressHistory,
    departed: VecDeque<(Timestamp, Arc<str>)>,
    departed_early: u64,
    nodes: Nodes,
    services: Services,
    namespaces: HashMap<Arc<str>, Mark>,
    service_accounts: HashMap<Key, Mark>,
    lists: Lists,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    hash: Option<Arc<str>>,
    /// Succeeded or Failed.
    ended: bool,
    departed: Option<Timestamp>,
    /// Addresses it had before it got others: to be forgotten along with it.
    former: VecDeque<IpAddr>,
    listed: Mark,
}

impl Index {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            node_name: settings.node_name,
            names: Interner::default(),
            pods: HashMap::new(),
            static_pods: HashMap::new(),
            addresses: AddressHistory::default(),
            departed: VecDeque::new(),
            departed_early: 0,
            nodes: Nodes::new(settings.cluster_cidrs),
            services: Services::default(),
            namespaces: HashMap::new(),
            service_accounts: HashMap::new(),
            lists: Lists::default(),
        }
    }

    /// Takes in an object that is new or has changed.
    ///
    /// # Errors
    /// The object cannot be used; the index is as it was.
    pub fn apply(&mut self, object: &Object, now: Timestamp) -> Result<(), Malformed> {
        self.forget_departed(now);
        let taken = self.take_in(object, now);
        if taken.is_err() {
            self.still_there(object.kind(), object.metadata());
        }
        taken
    }

    /// A list of all objects of this kind begins: each of them will be applied, or said to be [`Self::still_there`].
    /// A list that was broken off is begun anew.
    pub fn begin_list(&mut self, kind: ObjectKind) {
        self.lists.begin(kind);
    }

    /// The list is complete: what was not part of it is deleted. Answers how many were.
    pub fn end_list(&mut self, kind: ObjectKind, now: Timestamp) -> usize {
        let listed = self.lists.current(kind);
        match kind {
            ObjectKind::Pod => {
                let gone =
                    self.pods.values().filter(|entry| entry.departed.is_none() && entry.listed != listed);
                let gone: Vec<Arc<str>> = gone.map(|entry| entry.pod.uid.clone()).collect();
                gone.iter().for_each(|uid| self.delete_pod(uid, now));
                gone.len()
            }
            ObjectKind::Service => {
                let gone = self.services.unlisted(listed);
                gone.iter().for_each(|key| self.services.delete(key));
                gone.len()
            }
            ObjectKind::EndpointSlice => {
                let gone = self.services.unlisted_slices(listed);
                gone.iter().for_each(|key| self.services.delete_slice(key));
                gone.len()
            }
            ObjectKind::Node => {
                let gone = self.nodes.unlisted(listed);
                gone.iter().for_each(|name| self.nodes.delete(name));
                gone.len()
            }
            ObjectKind::Namespace => keep_listed(&mut self.namespaces, listed),
            ObjectKind::ServiceAccount => keep_listed(&mut self.service_accounts, listed),
        }
    }

    /// The object exists, but nothing could be read of it: what is known stays.
    pub fn still_there(&mut self, kind: ObjectKind, metadata: &Metadata) {
        let listed = self.lists.current(kind);
        let key = || Some((Arc::from(metadata.namespace.as_deref()?), Arc::from(metadata.name.as_deref()?)));
        let name = metadata.name.as_deref().unwrap_or_default();
        match kind {
            ObjectKind::Pod => {
                let entry = metadata.uid.as_deref().and_then(|uid| self.pods.get_mut(uid));
                entry.into_iter().for_each(|entry| entry.listed = listed);
            }
            ObjectKind::Service => key().into_iter().for_each(|key| self.services.mark(&key, listed)),
            ObjectKind::EndpointSlice => {
                key().into_iter().for_each(|key| self.services.mark_slice(&key, listed));
            }
            ObjectKind::Node => self.nodes.mark(name, listed),
            ObjectKind::Namespace => {
                self.namespaces.get_mut(name).into_iter().for_each(|mark| *mark = listed);
            }
            ObjectKind::ServiceAccount => {
                let mark = key().and_then(|key| self.service_accounts.get_mut(&key));
                mark.into_iter().for_each(|mark| *mark = listed);
            }
        }
    }

    fn take_in(&mut self, object: &Object, now: Timestamp) -> Result<(), Malformed> {
        let listed = self.lists.current(object.kind());
        match object {
            Object::Pod(pod) => self.apply_pod(pod, now, listed),
            Object::Service(service) => self.apply_service(service, listed),
            Object::EndpointSlice(slice) => self.apply_slice(slice, listed),
            Object::Node(node) => {
                let name = required(node.metadata.name.as_deref(), "Node", "metadata.name", "node")?;
                let name = self.names.intern(name);
                self.nodes.apply(name, node, listed)
            }
            Object::Namespace(namespace) => {
                let name =
                    required(namespace.metadata.name.as_deref(), "Namespace", "metadata.name", "namespace")?;
                let name = self.names.intern(name);
                insert_name(&mut self.namespaces, name, listed, "Namespace", "Namespaces")
            }
            Object::ServiceAccount(account) => {
                let (key, text) = self.key(&account.metadata, "ServiceAccount", "serviceaccount")?;
                insert_name(&mut self.service_accounts, key, listed, &text, "ServiceAccounts")
            }
        }
    }

    /// The object is gone. One that was never heard of, or has no name, is nothing to do.
    pub fn delete(&mut self, object: &Object, now: Timestamp) {
        self.forget_departed(now);
        match object {
            Object::Pod(pod) => {
                if let Some(uid) = &pod.metadata.uid {
                    self.delete_pod(uid, now);
                }
            }
            Object::Service(service) => {
                if let Ok((key, _)) = self.key(&service.metadata, "Service", "service") {
                    self.services.delete(&key);
                }
            }
            Object::EndpointSlice(slice) => {
                if let Ok((key, _)) = self.key(&slice.metadata, "EndpointSlice", "endpointslice") {
                    self.services.delete_slice(&key);
                }
            }
            Object::Node(node) => {
                if let Some(name) = &node.metadata.name {
                    self.nodes.delete(name);
                }
            }
            Object::Namespace(namespace) => {
                if let Some(name) = namespace.metadata.name.as_deref() {
                    self.namespaces.remove(name);
                }
            }
            Object::ServiceAccount(account) => {
                if let Ok((key, _)) = self.key(&account.metadata, "ServiceAccount", "serviceaccount") {
                    self.service_accounts.remove(&key);
                }
            }
        }
    }

    /// Who had `ip` at the moment `at`.
    ///
    /// Reasons of `Unknown`: `no-pod-at-address` (of the cluster, but nobody's), `service-address` (ask
    /// [`Self::service`]), `cluster-cidr-unknown` (private, and there is no telling whose), `unspecified-address`,
    /// `loopback-address`, `multicast-address`, `link-local-address`.
    #[must_use]
    pub fn by_address(&self, ip: IpAddr, at: Timestamp) -> Identity {
        let ip = ip.to_canonical();
        if let Some(reason) = nodes::nobodys(ip) {
            return Identity::Unknown(reason);
        }
        if let Some(pod) = self.addresses.holder(ip, at) {
            return Identity::Pod(pod.clone());
        }
        if let Some(node) = self.nodes.at(ip) {
            return Identity::Node(node.clone());
        }
        if self.services.has_address(ip) {
            return Identity::Unknown("service-address");
        }
        if self.addresses.knows(ip) || self.nodes.in_ranges(ip) {
            return Identity::Unknown("no-pod-at-address");
        }
        if nodes::is_link_local(ip) {
            return Identity::Unknown("link-local-address");
        }
        if self.nodes.cannot_tell(ip) {
            return Identity::Unknown("cluster-cidr-unknown");
        }
        Identity::External
    }

    /// Who runs in the cgroup at `path`, relative to the cgroup root. `None` only for the root itself.
    ///
    /// A pod's path whose uid is not known is `Unknown`, reason `pod-not-known`.
    #[must_use]
    pub fn by_cgroup(&self, path: &str) -> Option<Identity> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return None;
        }
        let mut pods = false;
        for uid in cgroup::pod_uids(path) {
            pods = true;
            let uid = self.static_pods.get(uid.as_str()).map_or(uid.as_str(), |uid| uid);
            if let Some(entry) = self.pods.get(uid) {
                return Some(Identity::Pod(entry.pod.clone()));
            }
        }
        Some(match pods {
            true => Identity::Unknown("pod-not-known"),
            false => Identity::Node(self.node_name.clone()),
        })
    }

    /// The Service that a client dials at `ip` and `port`: by ClusterIP, external or load balancer address, or as a
    /// node port. Costs a step for each of its endpoints.
    #[must_use]
    pub fn service(&self, ip: IpAddr, port: u16, transport: Transport) -> Option<ServiceMatch> {
        let ip = ip.to_canonical();
        let node_port =
            || self.services.at_node_port(port, transport).filter(|_| self.nodes.at(ip).is_some());
        let key = self.services.at(ip, port, transport).or_else(node_port)?;
        let backend = match self.shared_service_account(key) {
            Some((namespace, name)) => Identity::ServiceAccount { namespace, name },
            None => Identity::Unknown("service-backend"),
        };
        let target_port = self.services.target(key, port, transport);
        Some(ServiceMatch { namespace: key.0.clone(), name: key.1.clone(), backend, target_port })
    }

    /// A pod, a node, a Service or one of the cluster's ranges has this address.
    #[must_use]
    pub fn is_cluster_address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.addresses.knows(ip)
            || self.nodes.at(ip).is_some()
            || self.services.has_address(ip)
            || self.nodes.in_ranges(ip)
    }

    /// Whether the cluster has, or uses, this ServiceAccount.
    #[must_use]
    pub fn knows_service_account(&self, namespace: &str, name: &str) -> bool {
        let key = (Arc::from(namespace), Arc::from(name));
        self.service_accounts.contains_key(&key)
            || self.pods().any(|pod| *pod.namespace == *namespace && *pod.service_account == *name)
    }

    /// The pods that exist, in no order.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().filter(|entry| entry.departed.is_none()).map(|entry| &entry.pod)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            pods: self.pods.len(),
            services: self.services.len(),
            endpoint_slices: self.services.slices(),
            nodes: self.nodes.len(),
            namespaces: self.namespaces.len(),
            service_accounts: self.service_accounts.len(),
            forgotten_early: self.departed_early + self.addresses.dropped(),
        }
    }

    fn apply_pod(&mut self, object: &PodObject, now: Timestamp, listed: Mark) -> Result<(), Malformed> {
        let ((namespace, name), text) = self.key(&object.metadata, "Pod", "pod")?;
        let uid = required(object.metadata.uid.as_deref(), &text, "metadata.uid", "pod")?;
        let status = &object.status;
        let mut ips = Vec::new();
        for ip in status.pod_ips.iter().filter_map(|entry| entry.ip.as_ref()).chain(&status.pod_ip) {
            let ip = parse_ip(ip, &text, "status.podIP")?;
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        let host_network = object.spec.host_network == Some(true);
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if status.phase.as_deref() == Some("Running") && ips.is_empty() && !host_network {
            return Err(Malformed::new(&text, Problem::PodWithoutAddress));
        }
        let uid: Arc<str> = match self.pods.get_key_value(uid) {
            Some((uid, _)) => uid.clone(),
            None if self.pods.len() >= MAX_PODS => {
                return Err(Malformed::new(&text, Problem::Full { bound: MAX_PODS, kind: "Pods" }));
            }
            None => uid.into(),
        };

        let pod = Arc::new(self.read_pod(object, uid.clone(), namespace, name, ips));
        let hash = object.metadata.annotations.config_hash.as_deref().map(Arc::<str>::from);
        if let Some(hash) = &hash {
            self.static_pods.insert(hash.clone(), uid.clone());
        }
        let hash_now = hash.clone();
        let entry = Entry { pod: pod.clone(), hash, ended, departed: None, former: VecDeque::new(), listed };
        let held =
            |pod: &Pod, ended: bool| if pod.host_network || ended { Vec::new() } else { pod.ips.clone() };
        let holds = held(&pod, ended);
        if let Some(old) = self.pods.insert(uid.clone(), entry) {
            if let Some(hash) = old.hash.filter(|hash| hash_now.as_ref() != Some(hash)) {
                self.static_pods.remove(&hash);
            }
            let mut former = old.former;
            for ip in held(&old.pod, old.ended).into_iter().filter(|ip| !holds.contains(ip)) {
                self.addresses.release(ip, &uid, now);
                former.push_back(ip);
            }
            while former.len() > MAX_FORMER {
                former.pop_front().inspect(|ip| self.addresses.forget(*ip, &uid));
            }
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.former = former;
            }
        }
        for ip in holds {
            self.addresses.hold(ip, &pod, workload::networked_since(object), now);
        }
        Ok(())
    }

    fn read_pod(
        &mut self,
        object: &PodObject,
        uid: Arc<str>,
        namespace: Arc<str>,
        name: Arc<str>,
        ips: Vec<IpAddr>,
    ) -> Pod {
        // The API server fills `default` in, except for the mirror of a static pod: that has none.
        let absent = if object.metadata.annotations.config_hash.is_some() { "" } else { "default" };
        let service_account = object.spec.service_account_name.as_deref().filter(|name| !name.is_empty());
        let names = &mut self.names;
        Pod {
            uid,
            namespace,
            name,
            service_account: names.intern(service_account.unwrap_or(absent)),
            workload: workload::workload(object)
                .map(|(kind, name)| Workload { kind: names.intern(&kind), name: names.intern(&name) }),
            labels: object
                .metadata
                .labels
                .iter()
                .map(|(key, value)| (names.intern(key), names.intern(value)))
                .collect(),
            node: object.spec.node_name.as_deref().map(|node| names.intern(node)),
            host_network: object.spec.host_network == Some(true),
            ips,
            ports: workload::containers(object)
                .flat_map(|container| &container.ports)
                .filter_map(|port| {
                    let name = port.name.as_deref().map(|name| names.intern(name));
                    Some(Port { name, number: port.container_port? })
                })
                .collect(),
            probe_ports: workload::probe_ports(object),
        }
    }

    fn delete_pod(&mut self, uid: &str, now: Timestamp) {
        let Some((uid, entry)) = self.pods.get_key_value(uid).map(|(uid, entry)| (uid.clone(), entry)) else {
            return;
        };
        if entry.departed.is_some() {
            return;
        }
        for ip in &entry.pod.ips {
            self.addresses.release(*ip, &uid, now);
        }
        if let Some(entry) = self.pods.get_mut(&uid) {
            entry.departed = Some(now);
        }
        self.departed.push_back((now, uid));
        if self.departed.len() > MAX_DEPARTED {
            self.departed_early += 1;
            self.forget_oldest();
        }
    }

    fn forget_departed(&mut self, now: Timestamp) {
        while self.departed.front().is_some_and(|(since, _)| now.since(*since) >= DEPARTED_FOR) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((since, uid)) = self.departed.pop_front() else { return };
        // It may have come back since, or come back and gone again.
        if self.pods.get(&uid).is_none_or(|entry| entry.departed != Some(since)) {
            return;
        }
        if let Some(entry) = self.pods.remove(&uid) {
            for ip in entry.pod.ips.iter().chain(&entry.former) {
                self.addresses.forget(*ip, &uid);
            }
            if let Some(hash) = entry.hash.filter(|hash| self.static_pods.get(hash) == Some(&uid)) {
                self.static_pods.remove(&hash);
            }
        }
    }

    fn apply_service(&mut self, object: &ServiceObject, listed: Mark) -> Result<(), Malformed> {
        let (key, text) = self.key(&object.metadata, "Service", "service")?;
        self.services.apply(key, object, &text, listed)
    }

    fn apply_slice(&mut self, object: &EndpointSliceObject, listed: Mark) -> Result<(), Malformed> {
        let (key, text) = self.key(&object.metadata, "EndpointSlice", "endpointslice")?;
        self.services.apply_slice(key, object, &text, listed)
    }

    fn shared_service_account(&self, key: &Key) -> Option<Key> {
        let account = |pod: &Arc<Pod>| (pod.namespace.clone(), pod.service_account.clone());
        match self.services.endpoints(key) {
            Endpoints::Listed(endpoints) => all_equal(endpoints.into_iter().map(|endpoint| match endpoint {
                Endpoint::Pod(uid) => self.pods.get(uid).map(|entry| account(&entry.pod)),
                Endpoint::Address(ip) => self.addresses.holder(*ip, Timestamp(u64::MAX)).map(account),
            })),
            Endpoints::Selected([]) => None,
            Endpoints::Selected(selector) => {
                let living = self.pods.values().filter(|entry| entry.departed.is_none() && !entry.ended);
                let selected = living.filter(|entry| {
                    entry.pod.namespace == key.0
                        && selector.iter().all(|label| entry.pod.labels.contains(label))
                });
                all_equal(selected.map(|entry| Some(account(&entry.pod))))
            }
        }
    }

    /// `(namespace, name)` of a namespaced object, and how errors call it.
    fn key(
        &mut self,
        metadata: &Metadata,
        kind: &str,
        resource: &'static str,
    ) -> Result<(Key, String), Malformed> {
        let name = required(metadata.name.as_deref(), kind, "metadata.name", resource)?;
        let namespace = metadata.namespace.as_deref();
        let namespace = required(namespace, &format!("{kind} {name}"), "metadata.namespace", resource)?;
        let text = format!("{kind} {namespace}/{name}");
        Ok(((self.names.intern(namespace), Arc::from(name)), text))
    }
}

fn required<'a>(
    value: Option<&'a str>,
    object: &str,
    key: &'static str,
    kind: &'static str,
) -> Result<&'a str, Malformed> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Malformed::new(object, Problem::Missing { key, kind }))
}

fn insert_name<T: std::hash::Hash + Eq>(
    names: &mut HashMap<T, Mark>,
    name: T,
    listed: Mark,
    object: &str,
    kind: &'static str,
) -> Result<(), Malformed> {
    if names.len() >= MAX_NAMES && !names.contains_key(&name) {
        return Err(Malformed::new(object, Problem::Full { bound: MAX_NAMES, kind }));
    }
    names.insert(name, listed);
    Ok(())
}

fn keep_listed<T: std::hash::Hash + Eq>(names: &mut HashMap<T, Mark>, listed: Mark) -> usize {
    let before = names.len();
    names.retain(|_, mark| *mark == listed);
    before - names.len()
}

/// The one value that all have; `None` if there is none, one is unknown, or two differ.
fn all_equal<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|value| value.as_ref() == Some(&first)).then_some(first)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
