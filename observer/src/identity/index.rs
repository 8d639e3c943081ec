use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address_history::Holder;
use super::cgroup;
use super::intern::Interner;
use super::lists::{Lists, Mark, insert_name, keep_listed};
use super::malformed::{Malformed, Problem, parse_ip, required};
use super::namespaces::Namespaces;
use super::nodes::{self, Nodes};
use super::objects::{Metadata, Object, ObjectKind, PodObject};
use super::pods::Pods;
use super::services::{Key, ServiceMatch, Services};
use super::templates::Templates;
use crate::model::{HashMap, Identity, Label, Link, Pod, PodIps, Timestamp, Transport, Uid};

/// Namespaces and ServiceAccounts, of which only the names are kept.
pub const MAX_NAMES: usize = 200_000;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Pod and Service ranges, besides the pod ranges that Nodes name.
    pub cluster_cidrs: Vec<IpNet>,
    /// Whoever runs outside of pods here.
    pub node_name: Arc<str>,
    /// All links between nodes are encrypted by IPsec, as the operator says: nothing in the cluster's objects tells.
    pub ipsec: bool,
}

/// What a ServiceAccount says of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whether pods that do not say so themselves get its token; they do if this does not say either.
    pub automount: Option<bool>,
    /// Secrets that it lists.
    pub secrets: u16,
}

/// How much is known, for `identities{kind}` and coverage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Including those deleted in the last [`super::DEPARTED_FOR`].
    pub pods: usize,
    /// What pods have in common is kept once: as many times as this.
    pub templates: usize,
    pub services: usize,
    pub endpoint_slices: usize,
    pub nodes: usize,
    pub cilium_nodes: usize,
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
    ipsec: bool,
    names: Interner,
    pub(super) templates: Templates,
    pub(super) pods: Pods,
    nodes: Nodes,
    services: Services,
    namespaces: Namespaces,
    pub(super) service_accounts: HashMap<Key, (Account, Mark)>,
    lists: Lists,
}

