use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Authentication, AuthenticationStatus, Scheme, Timestamp, TokenFacts, TokenKind};

use super::cache::Cache;
use super::claims::Claims;
use super::fingerprint::{Fingerprint, KeyedHash};
use super::jwt::{Alg, Compact, Header};
use super::keys::{Check, Issuer};
use super::scheme::{first_word, split};

/// How far clocks may differ before a token counts as expired or not yet valid (RFC 7519 section 4.1.4:
/// usually no more than a few minutes).
pub const LEEWAY: Duration = Duration::from_secs(60);
/// The longest bearer token that is looked into, in bytes: what is captured of a request's head.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// What one Authorization value shows. Holds no credential.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub authentication: Authentication,
    /// Of a bearer token: to recognise it when it comes again.
    pub fingerprint: Option<Fingerprint>,
    /// The token is verified and the API server would take it: one of its audiences is the API server's, or
    /// it is a ServiceAccount token of the first issuer that names no audience.
    pub api_audience: bool,
    /// It claims to be a ServiceAccount token from a Secret, whatever its signature says.
    pub legacy: bool,
}

/// Judges Authorization values against trusted issuers. One per process: fingerprints of two do not compare.
pub struct Verifier {
    issuers: Vec<Issuer>,
    api_audiences: Vec<Arc<str>>,
    hash: KeyedHash,
    cache: Cache,
    opaque: Arc<TokenFacts>,
    /// Trusted issuers of tokens whose keys are not known: at most each of them once.
    wanted: Vec<Arc<str>>,
    /// How far clocks may differ here.
    leeway: Duration,
}

/// All that can be said of a token without knowing the time.
#[derive(Clone, Debug)]
pub(super) struct Examined {
    facts: Arc<TokenFacts>,
    signature: Signature,
    not_before: Option<Timestamp>,
    /// Provided that it is verified.
    for_api: bool,
    legacy: bool,
    /// Claims were too large or too many to be kept.
    omitted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Signature {
    Good,
    /// A verdict that no clock changes.
    Settled(AuthenticationStatus, &'static str),
}

impl Verifier {
    /// Without `api_audiences` the API server's audience is the first issuer's URL, as is its own default.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, api_audiences: Vec<Arc<str>>) -> Self {
        Self {
            issuers,
            api_audiences,
            hash: KeyedHash::new(),
            cache: Cache::new(),
            opaque: Arc::new(facts_of_kind(TokenKind::Opaque, None)),
            wanted: Vec::new(),
            leeway: LEEWAY,
        }
    }

    /// Takes other issuers or keys and forgets every verdict under the old ones.
    pub fn replace_issuers(&mut self, issuers: Vec<Issuer>) {
        self.issuers = issuers;
        self.cache.clear();
    }

    /// Takes new keys of the issuer `changed`, and what else is trusted now. Forgets the verdicts that this may change.
    pub fn trust(&mut self, issuers: Vec<Issuer>, api_audiences: Vec<Arc<str>>, changed: &str) {
        let first = |issuers: &[Issuer]| issuers.first().map(|issuer| issuer.url.clone());
        // Whether a token is for the API server depends on these.
        let others_too = first(&self.issuers) != first(&issuers) || self.api_audiences != api_audiences;
        let is_first = first(&issuers).is_some_and(|first| &*first == changed);
        (self.issuers, self.api_audiences) = (issuers, api_audiences);
        if others_too {
            return self.cache.clear();
        }
        self.cache.retain(|examined| {
            let facts = &examined.facts;
            // Legacy tokens are tried against the first issuer's keys, and JWT-SVIDs need not name their issuer.
            !((examined.legacy && is_first)
                || facts.issuer.as_deref() == Some(changed)
                || trust_domain(facts.subject.as_deref()) == Some(changed)
                || facts.issuer.is_none())
        });
    }

    /// This clock and the issuer's are known to differ so much: that is nobody's fault who uses a token.
    pub fn set_skew(&mut self, skew: Duration) {
        self.leeway = LEEWAY + skew;
    }

    /// Issuers whose tokens named keys that are not known, since this was last asked.
    pub fn take_wanted(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.wanted)
    }

    /// Examinations forgotten for want of room since the start.
    #[must_use]
    pub fn cache_evictions(&self) -> u64 {
        self.cache.evicted()
    }

