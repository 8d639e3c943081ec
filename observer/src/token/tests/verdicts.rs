use super::super::scheme_of;
use super::*;
use crate::model::AuthenticationStatus::{Invalid, None as NoCredential, Present, Verified};
use crate::model::{Scheme, TokenKind};

#[test]
fn schemes_are_told_apart_without_regard_to_case() {
    for (value, scheme) in [
        ("Bearer abc", Scheme::Bearer),
        ("bEARER  abc", Scheme::Bearer),
        ("\tBasic dXNlcjpwYXNz", Scheme::Basic),
        ("DIGEST username=\"a\", realm=\"b\"", Scheme::Digest),
        ("negotiate YII=", Scheme::Negotiate),
        ("AWS4-HMAC-SHA256 Credential=a", Scheme::Other),
        ("Bearerabc", Scheme::Other),
        ("abcdef", Scheme::Other),
    ] {
        assert_eq!(scheme_of(value.as_bytes()), scheme, "{value}");
        let judgement = verifier().judge(value.as_bytes(), at(NOW));
        assert_eq!(judgement.authentication.scheme, Some(scheme), "{value}");
        assert_eq!(verdict(&judgement), (Present, None), "{value}");
        assert_eq!(judgement.fingerprint.is_some(), scheme == Scheme::Bearer, "{value}");
    }
}

#[test]
fn a_header_without_a_credential_is_none() {
    for (value, scheme) in [
        ("", None),
        ("  ", None),
        ("Bearer", Some(Scheme::Bearer)),
        ("Bearer  ", Some(Scheme::Bearer)),
        ("Basic ", Some(Scheme::Basic)),
    ] {
        let judgement = verifier().judge(value.as_bytes(), at(NOW));
        assert_eq!(verdict(&judgement), (NoCredential, Some("empty-credential")), "{value:?}");
        assert_eq!(judgement.authentication.scheme, scheme, "{value:?}");
    }
}

#[test]
fn a_bound_token_is_verified_and_its_claims_are_kept() {
    let judgement = judge(&token("RS256"));
    assert_eq!(verdict(&judgement), (Verified, None));
    let facts = facts(&judgement);
    assert_eq!(facts.kind, TokenKind::Bound);
    assert_eq!(facts.issuer.as_deref(), Some(ISSUER));
    assert_eq!(facts.subject.as_deref(), Some("system:serviceaccount:shop:orders"));
    assert_eq!(facts.service_account.as_deref(), Some("shop/orders"));
    assert_eq!(facts.pod_uid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000001"));
    assert_eq!(facts.audiences, [ISSUER.into()]);
    assert_eq!(facts.expires_at, Some(at(NOW + 3600)));
    assert_eq!(facts.key_id.as_deref(), Some("rsa"));
    assert!(!judgement.legacy);
}

#[test]
fn every_asymmetric_algorithm_is_verified() {
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        assert_eq!(verdict(&judge(&token(alg))), (Verified, None), "{alg}");
    }
}

#[test]
fn only_the_first_word_after_bearer_is_the_token() {
    let value = format!("Bearer   {}  trailing", token("RS256"));
    assert_eq!(verdict(&verifier().judge(value.as_bytes(), at(NOW))), (Verified, None));
}