impl Index {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            node_name: settings.node_name,
            ipsec: settings.ipsec,
            names: Interner::default(),
            templates: Templates::default(),
            pods: Pods::default(),
            nodes: Nodes::new(settings.cluster_cidrs),
            services: Services::default(),
            namespaces: Namespaces::default(),
            service_accounts: HashMap::default(),
            lists: Lists::default(),
        }
    }

    /// Takes in an object that is new or has changed.
    ///
    /// # Errors
    /// The object cannot be used; the index is as it was.
    pub fn apply(&mut self, object: &Object, now: Timestamp) -> Result<(), Malformed> {
        self.pods.forget_departed(now);
        let taken = self.take_in(object, now);
        if taken.is_err() {
            self.still_there(object.kind(), object.metadata());
        }
        taken
    }

    /// The object is gone; `object` is its last state. One that was never heard of, or has no name, is nothing to do.
    pub fn delete(&mut self, object: &Object, now: Timestamp) {
        self.pods.forget_departed(now);
        let metadata = object.metadata();
        let name = metadata.name.as_deref().unwrap_or_default();
        match object {
            Object::Pod(pod) => {
                if let Some(uid) = &metadata.uid {
                    self.pods.delete(Uid::of(uid), Some(pod), now);
                }
            }
            Object::Service(_) => {
                key(metadata).into_iter().for_each(|key| self.services.delete(&key));
            }
            Object::EndpointSlice(_) => {
                key(metadata).into_iter().for_each(|key| self.services.delete_slice(&key));
            }
            Object::Node(_) => self.nodes.delete(name),
            Object::CiliumNode(_) => self.nodes.delete_cilium(name),
            Object::Namespace(_) => {
                self.namespaces.remove(name);
            }
            Object::ServiceAccount(_) => {
                if let Some(key) = key(metadata) {
                    self.service_accounts.remove(&key);
                }
            }
            Object::Role(_)
            | Object::ClusterRole(_)
            | Object::RoleBinding(_)
            | Object::ClusterRoleBinding(_) => {}
        }
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
                let gone = self.pods.unlisted(listed);
                gone.iter().for_each(|uid| self.pods.delete(*uid, None, now));
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
            ObjectKind::CiliumNode => {
                let gone = self.nodes.unlisted_cilium(listed);
                gone.iter().for_each(|name| self.nodes.delete_cilium(name));
                gone.len()
            }
            ObjectKind::Namespace => self.namespaces.keep_listed(listed),
            ObjectKind::ServiceAccount => {
                keep_listed(&mut self.service_accounts, |(_, mark)| *mark == listed)
            }
            ObjectKind::Role
            | ObjectKind::ClusterRole
            | ObjectKind::RoleBinding
            | ObjectKind::ClusterRoleBinding => 0,
        }
    }

    /// The object exists, but nothing could be read of it: what is known stays.
    pub fn still_there(&mut self, kind: ObjectKind, metadata: &Metadata) {
        let listed = self.lists.current(kind);
        let name = metadata.name.as_deref().unwrap_or_default();
        let mark = |mark: &mut Mark| *mark = listed;
        match kind {
            ObjectKind::Pod => {
                let uid = metadata.uid.as_deref().map(Uid::of);
                uid.into_iter().for_each(|uid| self.pods.mark(&uid, listed));
            }
            ObjectKind::Service => {
                key(metadata).into_iter().for_each(|key| self.services.mark(&key, listed));
            }
            ObjectKind::EndpointSlice => {
                key(metadata).into_iter().for_each(|key| self.services.mark_slice(&key, listed));
            }
            ObjectKind::Node => self.nodes.mark(name, listed),
            ObjectKind::CiliumNode => self.nodes.mark_cilium(name, listed),
            ObjectKind::Namespace => self.namespaces.mark(name, listed),
            ObjectKind::ServiceAccount => {
                let account = key(metadata).and_then(|key| self.service_accounts.get_mut(&key));
                account.map(|(_, mark)| mark).into_iter().for_each(mark);
            }
            ObjectKind::Role
            | ObjectKind::ClusterRole
            | ObjectKind::RoleBinding
            | ObjectKind::ClusterRoleBinding => {}
        }
    }

    /// Who had `ip` at the moment `at`. Allocates nothing.
    ///
    /// Reasons of `Unknown`: `no-pod-at-address` (of the cluster, but nobody's), `address-contested` (several pods can
    /// have had it then, and nothing tells which), `service-address` (ask [`Self::service`]), `cluster-cidr-unknown`
    /// (private, and there is no telling whose), `unspecified-address`, `loopback-address`, `multicast-address`,
    /// `link-local-address`.
    #[must_use]
    pub fn by_address(&self, ip: IpAddr, at: Timestamp) -> Identity {
        let ip = ip.to_canonical();
        if let Some(reason) = nodes::nobodys(ip) {
            return Identity::Unknown(reason);
        }
        match self.pods.at(ip, at) {
            Holder::Pod(pod) => return Identity::Pod(pod.clone()),
            Holder::Contested => return Identity::Unknown("address-contested"),
            Holder::Nobody => {}
        }
        if let Some(node) = self.nodes.at(ip) {
            return Identity::Node(node.clone());
        }
        if self.services.has_address(ip) {
            return Identity::Unknown("service-address");
        }
        if self.pods.knows_address(ip) || self.nodes.in_ranges(ip) {
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

    /// Who runs in the cgroup at `path`, relative to the cgroup root. `None` only for the root itself. Allocates
    /// nothing.
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
            if let Some(pod) = self.pods.by_uid(&uid) {
                return Some(Identity::Pod(pod.clone()));
            }
        }
        Some(match pods {
            true => Identity::Unknown("pod-not-known"),
            false => Identity::Node(self.node_name.clone()),
        })
    }

    /// Whether all sockets of the pod are on this node, as its object says.
    #[must_use]
    pub fn is_of_this_node(&self, pod: &Pod) -> bool {
        pod.node.as_ref() == Some(&self.node_name)
    }

    /// The Service that a client dials at `ip` and `port`: by ClusterIP, external or load balancer address, or as a
    /// node port. Looks at endpoints that are new to it, once.
    #[must_use]
    pub fn service(&mut self, ip: IpAddr, port: u16, transport: Transport) -> Option<ServiceMatch> {
        let ip = ip.to_canonical();
        let is_node = || self.nodes.at(ip).is_some();
        self.services.at(ip, port, transport, is_node, &self.pods)
    }

    /// What encrypts below the sockets what `client` sends to `server` at `ip`. Only pods with a network of their own
    /// are known to go through a CNI's tunnel.
    #[must_use]
    pub fn link(&self, client: &Identity, server: &Identity, ip: IpAddr) -> Link {
        let (Some(from), Some(to)) = (node_of(client), node_of(server)) else { return Link::Unknown };
        if from == to {
            return Link::None;
        }
        let own_network = |identity: &Identity| identity.pod().is_some_and(|pod| !pod.host_network);
        let pods = own_network(client) && own_network(server);
        if pods && self.nodes.share_wireguard(from, to, ip.to_canonical()) {
            Link::Wireguard
        } else if self.ipsec {
            Link::Ipsec
        } else {
            Link::Unknown
        }
    }

    /// A pod, a node, a Service or one of the cluster's ranges has this address.
    #[must_use]
    pub fn is_cluster_address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.pods.knows_address(ip)
            || self.nodes.at(ip).is_some()
            || self.services.has_address(ip)
            || self.nodes.in_ranges(ip)
    }

    /// Says anew whether all links between nodes are encrypted by IPsec.
    pub fn set_ipsec(&mut self, ipsec: bool) {
        self.ipsec = ipsec;
    }

    /// The API server itself is behind this address: not by the address of its Service.
    #[must_use]
    pub fn is_api_server(&self, ip: IpAddr, port: u16) -> bool {
        self.services.is_api_server(ip.to_canonical(), port)
    }

    /// Where the API server is, is known.
    #[must_use]
    pub fn knows_api_server(&self) -> bool {
        self.services.knows_api_server()
    }

    /// The pods that exist and have not ended, in no order.
    pub fn living_pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.living()
    }

    /// The pods that exist, in no order.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.existing()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            pods: self.pods.len(),
            templates: self.templates.len(),
            services: self.services.len(),
            endpoint_slices: self.services.slices(),
            nodes: self.nodes.len(),
            cilium_nodes: self.nodes.cilium_len(),
            namespaces: self.namespaces.len(),
            service_accounts: self.service_accounts.len(),
            forgotten_early: self.pods.forgotten_early(),
        }
    }

    fn take_in(&mut self, object: &Object, now: Timestamp) -> Result<(), Malformed> {
        let listed = self.lists.current(object.kind());
        match object {
            Object::Pod(pod) => self.apply_pod(pod, now, listed),
            Object::Service(service) => {
                let (key, text) = self.key(&service.metadata, "Service", "service")?;
                self.services.apply(key, service, &text, &mut self.names, listed)
            }
            Object::EndpointSlice(slice) => {
                let (key, text) = self.key(&slice.metadata, "EndpointSlice", "endpointslice")?;
                self.services.apply_slice(key, slice, &text, &mut self.names, listed)
            }
            Object::Node(node) => {
                let name = required(node.metadata.name.as_deref(), "Node", "metadata.name", "node")?;
                let name = self.names.intern(name);
                self.nodes.apply(name, node, listed)
            }
            Object::CiliumNode(node) => {
                let name = node.metadata.name.as_deref();
                let name = required(name, "CiliumNode", "metadata.name", "ciliumnode")?;
                let name = self.names.intern(name);
                self.nodes.apply_cilium(name, node, listed)
            }
            Object::Namespace(namespace) => {
                let name = namespace.metadata.name.as_deref();
                let name = required(name, "Namespace", "metadata.name", "namespace")?;
                let name = self.names.intern(name);
                self.namespaces.apply(name, &namespace.metadata, &mut self.names, listed)
            }
            Object::ServiceAccount(account) => {
                let ((namespace, name), text) =
                    self.key(&account.metadata, "ServiceAccount", "serviceaccount")?;
                let key = (namespace, self.names.intern(&name));
                let said = Account {
                    automount: account.automount_service_account_token,
                    secrets: account.listed_secrets(),
                };
                insert_name(&mut self.service_accounts, key, (said, listed), &text, "ServiceAccounts")
            }
            Object::Role(_)
            | Object::ClusterRole(_)
            | Object::RoleBinding(_)
            | Object::ClusterRoleBinding(_) => Ok(()),
        }
    }

    fn apply_pod(&mut self, object: &PodObject, now: Timestamp, listed: Mark) -> Result<(), Malformed> {
        let metadata = &object.metadata;
        let name = required(metadata.name.as_deref(), "Pod", "metadata.name", "pod")?;
        let namespace = metadata.namespace.as_deref();
        let namespace = required(namespace, &format!("Pod {name}"), "metadata.namespace", "pod")?;
        let text = || format!("Pod {namespace}/{name}");
        let uid = metadata.uid.as_deref().filter(|uid| !uid.is_empty());
        let missing = || Malformed::new(&text(), Problem::Missing { key: "metadata.uid", kind: "pod" });
        let uid = Uid::of(uid.ok_or_else(missing)?);
        let status = &object.status;
        let mut ips = PodIps::default();
        for ip in status.pod_ips.iter().filter_map(|entry| entry.ip.as_ref()).chain(&status.pod_ip) {
            ips.insert(parse_ip(ip, &text(), "status.podIP")?);
        }
        let host_network = object.spec.host_network == Some(true);
        if status.phase.as_deref() == Some("Running") && ips.is_empty() && !host_network {
            return Err(Malformed::new(&text(), Problem::PodWithoutAddress));
        }
        if !self.pods.has_room_for(&uid) {
            let full = Problem::Full { bound: super::MAX_PODS, kind: "Pods" };
            return Err(Malformed::new(&text(), full));
        }
        let namespace = self.names.intern(namespace);
        let (template, own_labels) = self.templates.of(object, namespace, &mut self.names);
        let node = object.spec.node_name.as_deref().map(|node| self.names.intern(node));
        let pod = Pod { uid, name: name.into(), node, ips, own_labels, template };
        self.pods.apply(pod, object, now, listed);
        Ok(())
    }

    /// The labels of a namespace, by key; `None`: it is not known.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> Option<&[Label]> {
        self.namespaces.labels(namespace)
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

fn key(metadata: &Metadata) -> Option<Key> {
    Some((Arc::from(metadata.namespace.as_deref()?), Arc::from(metadata.name.as_deref()?)))
}

/// The node that a pod runs on, or that is at this end itself.
fn node_of(identity: &Identity) -> Option<&Arc<str>> {
    match identity {
        Identity::Pod(pod) => pod.node.as_ref(),
        Identity::Node(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
