//! Flow + identity + declaration + settings -> findings. Pure functions: the same input gives the same verdict.
//!
//! A false accusation costs more than a gap: whatever was not seen, or cannot be told from something harmless, gives
//! no finding.

mod exemption;
mod hop;

pub use exemption::{Exemption, Exemptions, Reason};
pub use hop::{Way, hop};

use std::sync::Arc;

use crate::model::{
    Authentication, AuthenticationStatus, DeclarationStatus, EdgeKey, Encryption, EncryptionStatus,
    FindingKind, FindingSet, Hop, Identity, Kind, Link, Protocol, Timestamp, Uid,
};

/// What is known of a flow when it is judged.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    pub client: &'a Identity,
    pub server: &'a Identity,
    pub edge: &'a EdgeKey,
    pub hop: Hop,
    pub protocol: Protocol,
    pub encryption: &'a Encryption,
    pub declaration: DeclarationStatus,
    pub demands: Demands<'a>,
    /// The server is this cluster's API server.
    pub to_api_server: bool,
    pub now: Timestamp,
}

/// What the edge that declares a flow asks of it.
#[derive(Clone, Copy, Default)]
pub struct Demands<'a> {
    /// There is such an edge: what it asks for, it asks for wherever its ends are.
    pub declared: bool,
    pub encryption: Demand,
    pub authentication: Demand,
    /// A verified token must carry one of these; empty: any will do.
    pub audiences: &'a [Arc<str>],
    /// What the graph leaves out for now, and why.
    pub exceptions: &'a [(FindingKind, Reason)],
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    Optional,
    #[default]
    Required,
    /// Of encryption: mutual TLS, whatever protects the link. Of authentication: a verified token, whatever the connection
    /// says.
    Strict,
}

/// What is known of a request.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    pub authentication: &'a Authentication,
    pub path: Option<&'a str>,
    /// The token is good for the API server.
    pub api_audience: bool,
    /// The token is secret-based, whatever its signature says.
    pub legacy: bool,
    /// A credential came along that is for a proxy, and not this request's authentication.
    pub proxy_credential: bool,
}

/// Findings, and what would have been findings.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub findings: FindingSet,
    pub exempted: Vec<(FindingKind, Reason)>,
}

/// Where a token came from that its sender does not own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The sender was seen receiving it.
    Forwarded,
    /// Everything the sender received was seen in clear, and this was not among it.
    Replayed,
    Unknown,
}

impl Provenance {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Replayed => "replayed",
            Self::Unknown => "origin-unknown",
        }
    }
}

/// Judges what concerns a flow as a whole.
#[must_use]
pub fn of_flow(situation: &Situation<'_>, exemptions: &Exemptions) -> Verdict {
    let mut found = FindingSet::EMPTY;
    if is_unencrypted(situation) {
        found.insert(FindingKind::Unencrypted);
    }
    if situation.declaration == DeclarationStatus::Unexpected {
        found.insert(FindingKind::Unexpected);
    }
    if [situation.client, situation.server].into_iter().any(runs_as_default) {
        found.insert(FindingKind::DefaultServiceAccount);
    }
    exemptions.apply(found, situation, None)
}

/// Judges one request.
#[must_use]
pub fn of_request(situation: &Situation<'_>, request: &RequestFacts<'_>, exemptions: &Exemptions) -> Verdict {
    let mut found = FindingSet::EMPTY;
    let status = request.authentication.status;
    let shown = matches!(
        status,
        AuthenticationStatus::Present | AuthenticationStatus::Verified | AuthenticationStatus::Invalid
    );
    let mtls = situation.encryption.status == EncryptionStatus::Mtls;
    let service = matches!(situation.server.kind(), Kind::Pod | Kind::Node);
    let demands = &situation.demands;
    let excused = mtls && demands.authentication != Demand::Strict;
    if status == AuthenticationStatus::None && (service || demands.declared) && !excused {
        found.insert(FindingKind::Unauthenticated);
    }
    if lacks_audience(request.authentication, demands.audiences) {
        found.insert(FindingKind::WrongAudience);
    }
    if (shown || request.proxy_credential) && situation.encryption.status == EncryptionStatus::Plaintext {
        found.insert(FindingKind::CredentialInCleartext);
    }
    if status == AuthenticationStatus::Invalid {
        found.insert(FindingKind::InvalidToken);
    }
    if request.api_audience && !situation.to_api_server {
        found.insert(FindingKind::ApiAudienceToken);
    }
    if request.legacy {
        found.insert(FindingKind::LegacyToken);
    }
    if is_somebody_elses(situation.client, request.authentication) {
        found.insert(FindingKind::IdentityMismatch);
    }
    exemptions.apply(found, situation, request.path)
}

/// Whether a verified token names another ServiceAccount or pod than the pod that sent it.
#[must_use]
pub fn is_somebody_elses(client: &Identity, authentication: &Authentication) -> bool {
    // A node's address may hide any of its pods: only a pod can be told from the token's owner.
    let (Identity::Pod(pod), AuthenticationStatus::Verified, Some(token)) =
        (client, authentication.status, &authentication.token)
    else {
        return false;
    };
    let Some(owner) = &token.service_account else { return false };
    let same_account = owner.split_once('/') == Some((&*pod.namespace, &*pod.service_account));
    let same_pod = token.pod_uid.as_ref().is_none_or(|uid| Uid::of(uid) == pod.uid);
    !(same_account && same_pod)
}

fn lacks_audience(authentication: &Authentication, wanted: &[Arc<str>]) -> bool {
    let (AuthenticationStatus::Verified, Some(token)) = (authentication.status, &authentication.token) else {
        return false;
    };
    !wanted.is_empty() && !token.audiences.iter().any(|audience| wanted.contains(audience))
}

fn is_unencrypted(situation: &Situation<'_>) -> bool {
    let (client, server) = (situation.client.kind(), situation.server.kind());
    let inside = matches!((client, server), (Kind::Pod, Kind::Pod | Kind::Node) | (Kind::Node, Kind::Pod));
    let demands = &situation.demands;
    let protected = matches!(situation.encryption.link, Link::Wireguard | Link::Ipsec)
        && demands.encryption != Demand::Strict;
    situation.encryption.status == EncryptionStatus::Plaintext && (inside || demands.declared) && !protected
}

fn runs_as_default(identity: &Identity) -> bool {
    identity.service_account().is_some_and(|(_, name)| &**name == "default")
}

#[cfg(test)]
mod tests;