    /// Judges the value of one Authorization header (RFC 9110 section 11.6.2: scheme, spaces, credentials).
    pub fn judge(&mut self, value: &[u8], now: Timestamp) -> Judgement {
        let (scheme, credentials) = split(value);
        // A lone word of no known scheme is rather a credential that lacks its scheme than nothing.
        let blank = value.iter().all(u8::is_ascii_whitespace);
        if blank || (credentials.is_empty() && scheme != Scheme::Other) {
            return Judgement::empty((!blank).then_some(scheme));
        }
        if scheme != Scheme::Bearer {
            return Judgement::of_scheme(Some(scheme), AuthenticationStatus::Present, None);
        }
        let token = first_word(credentials);
        let fingerprint = Fingerprint(self.hash.of(token));
        if token.len() > MAX_TOKEN_BYTES {
            let reason = Some("token-too-long");
            let judgement = Judgement::of_scheme(Some(scheme), AuthenticationStatus::Present, reason);
            return Judgement { fingerprint: Some(fingerprint), ..judgement };
        }
        if let Some(examined) = self.cache.get(&fingerprint) {
            return examined.at(now, self.leeway, fingerprint);
        }
        let Some(compact) = Compact::split(token) else {
            let mut judgement = Judgement::of_scheme(Some(scheme), AuthenticationStatus::Present, None);
            judgement.authentication.token = Some(self.opaque.clone());
            return Judgement { fingerprint: Some(fingerprint), ..judgement };
        };
        let examined = self.examine(&compact);
        let judgement = examined.at(now, self.leeway, fingerprint);
        self.cache.insert(fingerprint, examined);
        judgement
    }

    /// Judges the same value once more, later and without its bytes: what its times say may have changed.
    #[must_use]
    pub fn judge_again(&self, before: &Judgement, now: Timestamp) -> Judgement {
        let examined = before.fingerprint.and_then(|print| Some((self.cache.get(&print)?, print)));
        if let Some((examined, fingerprint)) = examined {
            return examined.at(now, self.leeway, fingerprint);
        }
        let mut judgement = before.clone();
        let Authentication { status, reason, token, .. } = &mut judgement.authentication;
        let expired =
            token.as_ref().and_then(|token| token.expires_at).is_some_and(|end| now >= end + self.leeway);
        match status {
            AuthenticationStatus::Verified if expired => {
                (*status, *reason) = (AuthenticationStatus::Invalid, Some("expired".into()));
                judgement.api_audience = false;
            }
            // Its start is not remembered with it; by now it may have come.
            AuthenticationStatus::Invalid if reason.as_deref() == Some("not-yet-valid") => {
                (*status, *reason) = (AuthenticationStatus::Present, Some("unverified".into()));
            }
            _ => {}
        }
        judgement
    }

    fn examine(&mut self, compact: &Compact<'_>) -> Examined {
        let header = compact.header();
        let key_id = header.as_ref().and_then(|header| header.kid.as_deref());
        let Some(claims) = Claims::parse(&compact.payload) else {
            let key_id = key_id.filter(|id| id.len() <= super::MAX_TEXT_BYTES);
            return Examined {
                facts: Arc::new(facts_of_kind(TokenKind::Jwt, key_id)),
                signature: Signature::Settled(AuthenticationStatus::Present, "malformed-claims"),
                not_before: None,
                for_api: false,
                legacy: false,
                omitted: false,
            };
        };
        let (facts, omitted) = claims.facts(key_id);
        Examined {
            legacy: facts.kind == TokenKind::Legacy,
            signature: self.signature(compact, header.as_ref(), &claims),
            not_before: claims.not_before(),
            for_api: self.is_for_api(&claims),
            facts: Arc::new(facts),
            omitted,
        }
    }

    fn signature(
        &mut self,
        compact: &Compact<'_>,
        header: Option<&Header<'_>>,
        claims: &Claims<'_>,
    ) -> Signature {
        let present = |reason| Signature::Settled(AuthenticationStatus::Present, reason);
        let invalid = |reason| Signature::Settled(AuthenticationStatus::Invalid, reason);
        let Some(header) = header else { return present("malformed-header") };
        // A JWT-SVID names its issuer by its trust domain, and by `iss` if it likes (SPIFFE JWT-SVID section 3).
        let domain = claims.trust_domain();
        let Some(issuer) = claims.iss.as_ref().map(|iss| &*iss.0).or(domain) else {
            return present("no-issuer");
        };
        if self.issuers.is_empty() {
            return present("no-issuer-configured");
        }
        if claims.kind() == TokenKind::Legacy {
            // It names no cluster and its keys may be older than any key set: a miss proves nothing.
            return match check(&self.issuers[..1], header, compact) {
                Some(Check::Good) => Signature::Good,
                _ => present("unverified"),
            };
        }
        // The same issuer may be configured twice, once for each file of keys.
        let is_trusted = |trusted: &&Issuer| *trusted.url == *issuer || domain == Some(&*trusted.url);
        let trusted = || self.issuers.iter().filter(is_trusted);
        let Some(first) = trusted().next() else { return present("foreign-issuer") };
        match header.alg {
            Alg::None => return invalid("alg-none"),
            Alg::Hmac => return invalid("alg-hmac"),
            Alg::Asymmetric(_) | Alg::Unsupported => {}
        }
        match check(trusted(), header, compact) {
            Some(Check::Good) => Signature::Good,
            Some(Check::Bad) => invalid("bad-signature"),
            Some(Check::NoKey) => {
                let url = first.url.clone();
                if !self.wanted.contains(&url) {
                    self.wanted.push(url);
                }
                present("unverified")
            }
            None => present("unverified"),
        }
    }

