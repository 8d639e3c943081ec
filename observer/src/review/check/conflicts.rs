//! Takes each edge for a call that happens, and asks all kinds of sources of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::cast::Cast;
use super::{CheckRow, Level};
use crate::crd::{Client, DeclaredEdge, Encryption, Server};
use crate::graph::{Graph, HttpFacts, NamespaceLabels, Query};
use crate::model::{Declaration, DeclarationStatus, EncryptionStatus, Identity, Pod, Transport};

/// Calls that are tried: some seconds of work.
const MAX_CALLS: usize = 1_000_000;
/// Stands for an address that is not known (RFC 5737); nothing is made of what is said of it alone.
const SOME_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Somebody whom an end of an edge means.
#[derive(Clone, Debug)]
struct Actor {
    identity: Identity,
    /// Where it is known.
    ip: Option<IpAddr>,
}

/// What the kinds say of an edge: for each answer, the first call that got it, and how many did.
type Answers = BTreeMap<(Level, String, Option<String>), (CheckRow, usize)>;

pub(super) fn look(
    graph: &Graph,
    edges: &[DeclaredEdge],
    cast: Option<&Cast>,
    speaks_of_addresses: bool,
    rows: &mut Vec<CheckRow>,
) {
    let mut calls = 0;
    for declared in edges {
        let mut answers = Answers::new();
        let both = clients(&declared.edge.from, cast)
            .and_then(|clients| servers(&declared.edge.to, cast).map(|servers| (clients, servers)));
        let (clients, servers) = match both {
            Ok(both) => both,
            Err(reason) => {
                rows.push(untold(declared, reason));
                continue;
            }
        };
        for server in &servers {
            for client in &clients {
                calls += 1;
                if calls > MAX_CALLS {
                    let message = format!(
                        "edges and pods make more than {MAX_CALLS} calls: not all were tried; check namespaces one by one"
                    );
                    rows.push(CheckRow::new(Level::Unevaluable, message));
                    return;
                }
                if is_one_pod(client, server) {
                    continue;
                }
                ask(graph, declared, (client, server), cast, speaks_of_addresses, &mut answers);
            }
        }
        rows.extend(answers.into_values().map(|(mut row, count)| {
            if count > 1 {
                row.message = format!("{} (and {} more calls of this edge)", row.message, count - 1);
            }
            row
        }));
    }
}

fn ask(
    graph: &Graph,
    declared: &DeclaredEdge,
    (client, server): (&Actor, &Actor),
    cast: Option<&Cast>,
    speaks_of_addresses: bool,
    answers: &mut Answers,
) {
    let edge = &declared.edge;
    let nobody: &dyn NamespaceLabels = &();
    let namespaces = cast.map_or(nobody, |cast| cast as &dyn NamespaceLabels);
    let client_identity = match (&client.identity, &server.identity) {
        // The server's own node, if it is known: others may be nobody's.
        (Identity::Node(_), Identity::Pod(pod)) => Identity::Node(pod.node.clone().unwrap_or_default()),
        (identity, _) => identity.clone(),
    };
    let (ports, port_known) = match (&edge.ports[..], server.identity.pod()) {
        ([], Some(pod)) if !pod.ports.is_empty() => {
            (pod.ports.iter().map(|port| port.number).collect(), true)
        }
        ([], _) => (vec![0], false),
        (ports, _) => (ports.to_vec(), true),
    };
    let requests: Vec<Option<HttpFacts<'_>>> = match edge.http.is_empty() {
        true => vec![None],
        false => {
            let mut requests = Vec::new();
            for rule in &edge.http {
                let path = rule.path_prefix.as_deref();
                requests.extend(rule.methods.iter().map(|method| Some(HttpFacts { method, path })));
                if rule.methods.is_empty() {
                    requests.push(None);
                }
            }
            requests
        }
    };
    for port in ports {
        for http in &requests {
            let of = |transport| {
                graph
                    .evaluate(&Query {
                        client: &client_identity,
                        client_ip: client.ip.unwrap_or(SOME_ADDRESS),
                        server: &server.identity,
                        server_ip: server.ip.unwrap_or(SOME_ADDRESS),
                        port,
                        transport,
                        encryption: match edge.encryption {
                            Encryption::Mtls => EncryptionStatus::Mtls,
                            _ => EncryptionStatus::Unknown,
                        },
                        http: *http,
                        authentication: None,
                        namespaces,
                    })
                    .declaration
            };
            let mut answer = of(Transport::Tcp);
            // An edge of a ServiceGraph may be meant for datagrams, and these kinds tell the two apart.
            if answer.status == DeclarationStatus::Unexpected
                && answer.source.as_ref().is_some_and(|source| source.contains("NetworkPolicy "))
            {
                let datagrams = of(Transport::Udp);
                if datagrams.status != DeclarationStatus::Unexpected {
                    answer = datagrams;
                }
            }
            let doubt = if speaks_of_addresses && (client.ip.is_none() || server.ip.is_none()) {
                Some("address-unknown")
            } else if !port_known {
                Some("port-unknown")
            } else if matches!(client_identity, Identity::Node(_)) && server.identity.pod().is_none() {
                Some("node-unknown")
            } else {
                None
            };
            note(declared, (&client.identity, &server.identity, port), &answer, doubt, answers);
        }
    }
}

