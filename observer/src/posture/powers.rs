//! What somebody with these roles could do, in plain words, the worst first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rights::Grant;
use super::rules::{Rule, Verbs, has};

/// Different things that are told of one ServiceAccount; the worst are kept.
const MAX_POWERS: usize = 12;
/// Different things that are looked at of one ServiceAccount.
const MAX_DEEDS: usize = 1_024;
/// Namespaces, or names of objects, that are listed in one line.
const MAX_NAMED: usize = 3;

/// A right that is worth more than its name says.
struct Danger {
    /// Any of them.
    on: &'static [(&'static str, &'static str)],
    verbs: Verbs,
    /// Follows "can".
    words: &'static str,
    /// What it is about is in no namespace: a RoleBinding does not give it.
    of_cluster: bool,
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// The worst first. Why each is dangerous: <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>.
const DANGERS: [Danger; 23] = [
    Danger {
        on: &[(RBAC, "clusterroles"), (RBAC, "roles")],
        verbs: Verbs::ESCALATE.or(Verbs::BIND),
        words: "give itself rights that it does not have",
        of_cluster: false,
    },
    cluster(&[("", "users"), ("", "groups")], Verbs::IMPERSONATE, "impersonate users and groups"),
    of(&[("", "serviceaccounts")], Verbs::IMPERSONATE, "impersonate ServiceAccounts"),
    of(&[("", "serviceaccounts/token")], Verbs::CREATE, "make tokens of other ServiceAccounts"),
    of(&[("", "secrets")], Verbs::READ, "read Secrets"),
    cluster(
        &[("", "nodes/proxy")],
        Verbs::GET.or(Verbs::CREATE),
        "run commands in every pod through the kubelets",
    ),
    of(&[("", "pods")], Verbs::CREATE, "create pods"),
    of(
        &[
            ("apps", "deployments"),
            ("apps", "daemonsets"),
            ("apps", "statefulsets"),
            ("apps", "replicasets"),
            ("batch", "jobs"),
            ("batch", "cronjobs"),
            ("", "replicationcontrollers"),
        ],
        Verbs::CHANGE,
        "create pods through workloads",
    ),
    of(&[("", "pods/exec"), ("", "pods/attach")], Verbs::CREATE.or(Verbs::GET), "run commands in pods"),
    of(&[("", "pods/ephemeralcontainers")], Verbs::UPDATE.or(Verbs::PATCH), "add containers to pods"),
    cluster(
        &[("certificates.k8s.io", "certificatesigningrequests/approval")],
        Verbs::UPDATE.or(Verbs::PATCH),
        "approve client certificates",
    ),
    cluster(
        &[
            ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
            ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ],
        Verbs::WRITE,
        "change what the API server admits",
    ),
    cluster(&[(RBAC, "clusterroles"), (RBAC, "clusterrolebindings")], Verbs::CHANGE, "hand its rights on"),
    of(&[(RBAC, "roles"), (RBAC, "rolebindings")], Verbs::CHANGE, "hand its rights on"),
    of(&[("", "secrets")], Verbs::WRITE, "change Secrets"),
    of(
        &[("", "pods/portforward"), ("", "pods/proxy"), ("", "services/proxy")],
        Verbs::CREATE.or(Verbs::GET),
        "connect to pods through the API server",
    ),
    cluster(&[("", "nodes")], Verbs::WRITE, "change nodes"),
    cluster(&[("", "persistentvolumes")], Verbs::CREATE, "mount the disks of nodes"),
    cluster(&[("", "namespaces")], Verbs::WRITE, "change namespaces"),
    of(
        &[
            ("", "services"),
            ("", "endpoints"),
            ("discovery.k8s.io", "endpointslices"),
            ("networking.k8s.io", "ingresses"),
            ("networking.k8s.io", "networkpolicies"),
        ],
        Verbs::WRITE,
        "redirect traffic, or let it through",
    ),
    of(&[("", "pods")], Verbs::DELETE.or(Verbs::DELETE_ALL), "delete pods"),
    of(&[("", "configmaps")], Verbs::READ, "read ConfigMaps"),
    of(&[("", "pods/log")], Verbs::GET, "read logs of pods"),
];

const fn of(on: &'static [(&'static str, &'static str)], verbs: Verbs, words: &'static str) -> Danger {
    Danger { on, verbs, words, of_cluster: false }
}

const fn cluster(on: &'static [(&'static str, &'static str)], verbs: Verbs, words: &'static str) -> Danger {
    Danger { on, verbs, words, of_cluster: true }
}

/// Anything comes before all dangers, what has no entry among them after.
const ANYTHING: usize = 0;
const FIRST_DANGER: usize = 1;
const UNKNOWN_ROLE: usize = FIRST_DANGER + DANGERS.len();
const OTHER_CHANGE: usize = UNKNOWN_ROLE + 1;
const OTHER_READ: usize = OTHER_CHANGE + 1;

/// What the API server tells everybody about itself, and about their own rights.
const OWN_RIGHTS: [&str; 2] = ["authorization.k8s.io", "authentication.k8s.io"];

/// Where something can be done.
#[derive(Debug, Default)]
struct Places {
    everywhere: bool,
    namespaces: Vec<Arc<str>>,
    of_cluster: bool,
}

/// What the roles add up to.
#[derive(Debug, Default)]
pub(super) struct Powers {
    /// By rank and words.
    deeds: BTreeMap<(usize, String), Places>,
    /// More than is kept.
    more: bool,
    /// Some role of theirs is not known.
    pub unknown_roles: bool,
}

impl Powers {
    pub fn add(&mut self, grant: &Grant<'_>) {
        let Some(rules) = grant.rules() else {
            if grant.role.0.is_none() && &*grant.role.1 == "cluster-admin" {
                return self.note(ANYTHING, "do anything".to_owned(), grant.namespace, false);
            }
            self.unknown_roles = true;
            let kind = if grant.role.0.is_some() { "Role" } else { "ClusterRole" };
            let words = format!("do what the {kind} {} allows (not known here)", grant.role.1);
            return self.note(UNKNOWN_ROLE, words, grant.namespace, false);
        };
        for rule in rules {
            self.add_rule(rule, grant.namespace);
        }
    }