    /// Whether the API server would take the token, if its signature and times are good. One without an
    /// audience counts as meant for the API server, if it is a ServiceAccount token of the cluster's own
    /// issuer: it judges so itself.
    fn is_for_api(&self, claims: &Claims<'_>) -> bool {
        let Some(first) = self.issuers.first() else { return false };
        let mut audiences = claims.audiences().peekable();
        if audiences.peek().is_none() {
            return match claims.kind() {
                TokenKind::Legacy => true,
                TokenKind::Bound => claims.iss.as_ref().is_some_and(|iss| iss.0 == *first.url),
                TokenKind::JwtSvid | TokenKind::Jwt | TokenKind::Opaque => false,
            };
        }
        if self.api_audiences.is_empty() {
            return audiences.any(|audience| audience == &*first.url);
        }
        audiences.any(|audience| self.api_audiences.iter().any(|api| **api == *audience))
    }

    #[cfg(test)]
    pub(super) fn cache_load(&self) -> (usize, usize) {
        self.cache.load()
    }
}

/// What the issuers' keys say; `None` if it cannot be checked here at all.
fn check<'a>(
    issuers: impl IntoIterator<Item = &'a Issuer>,
    header: &Header<'_>,
    compact: &Compact<'_>,
) -> Option<Check> {
    let Alg::Asymmetric(alg) = header.alg else { return None };
    if header.critical {
        return None;
    }
    let kid = header.kid.as_deref();
    let Some(signature) = compact.signature() else { return Some(Check::Bad) };
    issuers.into_iter().map(|issuer| issuer.keys.check(alg, kid, compact.signing_input, &signature)).max()
}

/// The trust domain of a SPIFFE ID, as an issuer is named: `spiffe://example.org`.
pub(super) fn trust_domain(subject: Option<&str>) -> Option<&str> {
    const SCHEME: &str = "spiffe://";
    let subject = subject?;
    let domain = subject.strip_prefix(SCHEME)?;
    let end = domain.find('/').unwrap_or(domain.len());
    Some(&subject[..SCHEME.len() + end])
}

impl Examined {
    fn at(&self, now: Timestamp, leeway: Duration, fingerprint: Fingerprint) -> Judgement {
        let (status, reason) = self.verdict(now, leeway);
        Judgement {
            authentication: Authentication {
                status,
                scheme: Some(Scheme::Bearer),
                reason: reason.map(Cow::Borrowed),
                token: Some(self.facts.clone()),
            },
            fingerprint: Some(fingerprint),
            api_audience: self.for_api && status == AuthenticationStatus::Verified,
            legacy: self.legacy,
        }
    }

    fn verdict(&self, now: Timestamp, leeway: Duration) -> (AuthenticationStatus, Option<&'static str>) {
        if let Signature::Settled(status, reason) = self.signature {
            return (status, Some(reason));
        }
        // RFC 7519 sections 4.1.4 and 4.1.5: good before `exp`, from `nbf` on.
        let times = if self.facts.expires_at.is_some_and(|end| now >= end + leeway) {
            Some("expired")
        } else if self.not_before.is_some_and(|start| now + leeway < start) {
            Some("not-yet-valid")
        } else {
            None
        };
        match times {
            Some(_) if self.legacy => (AuthenticationStatus::Present, Some("unverified")),
            Some(reason) => (AuthenticationStatus::Invalid, Some(reason)),
            None => (AuthenticationStatus::Verified, self.omitted.then_some("claims-omitted")),
        }
    }

    /// Bytes that it takes in the cache: itself and the claims it keeps, each with its counters.
    pub(super) fn size(&self) -> usize {
        const COUNTERS: usize = 2 * size_of::<usize>();
        let TokenFacts {
            kind: _,
            issuer,
            subject,
            service_account,
            pod_uid,
            audiences,
            expires_at: _,
            key_id,
        } = &*self.facts;
        let texts = [issuer, subject, service_account, pod_uid, key_id];
        let text = |text: &Arc<str>| text.len() + COUNTERS;
        size_of::<Self>()
            + size_of::<TokenFacts>()
            + COUNTERS
            + texts.into_iter().flatten().map(text).sum::<usize>()
            + audiences.iter().map(|audience| text(audience) + size_of::<Arc<str>>()).sum::<usize>()
    }
}

impl Judgement {
    fn of_scheme(scheme: Option<Scheme>, status: AuthenticationStatus, reason: Option<&'static str>) -> Self {
        Self {
            authentication: Authentication { status, scheme, reason: reason.map(Cow::Borrowed), token: None },
            fingerprint: None,
            api_audience: false,
            legacy: false,
        }
    }

    /// A header that carries no credential, as `Bearer $(cat missing-file)` makes it: calling that a leaked
    /// credential would be false.
    fn empty(scheme: Option<Scheme>) -> Self {
        Self::of_scheme(scheme, AuthenticationStatus::None, Some("empty-credential"))
    }
}

fn facts_of_kind(kind: TokenKind, key_id: Option<&str>) -> TokenFacts {
    TokenFacts {
        kind,
        issuer: None,
        subject: None,
        service_account: None,
        pod_uid: None,
        audiences: Vec::new(),
        expires_at: None,
        key_id: key_id.map(Arc::from),
    }
}
