//! What stood at one end of an edge: labels of pods, addresses of others. Bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::query::EndsSeen;
use crate::model::{Kind, Party, Template};

/// Workloads and revisions, and addresses, of one end of one edge.
const MAX_TEMPLATES: usize = 16;
const MAX_ADDRESSES: usize = 16;
const MAX_PROBE_PORTS: usize = 32;

/// Labels that controllers and tools set anew with each pod, revision, run or release: no selector should name them.
const PASSING: [&str; 20] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "chart",
    "controller-revision-hash",
    "controller-uid",
    "helm.sh/chart",
    "heritage",
    "job-name",
    "linkerd.io/control-plane-ns",
    "linkerd.io/proxy-deployment",
    "linkerd.io/workload-ns",
    "pod-template-generation",
    "pod-template-hash",
    "security.istio.io/tlsMode",
    "service.istio.io/canonical-revision",
    "statefulset.kubernetes.io/pod-name",
];

/// What is remembered of a template; nothing of it is shared, so that its pods can be forgotten.
#[derive(Debug)]
struct Workload {
    /// The last one with these labels: mostly one look is enough.
    template: Weak<Template>,
    labels: BTreeMap<String, String>,
    host_network: bool,
    probe_ports: Vec<u16>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ends {
    workloads: Vec<Workload>,
    addresses: Vec<IpAddr>,
    more: bool,
}

impl Ends {
    pub fn add(&mut self, party: &Party) {
        match party.template.0.upgrade() {
            Some(template) if template.host_network => {
                self.template(&template);
                self.address(party.ip);
            }
            Some(template) => self.template(&template),
            None if matches!(party.kind, Kind::Node | Kind::External) => self.address(party.ip),
            None => {}
        }
    }

    fn template(&mut self, template: &Arc<Template>) {
        if self.workloads.iter().any(|known| std::ptr::eq(known.template.as_ptr(), &**template)) {
            return;
        }
        let (labels, host_network) = (identifying(template), template.host_network);
        let same = |known: &&mut Workload| known.host_network == host_network && known.labels == labels;
        if let Some(known) = self.workloads.iter_mut().find(same) {
            known.template = Arc::downgrade(template);
            known.probe_ports.extend(&*template.probe_ports);
            known.probe_ports.sort_unstable();
            known.probe_ports.dedup();
            known.probe_ports.truncate(MAX_PROBE_PORTS);
            return;
        }
        if self.workloads.len() >= MAX_TEMPLATES {
            self.more = true;
            return;
        }
        let mut probe_ports = template.probe_ports.to_vec();
        probe_ports.truncate(MAX_PROBE_PORTS);
        let template = Arc::downgrade(template);
        self.workloads.push(Workload { template, labels, host_network, probe_ports });
    }

    fn address(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        if self.addresses.contains(&ip) {
            return;
        }
        match self.addresses.len() < MAX_ADDRESSES {
            true => self.addresses.push(ip),
            false => self.more = true,
        }
    }

    pub fn view(&self) -> EndsSeen {
        let mut seen = EndsSeen { more: self.more, addresses: self.addresses.clone(), ..EndsSeen::default() };
        for workload in &self.workloads {
            seen.probe_ports.extend(&workload.probe_ports);
            if workload.host_network {
                seen.host_network = true;
            } else if workload.labels.is_empty() {
                seen.unlabelled = true;
            } else {
                seen.labels.push(workload.labels.clone());
            }
        }
        seen.labels.sort();
        seen.addresses.sort();
        seen.probe_ports.sort_unstable();
        seen.probe_ports.dedup();
        seen
    }
}

/// The labels that the workload's author chose.
fn identifying(template: &Template) -> BTreeMap<String, String> {
    let labels = template.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    labels.filter(|(key, _)| !PASSING.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OfTemplate;
    use crate::sink::fixture::party;

    fn pod(labels: &[(&str, &str)]) -> (Party, Arc<Template>) {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let template = Arc::new(Template { labels, ..Template::default() });
        let known = OfTemplate(Arc::downgrade(&template));
        (Party { template: known, ..party("shop/orders", 1, 1) }, template)
    }

    #[test]
    fn revisions_of_a_workload_are_one_set_of_labels() {
        let mut ends = Ends::default();
        for hash in ["5d4", "6e5", "7f6"] {
            let (party, _alive) = pod(&[("app", "orders"), ("pod-template-hash", hash)]);
            ends.add(&party);
        }
        let (party, _alive) = pod(&[("app", "orders"), ("tier", "front")]);
        ends.add(&party);
        let seen = ends.view();
        let labels: Vec<_> = seen.labels.iter().map(|labels| labels.len()).collect();
        assert_eq!((labels, seen.unlabelled, seen.more), (vec![1, 2], false, false));
        let (party, _alive) = pod(&[("pod-template-hash", "5d4")]);
        ends.add(&party);
        assert!(ends.view().unlabelled);
    }

    #[test]
    fn addresses_are_of_what_is_no_pod_and_bounded() {
        let mut ends = Ends::default();
        ends.add(&party("shop/orders", 1, 1));
        assert_eq!(ends.view(), EndsSeen::default());
        for last in (0..=16).rev().chain([3]) {
            ends.add(&party("external", last, 1));
        }
        let seen = ends.view();
        assert_eq!((seen.addresses.len(), seen.more), (MAX_ADDRESSES, true));
        assert!(seen.addresses.is_sorted());
    }
}
