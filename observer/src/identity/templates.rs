use std::collections::HashSet;
use std::sync::Arc;

use super::account_objects::Volume;
use super::intern::Interner;
use super::objects::PodObject;
use super::workload;
use crate::model::{Label, OwnLabels, Port, Template, TokenMount, Workload};

/// Labels whose values their controllers make for a pod each. Another one of that kind makes a template of its own for
/// each pod, which costs memory and nothing else.
const OWN_LABELS: [&str; 3] =
    ["apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index", "spark-exec-id"];
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// Unused templates are swept when this many are held, and then each time that what is left has doubled.
const FIRST_SWEEP: usize = 4096;

/// Shares what pods have in common.
#[derive(Debug)]
pub(super) struct Templates {
    templates: HashSet<Arc<Template>>,
    sweep_at: usize,
}

impl Default for Templates {
    fn default() -> Self {
        Self { templates: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Templates {
    /// What the pod has in common with others, and the labels that it alone has.
    pub(super) fn of(
        &mut self,
        object: &PodObject,
        namespace: Arc<str>,
        names: &mut Interner,
    ) -> (Arc<Template>, Option<Box<OwnLabels>>) {
        // The API server fills `default` in, except for the mirror of a static pod: that has none.
        let absent = if object.metadata.annotations.config_hash.is_some() { "" } else { "default" };
        let service_account = object.spec.service_account_name.as_deref().filter(|name| !name.is_empty());
        let labels = &object.metadata.labels;
        let is_name =
            labels.get(NAME_LABEL).is_some_and(|value| object.metadata.name.as_ref() == Some(value));
        let name_label = is_name.then(|| names.intern(NAME_LABEL));
        let (own, labels): (Vec<_>, Vec<_>) = labels
            .iter()
            .filter(|(key, _)| !(is_name && *key == NAME_LABEL))
            .partition(|(key, _)| OWN_LABELS.contains(&key.as_str()));
        let mut interned = |labels: Vec<(&String, &String)>| -> Box<[Label]> {
            labels.into_iter().map(|(key, value)| (names.intern(key), names.intern(value))).collect()
        };
        let (own, labels) = (interned(own), interned(labels));
        let ports = workload::containers(object).flat_map(|container| &container.ports);
        let template = Template {
            namespace,
            service_account: names.intern(service_account.unwrap_or(absent)),
            workload: workload::workload(object)
                .map(|(kind, name)| Workload { kind: names.intern(&kind), name: names.intern(&name) }),
            labels,
            name_label,
            host_network: object.spec.host_network == Some(true),
            ports: ports
                .filter_map(|port| {
                    let name = port.name.as_deref().map(|name| names.intern(name));
                    Some(Port { name, number: port.container_port? })
                })
                .collect(),
            probe_ports: workload::probe_ports(object).into(),
            token: match object.spec.automount_service_account_token {
                _ if object.spec.volumes.iter().any(Volume::holds_token) => TokenMount::Volume,
                // Static pods have no ServiceAccount, and so no token.
                _ if object.metadata.annotations.config_hash.is_some() => TokenMount::Refused,
                None => TokenMount::Unsaid,
                Some(true) => TokenMount::Wanted,
                Some(false) => TokenMount::Refused,
            },
        };
        (self.intern(template), (!own.is_empty()).then(|| Box::new(OwnLabels(own))))
    }

    fn intern(&mut self, template: Template) -> Arc<Template> {
        if let Some(known) = self.templates.get(&template) {
            return known.clone();
        }
        if self.templates.len() >= self.sweep_at {
            self.templates.retain(|template| Arc::strong_count(template) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.templates.len() * 2);
        }
        let new = Arc::new(template);
        self.templates.insert(new.clone());
        new
    }

    /// Whether some pod, lately or now, runs as this ServiceAccount.
    pub(super) fn has_service_account(&self, namespace: &str, name: &str) -> bool {
        self.templates.iter().any(|template| {
            Arc::strong_count(template) > 1
                && *template.namespace == *namespace
                && *template.service_account == *name
        })
    }

    pub(super) fn len(&self) -> usize {
        self.templates.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::Object;
    use crate::identity::builders::mk_pod;

    #[test]
    fn pods_of_one_workload_share_a_template_and_keep_the_labels_that_are_their_own() {
        let (mut templates, mut names) = (Templates::default(), Interner::default());
        let mut of = |name: &str, index: &str| {
            let labels = json!({"app": "db", "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": index});
            let patch = json!({"metadata": {"labels": labels}, "spec": {"serviceAccountName": "db"}});
            let Object::Pod(object) = mk_pod(name, "10.244.0.2", patch) else { panic!() };
            let (template, own_labels) = templates.of(&object, "shop".into(), &mut names);
            crate::model::Pod { name: name.into(), own_labels, template, ..Default::default() }
        };
        let (first, second) = (of("db-0", "0"), of("db-1", "1"));
        assert!(Arc::ptr_eq(&first.template, &second.template));
        for (pod, name, index) in [(&first, "db-0", "0"), (&second, "db-1", "1")] {
            let mut labels: Vec<_> = pod.labels().collect();
            labels.sort_unstable();
            let expected = [
                ("app", "db"),
                ("apps.kubernetes.io/pod-index", index),
                ("statefulset.kubernetes.io/pod-name", name),
            ];
            assert_eq!(labels, expected);
            assert_eq!(pod.label("apps.kubernetes.io/pod-index"), Some(index));
        }
        drop((first, second));
        // One that nobody uses is swept.
        for number in 0..2 * FIRST_SWEEP {
            drop(templates.intern(Template { namespace: number.to_string().into(), ..Template::default() }));
            assert!(templates.len() <= FIRST_SWEEP);
        }
    }
}
