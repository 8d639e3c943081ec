use std::sync::Arc;

use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::jwt::{algorithm, decode};

/// Keys kept of one set; one of RSA takes about 600 bytes.
pub const MAX_KEYS: usize = 1024;
/// Keys that a token is tried against if it does not name one: each costs some 50 us.
pub const MAX_TRIED: usize = 32;

/// A trusted issuer and its keys.
#[derive(Clone)]
pub struct Issuer {
    /// What the `iss` claim must be, byte for byte (RFC 7519 section 4.1.1).
    pub url: Arc<str>,
    pub keys: KeySet,
}

/// The public signature keys of an issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
}

/// Why a file is not a key set. Says where, never what: somebody may name a private file by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error(
        "not JSON (line {line}, column {column}): give the issuer's JSON Web Key Set, as its jwks_uri serves it"
    )]
    NotJson { line: usize, column: usize },
    #[error(
        "no array `keys` in it: give the issuer's JSON Web Key Set (RFC 7517), as its jwks_uri serves it"
    )]
    NoKeys,
}

/// What the keys say of a signature, least certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// No key of the set claims to have made it: it may be a newer key's.
    NoKey,
    Bad,
    Good,
}

#[derive(Clone)]
struct Key {
    id: Option<Box<str>>,
    shape: Shape,
    alg: Option<Algorithm>,
    public: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The members of a JWK that matter (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517 section 5).
    ///
    /// Keys that cannot check a signature here (another `use`, type, curve or algorithm; RSA below 2,048 or
    /// above 8,192 bits; not well-formed; beyond [`MAX_KEYS`]) are skipped, as section 5 asks, and counted in
    /// [`Self::skipped`].
    ///
    /// # Errors
    /// If it is not JSON or has no array `keys`.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json)
            .map_err(|error| KeySetError::NotJson { line: error.line(), column: error.column() })?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        let keys: Vec<Key> =
            listed.iter().filter_map(|key| Key::read(&Jwk::deserialize(key).ok()?)).take(MAX_KEYS).collect();
        let skipped = listed.len() - keys.len();
        Ok(Self { keys, skipped })
    }

    /// Keys in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key is in use: every token of this issuer will be `unverified`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys of the set that are not in use.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Tries the keys that the token names, or all that fit if it names none.
    ///
    /// A named key that is not meant for `alg` makes the signature bad: `alg` of a key is the one algorithm
    /// intended for it (RFC 7517 section 4.4), and a receiver must not use the key with any other (RFC 8725
    /// section 3.1), so nobody could accept that token.
    pub(super) fn check(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> Check {
        let Some(kid) = kid else {
            return self.try_keys(|key| key.fits(alg), alg, message, signature);
        };
        if self.keys.iter().any(|key| key.is_named(kid)) {
            let fits = |key: &Key| key.is_named(kid) && key.fits(alg);
            return self.try_keys(fits, alg, message, signature).max(Check::Bad);
        }
        // A key that bears no name may be the one meant; that it is not proves nothing.
        match self.try_keys(|key| key.id.is_none() && key.fits(alg), alg, message, signature) {
            Check::Good => Check::Good,
            Check::Bad | Check::NoKey => Check::NoKey,
        }
    }

    fn try_keys(
        &self,
        candidate: impl Fn(&Key) -> bool,
        alg: Algorithm,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> Check {
        let mut result = Check::NoKey;
        let mut candidates = self.keys.iter().filter(|key| candidate(key));
        for key in candidates.by_ref().take(MAX_TRIED) {
            if key.verifies(alg, message, signature) {
                return Check::Good;
            }
            result = Check::Bad;
        }
        // One that was not tried may be the one.
        if candidates.next().is_some() { Check::NoKey } else { result }
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        // A SPIFFE bundle says `jwt-svid` instead of `sig` (SPIFFE Trust Domain and Bundle section 4.2.2).
        if jwk.r#use.as_deref().is_some_and(|usage| !matches!(usage, "sig" | "jwt-svid"))
            || jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return None;
        }
        let (shape, public) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (Shape::Rsa, rsa(jwk)?),
            ("EC", Some("P-256")) => (Shape::P256, point(jwk, 32)?),
            ("EC", Some("P-384")) => (Shape::P384, point(jwk, 48)?),
            ("OKP", Some("Ed25519")) => (Shape::Ed25519, edwards(jwk)?),
            _ => return None,
        };
        let alg = match jwk.alg.as_deref() {
            Some(name) => Some(algorithm(name).filter(|alg| shape.makes(*alg))?),
            None => None,
        };
        Some(Self { id: jwk.kid.as_deref().map(Box::from), shape, alg, public })
    }

    fn is_named(&self, kid: &str) -> bool {
        self.id.as_deref() == Some(kid)
    }

    fn fits(&self, alg: Algorithm) -> bool {
        self.shape.makes(alg) && self.alg.is_none_or(|declared| declared == alg)
    }

    fn verifies(&self, alg: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        // The provider by name: the crate's process-wide default panics if another dependency enables a
        // second one.
        (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&alg, &self.public)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

impl Shape {
    fn makes(self, alg: Algorithm) -> bool {
        match alg {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => self == Self::Rsa,
            Algorithm::ES256 => self == Self::P256,
            Algorithm::ES384 => self == Self::P384,
            Algorithm::EdDSA => self == Self::Ed25519,
            _ => false,
        }
    }
}

fn rsa(jwk: &Jwk) -> Option<DecodingKey> {
    let (n, e) = (decode(jwk.n.as_ref()?.as_bytes())?, decode(jwk.e.as_ref()?.as_bytes())?);
    let (n, e) = (without_sign(&n), without_sign(&e));
    let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
    ((2048..=8192).contains(&bits) && !e.is_empty()).then(|| DecodingKey::from_rsa_raw_components(n, e))
}

/// Some issuers put a zero octet before the number (RFC 7518 section 6.3.1.1 warns of it).
fn without_sign(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// An uncompressed point (SEC 1 section 2.3.3) from coordinates of full length (RFC 7518 section 6.2.1.2).
fn point(jwk: &Jwk, coordinate: usize) -> Option<DecodingKey> {
    let (x, y) = (decode(jwk.x.as_ref()?.as_bytes())?, decode(jwk.y.as_ref()?.as_bytes())?);
    if x.len() != coordinate || y.len() != coordinate {
        return None;
    }
    Some(DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
}

fn edwards(jwk: &Jwk) -> Option<DecodingKey> {
    let x = decode(jwk.x.as_ref()?.as_bytes())?;
    (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
}
