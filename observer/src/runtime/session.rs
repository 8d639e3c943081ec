//! What the pipeline carries with each flow: its protocol's state, and the facts gathered so far.

use std::borrow::Cow;
use std::sync::Arc;

use super::ends::Ends;
use super::kept::KeptJudgements;
use super::routine::Routine;
use super::shared_encryption::SharedEncryption;
use crate::model::{
    Authentication, AuthenticationStatus, Declaration, Encryption, FindingSet, LastRequest, Protocol,
    RequestCounts, Timestamp, TokenFacts,
};
use crate::protocol::{self, Credentials, Kept, Request, Witness};
use crate::sink::EdgeMetrics;
use crate::token::{Fingerprint, Judgement, Verifier};

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
    pub encryption: SharedEncryption,
    /// `protocol` and `encryption` were found out.
    pub classified: bool,
    /// They were found to be something else than they had been taken for.
    pub reclassified: bool,
    pub authentication: Option<Authentication>,
    pub requests: RequestCounts,
    pub last_request: Option<LastRequest>,
    /// Judged, not yet weighed against who sent them to whom.
    pub pending: Vec<Outcome>,
    /// Credentials that may be referred to again.
    pub kept: Option<Box<KeptJudgements>>,
    /// The client's last segment said what the one before it had said.
    pub again: bool,
    /// The last request, where it came again: what is counted of it is judged like it.
    pub last: Option<Box<Outcome>>,
    /// The kernel was told to count what the client says again.
    pub count_told: bool,
    pub malformed: Option<&'static str>,
    pub truncated: u64,

    pub ends: Option<Arc<Ends>>,
    /// The counters of their edge.
    pub edge: Option<Arc<EdgeMetrics>>,
    pub identity: Awaited,
    pub declaration: Option<Declaration>,
    /// What a request was found to be, for those like it.
    pub routine: Option<Routine>,
    pub findings: FindingSet,
    pub exempted: FindingSet,

    /// The token that posture last took note of.
    pub noted: Option<Arc<TokenFacts>>,
    /// What the metrics have counted of this flow.
    pub counted: Counted,
    /// The findings of the last record; `None` before the first.
    pub written: Option<FindingSet>,
    /// That one still waits for its turn.
    pub unwritten: bool,
    /// The last sequence number that the kernel was told to resume at.
    pub resume_told: Option<u32>,
    /// Where the kernel was last told that HTTP/2's frames start: (received, sent).
    pub frames_told: (Option<u32>, Option<u32>),
    pub stop_told: bool,
    /// A client's end whose server reports elsewhere: in records, never in counts.
    pub shown_only: bool,
}

/// Whether news is awaited that may tell who an end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    #[default]
    No,
    /// The flow is not weighed before.
    Before,
    /// The flow was weighed without, and is corrected when it comes.
    Since,
}

#[derive(Default)]
pub struct Counted {
    pub settled: bool,
    pub requests: RequestCounts,
    pub findings: FindingSet,
}

/// One request, judged.
#[derive(Clone)]
pub struct Outcome {
    /// How often it came.
    pub times: u64,
    pub judgement: Judgement,
    /// Tokens that came along and are not judged as this request's: of several Authorization headers that differ.
    pub others: Vec<Fingerprint>,
    /// A credential came along that is for somebody else.
    pub proxy_credential: bool,
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
    /// Memory that the last flow's requests waited in.
    pub spare: &'a mut Vec<Outcome>,
}

