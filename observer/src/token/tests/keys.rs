use serde_json::json;

use super::super::{KeySetError, MAX_KEYS};
use super::*;

#[test]
fn keys_that_cannot_check_a_signature_are_skipped_and_counted() {
    let (used, skipped) = (key_set("used"), key_set("skipped"));
    assert_eq!((used.len(), used.skipped()), (5, 0));
    assert_eq!((skipped.len(), skipped.skipped()), (0, 11));
}

#[test]
fn a_key_set_holds_a_bounded_number_of_keys() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let set = KeySet::from_jwks(json!({"keys": vec![key; MAX_KEYS + 7]}).to_string().as_bytes()).unwrap();
    assert_eq!((set.len(), set.skipped()), (MAX_KEYS, 7));
}

#[test]
fn an_rsa_modulus_may_start_with_a_zero_octet() {
    let mut sets: Value = serde_json::from_str(include_str!("../testdata/jwks.json")).unwrap();
    let modulus = URL_SAFE_NO_PAD.decode(sets["nameless"]["keys"][0]["n"].as_str().unwrap()).unwrap();
    sets["nameless"]["keys"][0]["n"] = URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat()).into();
    let keys = KeySet::from_jwks(sets["nameless"].to_string().as_bytes()).unwrap();
    let mut verifier = Verifier::new(vec![issuer(ISSUER, keys)], Vec::new());
    let judgement = verifier.judge(&bearer(&token("no-kid")), at(NOW));
    assert_eq!(judgement.authentication.status, AuthenticationStatus::Verified);
}

#[test]
fn a_file_that_is_no_key_set_is_an_error_that_quotes_nothing_of_it() {
    for file in ["", "hunter2-secret", "{\"keys\": hunter2-secret", "\u{0}", "hunter2: secret\n"] {
        let error = KeySet::from_jwks(file.as_bytes()).err().unwrap();
        assert!(matches!(error, KeySetError::NotJson { .. }), "{file}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    for file in
        ["[]", "5", "{}", r#"{"keys": {"hunter2": 1}}"#, r#"{"kty":"RSA","n":"hunter2"}"#, r#""hunter2""#]
    {
        let error = KeySet::from_jwks(file.as_bytes()).err().unwrap();
        assert_eq!(error, KeySetError::NoKeys, "{file}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    assert!(KeySet::from_jwks(br#"{"keys": []}"#).unwrap().is_empty());
}