    fn add_rule(&mut self, rule: &Rule, namespace: Option<&Arc<str>>) {
        if rule.is_anything() {
            return self.note(ANYTHING, "do anything".to_owned(), namespace, false);
        }
        let named = named(&rule.names);
        let mut told = Vec::new();
        for (place, danger) in DANGERS.iter().enumerate() {
            if danger.of_cluster && namespace.is_some() {
                continue;
            }
            let meant = danger.on.iter().filter(|(group, resource)| {
                rule.is_of_group(group)
                    && rule.is_about(resource)
                    && rule.verbs_on(resource).meets(danger.verbs)
            });
            let meant: Vec<&str> = meant.map(|(_, resource)| *resource).collect();
            if !meant.is_empty() {
                let words = format!("{}{named}", danger.words);
                self.note(FIRST_DANGER + place, words, namespace, danger.of_cluster);
                told.extend(meant.into_iter().map(|resource| (resource, danger.verbs)));
            }
        }
        if rule.groups.iter().any(|group| OWN_RIGHTS.contains(&&**group)) {
            return;
        }
        for resource in &rule.resources {
            let untold = |verbs: Verbs| {
                rule.verbs_on(resource).meets(verbs)
                    && !told.iter().any(|(known, of)| **known == **resource && of.meets(verbs))
            };
            let what = match &**resource {
                "*" if has(&rule.groups, "*") => "everything".to_owned(),
                "*" => match rule.groups.first().map_or("", |group| &**group) {
                    "" => "everything of the core group".to_owned(),
                    group => format!("everything of {group}"),
                },
                resource => resource.to_owned(),
            };
            if untold(Verbs::WRITE) {
                self.note(OTHER_CHANGE, format!("change {what}{named}"), namespace, false);
            }
            if untold(Verbs::READ) {
                self.note(OTHER_READ, format!("read {what}{named}"), namespace, false);
            }
        }
    }

    fn note(&mut self, rank: usize, words: String, namespace: Option<&Arc<str>>, of_cluster: bool) {
        let key = (rank, words);
        if self.deeds.len() >= MAX_DEEDS && !self.deeds.contains_key(&key) {
            self.more = true;
            return;
        }
        let places = self.deeds.entry(key).or_default();
        places.of_cluster |= of_cluster;
        match namespace {
            None => places.everywhere = true,
            Some(namespace) if !places.namespaces.contains(namespace) => {
                places.namespaces.push(namespace.clone());
            }
            Some(_) => {}
        }
    }

    /// Nothing that not everybody can do.
    pub fn is_nothing(&self) -> bool {
        self.deeds.is_empty()
    }

    pub fn is_anything(&self) -> bool {
        self.deeds.keys().next().is_some_and(|(rank, _)| *rank == ANYTHING)
    }

    /// How bad it is: less is worse.
    pub fn rank(&self) -> usize {
        self.deeds.keys().next().map_or(usize::MAX, |(rank, _)| *rank)
    }

    /// "can read Secrets in shop", the worst first.
    pub fn told(&self) -> Vec<String> {
        // Whoever can do anything everywhere can do the rest too.
        let anything = self.deeds.iter().find(|((rank, _), places)| *rank == ANYTHING && places.everywhere);
        let shown = if anything.is_some() { 1 } else { MAX_POWERS };
        let mut told: Vec<String> = self
            .deeds
            .iter()
            .take(shown)
            .map(|((_, words), places)| format!("can {words}{}", places.told()))
            .collect();
        let left = self.deeds.len() - told.len();
        if anything.is_none() && left > 0 {
            told.push(format!("and {left}{} more", if self.more { " or" } else { "" }));
        }
        told
    }
}

impl Places {
    fn told(&self) -> String {
        if self.of_cluster {
            return String::new();
        }
        if self.everywhere {
            return " in every namespace".to_owned();
        }
        let mut namespaces: Vec<&str> = self.namespaces.iter().map(|namespace| &**namespace).collect();
        namespaces.sort_unstable();
        format!(" in {}", few(&namespaces))
    }
}

/// The first few of a list.
fn few(names: &[&str]) -> String {
    let shown = names.get(..MAX_NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The objects that a rule is limited to.
fn named(names: &[Arc<str>]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    format!(" named {}", few(&names))
}