impl Witness for Scribe<'_> {
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption) {
        self.facts.protocol = protocol;
        self.facts.encryption = encryption.clone().into();
        self.facts.classified = true;
        self.facts.reclassified = self.facts.counted.settled;
    }

    fn request(&mut self, request: Request<'_>) {
        let (mut several, mut proxy_credential) = (Vec::new(), false);
        let judgement = match request.credentials {
            Credentials::Several(values) => {
                several.extend(values.iter().map(|value| self.verifier.judge(value, self.now)));
                one_of_several(&several)
            }
            Credentials::SeveralKept(kept) => {
                several.extend(kept.iter().map(|kept| self.judge_kept(*kept)));
                // Bytes that were not kept cannot be compared; what is known of a token by its bytes can.
                several
                    .dedup_by(|one, other| one.fingerprint.is_some() && one.fingerprint == other.fingerprint);
                if let [judgement] = &several[..] { judgement.clone() } else { one_of_several(&several) }
            }
            Credentials::Proxy { value, addressed } => {
                let judged = self.verifier.judge(value, self.now);
                proxy_credential = judged.authentication.status != AuthenticationStatus::None;
                for_proxy(judged, addressed)
            }
            Credentials::Authorization(value) => self.verifier.judge(value, self.now),
            Credentials::Kept(kept) => self.judge_kept(kept),
            Credentials::None => bare(AuthenticationStatus::None, None),
            Credentials::Other => bare(AuthenticationStatus::Present, None),
            Credentials::Unknown(reason) => bare(AuthenticationStatus::Unknown, Some(reason)),
        };
        let keep_path = self.keep_paths || self.facts.again;
        let outcome = Outcome {
            times: 1,
            judgement,
            others: several.iter().filter_map(|judgement| judgement.fingerprint).collect(),
            proxy_credential,
            method: request.method.map(method_name),
            path: request.path.filter(|_| keep_path).map(str::to_owned),
        };
        if self.facts.again {
            self.facts.last = Some(Box::new(outcome.clone()));
        }
        self.await_weighing(outcome);
    }

    fn repeated(&mut self, times: u64) {
        let Some(last) = &self.facts.last else { return };
        // By now it may have expired.
        let judgement = self.verifier.judge_again(&last.judgement, self.now);
        let again = Outcome { times, judgement, ..Outcome::clone(last) };
        self.await_weighing(again);
    }

    fn response(&mut self, status: u16) {
        self.facts.last_request.get_or_insert_default().status = Some(status);
        self.response_repeated(1);
    }

    fn response_repeated(&mut self, times: u64) {
        const UNAUTHORIZED: u16 = 401;
        const FORBIDDEN: u16 = 403;
        let last = self.facts.last_request.as_ref();
        if matches!(last.and_then(|last| last.status), Some(UNAUTHORIZED | FORBIDDEN)) {
            self.facts.requests.rejected += times;
        }
    }

    fn refused(&mut self) {
        self.facts.requests.rejected += 1;
    }

    fn keep(&mut self, value: &[u8]) -> Kept {
        self.facts.kept.get_or_insert_default().keep(self.verifier.judge(value, self.now))
    }

    fn forget(&mut self, kept: Kept) {
        if let Some(all) = &mut self.facts.kept {
            all.forget(kept);
        }
    }

    fn malformed(&mut self, reason: &'static str) {
        self.facts.malformed.get_or_insert(reason);
    }

    fn truncated(&mut self) {
        self.facts.truncated += 1;
    }
}

impl Scribe<'_> {
    fn await_weighing(&mut self, outcome: Outcome) {
        if self.facts.pending.capacity() == 0 {
            self.facts.pending = std::mem::take(self.spare);
        }
        self.facts.pending.push(outcome);
    }

    fn judge_kept(&self, kept: Kept) -> Judgement {
        match self.facts.kept.as_ref().and_then(|all| all.get(kept)) {
            Some(judgement) => self.verifier.judge_again(judgement, self.now),
            None => bare(AuthenticationStatus::Unknown, Some("credential-forgotten")),
        }
    }
}

/// Which of them the server looks at is not known, so none is verified; only if all are bad is the request's bad.
fn one_of_several(judged: &[Judgement]) -> Judgement {
    let all = |status| judged.iter().all(|judgement| judgement.authentication.status == status);
    let bad = all(AuthenticationStatus::Invalid).then(|| judged.first()).flatten();
    let mut judgement = bare(AuthenticationStatus::Present, Some("duplicate-authorization"));
    if let Some(bad) = bad {
        judgement.authentication = bad.authentication.clone();
    }
    judgement.api_audience = judged.iter().any(|judgement| judgement.api_audience);
    judgement.legacy = judged.iter().any(|judgement| judgement.legacy);
    judgement
}

/// A credential in Proxy-Authorization says something to the proxy that got it, and nothing to the server behind it
/// (RFC 9110 section 11.7.2): at most `present`, and nothing at all where no proxy was addressed.
fn for_proxy(judged: Judgement, addressed: bool) -> Judgement {
    let status = judged.authentication.status;
    let authentication = match status {
        _ if !addressed => Authentication { status: AuthenticationStatus::None, ..Authentication::default() },
        AuthenticationStatus::Verified | AuthenticationStatus::Present => Authentication {
            status: AuthenticationStatus::Present,
            reason: Some("proxy-authorization".into()),
            ..judged.authentication
        },
        _ => judged.authentication,
    };
    Judgement { authentication, ..judged }
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
