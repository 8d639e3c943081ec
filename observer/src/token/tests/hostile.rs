use super::super::MAX_TOKEN_BYTES;
use super::super::claims::Claims;
use super::*;
use crate::model::AuthenticationStatus::{Invalid, Present, Verified};
use crate::model::TokenKind;

/// Deterministic noise (xorshift64).
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

fn many_claims(count: usize) -> String {
    let claims: Vec<String> = (0..count).map(|n| format!(r#""c{n}":[{n},{{"a":null}}]"#)).collect();
    format!(r#"{{"iss":"{ISSUER}",{},"sub":"last"}}"#, claims.join(","))
}

#[test]
fn ten_thousand_claims_are_too_long_to_look_into() {
    let judgement = judge(&unsigned(r#"{"alg":"RS256","kid":"rsa"}"#, &many_claims(10_000)));
    assert_eq!(verdict(&judgement), (Present, Some("token-too-long")));
    assert_eq!(judgement.authentication.token, None);
    assert!(judgement.fingerprint.is_some());
}

#[test]
fn ten_thousand_claims_are_read_over() {
    let payload = many_claims(10_000);
    let (facts, omitted) = Claims::parse(payload.as_bytes()).unwrap().facts(None);
    assert_eq!(facts.subject.as_deref(), Some("last"));
    assert!(!omitted);
}

#[test]
fn as_many_claims_as_fit_are_verified_and_not_kept() {
    let judgement = judge(&token("many-claims"));
    assert_eq!(verdict(&judgement), (Verified, None));
    assert_eq!(facts(&judgement).service_account.as_deref(), Some("shop/orders"));
    assert!(!format!("{judgement:?}").contains("c799"));
}

#[test]
fn a_token_at_the_length_bound_is_judged_and_one_byte_more_is_not() {
    for (length, reason) in [(MAX_TOKEN_BYTES, None), (MAX_TOKEN_BYTES + 1, Some("token-too-long"))] {
        assert_eq!(verdict(&judge(&"x".repeat(length))), (Present, reason), "{length}");
    }
}

#[test]
fn deep_nesting_is_read_over() {
    let payload = format!(r#"{{"x":{}{},"iss":"{ISSUER}"}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let judgement = judge(&unsigned(r#"{"alg":"none"}"#, &payload));
    assert_eq!(verdict(&judgement), (Invalid, Some("alg-none")));
}

#[test]
fn every_prefix_of_a_token_is_judged_and_none_but_the_whole_is_verified() {
    for name in ["RS256", "ES256", "EdDSA", "legacy"] {
        let value = bearer(&token(name));
        let mut verifier = verifier();
        for end in 0..value.len() {
            let status = verifier.judge(&value[..end], at(NOW)).authentication.status;
            assert_ne!(status, Verified, "{name}: {end} of {}", value.len());
        }
        assert_eq!(verdict(&verifier.judge(&value, at(NOW))), (Verified, None));
    }
}

#[test]
fn a_cut_signature_is_bad() {
    let token = token("RS256");
    let signature = token.rfind('.').unwrap() + 1;
    for end in signature..token.len() {
        assert_eq!(verdict(&judge(&token[..end])), (Invalid, Some("bad-signature")), "{end}");
    }
}

/// Every character of the signature, its last one included, whose spare bits some decoders ignore.
#[test]
fn one_altered_character_of_the_signature_is_a_bad_signature() {
    for name in ["RS256", "ES256", "EdDSA"] {
        let token = token(name);
        for at in token.rfind('.').unwrap() + 1..token.len() {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert_eq!(verdict(&judge(&altered)), (Invalid, Some("bad-signature")), "{name} at {at}");
        }
        let last = *token.as_bytes().last().unwrap();
        for other in (b'A'..=b'Z').chain(b'a'..=b'z').filter(|other| *other != last) {
            let altered = format!("{}{}", &token[..token.len() - 1], char::from(other));
            assert_eq!(verdict(&judge(&altered)), (Invalid, Some("bad-signature")), "{name} ends in {other}");
        }
    }
}

#[test]
fn one_altered_character_of_the_payload_is_a_bad_signature_if_it_still_claims_the_issuer() {
    let token = token("ES256");
    let (payload, signature) = (token.find('.').unwrap() + 1, token.rfind('.').unwrap());
    let mut bad_signatures = 0;
    for at in payload..signature {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        let claims = URL_SAFE_NO_PAD.decode(&altered[payload..signature]).unwrap();
        let claims: Option<Value> = serde_json::from_slice(&claims).ok();
        let judgement = judge(&altered);
        if claims.is_some_and(|claims| claims["iss"] == ISSUER) {
            bad_signatures += 1;
            assert_eq!(verdict(&judgement), (Invalid, Some("bad-signature")), "{at}");
        } else {
            assert_eq!(judgement.authentication.status, Present, "{at}");
        }
    }
    assert!(bad_signatures > 100, "{bad_signatures}");
}

#[test]
fn another_claim_under_the_same_signature_is_a_bad_signature() {
    let token = token("RS256");
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let altered = claims.replace(r#""name": "orders""#, r#""name": "orderz""#);
    assert_ne!(claims, altered);
    let judgement = judge(&format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(altered)));
    assert_eq!(verdict(&judgement), (Invalid, Some("bad-signature")));
    assert_eq!(facts(&judgement).service_account.as_deref(), Some("shop/orderz"));
}

#[test]
fn random_bytes_are_judged() {
    let (mut noise, mut verifier) = (Noise(0x9e37_79b9_7f4a_7c15), verifier());
    for length in 0..3_000_usize {
        let garbage: Vec<u8> = (0..length % 300).map(|_| noise.byte()).collect();
        assert_ne!(verifier.judge(&garbage, at(NOW)).authentication.status, Verified);
        let judgement = verifier.judge(&[b"Bearer ", garbage.as_slice()].concat(), at(NOW));
        assert_ne!(judgement.authentication.status, Verified);
        let part = URL_SAFE_NO_PAD.encode(&garbage);
        let token = format!("{}.{part}.{part}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"rsa"}"#));
        assert_eq!(verifier.judge(&bearer(&token), at(NOW)).authentication.status, Present);
    }
}

#[test]
fn random_damage_to_a_token_is_never_verified() {
    let (mut noise, mut verifier) = (Noise(42), verifier());
    for name in ["RS256", "ES384", "EdDSA", "legacy"] {
        let whole = token(name).into_bytes();
        for _ in 0..500 {
            let mut damaged = whole.clone();
            let at_byte = usize::from(u16::from_le_bytes([noise.byte(), noise.byte()])) % damaged.len();
            damaged[at_byte] ^= noise.byte() | 1;
            let value = [b"Bearer ", damaged.as_slice()].concat();
            // A space or tab at the very start only moves the token's beginning; elsewhere it cuts the token.
            assert_ne!(
                verifier.judge(&value, at(NOW)).authentication.status,
                Verified,
                "{name} at {at_byte}"
            );
        }
    }
}

#[test]
fn nothing_that_leaves_the_stage_prints_a_part_of_the_credential() {
    let mut verifier = verifier();
    for (name, token) in tokens() {
        let judgement = verifier.judge(&bearer(&token), at(NOW));
        let record = serde_json::to_string(&judgement.authentication).unwrap();
        let printed = format!("{judgement:?} {judgement:#?} {record}");
        for part in token.split('.') {
            // Any eight characters in a row of header, payload or signature would be a piece of the token.
            for piece in part.as_bytes().windows(8) {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(!printed.contains(piece), "{name}: {piece}");
            }
        }
    }
    for value in [
        "Basic dXNlcjpodW50ZXIy",
        "hunter2-without-scheme",
        "Bearer hunter2-opaque",
        "Digest response=\"hunter2\"",
    ] {
        let printed = format!("{:?}", verifier.judge(value.as_bytes(), at(NOW)));
        assert!(!printed.contains("hunter2") && !printed.contains("dXNlcjpo"), "{value}");
    }
    assert_eq!(facts(&verifier.judge(b"Bearer hunter2-opaque", at(NOW))).kind, TokenKind::Opaque);
}
