mod exemptions;
mod flows;
mod hops;
mod requests;

use std::sync::Arc;

use super::{Demand, Demands, Exemptions, RequestFacts, Situation};
use crate::model::{
    Authentication, AuthenticationStatus, DeclarationStatus, EdgeEnd, EdgeKey, EdgePort, Encryption,
    EncryptionStatus, FindingKind, Hop, Identity, Link, Pod, Protocol, Template, Timestamp, TokenFacts,
    TokenKind, Transport,
};

fn pod(namespace: &str, service_account: &str, uid: &str) -> Identity {
    let template = Template {
        namespace: namespace.into(),
        service_account: service_account.into(),
        probe_ports: [8081].into(),
        ..Template::default()
    };
    Identity::Pod(Arc::new(Pod {
        uid: uid.into(),
        name: format!("{service_account}-7d-x2").into(),
        template: Arc::new(template),
        ..Pod::default()
    }))
}

fn orders() -> Identity {
    pod("shop", "orders", "uid-orders")
}

fn payments() -> Identity {
    pod("shop", "payments", "uid-payments")
}

fn node() -> Identity {
    Identity::Node("n1".into())
}

fn service_account() -> Identity {
    Identity::ServiceAccount { namespace: "shop".into(), name: "ledger".into() }
}

const UNKNOWN: Identity = Identity::Unknown("unresolved");

/// A flow about which there is nothing to say, before a test changes something.
struct Scene {
    client: Identity,
    server: Identity,
    hop: Hop,
    protocol: Protocol,
    encryption: EncryptionStatus,
    link: Link,
    declaration: DeclarationStatus,
    demands: Demands<'static>,
    to_api_server: bool,
    now: Timestamp,
    exemptions: Exemptions,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            client: orders(),
            server: payments(),
            hop: Hop::PodToPod,
            protocol: Protocol::Http11,
            encryption: EncryptionStatus::Tls,
            link: Link::Unknown,
            declaration: DeclarationStatus::Ungoverned,
            demands: Demands::default(),
            to_api_server: false,
            now: Timestamp::from_seconds(1_000),
            exemptions: Exemptions::new(Vec::new()),
        }
    }
}

/// What was found, and what was held back for which reason.
type Outcome = (Vec<FindingKind>, Vec<(FindingKind, String)>);

impl Scene {
    fn judge(&self, of: impl FnOnce(&Situation<'_>) -> super::Verdict) -> Outcome {
        let edge = EdgeKey {
            client: EdgeEnd::from(&self.client),
            server: EdgeEnd::from(&self.server),
            port: EdgePort::Number(8080),
            transport: Transport::Tcp,
        };
        let encryption = Encryption { status: self.encryption, link: self.link, ..Encryption::default() };
        let verdict = of(&Situation {
            client: &self.client,
            server: &self.server,
            edge: &edge,
            hop: self.hop,
            protocol: self.protocol,
            encryption: &encryption,
            declaration: self.declaration,
            demands: self.demands,
            to_api_server: self.to_api_server,
            now: self.now,
        });
        let exempted = verdict.exempted.iter().map(|(kind, reason)| (*kind, reason.to_string())).collect();
        (verdict.findings.iter().collect(), exempted)
    }

    fn of_flow(&self) -> Vec<FindingKind> {
        self.judge(|situation| super::of_flow(situation, &self.exemptions)).0
    }

    fn of_request(&self, request: &RequestFacts<'_>) -> Vec<FindingKind> {
        self.judge(|situation| super::of_request(situation, request, &self.exemptions)).0
    }
}

fn authentication(status: AuthenticationStatus) -> Authentication {
    Authentication { status, ..Authentication::default() }
}

fn facts(authentication: &Authentication) -> RequestFacts<'_> {
    RequestFacts { authentication, path: None, api_audience: false, legacy: false, proxy_credential: false }
}

/// A verified token of this ServiceAccount and pod.
fn token(service_account: Option<&str>, pod_uid: Option<&str>) -> Authentication {
    Authentication {
        token: Some(Arc::new(TokenFacts {
            kind: TokenKind::Bound,
            issuer: None,
            subject: None,
            service_account: service_account.map(Into::into),
            pod_uid: pod_uid.map(Into::into),
            audiences: Vec::new(),
            expires_at: None,
            key_id: None,
        })),
        ..authentication(AuthenticationStatus::Verified)
    }
}
