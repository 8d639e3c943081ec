//! Records and edges for tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{BuildInfo, Metrics};
use crate::model::{
    Authentication, AuthenticationStatus, CloseReason, Declaration, DeclarationStatus, EdgeEnd, EdgeKey,
    EdgePort, Encryption, EncryptionStatus, FlowRecord, Hop, Kind, Link, Party, Protocol, Reporter,
    RequestCounts, Timestamp, Transport,
};

pub(crate) fn party(principal: &str, last_byte: u8, port: u16) -> Party {
    let (namespace, name) = principal.split_once('/').unwrap_or(("", ""));
    let pod = !namespace.is_empty();
    Party {
        principal: principal.into(),
        kind: match principal {
            "node" => Kind::Node,
            "external" => Kind::External,
            "unknown" => Kind::Unknown,
            _ => Kind::Pod,
        },
        reason: None,
        namespace: pod.then(|| namespace.into()),
        service_account: pod.then(|| name.into()),
        workload: None,
        pod: None,
        service: None,
        ip: [10, 244, 0, last_byte].into(),
        port,
        template: crate::model::OfTemplate::default(),
    }
}

/// A plaintext call from `shop/orders` to `shop/payments` at second `n`, from client port 40000 + `n`.
pub(crate) fn record(n: u64) -> FlowRecord {
    FlowRecord {
        time: Timestamp::from_seconds(1_700_000_000 + n),
        node: "n1".into(),
        reporter: Reporter::Server,
        transport: Transport::Tcp,
        protocol: Protocol::Http11,
        client: party("shop/orders", 2, 40_000 + u16::try_from(n % 20_000).unwrap()),
        server: party("shop/payments", 3, 8080),
        encryption: Encryption {
            status: EncryptionStatus::Plaintext,
            link: Link::None,
            ..Encryption::default()
        },
        authentication: Some(Authentication {
            status: AuthenticationStatus::None,
            ..Authentication::default()
        }),
        requests: Some(RequestCounts { total: 1, none: 1, ..RequestCounts::default() }),
        last_request: None,
        declaration: Declaration { status: DeclarationStatus::Ungoverned, ..Declaration::default() },
        findings: Vec::new(),
        hop: Hop::PodToPod,
        bytes_sent: 100,
        bytes_received: 200,
        duration_ms: 5,
        close: CloseReason::Fin,
        last: true,
    }
}

pub(crate) fn edge_between(client: &str, server: &str, port: u16) -> EdgeKey {
    let end = |principal: &str| {
        let party = party(principal, 1, 1);
        EdgeEnd {
            namespace: party.namespace.unwrap_or_else(|| "".into()),
            service_account: party.service_account.unwrap_or_else(|| "".into()),
            kind: party.kind,
        }
    };
    EdgeKey {
        client: end(client),
        server: end(server),
        port: EdgePort::Number(port),
        transport: Transport::Tcp,
    }
}

/// The edge of [`record`].
pub(crate) fn edge() -> EdgeKey {
    edge_between("shop/orders", "shop/payments", 8080)
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new(50_000, BuildInfo { version: "1.2.3", revision: None })
}

/// The value of the only sample that begins with `series`.
pub(crate) fn sample(metrics: &Metrics, series: &str) -> Option<f64> {
    let exposition = metrics.openmetrics();
    let mut values = exposition.lines().filter_map(|line| line.strip_prefix(series));
    let value = values.next()?.trim().parse().ok();
    assert_eq!(values.next(), None, "{series} is not one sample");
    value
}

/// A directory that goes with the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("observer-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
