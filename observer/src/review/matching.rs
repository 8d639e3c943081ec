//! Whom the ends of edges mean.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::crd::{Client, Edge, Server};
use crate::model::{EdgePort, Kind};
use crate::sink::query::EndView;

/// Whether an edge means a call that was seen. Addresses are not always known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    No,
    /// It depends on an address that is not known.
    Maybe,
    Yes,
}

impl From<bool> for Match {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// `addresses` of either end, as far as they are known.
pub(super) fn edge_means(
    edge: &Edge,
    (client, clients): (&EndView, &[IpAddr]),
    (server, servers): (&EndView, &[IpAddr]),
    port: EdgePort,
) -> Match {
    let port = match port {
        EdgePort::Number(port) => edge.ports.is_empty() || edge.ports.contains(&port),
        // Whoever names ports does not mean one that the kernel picks anew each time.
        EdgePort::Ephemeral => edge.ports.is_empty(),
    };
    client_means(&edge.from, client, clients).min(server_means(&edge.to, server, servers)).min(port.into())
}

fn client_means(from: &Client, end: &EndView, addresses: &[IpAddr]) -> Match {
    if let Some(name) = &from.service_account {
        return account(name, from.namespace.as_deref(), end).into();
    }
    if let Some(cidr) = &from.cidr {
        return range(cidr, end, addresses);
    }
    match end.kind {
        Kind::Unknown => Match::No,
        _ if from.anybody == Some(true) => Match::Yes,
        Kind::Node => (from.node == Some(true)).into(),
        Kind::External => (from.external == Some(true)).into(),
        Kind::Pod => Match::No,
    }
}

fn server_means(to: &Server, end: &EndView, addresses: &[IpAddr]) -> Match {
    if let Some(name) = &to.service_account {
        return account(name, to.namespace.as_deref(), end).into();
    }
    match &to.cidr {
        Some(cidr) => range(cidr, end, addresses),
        None => (end.kind == Kind::External && to.external == Some(true)).into(),
    }
}

fn account(name: &str, namespace: Option<&str>, end: &EndView) -> bool {
    let is = |wanted: Option<&str>, there: &Option<String>| {
        there.is_some() && (wanted == Some("*") || wanted == there.as_deref())
    };
    is(Some(name), &end.service_account) && is(namespace, &end.namespace)
}

fn range(cidr: &str, end: &EndView, addresses: &[IpAddr]) -> Match {
    if !matches!(end.kind, Kind::Node | Kind::External) {
        return Match::No;
    }
    match cidr.parse::<IpNet>() {
        Ok(_) if addresses.is_empty() => Match::Maybe,
        Ok(range) => addresses.iter().any(|address| range.contains(address)).into(),
        Err(_) => Match::No,
    }
}

/// Whomever `inner` means, `outer` means.
pub(super) fn client_covers(outer: &Client, inner: &Client) -> bool {
    if outer.anybody == Some(true) {
        return true;
    }
    match (&outer.service_account, &inner.service_account) {
        (Some(outer_name), Some(inner_name)) => {
            word_covers(outer_name, inner_name)
                && word_covers(or_any(outer.namespace.as_deref()), or_any(inner.namespace.as_deref()))
        }
        (None, None) => {
            (outer.node == Some(true) && inner.node == Some(true))
                || (outer.external == Some(true) && inner.external == Some(true))
                || range_covers(outer.cidr.as_deref(), inner.cidr.as_deref())
        }
        _ => false,
    }
}

pub(super) fn server_covers(outer: &Server, inner: &Server) -> bool {
    match (&outer.service_account, &inner.service_account) {
        (Some(outer), Some(inner)) => word_covers(outer, inner),
        (None, None) => {
            (outer.external == Some(true) && inner.external == Some(true))
                || range_covers(outer.cidr.as_deref(), inner.cidr.as_deref())
        }
        _ => false,
    }
}

fn or_any(namespace: Option<&str>) -> &str {
    namespace.unwrap_or("*")
}

fn word_covers(outer: &str, inner: &str) -> bool {
    outer == "*" || outer == inner
}

fn range_covers(outer: Option<&str>, inner: Option<&str>) -> bool {
    let range = |text: Option<&str>| text.and_then(|text| text.parse::<IpNet>().ok());
    match (range(outer), range(inner)) {
        (Some(outer), Some(inner)) => outer.contains(&inner),
        _ => false,
    }
}
