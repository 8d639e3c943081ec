//! AuthorizationPolicy: CUSTOM and DENY before ALLOW; where there is any ALLOW, what none allows is denied.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{ROOT_NAMESPACE, ambient, authenticated, port, proxied, sidecar};
use crate::graph::condition::{Claim, Condition, End};
use crate::graph::import::{Fault, Named, part};
use crate::graph::mesh::Certificate;
use crate::graph::pattern::{Pattern, Piece};
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind, Subject};
use crate::graph::selector::Selector;

/// Keys that this version does not know.
type Others = BTreeMap<String, Value>;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    selector: Option<Selector>,
    target_ref: Option<Target>,
    target_refs: Option<Vec<Target>>,
    rules: Option<Vec<RawRule>>,
    action: Option<String>,
    #[serde(rename = "provider")]
    _provider: Option<Value>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: Arc<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawRule {
    from: Option<Vec<From>>,
    to: Option<Vec<To>>,
    when: Option<Vec<When>>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct From {
    source: Source,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct To {
    operation: Operation,
}

type Texts = Option<Vec<String>>;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Source {
    principals: Texts,
    not_principals: Texts,
    request_principals: Texts,
    not_request_principals: Texts,
    namespaces: Texts,
    not_namespaces: Texts,
    ip_blocks: Texts,
    not_ip_blocks: Texts,
    remote_ip_blocks: Texts,
    not_remote_ip_blocks: Texts,
    service_accounts: Texts,
    not_service_accounts: Texts,
    #[serde(flatten)]
    others: Others,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Operation {
    hosts: Texts,
    not_hosts: Texts,
    ports: Texts,
    not_ports: Texts,
    methods: Texts,
    not_methods: Texts,
    paths: Texts,
    not_paths: Texts,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct When {
    key: String,
    #[serde(default)]
    values: Texts,
    #[serde(default)]
    not_values: Texts,
}

pub(super) fn read(named: &Named, value: &Value) -> Result<Vec<Policy>, Fault> {
    let spec = part::<Option<Spec>>(value, "spec")?.unwrap_or_default();
    // It is only logged what it would do.
    if value["metadata"]["annotations"]["istio.io/dry-run"] == "true" {
        return Ok(Vec::new());
    }
    let mut rules = Vec::new();
    for (place, rule) in spec.rules.unwrap_or_default().into_iter().enumerate() {
        let key = format!("spec.rules[{place}]");
        rules.push((key.clone(), rule_of(named, &key, rule)?));
    }
    let (denies_by_default, rules) = match spec.action.as_deref() {
        None | Some("ALLOW") => (true, all(Action::Allow, rules)),
        Some("DENY") => (false, all(Action::Deny, rules)),
        // Changes nothing for the request.
        Some("AUDIT") => return Ok(Vec::new()),
        // Whom it matches, an extension decides of.
        Some("CUSTOM") => (false, all_unseen(Action::Deny, rules, "external-authorization")),
        Some(_) => {
            let unknown = |action| Rule {
                action,
                clause: "spec.action".into(),
                when: Condition::Unseen("action-unknown"),
            };
            (false, vec![unknown(Action::Deny), unknown(Action::Allow)])
        }
    };
    let targets: Vec<Target> = spec.target_refs.into_iter().flatten().chain(spec.target_ref).collect();
    if !targets.is_empty() {
        return Ok(targets
            .iter()
            .filter(|_| denies_by_default || !rules.is_empty())
            .filter_map(|target| at_waypoint(named, target))
            .collect());
    }
    let pods = spec.selector.unwrap_or_default();
    pods.check().map_err(|why| ("spec.selector".to_owned(), why))?;
    let whole_mesh = *named.namespace == *ROOT_NAMESPACE;
    let mut when = vec![proxied()];
    if whole_mesh {
        // It speaks of workloads in the mesh, and of those alone.
        when.push(Condition::Any(vec![sidecar(), ambient()]));
    }
    unknown_keys(&spec.others, &mut when);
    Ok(vec![Policy {
        kind: SourceKind::Istio,
        source: named.source(),
        direction: Direction::Ingress,
        subject: Subject {
            namespace: (!whole_mesh).then(|| named.namespace.clone()),
            pods,
            when: Some(Condition::All(when)),
            ..Subject::default()
        },
        denies_by_default,
        rules,
    }])
}

fn all(action: Action, rules: Vec<(String, Condition)>) -> Vec<Rule> {
    rules.into_iter().map(|(clause, when)| Rule { action, clause: clause.into(), when }).collect()
}

fn all_unseen(action: Action, rules: Vec<(String, Condition)>, reason: &'static str) -> Vec<Rule> {
    let mut rules = all(action, rules);
    for rule in &mut rules {
        rule.when = Condition::All(vec![rule.when.clone(), Condition::Unseen(reason)]);
    }
    rules
}

/// A policy for what comes through a gateway or a waypoint. It is weighed there, inside of a tunnel, and of whom a
/// Service's waypoint is, flows say nothing.
fn at_waypoint(named: &Named, target: &Target) -> Option<Policy> {
    const NAME: &str = "gateway.networking.k8s.io/gateway-name";
    const CLASS: &str = "gateway.networking.k8s.io/gateway-class-name";
    let labelled = |key: &str| Selector {
        match_labels: [(key.into(), target.name.clone())].into(),
        ..Selector::default()
    };
    let (namespace, pods) = match target.kind.as_str() {
        "Gateway" => (Some(named.namespace.clone()), labelled(NAME)),
        "GatewayClass" => (None, labelled(CLASS)),
        // Speaks of hosts outside the mesh.
        "ServiceEntry" => return None,
        _ => (Some(named.namespace.clone()), Selector::default()),
    };
    let unseen = || Condition::Unseen("waypoint");
    Some(Policy {
        kind: SourceKind::Istio,
        source: named.source(),
        direction: Direction::Ingress,
        subject: Subject {
            namespace,
            pods,
            when: Some(Condition::All(vec![proxied(), unseen()])),
            ..Subject::default()
        },
        denies_by_default: true,
        rules: vec![Rule { action: Action::Deny, clause: "spec.targetRefs".into(), when: unseen() }],
    })
}

fn rule_of(named: &Named, key: &str, rule: RawRule) -> Result<Condition, Fault> {
    let mut parts = Vec::new();
    unknown_keys(&rule.others, &mut parts);
    if let Some(to) = rule.to.filter(|to| !to.is_empty()) {
        let mut any = Vec::new();
        for (place, to) in to.into_iter().enumerate() {
            any.push(operation_of(&format!("{key}.to[{place}].operation"), to.operation)?);
        }
        parts.push(Condition::Any(any));
    }
    if let Some(from) = rule.from.filter(|from| !from.is_empty()) {
        let mut any = Vec::new();
        for (place, from) in from.into_iter().enumerate() {
            any.push(source_of(named, &format!("{key}.from[{place}].source"), from.source)?);
        }
        parts.push(Condition::Any(any));
    }
    for (place, when) in rule.when.into_iter().flatten().enumerate() {
        parts.push(when_of(named, &format!("{key}.when[{place}]"), when)?);
    }
    Ok(Condition::All(parts))
}

/// Each field that is there must hold; of one that this version does not know, nobody can say.
fn unknown_keys(others: &Others, parts: &mut Vec<Condition>) {
    if !others.is_empty() {
        parts.push(Condition::Unseen("field-unknown"));
    }
}

/// What is asked of a value, and what it must not be.
fn both(
    key: &str,
    (name, values): (&str, Texts),
    (not_name, not_values): (&str, Texts),
    parts: &mut Vec<Condition>,
    mut of: impl FnMut(Vec<String>) -> Result<Condition, String>,
) -> Result<(), Fault> {
    let at = |name: &str, why| (format!("{key}.{name}"), why);
    if let Some(values) = values.filter(|values| !values.is_empty()) {
        parts.push(of(values).map_err(|why| at(name, why))?);
    }
    if let Some(values) = not_values.filter(|values| !values.is_empty()) {
        parts.push(Condition::Not(Box::new(of(values).map_err(|why| at(not_name, why))?)));
    }
    Ok(())
}

fn operation_of(key: &str, operation: Operation) -> Result<Condition, Fault> {
    let mut parts = Vec::new();
    let Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths, others } =
        operation;
    unknown_keys(&others, &mut parts);
    both(key, ("ports", ports), ("notPorts", not_ports), &mut parts, numbers)?;
    both(key, ("methods", methods), ("notMethods", not_methods), &mut parts, |methods| {
        Ok(Condition::Method(patterns(&methods)))
    })?;
    both(key, ("paths", paths), ("notPaths", not_paths), &mut parts, |paths| {
        Ok(Condition::Path(paths.iter().map(|path| path_of(path)).collect::<Result<_, _>>()?))
    })?;
    both(key, ("hosts", hosts), ("notHosts", not_hosts), &mut parts, |_| {
        Ok(Condition::Unseen("host-unseen"))
    })?;
    Ok(Condition::All(parts))
}

fn source_of(named: &Named, key: &str, source: Source) -> Result<Condition, Fault> {
    let mut parts = Vec::new();
    unknown_keys(&source.others, &mut parts);
    let s = source;
    both(key, ("ipBlocks", s.ip_blocks), ("notIpBlocks", s.not_ip_blocks), &mut parts, |blocks| {
        addresses(End::Client, &blocks)
    })?;
    both(key, ("principals", s.principals), ("notPrincipals", s.not_principals), &mut parts, |names| {
        Ok(principals(&names))
    })?;
    both(key, ("namespaces", s.namespaces), ("notNamespaces", s.not_namespaces), &mut parts, |names| {
        Ok(of_namespaces(&names))
    })?;
    let (accounts, not_accounts) = (s.service_accounts, s.not_service_accounts);
    both(key, ("serviceAccounts", accounts), ("notServiceAccounts", not_accounts), &mut parts, |names| {
        Ok(service_accounts(named, &names))
    })?;
    let (tokens, not_tokens) = (s.request_principals, s.not_request_principals);
    both(key, ("requestPrincipals", tokens), ("notRequestPrincipals", not_tokens), &mut parts, |names| {
        Ok(Condition::RequestPrincipal(patterns(&names)))
    })?;
    let (remote, not_remote) = (s.remote_ip_blocks, s.not_remote_ip_blocks);
    both(key, ("remoteIpBlocks", remote), ("notRemoteIpBlocks", not_remote), &mut parts, |_| {
        Ok(Condition::Unseen("forwarded-for-unseen"))
    })?;
    Ok(Condition::All(parts))
}

fn when_of(named: &Named, key: &str, when: When) -> Result<Condition, Fault> {
    let claim = |claim| move |values: Vec<String>| Ok(Condition::Claim { claim, values: patterns(&values) });
    let mut parts = Vec::new();
    let (values, not_values) = (("values", when.values), ("notValues", when.not_values));
    let parts_of = &mut parts;
    match when.key.as_str() {
        "source.ip" => both(key, values, not_values, parts_of, |blocks| addresses(End::Client, &blocks)),
        "destination.ip" => both(key, values, not_values, parts_of, |blocks| addresses(End::Server, &blocks)),
        "destination.port" => both(key, values, not_values, parts_of, numbers),
        "source.namespace" => both(key, values, not_values, parts_of, |names| Ok(of_namespaces(&names))),
        "source.principal" => both(key, values, not_values, parts_of, |names| Ok(principals(&names))),
        "source.serviceAccount" => {
            both(key, values, not_values, parts_of, |names| Ok(service_accounts(named, &names)))
        }
        "request.auth.principal" => {
            both(key, values, not_values, parts_of, |names| Ok(Condition::RequestPrincipal(patterns(&names))))
        }
        "request.auth.audiences" | "request.auth.claims[aud]" => {
            both(key, values, not_values, parts_of, claim(Claim::Audience))
        }
        "request.auth.claims[iss]" => both(key, values, not_values, parts_of, claim(Claim::Issuer)),
        "request.auth.claims[sub]" => both(key, values, not_values, parts_of, claim(Claim::Subject)),
        "remote.ip" => {
            both(key, values, not_values, parts_of, |_| Ok(Condition::Unseen("forwarded-for-unseen")))
        }
        // Headers, other claims, the server name, what filters say, and keys of newer versions.
        _ => both(key, values, not_values, parts_of, |_| Ok(Condition::Unseen("condition-unseen"))),
    }?;
    Ok(Condition::All(parts))
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::of(text)).collect()
}

fn principals(names: &[String]) -> Condition {
    let of = |text: &String| {
        let (pattern, usual) = Certificate::Istio.pattern(text);
        let name = Condition::CertificateName { certificate: Certificate::Istio, names: vec![pattern] };
        if usual { name } else { Condition::All(vec![name, Condition::Unseen("trust-domain-unknown")]) }
    };
    authenticated(Condition::Any(names.iter().map(of).collect()))
}

fn of_namespaces(names: &[String]) -> Condition {
    let of = |text: &String| Condition::ServiceAccount {
        end: End::Client,
        namespace: Pattern::of(text),
        name: Pattern::Present,
    };
    authenticated(Condition::Any(names.iter().map(of).collect()))
}

/// `NAMESPACE/NAME`, or a name in the policy's own namespace; no `*`.
fn service_accounts(named: &Named, names: &[String]) -> Condition {
    let of = |text: &String| {
        let (namespace, name) = text.split_once('/').unwrap_or((&named.namespace, text));
        let exact = |text: &str| Pattern::Exact(text.into());
        Condition::ServiceAccount { end: End::Client, namespace: exact(namespace), name: exact(name) }
    };
    authenticated(Condition::Any(names.iter().map(of).collect()))
}

fn numbers(texts: Vec<String>) -> Result<Condition, String> {
    let of = |text: &String| {
        let number = text.parse().map_err(|_| format!("`{text}` is no port; write a number up to 65535"))?;
        Ok(port(number))
    };
    Ok(Condition::Any(texts.iter().map(of).collect::<Result<_, String>>()?))
}

/// Single addresses and ranges.
fn addresses(end: End, texts: &[String]) -> Result<Condition, String> {
    let of = |text: &String| {
        let range = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        range.map_err(|_| format!("`{text}` is no address; write one like 203.0.113.4 or 203.0.113.0/24"))
    };
    Ok(Condition::Address { end, ranges: texts.iter().map(of).collect::<Result<_, String>>()? })
}

/// Beside what any text may be, a template: `{*}` is a segment, `{**}` any number of them and the last of its kind.
fn path_of(text: &str) -> Result<Pattern, String> {
    if !text.contains(['{', '}']) {
        return Ok(Pattern::of(text));
    }
    let wrong = || format!("`{text}` is no template; write {{*}} for one segment and {{**}} for the rest");
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (literal, operator) = rest.split_at(start);
        pieces.push(Piece::Literal(literal.into()));
        let (piece, after) = match (operator.strip_prefix("{*}"), operator.strip_prefix("{**}")) {
            (Some(after), _) => (Piece::Segment, after),
            (_, Some(after)) if !after.contains('{') => (Piece::Segments, after),
            _ => return Err(wrong()),
        };
        pieces.push(piece);
        rest = after;
        // An operator is a whole segment.
        if !literal.ends_with('/') || !(rest.is_empty() || rest.starts_with('/')) {
            return Err(wrong());
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.into()));
    }
    let stray = |piece: &Piece| matches!(piece, Piece::Literal(literal) if literal.contains(['*', '{', '}']));
    if pieces.iter().any(stray) { Err(wrong()) } else { Ok(Pattern::Template(pieces.into())) }
}
