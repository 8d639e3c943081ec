//! A credential, judged by signature or remembered. The tokens are those of the unit tests.

use std::collections::HashMap;
use std::hint::black_box;

use observer::model::{AuthenticationStatus, Timestamp};
use observer::token::{Issuer, KeySet, Verifier};
use serde_json::Value;

use super::Case;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// When the tokens are good.
const NOW: u64 = 1_760_000_000;

pub fn seen_before() -> Case {
    let (mut verifier, _, value) = prepared("RS256");
    Box::new(move || judge(&mut verifier, &value))
}

/// Each time for the first time: forgetting is a small part of it.
pub fn new(algorithm: &str) -> Case {
    let (mut verifier, issuers, value) = prepared(algorithm);
    Box::new(move || {
        verifier.replace_issuers(issuers.clone());
        judge(&mut verifier, &value);
    })
}

/// A ServiceAccount's token, signed in this way.
pub fn of(algorithm: &str) -> String {
    let tokens: HashMap<String, String> =
        serde_json::from_str(include_str!("../../src/token/testdata/tokens.json")).expect("the tokens");
    tokens[algorithm].clone()
}

fn prepared(algorithm: &str) -> (Verifier, Vec<Issuer>, Vec<u8>) {
    let sets: Value =
        serde_json::from_str(include_str!("../../src/token/testdata/jwks.json")).expect("the keys");
    let keys = KeySet::from_jwks(sets["used"].to_string().as_bytes()).expect("the keys");
    let issuers = vec![Issuer { url: ISSUER.into(), keys }];
    let value = format!("Bearer {}", of(algorithm)).into_bytes();
    (Verifier::new(issuers.clone(), Vec::new()), issuers, value)
}

fn judge(verifier: &mut Verifier, value: &[u8]) {
    let judgement = verifier.judge(black_box(value), Timestamp::from_seconds(NOW));
    assert_eq!(judgement.authentication.status, AuthenticationStatus::Verified);
    black_box(judgement);
}
