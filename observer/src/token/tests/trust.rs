//! Issuers and keys that change while tokens come in.

use serde_json::json;

use super::super::MAX_TRIED;
use super::*;

use AuthenticationStatus::{Invalid, Present, Verified};

const OTHER: &str = "https://other.example";

#[test]
fn an_unknown_key_id_is_asked_for_once_and_verified_when_its_key_has_come() {
    let mut verifier = Verifier::new(vec![issuer(ISSUER, key_set("skipped"))], Vec::new());
    let value = bearer(&token("RS256"));
    assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Present, Some("unverified")));
    verifier.judge(&value, at(NOW));
    assert_eq!(verifier.take_wanted(), [ISSUER.into()]);
    assert!(verifier.take_wanted().is_empty());
    // Judged from the cache: nobody is asked again.
    verifier.judge(&value, at(NOW));
    assert!(verifier.take_wanted().is_empty());
    verifier.trust(vec![issuer(ISSUER, key_set("used"))], Vec::new(), ISSUER);
    assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Verified, None));
}

#[test]
fn a_foreign_issuer_is_not_asked_for() {
    let mut verifier = Verifier::new(vec![issuer(OTHER, key_set("used"))], Vec::new());
    assert_eq!(
        verdict(&verifier.judge(&bearer(&token("RS256")), at(NOW))),
        (Present, Some("foreign-issuer"))
    );
    assert!(verifier.take_wanted().is_empty());
}

#[test]
fn new_keys_of_one_issuer_leave_the_verdicts_about_others_alone() {
    let both = |other: &str| vec![issuer(ISSUER, key_set("used")), issuer(OTHER, key_set(other))];
    let mut verifier = Verifier::new(both("skipped"), Vec::new());
    let value = bearer(&token("RS256"));
    verifier.judge(&value, at(NOW));
    verifier.judge(
        &bearer(&unsigned(r#"{"alg":"RS256","kid":"k"}"#, &format!(r#"{{"iss":"{OTHER}"}}"#))),
        at(NOW),
    );
    assert_eq!(verifier.cache_load().0, 2);
    verifier.trust(both("used"), Vec::new(), OTHER);
    assert_eq!(verifier.cache_load().0, 1);
    assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Verified, None));
    assert_eq!(verifier.cache_load().0, 1, "it was remembered");
}

#[test]
fn other_audiences_of_the_api_server_are_judged_anew() {
    let mut verifier = verifier();
    let value = bearer(&token("RS256"));
    assert!(verifier.judge(&value, at(NOW)).api_audience);
    verifier.trust(vec![issuer(ISSUER, key_set("used"))], vec!["k3s".into()], ISSUER);
    assert!(!verifier.judge(&value, at(NOW)).api_audience);
}

#[test]
fn a_set_of_a_thousand_keys_finds_the_one_that_is_named() {
    let sets: Value = serde_json::from_str(include_str!("../testdata/jwks.json")).unwrap();
    let used = sets["used"]["keys"].as_array().unwrap();
    let filler = |n: usize| {
        let mut key = used[0].clone();
        key["kid"] = format!("filler-{n}").into();
        key
    };
    let keys: Vec<Value> = (0..1000 - used.len()).map(filler).chain(used.iter().cloned()).collect();
    let set = KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert_eq!((set.len(), set.skipped()), (1000, 0));
    let mut verifier = Verifier::new(vec![issuer(ISSUER, set)], Vec::new());
    assert_eq!(verdict(&verifier.judge(&bearer(&token("RS256")), at(NOW))), (Verified, None));
    assert_eq!(verdict(&verifier.judge(&bearer(&token("ES256")), at(NOW))), (Verified, None));
}

#[test]
fn a_token_that_names_no_key_is_tried_against_a_bounded_number_and_a_miss_then_proves_nothing() {
    let sets: Value = serde_json::from_str(include_str!("../testdata/jwks.json")).unwrap();
    let used = sets["used"]["keys"].as_array().unwrap();
    let rsa = used.iter().find(|key| key["kty"] == "RSA").unwrap();
    let many = |count: usize| {
        let key = |n: usize| {
            let mut key = rsa.clone();
            key["kid"] = format!("k{n}").into();
            key
        };
        let keys: Vec<Value> = (0..count).map(key).collect();
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    };
    let stranger = unsigned(r#"{"alg":"RS256"}"#, &format!(r#"{{"iss":"{ISSUER}"}}"#));
    for (count, expected) in
        [(MAX_TRIED, (Invalid, Some("bad-signature"))), (MAX_TRIED + 1, (Present, Some("unverified")))]
    {
        let mut verifier = Verifier::new(vec![issuer(ISSUER, many(count))], Vec::new());
        assert_eq!(verdict(&verifier.judge(&bearer(&stranger), at(NOW))), expected, "{count}");
    }
}

#[test]
fn a_clock_that_is_known_to_be_wrong_makes_no_token_expired() {
    let mut verifier = verifier();
    let value = bearer(&token("RS256"));
    let late = at(NOW + 3600 + 250);
    assert_eq!(verdict(&verifier.judge(&value, late)), (Invalid, Some("expired")));
    verifier.set_skew(std::time::Duration::from_secs(300));
    assert_eq!(verdict(&verifier.judge(&value, late)), (Verified, None));
    assert_eq!(verdict(&verifier.judge(&value, at(NOW + 3600 + 400))), (Invalid, Some("expired")));
}

#[test]
fn a_spiffe_bundles_keys_verify_the_tokens_of_its_trust_domain() {
    // SPIFFE Trust Domain and Bundle section 4.2.2: `use` is jwt-svid or x509-svid.
    let sets: Value = serde_json::from_str(include_str!("../testdata/jwks.json")).unwrap();
    let mut keys = sets["used"]["keys"].as_array().unwrap().clone();
    for key in &mut keys {
        key["use"] = "jwt-svid".into();
    }
    let mut certificate = keys[0].clone();
    certificate["use"] = "x509-svid".into();
    keys.push(certificate);
    let bundle = json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": keys});
    let set = KeySet::from_jwks(bundle.to_string().as_bytes()).unwrap();
    assert_eq!((set.len(), set.skipped()), (keys.len() - 1, 1));
    let mut verifier = Verifier::new(vec![issuer("spiffe://example.org", set)], Vec::new());
    let real = verifier.judge(&bearer(&token("svid")), at(NOW));
    assert_eq!(verdict(&real), (Verified, None));
    let svid = |domain: &str| {
        unsigned(r#"{"alg":"RS256","kid":"k"}"#, &format!(r#"{{"sub":"spiffe://{domain}/ns/a/sa/b"}}"#))
    };
    assert_eq!(
        verdict(&verifier.judge(&bearer(&svid("example.org")), at(NOW))),
        (Present, Some("unverified"))
    );
    assert_eq!(verifier.take_wanted(), ["spiffe://example.org".into()]);
    let other = verifier.judge(&bearer(&svid("example.com")), at(NOW));
    assert_eq!(verdict(&other), (Present, Some("foreign-issuer")));
}
