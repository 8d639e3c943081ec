//! A flow and its facts -> the flow record.

use std::sync::{Arc, Weak};

use super::ends::Ends;
use super::session::{Facts, Session};
use crate::conntrack::{Flow, Role};
use crate::model::{
    Authentication, CloseReason, EdgeEnd, Encryption, EncryptionStatus, Endpoint, FlowRecord, Identity, Kind,
    OfTemplate, Party, Protocol, Reporter, Timestamp,
};

/// The record of `flow` as it stands at `time`; `last` if it ended.
#[must_use]
pub fn record(flow: &Flow<Session>, facts: &Facts, ends: &Ends, node: &Arc<str>, last: bool) -> FlowRecord {
    let (sent, received, close) = match &flow.closed {
        Some(close) => match flow.role {
            Role::Client => (close.bytes_sent, close.bytes_received, close.reason),
            Role::Server => (close.bytes_received, close.bytes_sent, close.reason),
        },
        None => (0, 0, CloseReason::Open),
    };
    let time = flow.last_seen;
    let speaks_http =
        matches!(facts.protocol, Protocol::Http10 | Protocol::Http11 | Protocol::Http2 | Protocol::Grpc);
    FlowRecord {
        time,
        node: node.clone(),
        reporter: match flow.role {
            Role::Client => Reporter::Client,
            Role::Server => Reporter::Server,
        },
        transport: flow.transport,
        protocol: facts.protocol,
        client: party(&ends.client, ends.client_address, None),
        server: party(&ends.server, ends.server_address, ends.service.clone()),
        encryption: Encryption { link: ends.link, ..Encryption::clone(&facts.encryption) },
        authentication: facts.authentication.clone().or_else(|| hidden(facts)),
        requests: (speaks_http || facts.requests.total > 0).then_some(facts.requests),
        last_request: facts.last_request.clone(),
        declaration: facts.declaration.clone().unwrap_or_default(),
        findings: facts.findings.iter().collect(),
        hop: ends.hop,
        bytes_sent: sent,
        bytes_received: received,
        duration_ms: duration_ms(flow.opened, time),
        close,
        last,
    }
}

/// Requests may have been made where they cannot be read: that is said, not passed over.
fn hidden(facts: &Facts) -> Option<Authentication> {
    match facts.protocol {
        // Nothing was asked over a handshake that failed.
        Protocol::Tls if facts.encryption.status == EncryptionStatus::Unknown => {
            Some(Authentication { reason: facts.encryption.reason.clone(), ..Authentication::default() })
        }
        Protocol::Tls => Some(Authentication::unknown("encrypted")),
        _ => None,
    }
}

fn duration_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

fn party(identity: &Identity, address: Endpoint, service: Option<Arc<str>>) -> Party {
    let end = EdgeEnd::from(identity);
    let pod = identity.pod();
    let account = identity.service_account();
    Party {
        principal: Arc::from(end.to_string()),
        kind: end.kind,
        reason: match identity {
            Identity::Unknown(reason) => Some(Arc::from(*reason)),
            _ => None,
        },
        namespace: account.map(|(namespace, _)| namespace.clone()),
        service_account: account.map(|(_, name)| name.clone()),
        workload: pod.and_then(|pod| pod.workload.clone()),
        pod: pod.filter(|_| end.kind == Kind::Pod).map(|pod| Arc::from(&*pod.name)),
        service,
        ip: address.ip,
        port: address.port,
        template: OfTemplate(pod.map_or_else(Weak::new, |pod| Arc::downgrade(&pod.template))),
    }
}