fn note(
    declared: &DeclaredEdge,
    (client, server, port): (&Identity, &Identity, u16),
    answer: &Declaration,
    doubt: Option<&'static str>,
    answers: &mut Answers,
) {
    let (level, reason) = match (answer.status, doubt) {
        (DeclarationStatus::Unexpected, None) => (Level::Conflict, None),
        (DeclarationStatus::Unexpected, Some(doubt)) => (Level::Unevaluable, Some(doubt.to_owned())),
        (DeclarationStatus::Unevaluable, _) => {
            (Level::Unevaluable, answer.reason.as_ref().map(ToString::to_string))
        }
        _ => return,
    };
    let source = answer.source.as_deref().unwrap_or("another source").to_owned();
    let against = match &answer.clause {
        Some(clause) => format!("{source} {clause}"),
        None => source.clone(),
    };
    let (client, server) = (principal(client), principal(server));
    let on = if port == 0 { String::new() } else { format!(" on {port}") };
    let message = match (level, &reason) {
        (Level::Conflict, _) => format!(
            "allows {client} to call {server}{on}, and {against} does not expect it; allow it there, or take it out here"
        ),
        (_, reason) => format!(
            "whether {against} expects {client} to call {server}{on} cannot be told ({}); {}",
            reason.as_deref().unwrap_or("unknown"),
            way_out(reason.as_deref())
        ),
    };
    let row = CheckRow {
        object: Some(declared.source.to_string()),
        key: Some(declared.clause.to_string()),
        client: Some(client),
        server: Some(server),
        port: (port != 0).then_some(port),
        against: Some(source),
        reason: reason.clone(),
        ..CheckRow::new(level, message)
    };
    answers.entry((level, against, reason)).or_insert((row, 0)).1 += 1;
}

fn way_out(reason: Option<&str>) -> &'static str {
    match reason {
        Some("service-backend" | "service-port" | "namespace-unknown" | "node-unknown" | "no-inventory") => {
            "give the cluster's pods and namespaces with --inventory"
        }
        Some("encryption-unknown" | "client-certificate-unseen") => {
            "write `encryption: mtls` into the edge if the call has a certificate"
        }
        Some("port-unknown") => "name the edge's ports",
        Some("no-pods") => "give an inventory with its pods",
        _ => "look at both, and at what flows say",
    }
}

/// A row of an edge that cannot be tried at all.
fn untold(declared: &DeclaredEdge, reason: &'static str) -> CheckRow {
    let message = format!(
        "whether other sources expect its calls cannot be told ({reason}); {}",
        way_out(Some(reason))
    );
    CheckRow {
        object: Some(declared.source.to_string()),
        key: Some(declared.clause.to_string()),
        reason: Some(reason.to_owned()),
        ..CheckRow::new(Level::Unevaluable, message)
    }
}

fn clients(from: &Client, cast: Option<&Cast>) -> Result<Vec<Actor>, &'static str> {
    if let Some(name) = &from.service_account {
        return pods(name, from.namespace.as_deref().unwrap_or("*"), cast);
    }
    if let Some(cidr) = &from.cidr {
        return Ok(within(cidr));
    }
    let somebody = |identity| Ok(vec![Actor { identity, ip: None }]);
    match (from.node, from.external) {
        (Some(true), _) => somebody(Identity::Node(Arc::from(""))),
        (_, Some(true)) => somebody(Identity::External),
        _ => pods("*", "*", cast),
    }
}

fn servers(to: &Server, cast: Option<&Cast>) -> Result<Vec<Actor>, &'static str> {
    match (&to.service_account, &to.cidr) {
        (Some(name), _) => pods(name, to.namespace.as_deref().unwrap_or("*"), cast),
        (None, Some(cidr)) => Ok(within(cidr)),
        (None, None) => Ok(vec![Actor { identity: Identity::External, ip: None }]),
    }
}

fn pods(name: &str, namespace: &str, cast: Option<&Cast>) -> Result<Vec<Actor>, &'static str> {
    let Some(cast) = cast else {
        if name == "*" || namespace == "*" {
            return Err("no-inventory");
        }
        let identity = Identity::ServiceAccount { namespace: namespace.into(), name: name.into() };
        return Ok(vec![Actor { identity, ip: None }]);
    };
    let means = |wanted: &str, there: &str| wanted == "*" || wanted == there;
    let meant = |pod: &&Arc<Pod>| means(name, &pod.service_account) && means(namespace, &pod.namespace);
    let actors: Vec<Actor> = cast
        .pods
        .iter()
        .filter(meant)
        .map(|pod| Actor { identity: Identity::Pod(pod.clone()), ip: pod.ips.iter().next() })
        .collect();
    if actors.is_empty() { Err("no-pods") } else { Ok(actors) }
}

/// The first and the last of a range; of a single address, that.
fn within(cidr: &str) -> Vec<Actor> {
    let Ok(range) = cidr.parse::<IpNet>() else { return Vec::new() };
    let one = range.network() == range.broadcast();
    // Of a wider range, rules may mean a part: then nothing is known of the whole.
    vec![Actor { identity: Identity::External, ip: one.then(|| range.network()) }]
}

fn is_one_pod(client: &Actor, server: &Actor) -> bool {
    match (client.identity.pod(), server.identity.pod()) {
        (Some(client), Some(server)) => Arc::ptr_eq(client, server),
        _ => false,
    }
}

fn principal(identity: &Identity) -> String {
    match identity.service_account() {
        Some((namespace, name)) => format!("{namespace}/{name}"),
        None => identity.kind().as_str().to_owned(),
    }
}
