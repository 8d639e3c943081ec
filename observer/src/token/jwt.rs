//! The compact serialization of a JWS (RFC 7515 section 7.1), taken apart without judging it.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::claims::{Object, Text};

/// As lenient as receivers are: what one of them would accept must not look opaque here.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of a token that has the form of a signed (or unsecured) JWT.
pub(super) struct Compact<'a> {
    /// What the signature covers: header, dot, payload, as they were sent.
    pub(super) signing_input: &'a [u8],
    /// Decoded; JSON, as far as the header goes.
    pub(super) header: Zeroizing<Vec<u8>>,
    pub(super) payload: Zeroizing<Vec<u8>>,
    /// Still encoded: an ill-encoded signature is a bad one, not a sign of another kind of token.
    signature: &'a [u8],
}

impl<'a> Compact<'a> {
    /// `None` if the token is not three base64url parts of which the first is a JSON object. A JWE has five.
    pub(super) fn split(token: &'a [u8]) -> Option<Self> {
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return None;
        };
        let signature = &token[second + 1..];
        if !signature.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=')) {
            return None;
        }
        let header = decode(&token[..first])?;
        let payload = decode(&token[first + 1..second])?;
        serde_json::from_slice::<Object<Anything>>(&header).ok()?;
        Some(Self { signing_input: &token[..second], header, payload, signature })
    }

    /// `None` if a parameter has the wrong type or `alg` is missing (RFC 7515 section 4.1.1).
    pub(super) fn header(&self) -> Option<Header<'_>> {
        let header = serde_json::from_slice::<Object<RawHeader<'_>>>(&self.header).ok()?.0;
        Some(Header {
            alg: Alg::named(&header.alg.0),
            kid: header.kid.map(|kid| kid.0),
            critical: header.crit.is_some(),
        })
    }

    /// The signature's bytes; `None` if they are not written as an issuer writes them. Strict on purpose:
    /// spare bits that differ mean that somebody changed the token.
    pub(super) fn signature(&self) -> Option<Zeroizing<Vec<u8>>> {
        URL_SAFE_NO_PAD.decode(self.signature).ok().map(Zeroizing::new)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) alg: Alg,
    pub(super) kid: Option<Cow<'a, str>>,
    /// It names extensions that a receiver must understand (RFC 7515 section 4.1.11); none is understood
    /// here.
    pub(super) critical: bool,
}

/// The `alg` parameter (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alg {
    /// Unsecured, in any spelling: `None` and `nOnE` have fooled receivers before.
    None,
    Hmac,
    Asymmetric(Algorithm),
    Unsupported,
}

impl Alg {
    fn named(name: &str) -> Self {
        if name.eq_ignore_ascii_case("none") {
            return Self::None;
        }
        if name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("hs")) {
            return Self::Hmac;
        }
        algorithm(name).map_or(Self::Unsupported, Self::Asymmetric)
    }
}

/// The asymmetric signature algorithm of this name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        "HS256" | "HS384" | "HS512" => None,
        name => Algorithm::from_str(name).ok(),
    }
}

/// Base64url in the spelling of any JOSE library.
pub(super) fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Reserved once: a buffer that grows leaves copies behind that nobody zeroizes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    LENIENT.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

#[derive(Deserialize)]
struct Anything {}

#[derive(Deserialize)]
struct RawHeader<'a> {
    #[serde(borrow)]
    alg: Text<'a>,
    #[serde(borrow)]
    kid: Option<Text<'a>>,
    crit: Option<IgnoredAny>,
}
