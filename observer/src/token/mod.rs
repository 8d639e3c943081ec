//! Stage `token`: the value of an Authorization header becomes a scheme, claims and a verdict, and dies here.
//!
//! Nothing that leaves this module holds a credential: only claims, words and a keyed hash. No clock and no
//! IO: keys are handed in, `now` is an argument.

mod cache;
mod claims;
mod fingerprint;
mod jwt;
mod keys;
mod scheme;
mod sightings;
mod verifier;

pub use cache::{MAX_CACHED_BYTES, MAX_CACHED_TOKENS};
pub use claims::{MAX_AUDIENCES, MAX_TEXT_BYTES};
pub use fingerprint::Fingerprint;
pub use keys::{Issuer, KeySet, KeySetError, MAX_KEYS, MAX_TRIED};
pub use scheme::scheme_of;
pub use sightings::{MAX_SIGHTINGS, Sightings};
pub use verifier::{Judgement, LEEWAY, MAX_TOKEN_BYTES, Verifier};

#[cfg(test)]
mod tests;
