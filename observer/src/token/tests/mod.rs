//! Tokens come from RFC examples and from `testdata/generate.py`, which signs with openssl: never from the
//! code under test.

mod bounds;
mod hostile;
mod keys;
mod rfc;
mod trust;
mod verdicts;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Issuer, Judgement, KeySet, Verifier};
use crate::model::{AuthenticationStatus, Timestamp, TokenFacts};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The clock of `testdata/generate.py`.
const NOW: u64 = 1_760_000_000;

fn tokens() -> HashMap<String, String> {
    serde_json::from_str(include_str!("../testdata/tokens.json")).unwrap()
}

fn token(name: &str) -> String {
    tokens().remove(name).unwrap_or_else(|| panic!("no token {name}"))
}

fn key_set(name: &str) -> KeySet {
    let sets: Value = serde_json::from_str(include_str!("../testdata/jwks.json")).unwrap();
    KeySet::from_jwks(sets[name].to_string().as_bytes()).unwrap()
}

fn issuer(url: &str, keys: KeySet) -> Issuer {
    Issuer { url: url.into(), keys }
}

/// Trusts the issuer of the fixtures.
fn verifier() -> Verifier {
    Verifier::new(vec![issuer(ISSUER, key_set("used"))], Vec::new())
}

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn judge(token: &str) -> Judgement {
    verifier().judge(&bearer(token), at(NOW))
}

/// Status and reason.
fn verdict(judgement: &Judgement) -> (AuthenticationStatus, Option<&str>) {
    (judgement.authentication.status, judgement.authentication.reason.as_deref())
}

fn facts(judgement: &Judgement) -> &TokenFacts {
    judgement.authentication.token.as_ref().unwrap()
}

/// A token of this form with a signature that no key made.
fn unsigned(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", encode(header), encode(payload), encode(&"s".repeat(256)))
}
