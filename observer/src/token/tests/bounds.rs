use std::sync::Arc;

use super::super::{
    Fingerprint, MAX_AUDIENCES, MAX_CACHED_BYTES, MAX_CACHED_TOKENS, MAX_SIGHTINGS, MAX_TEXT_BYTES, Sightings,
};
use super::*;
use crate::model::AuthenticationStatus::{Present, Verified};
use crate::model::Uid;

fn small(n: usize) -> Vec<u8> {
    bearer(&unsigned(r#"{"alg":"none"}"#, &format!(r#"{{"sub":"{n}"}}"#)))
}

#[test]
fn long_texts_and_many_audiences_are_left_out_with_a_reason() {
    let judgement = judge(&token("many-audiences"));
    assert_eq!(verdict(&judgement), (Verified, Some("claims-omitted")));
    assert_eq!(facts(&judgement).audiences.len(), MAX_AUDIENCES);
    let judgement = judge(&token("long-subject"));
    assert_eq!(verdict(&judgement), (Verified, Some("claims-omitted")));
    assert_eq!(facts(&judgement).subject, None);
    assert_eq!(facts(&judgement).service_account.as_deref(), Some("shop/orders"));
}

#[test]
fn an_issuer_is_compared_whole_even_if_it_is_too_long_to_keep() {
    let judgement = judge(&token("long-issuer"));
    assert_eq!(verdict(&judgement), (Present, Some("foreign-issuer")));
    assert_eq!(facts(&judgement).issuer, None);
}

#[test]
fn the_same_token_has_the_same_fingerprint_and_shares_its_facts() {
    let (mut verifier, value) = (verifier(), bearer(&token("RS256")));
    let (first, again) = (verifier.judge(&value, at(NOW)), verifier.judge(&value, at(NOW)));
    assert_eq!(first.fingerprint, again.fingerprint);
    assert!(Arc::ptr_eq(
        first.authentication.token.as_ref().unwrap(),
        again.authentication.token.as_ref().unwrap()
    ));
    assert_ne!(first.fingerprint, verifier.judge(&bearer(&token("ES256")), at(NOW)).fingerprint);
    assert_ne!(first.fingerprint, super::verifier().judge(&value, at(NOW)).fingerprint, "the key is random");
}

#[test]
fn other_keys_forget_old_verdicts() {
    let (mut verifier, value) = (verifier(), bearer(&token("RS256")));
    assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Verified, None));
    verifier.replace_issuers(vec![issuer(ISSUER, key_set("skipped"))]);
    assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Present, Some("unverified")));
}

#[test]
fn the_cache_holds_a_bounded_number_of_tokens_and_counts_what_it_forgets() {
    let mut verifier = verifier();
    for n in 0..MAX_CACHED_TOKENS + 10 {
        verifier.judge(&small(n), at(NOW));
    }
    assert_eq!(verifier.cache_load().0, MAX_CACHED_TOKENS);
    assert_eq!(verifier.cache_evictions(), 10);
    // The oldest went first: the newest is still there.
    verifier.judge(&small(MAX_CACHED_TOKENS + 9), at(NOW));
    assert_eq!(verifier.cache_evictions(), 10);
}

#[test]
fn the_cache_holds_a_bounded_number_of_bytes() {
    let mut verifier = verifier();
    let audiences = vec![format!("\"{}\"", "a".repeat(MAX_TEXT_BYTES)); MAX_AUDIENCES].join(",");
    for n in 0..1_000 {
        let payload = format!(r#"{{"sub":"{n}","aud":[{audiences}]}}"#);
        verifier.judge(&bearer(&unsigned(r#"{"alg":"none"}"#, &payload)), at(NOW));
    }
    let (tokens, bytes) = verifier.cache_load();
    assert!(bytes <= MAX_CACHED_BYTES, "{bytes}");
    assert!(bytes > MAX_CACHED_BYTES / 2, "the claims are counted: {bytes}");
    assert_eq!(verifier.cache_evictions(), 1_000 - u64::try_from(tokens).unwrap());
}

#[test]
fn a_sighting_is_of_one_token_at_one_pod() {
    let mut sightings = Sightings::new();
    let (token, other) = (Fingerprint([1, 2]), Fingerprint([2, 1]));
    sightings.saw(token, &Uid::of("pod-a"));
    assert!(sightings.received(&token, &Uid::of("pod-a")));
    assert!(!sightings.received(&token, &Uid::of("pod-b")));
    assert!(!sightings.received(&other, &Uid::of("pod-a")));
}

#[test]
fn sightings_are_bounded_and_the_oldest_goes_first_and_is_counted() {
    let (mut sightings, pod) = (Sightings::new(), Uid::of("pod-a"));
    let bound = u64::try_from(MAX_SIGHTINGS).unwrap();
    for n in 0..bound + 5 {
        sightings.saw(Fingerprint([n, 0]), &pod);
        sightings.saw(Fingerprint([n, 0]), &pod);
    }
    assert_eq!(sightings.len(), MAX_SIGHTINGS);
    assert_eq!(sightings.evicted(), 5);
    assert!(!sightings.received(&Fingerprint([4, 0]), &pod));
    assert!(sightings.received(&Fingerprint([5, 0]), &pod));
    assert!(sightings.received(&Fingerprint([bound + 4, 0]), &pod));
}
