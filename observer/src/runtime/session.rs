//! What the pipeline carries with each flow: its protocol's state, and the facts gathered so far.

use std::borrow::Cow;
use std::sync::Arc;

use super::ends::Ends;
use crate::model::{
    Authentication, AuthenticationStatus, Declaration, Encryption, FindingSet, LastRequest, Protocol,
    RequestCounts, Timestamp,
};
use crate::protocol::{self, Credentials, Request, Witness};
use crate::token::{Judgement, Verifier};

/// A flow's state above its transport.
#[derive(Default)]
pub struct Session {
    pub protocol: protocol::Session,
    pub facts: Facts,
}

/// What is known of a flow.
#[derive(Default)]
pub struct Facts {
    pub protocol: Protocol,
    pub encryption: Encryption,
    /// `protocol` and `encryption` were found out.
    pub classified: bool,
    pub authentication: Option<Authentication>,
    pub requests: RequestCounts,
    pub last_request: Option<LastRequest>,
    /// Judged, not yet weighed against who sent them to whom.
    pub pending: Vec<Outcome>,
    pub malformed: Option<&'static str>,
    pub truncated: u64,

    pub ends: Option<Arc<Ends>>,
    pub declaration: Option<Declaration>,
    pub findings: FindingSet,
    pub exempted: FindingSet,

    /// What the metrics have counted of this flow.
    pub counted: Counted,
    /// The findings of the last record; `None` before the first.
    pub written: Option<FindingSet>,
    /// The last sequence number that the kernel was told to resume at.
    pub resume_told: Option<u32>,
    pub stop_told: bool,
    /// A client's end whose server reports elsewhere: in records, never in counts.
    pub shown_only: bool,
}

#[derive(Default)]
pub struct Counted {
    pub settled: bool,
    pub requests: RequestCounts,
    pub findings: FindingSet,
}

/// One request, judged.
pub struct Outcome {
    pub judgement: Judgement,
    pub method: Option<Cow<'static, str>>,
    /// Only where a rule may ask for it; never written anywhere.
    pub path: Option<String>,
}

/// Takes down what the protocol shows. The credential's bytes end here, in the verifier.
pub struct Scribe<'a> {
    pub facts: &'a mut Facts,
    pub verifier: &'a mut Verifier,
    pub keep_paths: bool,
    pub now: Timestamp,
}

impl Witness for Scribe<'_> {
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption) {
        self.facts.protocol = protocol;
        self.facts.encryption = encryption.clone();
        self.facts.classified = true;
    }

    fn request(&mut self, request: Request<'_>) {
        let judgement = match request.credentials {
            Credentials::Authorization(value) => self.verifier.judge(value, self.now),
            Credentials::None => bare(AuthenticationStatus::None, None),
            Credentials::Other => bare(AuthenticationStatus::Present, None),
            Credentials::Unknown(reason) => bare(AuthenticationStatus::Unknown, Some(reason)),
        };
        self.facts.pending.push(Outcome {
            judgement,
            method: request.method.map(method_name),
            path: request.path.filter(|_| self.keep_paths).map(str::to_owned),
        });
    }

    fn response(&mut self, status: u16) {
        const UNAUTHORIZED: u16 = 401;
        const FORBIDDEN: u16 = 403;
        if matches!(status, UNAUTHORIZED | FORBIDDEN) {
            self.facts.requests.rejected += 1;
        }
        self.facts.last_request.get_or_insert_default().status = Some(status);
    }

    fn malformed(&mut self, reason: &'static str) {
        self.facts.malformed.get_or_insert(reason);
    }

    fn truncated(&mut self) {
        self.facts.truncated += 1;
    }
}

fn bare(status: AuthenticationStatus, reason: Option<&'static str>) -> Judgement {
    let authentication =
        Authentication { status, reason: reason.map(Cow::Borrowed), ..Authentication::default() };
    Judgement { authentication, fingerprint: None, api_audience: false, legacy: false }
}

/// The methods of RFC 9110 section 9.3 and RFC 5789 cost no memory.
fn method_name(name: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    match KNOWN.into_iter().find(|known| *known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.chars().take(32).collect()),
    }
}
