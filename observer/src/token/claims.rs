//! The claims that matter (RFC 7519 section 4.1, Kubernetes' private claims), and what of them is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::{Timestamp, TokenFacts, TokenKind};

/// Audiences that are kept; all are judged.
pub const MAX_AUDIENCES: usize = 16;
/// The longest text that is kept, in bytes. A longer one is left out, not cut: a cut name is another name.
pub const MAX_TEXT_BYTES: usize = 512;
/// The issuer of tokens from Secrets.
pub(super) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Claims as they stand in the token; everything else in it is skipped unread.
#[derive(Deserialize)]
pub(super) struct Claims<'a> {
    #[serde(borrow)]
    pub(super) iss: Option<Text<'a>>,
    #[serde(borrow)]
    sub: Option<Text<'a>>,
    #[serde(borrow)]
    aud: Option<Audiences<'a>>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    #[serde(borrow, rename = "kubernetes.io")]
    kubernetes: Option<Object<Kubernetes<'a>>>,
    #[serde(borrow, rename = "kubernetes.io/serviceaccount/namespace")]
    legacy_namespace: Option<Text<'a>>,
    #[serde(borrow, rename = "kubernetes.io/serviceaccount/service-account.name")]
    legacy_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Kubernetes<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    serviceaccount: Option<Object<Reference<'a>>>,
    #[serde(borrow)]
    pod: Option<Object<Reference<'a>>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    uid: Option<Text<'a>>,
}

impl<'a> Claims<'a> {
    /// `None` if the payload is not a JSON object or a claim that matters has the wrong type.
    pub(super) fn parse(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice::<Object<Self>>(payload).ok().map(|object| object.0)
    }

    pub(super) fn kind(&self) -> TokenKind {
        if self.iss.as_ref().is_some_and(|iss| iss.0 == LEGACY_ISSUER) {
            TokenKind::Legacy
        } else if self.kubernetes.is_some() {
            TokenKind::Bound
        } else if self.sub.as_ref().is_some_and(|sub| sub.0.starts_with("spiffe://")) {
            TokenKind::JwtSvid
        } else {
            TokenKind::Jwt
        }
    }

    /// Of a JWT-SVID.
    pub(super) fn trust_domain(&self) -> Option<&str> {
        super::verifier::trust_domain(self.sub.as_ref().map(|sub| &*sub.0))
    }

    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.nbf.as_ref().map(|date| date.0)
    }

    /// Every audience of the token, kept or not.
    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        self.aud.iter().flat_map(|aud| &aud.0).map(|text| &*text.0)
    }

    /// What is kept, and whether something had to be left out for its size.
    pub(super) fn facts(&self, key_id: Option<&str>) -> (TokenFacts, bool) {
        let mut omitted = false;
        let mut keep = |text: &str| {
            let fits = text.len() <= MAX_TEXT_BYTES;
            omitted |= !fits;
            fits.then(|| Arc::<str>::from(text))
        };
        let facts = TokenFacts {
            kind: self.kind(),
            issuer: self.iss.as_ref().and_then(|iss| keep(&iss.0)),
            subject: self.sub.as_ref().and_then(|sub| keep(&sub.0)),
            service_account: self
                .service_account()
                .and_then(|(namespace, name)| keep(&format!("{namespace}/{name}"))),
            pod_uid: self.pod_uid().and_then(&mut keep),
            audiences: self.audiences().take(MAX_AUDIENCES).filter_map(&mut keep).collect(),
            expires_at: self.exp.as_ref().map(|date| date.0),
            key_id: key_id.and_then(&mut keep),
        };
        (facts, omitted || self.audiences().nth(MAX_AUDIENCES).is_some())
    }

    /// Namespace and name, from the private claims; without them from the subject, as the API server writes
    /// it.
    fn service_account(&self) -> Option<(&str, &str)> {
        if let Some(Object(kubernetes)) = &self.kubernetes {
            let account = kubernetes.serviceaccount.as_ref()?;
            return Some((&kubernetes.namespace.as_ref()?.0, &account.0.name.as_ref()?.0));
        }
        if let (Some(namespace), Some(name)) = (&self.legacy_namespace, &self.legacy_name) {
            return Some((&namespace.0, &name.0));
        }
        self.sub.as_ref()?.0.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    fn pod_uid(&self) -> Option<&str> {
        Some(&self.kubernetes.as_ref()?.0.pod.as_ref()?.0.uid.as_ref()?.0)
    }
}

/// A JSON string, borrowed from the buffer unless it holds escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A JSON object: derived structs would also take an array.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// One string or several (RFC 7519 section 4.1.3).
struct Audiences<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Audiences<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;
        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audiences<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Audiences(vec![Text(Cow::Borrowed(text))]))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Audiences(vec![Text(Cow::Owned(text.to_owned()))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut audiences = Vec::new();
                while let Some(audience) = seq.next_element()? {
                    audiences.push(audience);
                }
                Ok(Audiences(audiences))
            }
        }
        deserializer.deserialize_any(AudienceVisitor)
    }
}

/// Seconds since 1970, with a fraction if need be (RFC 7519 section 2). What lies outside the calendar is its
/// end.
struct NumericDate(Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;
        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
                Ok(NumericDate(Timestamp::from_seconds(seconds)))
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
                Ok(NumericDate(Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0))))
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Self::Value, E> {
                // Negative is 1970; too far is the last moment that a timestamp can hold.
                let span = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                Ok(NumericDate(Timestamp(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))))
            }
        }
        deserializer.deserialize_any(DateVisitor)
    }
}
