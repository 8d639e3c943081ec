//! `toPorts`: ports, and what requests over them may say.

use serde::Deserialize;
use serde_json::Value;

use super::super::Fault;
use crate::graph::condition::{Condition, Ports};
use crate::graph::expression;
use crate::graph::pattern::Pattern;
use crate::model::Transport;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortRule {
    #[serde(default)]
    ports: Vec<Port>,
    rules: Option<Rules>,
    #[serde(default)]
    server_names: Vec<Value>,
    listener: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    /// A number or a name, as a text; files may have it as a number.
    port: Value,
    end_port: Option<i64>,
    #[serde(default)]
    protocol: String,
}

#[derive(Deserialize)]
struct Rules {
    http: Option<Vec<Http>>,
    kafka: Option<Vec<Value>>,
    dns: Option<Vec<Value>>,
    l7proto: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    #[serde(default)]
    path: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    header_matches: Vec<HeaderMatch>,
}

#[derive(Deserialize)]
struct HeaderMatch {
    /// What to do with a request that does not fit: by default it is refused, else it goes through.
    mismatch: Option<String>,
}

pub(super) fn condition(rules: Vec<PortRule>, key: &str) -> Result<Condition, Fault> {
    let mut any = Vec::new();
    for (place, rule) in rules.into_iter().enumerate() {
        any.push(of_rule(rule, &format!("{key}.toPorts[{place}]"))?);
    }
    Ok(Condition::Any(any))
}

fn of_rule(rule: PortRule, key: &str) -> Result<Condition, Fault> {
    let mut parts = Vec::new();
    if rule.ports.is_empty() {
        // Versions differ in whether this is any port or none.
        parts.push(Condition::Unseen("ports-missing"));
    } else {
        let mut any = Vec::new();
        for (place, port) in rule.ports.into_iter().enumerate() {
            let at = |(member, why): (&str, String)| (format!("{key}.ports[{place}].{member}"), why);
            any.extend(of_port(&port).map_err(at)?);
        }
        parts.push(Condition::Any(any));
    }
    if !rule.server_names.is_empty() {
        parts.push(Condition::Unseen("server-names-unseen"));
    }
    if rule.listener.is_some() {
        parts.push(Condition::Unseen("listener-unseen"));
    }
    if let Some(rules) = rule.rules {
        parts.extend(of_requests(rules, key)?);
    }
    Ok(Condition::All(parts))
}

/// One for each protocol that it means.
fn of_port(port: &Port) -> Result<Vec<Condition>, (&'static str, String)> {
    let transports: &[Transport] = match port.protocol.to_ascii_uppercase().as_str() {
        "" | "ANY" => &[Transport::Tcp, Transport::Udp],
        "TCP" => &[Transport::Tcp],
        "UDP" => &[Transport::Udp],
        // Not among the flows that are seen.
        "SCTP" | "ICMP" | "ICMPV6" | "VRRP" | "IGMP" => &[],
        other => return Err(("protocol", format!("{other} is not known; write TCP, UDP, SCTP or ANY"))),
    };
    let text = match &port.port {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    // Port names have a letter (RFC 6335).
    if text.bytes().any(|byte| byte.is_ascii_alphabetic()) && !text.starts_with("0x") {
        let name = text.to_ascii_lowercase();
        let named = |transport: &Transport| Condition::NamedPort {
            name: name.as_str().into(),
            transport: *transport,
        };
        return Ok(transports.iter().map(named).collect());
    }
    let why = || format!("{text:?} is no port; write a number up to 65535 (0: any), or a port's name");
    let first: u16 = text.parse().map_err(|_| ("port", why()))?;
    let range = match (first, port.end_port) {
        (0, _) => None,
        (first, None | Some(0)) => Some((first, first)),
        (first, Some(last)) => {
            let last = u16::try_from(last).ok().filter(|last| *last >= first);
            let why = || "must be a port, and not below port".to_owned();
            Some((first, last.ok_or_else(|| ("endPort", why()))?))
        }
    };
    let ports = |transport: &Transport| Condition::Port(Ports { transport: Some(*transport), range });
    Ok(transports.iter().map(ports).collect())
}

fn of_requests(rules: Rules, key: &str) -> Result<Option<Condition>, Fault> {
    let some = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if some(&rules.dns) {
        return Ok(Some(Condition::Unseen("dns-names-unseen")));
    }
    if some(&rules.kafka) || rules.l7proto.is_some_and(|name| !name.is_empty()) {
        return Ok(Some(Condition::Unseen("protocol-rules-unseen")));
    }
    let requests = rules.http.unwrap_or_default();
    if requests.is_empty() {
        return Ok(None);
    }
    let mut any = Vec::new();
    for (place, request) in requests.iter().enumerate() {
        let at = |(member, why)| (format!("{key}.rules.http[{place}].{member}"), why);
        any.push(of_request(request).map_err(at)?);
    }
    Ok(Some(Condition::Any(any)))
}

fn of_request(request: &Http) -> Result<Condition, (&'static str, String)> {
    let mut parts = Vec::new();
    let read = |text: &str, member, condition: fn(Vec<Pattern>) -> Condition| {
        let patterns = expression::patterns(text).map_err(|why| (member, why))?;
        Ok(patterns.map_or(Condition::Unseen("pattern-too-large"), condition))
    };
    if !request.method.is_empty() {
        parts.push(read(&request.method, "method", Condition::Method)?);
    }
    // The proxy has the query in the path; here it is not kept.
    if request.path.contains("\\?") || request.path.contains("[?]") {
        parts.push(Condition::Unseen("query-unseen"));
    } else if !request.path.is_empty() {
        parts.push(read(&request.path, "path", Condition::Path)?);
    }
    let headers =
        request.header_matches.iter().any(|header| header.mismatch.as_deref().unwrap_or_default().is_empty());
    if !request.host.is_empty() || !request.headers.is_empty() || headers {
        parts.push(Condition::Unseen("headers-unseen"));
    }
    Ok(Condition::All(parts))
}
