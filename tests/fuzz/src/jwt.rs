//! Authorization values, judged by the keys of the test fixtures: what is verified is one of the tokens that openssl
//! signed with them.

use std::cell::RefCell;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use observer::model::{AuthenticationStatus, Timestamp};
use observer::token::{Issuer, Judgement, KeySet, MAX_AUDIENCES, MAX_TEXT_BYTES, Verifier};
use serde_json::Value;

const TOKENS: &str = include_str!("../../../observer/src/token/testdata/tokens.json");
const KEYS: &str = include_str!("../../../observer/src/token/testdata/jwks.json");
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// When the fixtures are valid.
const NOW: u64 = 1_760_000_000;
/// An input whose first byte has it holds header, payload and signature in clear, apart from each other by it.
const APART: u8 = 0xff;

pub fn tokens() -> HashMap<String, String> {
    serde_json::from_str(TOKENS).expect("a fixture")
}

struct Bench {
    verifier: Verifier,
    tokens: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let sets: Value = serde_json::from_str(KEYS).expect("a fixture");
        let keys = KeySet::from_jwks(sets["used"].to_string().as_bytes()).expect("a fixture");
        let issuer = Issuer { url: ISSUER.into(), keys };
        Self { verifier: Verifier::new(vec![issuer], Vec::new()), tokens: tokens().into_values().collect() }
    }
}

thread_local! {
    // Keys take long to read, and one verifier for all inputs has a cache to get wrong.
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

pub fn run(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let value = if first == APART { put_together(rest) } else { rest.to_vec() };
    // The clock: around, before and after the fixtures' times.
    let now = Timestamp::from_seconds(NOW + u64::from(first & 7) * 3600 - 3600);
    BENCH.with_borrow_mut(|bench| judge(bench, &value, now));
}

fn judge(bench: &mut Bench, value: &[u8], now: Timestamp) {
    let judgement = bench.verifier.judge(value, now);
    check(&judgement);
    if judgement.authentication.status == AuthenticationStatus::Verified {
        let is_one = |token: &String| contains(value, token.as_bytes());
        assert!(bench.tokens.iter().any(is_one), "verified, and nobody signed it");
    }
    let again = bench.verifier.judge(value, now);
    assert_eq!(
        (judgement.authentication.clone(), judgement.api_audience),
        (again.authentication, again.api_audience)
    );
    assert_eq!((judgement.fingerprint, judgement.legacy), (again.fingerprint, again.legacy));
    // Later, and without its bytes.
    let later = Timestamp::from_seconds(NOW + 7200);
    let kept = bench.verifier.judge_again(&judgement, later);
    check(&kept);
    assert_eq!(kept.authentication.status, bench.verifier.judge(value, later).authentication.status);
}

fn check(judgement: &Judgement) {
    let status = judgement.authentication.status;
    assert_ne!(status, AuthenticationStatus::Unknown, "all of it was seen");
    assert!(!judgement.api_audience || status == AuthenticationStatus::Verified);
    let Some(token) = &judgement.authentication.token else { return };
    assert!(token.audiences.len() <= MAX_AUDIENCES);
    let texts = [&token.issuer, &token.subject, &token.service_account, &token.pod_uid, &token.key_id];
    for text in texts.into_iter().flatten().chain(&token.audiences) {
        // A ServiceAccount is two texts.
        assert!(text.len() <= 2 * MAX_TEXT_BYTES + 1, "a text of {} bytes is kept", text.len());
    }
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

/// A bearer token of parts in clear.
fn put_together(parts: &[u8]) -> Vec<u8> {
    let mut parts = parts.split(|byte| *byte == APART);
    let mut value = b"Bearer ".to_vec();
    for (n, part) in parts.by_ref().take(3).enumerate() {
        if n > 0 {
            value.push(b'.');
        }
        value.extend(URL_SAFE_NO_PAD.encode(part).bytes());
    }
    value
}

/// A token as an input, encoded and in clear: the inverse of [`run`].
pub fn write(token: &str) -> Vec<Vec<u8>> {
    let encoded = [b"\x01Bearer ", token.as_bytes()].concat();
    let parts: Option<Vec<_>> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
    let clear = parts.map(|parts| [&[APART][..], &parts.join(&APART)].concat());
    std::iter::once(encoded).chain(clear).collect()
}
