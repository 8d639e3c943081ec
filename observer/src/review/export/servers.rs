//! Servers as policies select them: by namespace and labels.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scope, call, is_pod, yaml};
use crate::sink::query::ObservedEdge;

pub(super) type Labels = BTreeMap<String, String>;

/// The pods of a namespace with these labels, and who called them.
#[derive(Debug, Default)]
pub(super) struct Server<'a> {
    accounts: BTreeSet<&'a str>,
    pub edges: Vec<&'a ObservedEdge>,
    /// Why no policy is written.
    cannot: BTreeSet<String>,
}

pub(super) type Servers<'a> = BTreeMap<(&'a str, &'a Labels), Server<'a>>;

/// `cannot` tells why the format cannot say an edge.
pub(super) fn gather<'a>(
    observed: &[&'a ObservedEdge],
    scope: &Scope,
    notes: &mut BTreeSet<String>,
    cannot: impl Fn(&ObservedEdge) -> Option<String>,
) -> Servers<'a> {
    let mut servers = Servers::new();
    for one in observed.iter().copied() {
        let (server, seen) = (&one.edge.server, &one.servers);
        let (true, Some(namespace), Some(account)) =
            (is_pod(server.kind), server.namespace.as_deref(), server.service_account.as_deref())
        else {
            continue;
        };
        if scope.namespace.as_deref().is_some_and(|wanted| wanted != namespace) {
            continue;
        }
        if let Some(why) = out_of_reach(one) {
            notes.insert(format!("left out: {}: {why}", call(&one.edge)));
        }
        let why = cannot(one);
        for labels in &seen.labels {
            let server = servers.entry((namespace, labels)).or_default();
            server.accounts.insert(account);
            server.edges.push(one);
            server.cannot.extend(why.iter().map(|why| format!("{} ({why})", call(&one.edge))));
        }
    }
    spread(&mut servers);
    for ((namespace, labels), server) in servers.iter().filter(|(_, server)| !server.cannot.is_empty()) {
        let why: Vec<&str> = server.cannot.iter().map(String::as_str).collect();
        notes.insert(format!(
            "no policy for pods of {namespace} with {}: it would deny what was seen and cannot be said: {}",
            listed(labels),
            why.join("; ")
        ));
    }
    servers.retain(|_, server| server.cannot.is_empty());
    servers
}

fn out_of_reach(one: &ObservedEdge) -> Option<&'static str> {
    let seen = &one.servers;
    if seen.more {
        Some("its server has more workloads than are remembered: some have no policy")
    } else if seen.host_network {
        Some("its server uses its node's network, where no policy reaches it")
    } else if seen.unlabelled {
        Some("its server's pods have no labels that tell them from others")
    } else if seen.labels.is_empty() {
        Some("its server is known by its Service alone, and policies select pods")
    } else {
        None
    }
}

/// A selector that also means pods for which there can be no policy must not be written either.
fn spread(servers: &mut Servers<'_>) {
    loop {
        let without: Vec<(String, Labels)> = servers
            .iter()
            .filter(|(_, server)| !server.cannot.is_empty())
            .map(|((namespace, labels), _)| ((*namespace).to_owned(), (*labels).clone()))
            .collect();
        let mut changed = false;
        for ((namespace, labels), server) in servers.iter_mut() {
            if !server.cannot.is_empty() {
                continue;
            }
            let means = |of: &&(String, Labels)| {
                of.0 == *namespace && labels.iter().all(|(key, value)| of.1.get(key) == Some(value))
            };
            if let Some((_, others)) = without.iter().find(means) {
                server.cannot.insert(format!("the selector also means pods with {}", listed(others)));
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

fn listed(labels: &Labels) -> String {
    let each: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    each.join(",")
}

/// A name for each server's policy: of one ServiceAccount's several workloads, a number tells them apart.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<(String, String), usize>);

/// The API server takes 253 characters; a number and `observed-` go with it.
const MAX_NAME: usize = 240;

impl Names {
    pub fn next(&mut self, namespace: &str, server: &Server<'_>) -> String {
        let account = server.accounts.first().copied().unwrap_or("server");
        let account = account.get(..MAX_NAME).unwrap_or(account).trim_end_matches(['.', '-']);
        let count = self.0.entry((namespace.to_owned(), account.to_owned())).or_default();
        *count += 1;
        match *count {
            1 => format!("observed-{account}"),
            count => format!("observed-{account}-{count}"),
        }
    }
}

/// `matchLabels`, indented so far.
pub(super) fn match_labels(labels: &Labels, indent: usize) -> String {
    let space = " ".repeat(indent);
    let mut text = format!("{space}matchLabels:\n");
    for (key, value) in labels {
        text.push_str(&format!("{space}  {}: {}\n", yaml::key(key), yaml::scalar(value)));
    }
    text
}