#[test]
fn a_bearer_value_that_is_not_a_jwt_is_opaque() {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signature = encode("s");
    for value in [
        "0123456789abcdef".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{}.{}", encode(r#"{"alg":"RS256"}"#), encode("{}")),
        // A JWE has five parts (RFC 7516 section 7.1).
        format!("{}.a.b.c.d", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)),
        format!("{}.{}.{signature}", encode("[\"RS256\",\"rsa\",1]"), encode("{}")),
        format!("{}.{}.{signature}", encode("RS256"), encode("{}")),
        format!("{}.{}.not*base64url", encode(r#"{"alg":"RS256"}"#), encode("{}")),
        format!("{}.+/+/.{signature}", encode(r#"{"alg":"RS256"}"#)),
    ] {
        let judgement = judge(&value);
        assert_eq!(verdict(&judgement), (Present, None), "{value}");
        assert_eq!(facts(&judgement).kind, TokenKind::Opaque, "{value}");
        assert!(judgement.fingerprint.is_some(), "{value}");
    }
}

#[test]
fn a_header_without_a_usable_alg_is_malformed() {
    for header in ["{}", r#"{"alg":5}"#, r#"{"alg":"RS256","kid":7}"#, r#"{"alg":null}"#] {
        let judgement = judge(&unsigned(header, &format!(r#"{{"iss":"{ISSUER}"}}"#)));
        assert_eq!(verdict(&judgement), (Present, Some("malformed-header")), "{header}");
        assert_eq!(facts(&judgement).issuer.as_deref(), Some(ISSUER));
    }
}

#[test]
fn claims_of_the_wrong_type_are_malformed() {
    for payload in [
        "",
        "null",
        "5",
        "[]",
        r#"["iss"]"#,
        "{",
        r#"{"iss":5}"#,
        r#"{"iss":["a"]}"#,
        r#"{"sub":{}}"#,
        r#"{"aud":5}"#,
        r#"{"aud":[5]}"#,
        r#"{"aud":{"a":"b"}}"#,
        r#"{"exp":"tomorrow"}"#,
        r#"{"exp":true}"#,
        r#"{"nbf":[1]}"#,
        r#"{"exp":1e999}"#,
        r#"{"kubernetes.io":"shop"}"#,
        r#"{"kubernetes.io":["shop"]}"#,
        r#"{"kubernetes.io":{"pod":["a","b"]}}"#,
        r#"{"kubernetes.io":{"namespace":1}}"#,
        r#"{"kubernetes.io/serviceaccount/namespace":1}"#,
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"iss":"a"} x"#,
    ] {
        let judgement = judge(&unsigned(r#"{"alg":"RS256","kid":"rsa"}"#, payload));
        assert_eq!(verdict(&judgement), (Present, Some("malformed-claims")), "{payload}");
        assert_eq!(facts(&judgement).kind, TokenKind::Jwt, "{payload}");
    }
}

#[test]
fn a_configured_issuer_with_alg_none_is_invalid_in_any_spelling() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let token = unsigned(&format!(r#"{{"alg":"{alg}"}}"#), &format!(r#"{{"iss":"{ISSUER}"}}"#));
        assert_eq!(verdict(&judge(&token)), (Invalid, Some("alg-none")), "{alg}");
    }
}

#[test]
fn hmac_with_the_public_key_as_secret_is_invalid() {
    assert_eq!(verdict(&judge(&token("hmac-with-public-key"))), (Invalid, Some("alg-hmac")));
}

#[test]
fn an_unknown_key_id_is_unverified() {
    assert_eq!(verdict(&judge(&token("unknown-kid"))), (Present, Some("unverified")));
}

#[test]
fn a_key_without_a_name_is_tried_but_its_miss_proves_nothing() {
    let mut verifier = Verifier::new(vec![issuer(ISSUER, key_set("nameless"))], Vec::new());
    assert_eq!(verdict(&verifier.judge(&bearer(&token("other-name")), at(NOW))), (Verified, None));
    assert_eq!(
        verdict(&verifier.judge(&bearer(&token("unknown-kid")), at(NOW))),
        (Present, Some("unverified"))
    );
}

#[test]
fn without_a_key_id_every_fitting_key_is_tried() {
    assert_eq!(verdict(&judge(&token("no-kid"))), (Verified, None));
    assert_eq!(verdict(&judge(&token("no-kid-forged"))), (Invalid, Some("bad-signature")));
    let mut rsa_only = Verifier::new(vec![issuer(ISSUER, key_set("nameless"))], Vec::new());
    let no_kid = unsigned(r#"{"alg":"ES256"}"#, &format!(r#"{{"iss":"{ISSUER}"}}"#));
    assert_eq!(verdict(&rsa_only.judge(&bearer(&no_kid), at(NOW))), (Present, Some("unverified")));
}

#[test]
fn a_signature_of_another_key_is_bad() {
    assert_eq!(verdict(&judge(&token("forged"))), (Invalid, Some("bad-signature")));
}

/// RFC 7517 section 4.4, RFC 8725 section 3.1.
#[test]
fn a_named_key_is_not_used_for_an_algorithm_it_does_not_declare() {
    assert_eq!(verdict(&judge(&token("undeclared-alg"))), (Invalid, Some("bad-signature")));
    let wrong_type = unsigned(r#"{"alg":"ES256","kid":"rsa"}"#, &format!(r#"{{"iss":"{ISSUER}"}}"#));
    assert_eq!(verdict(&judge(&wrong_type)), (Invalid, Some("bad-signature")));
}

/// RFC 7515 section 4.1.11: what the extension changes is not known here.
#[test]
fn a_token_with_critical_extensions_is_unverified() {
    assert_eq!(verdict(&judge(&token("critical"))), (Present, Some("unverified")));
}

#[test]
fn times_are_judged_with_a_leeway_of_a_minute() {
    let value = bearer(&token("RS256")); // nbf NOW - 60, exp NOW + 3600
    let mut verifier = verifier();
    for (seconds, expected) in [
        (NOW - 121, (Invalid, Some("not-yet-valid"))),
        (NOW - 120, (Verified, None)),
        (NOW + 3659, (Verified, None)),
        (NOW + 3660, (Invalid, Some("expired"))),
        (NOW, (Verified, None)),
    ] {
        assert_eq!(verdict(&verifier.judge(&value, at(seconds))), expected, "{seconds}");
    }
}

#[test]
fn the_signature_is_judged_before_the_times() {
    let judgement = verifier().judge(&bearer(&token("forged")), at(NOW + 100_000));
    assert_eq!(verdict(&judgement), (Invalid, Some("bad-signature")));
}

#[test]
fn dates_may_have_fractions_or_be_missing() {
    let judgement = judge(&token("fraction"));
    assert_eq!(verdict(&judgement), (Verified, None));
    assert_eq!(facts(&judgement).expires_at, Some(Timestamp(NOW * 1_000_000_000 + 500_000_000)));
    let judgement = verifier().judge(&bearer(&token("no-times")), at(NOW + 1_000_000_000));
    assert_eq!(verdict(&judgement), (Verified, None));
    assert_eq!(facts(&judgement).expires_at, None);
}

#[test]
fn dates_beyond_the_calendar_are_its_ends() {
    for (date, expected) in
        [("1e300", u64::MAX), ("18446744073709551615", u64::MAX), ("-5", 0), ("-5.5", 0), ("-1e300", 0)]
    {
        let judgement = judge(&unsigned(r#"{"alg":"RS256"}"#, &format!(r#"{{"exp":{date}}}"#)));
        assert_eq!(facts(&judgement).expires_at, Some(Timestamp(expected)), "{date}");
    }
}

#[test]
fn another_issuer_is_foreign_whatever_the_signature() {
    let judgement = judge(&token("foreign"));
    assert_eq!(verdict(&judgement), (Present, Some("foreign-issuer")));
    assert_eq!(facts(&judgement).issuer.as_deref(), Some("https://login.example.com"));
    let judgement = judge(&unsigned(r#"{"alg":"none"}"#, r#"{"iss":"https://login.example.com"}"#));
    assert_eq!(verdict(&judgement), (Present, Some("foreign-issuer")));
}

#[test]
fn without_configured_issuers_a_token_is_present() {
    let mut verifier = Verifier::new(Vec::new(), Vec::new());
    for name in ["RS256", "legacy", "forged"] {
        let judgement = verifier.judge(&bearer(&token(name)), at(NOW));
        assert_eq!(verdict(&judgement), (Present, Some("no-issuer-configured")), "{name}");
        assert_eq!(facts(&judgement).service_account.as_deref(), Some("shop/orders"), "{name}");
    }
}

#[test]
fn a_token_without_issuer_is_present() {
    assert_eq!(verdict(&judge(&token("no-issuer"))), (Present, Some("no-issuer")));
}

#[test]
fn an_issuer_may_be_configured_once_for_each_file_of_keys() {
    let issuers = vec![issuer(ISSUER, key_set("skipped")), issuer(ISSUER, key_set("used"))];
    let mut verifier = Verifier::new(issuers, Vec::new());
    assert_eq!(verdict(&verifier.judge(&bearer(&token("RS256")), at(NOW))), (Verified, None));
}

#[test]
fn a_legacy_token_is_tried_against_the_first_issuer_and_never_invalid() {
    let judgement = judge(&token("legacy"));
    assert_eq!(verdict(&judgement), (Verified, None));
    assert_eq!(facts(&judgement).kind, TokenKind::Legacy);
    assert_eq!(facts(&judgement).service_account.as_deref(), Some("shop/orders"));
    assert!(judgement.legacy && judgement.api_audience);

    for name in ["legacy-forged", "legacy-expired"] {
        let judgement = judge(&token(name));
        assert_eq!(verdict(&judgement), (Present, Some("unverified")), "{name}");
        assert!(judgement.legacy && !judgement.api_audience, "{name}");
    }

    let mut second = Verifier::new(
        vec![issuer("https://other", key_set("skipped")), issuer(ISSUER, key_set("used"))],
        Vec::new(),
    );
    assert_eq!(verdict(&second.judge(&bearer(&token("legacy")), at(NOW))), (Present, Some("unverified")));

    let unsecured = unsigned(r#"{"alg":"none"}"#, r#"{"iss":"kubernetes/serviceaccount"}"#);
    assert_eq!(verdict(&judge(&unsecured)), (Present, Some("unverified")));
    assert!(judge(&unsecured).legacy);
}

#[test]
fn kinds_are_told_by_claims() {
    for (name, kind, account) in [
        ("svid", TokenKind::JwtSvid, None),
        ("plain", TokenKind::Jwt, None),
        ("subject-only", TokenKind::Jwt, Some("shop/orders")),
    ] {
        let judgement = judge(&token(name));
        assert_eq!(verdict(&judgement), (Verified, None), "{name}");
        assert_eq!(facts(&judgement).kind, kind, "{name}");
        assert_eq!(facts(&judgement).service_account.as_deref(), account, "{name}");
    }
}

#[test]
fn only_a_verified_token_for_the_api_server_is_an_api_audience_token() {
    for (name, expected) in [
        ("RS256", true),
        ("no-audience", true),
        ("many-audiences", true),
        ("other-audience", false),
        ("forged", false),
        ("foreign", false),
    ] {
        assert_eq!(judge(&token(name)).api_audience, expected, "{name}");
    }
    assert_eq!(facts(&judge(&token("other-audience"))).audiences, ["payments".into()]);
    assert!(!verifier().judge(&bearer(&token("RS256")), at(NOW + 100_000)).api_audience, "expired");
}

#[test]
fn the_api_audiences_can_be_set() {
    let issuers = vec![issuer(ISSUER, key_set("used"))];
    let mut verifier = Verifier::new(issuers, vec!["k3s".into(), "payments".into()]);
    assert!(verifier.judge(&bearer(&token("other-audience")), at(NOW)).api_audience);
    assert!(!verifier.judge(&bearer(&token("RS256")), at(NOW)).api_audience);
}
