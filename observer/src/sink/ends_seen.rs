//! What stood at one end of an edge: labels of pods, addresses of others. Bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::query::EndsSeen;
use crate::model::{Kind, Party, Template};

/// Workloads and revisions, and addresses, of one end of one edge.
const MAX_TEMPLATES: usize = 16;
const MAX_ADDRESSES: usize = 16;

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

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ends {
    templates: Vec<Arc<Template>>,
    addresses: Vec<IpAddr>,
    more: bool,
}

impl Ends {
    pub fn add(&mut self, party: &Party) {
        match &party.template {
            Some(template) if template.host_network => {
                self.template(template);
                self.address(party.ip);
            }
            Some(template) => self.template(template),
            None if matches!(party.kind, Kind::Node | Kind::External) => self.address(party.ip),
            None => {}
        }
    }

    fn template(&mut self, template: &Arc<Template>) {
        // Pods of a workload share theirs: mostly one look is enough.
        if self.templates.iter().any(|known| Arc::ptr_eq(known, template) || known == template) {
            return;
        }
        let labels = identifying(template);
        let same = |known: &Arc<Template>| {
            known.host_network == template.host_network && identifying(known) == labels
        };
        if self.templates.iter().any(same) {
            return;
        }
        match self.templates.len() < MAX_TEMPLATES {
            true => self.templates.push(template.clone()),
            false => self.more = true,
        }
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
        for template in &self.templates {
            let labels = identifying(template);
            seen.probe_ports.extend(&*template.probe_ports);
            if template.host_network {
                seen.host_network = true;
            } else if labels.is_empty() {
                seen.unlabelled = true;
            } else {
                let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
                seen.labels.push(labels.into_iter().map(text).collect());
            }
        }
        seen.labels.sort();
        seen.labels.dedup();
        seen.addresses.sort();
        seen.probe_ports.sort_unstable();
        seen.probe_ports.dedup();
        seen
    }
}

/// The labels that the workload's author chose.
fn identifying(template: &Template) -> BTreeMap<&str, &str> {
    let labels = template.labels.iter().map(|(key, value)| (&**key, &**value));
    labels.filter(|(key, _)| !PASSING.contains(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture::party;

    fn pod(labels: &[(&str, &str)]) -> Party {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let template = Template { labels, ..Template::default() };
        Party { template: Some(Arc::new(template)), ..party("shop/orders", 1, 1) }
    }

    #[test]
    fn revisions_of_a_workload_are_one_set_of_labels() {
        let mut ends = Ends::default();
        for hash in ["5d4", "6e5", "7f6"] {
            ends.add(&pod(&[("app", "orders"), ("pod-template-hash", hash)]));
        }
        ends.add(&pod(&[("app", "orders"), ("tier", "front")]));
        let seen = ends.view();
        let labels: Vec<_> = seen.labels.iter().map(|labels| labels.len()).collect();
        assert_eq!((labels, seen.unlabelled, seen.more), (vec![1, 2], false, false));
        ends.add(&pod(&[("pod-template-hash", "5d4")]));
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
