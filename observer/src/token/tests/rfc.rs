//! The examples of RFC 7515 appendix A and RFC 8037 appendix A, as printed there.

use serde_json::json;

use super::super::keys::Check;
use super::*;
use crate::model::AuthenticationStatus::{Invalid, Present, Verified};
use crate::model::TokenKind;

/// The claims of A.1 to A.3 and A.5: issuer joe, expiry 1300819380.
const PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXPIRY: u64 = 1_300_819_380;

const RS256_HEADER: &str = "eyJhbGciOiJSUzI1NiJ9";
const RS256_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5\
    jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
    LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig\
    cN_IoypGlUPQGe77Rw";
const RSA_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d\
    4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7\
    WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDT\
    W9gb54h4FRWyuXpoQ";

fn joe() -> Verifier {
    let jwks = json!({"keys": [
        {"kty": "RSA", "n": RSA_MODULUS, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty": "EC", "crv": "P-521", "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
         "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"},
    ]});
    Verifier::new(vec![issuer("joe", KeySet::from_jwks(jwks.to_string().as_bytes()).unwrap())], Vec::new())
}

fn judge_joe(header: &str, signature: &str) -> Judgement {
    joe().judge(&bearer(&format!("{header}.{PAYLOAD}.{signature}")), at(EXPIRY - 1))
}

#[test]
fn rfc7515_a2_rs256_is_verified() {
    let judgement = judge_joe(RS256_HEADER, RS256_SIGNATURE);
    assert_eq!(verdict(&judgement), (Verified, None));
    assert_eq!(facts(&judgement).issuer.as_deref(), Some("joe"));
    assert_eq!(facts(&judgement).expires_at, Some(at(EXPIRY)));
    assert_eq!(facts(&judgement).kind, TokenKind::Jwt);
}

#[test]
fn rfc7515_a3_es256_is_verified() {
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_eq!(verdict(&judge_joe("eyJhbGciOiJFUzI1NiJ9", signature)), (Verified, None));
}

#[test]
fn rfc7515_a1_hmac_with_the_issuers_name_is_invalid() {
    let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let judgement = judge_joe("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", signature);
    assert_eq!(verdict(&judgement), (Invalid, Some("alg-hmac")));
}

#[test]
fn rfc7515_a5_unsecured_with_the_issuers_name_is_invalid() {
    assert_eq!(verdict(&judge_joe("eyJhbGciOiJub25lIn0", "")), (Invalid, Some("alg-none")));
}

#[test]
fn rfc7515_a4_payload_that_is_not_json_is_malformed() {
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq\
        wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    assert_eq!(verdict(&joe().judge(&bearer(token), at(EXPIRY))), (Present, Some("malformed-claims")));
}

#[test]
fn an_algorithm_that_is_not_supported_is_unverified() {
    assert_eq!(
        verdict(&judge_joe(&URL_SAFE_NO_PAD.encode(r#"{"alg":"ES512"}"#), "AAAA")),
        (Present, Some("unverified"))
    );
}

/// Its payload is a sentence, so only the signature can be judged.
#[test]
fn rfc8037_a4_ed25519_signature_is_good() {
    let jwks =
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = KeySet::from_jwks(jwks).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let mut signature = URL_SAFE_NO_PAD
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .unwrap();
    assert_eq!(keys.check(jsonwebtoken::Algorithm::EdDSA, None, message, &signature), Check::Good);
    signature[0] ^= 1;
    assert_eq!(keys.check(jsonwebtoken::Algorithm::EdDSA, None, message, &signature), Check::Bad);
}
