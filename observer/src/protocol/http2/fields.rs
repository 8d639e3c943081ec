//! What of a header block's fields is worth keeping, and what they say together.

use std::borrow::Cow;

use super::super::{Kept, Witness};
use super::hpack::Reader;

/// Fields that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Method,
    Path,
    Status,
    Authorization,
    ContentType,
    GrpcStatus,
    /// The settings name it as one that holds credentials.
    Credential,
    Other,
}

/// What is kept of a value. Of a credential never its bytes.
#[derive(Clone)]
pub enum Value {
    Method(Cow<'static, str>),
    /// Without the query.
    Path(Box<str>),
    Number(u16),
    /// The media type is gRPC's.
    Grpc,
    Kept(Kept),
    Unread,
}

impl Value {
    /// Bytes that it takes beyond itself.
    pub fn kept(&self) -> usize {
        match self {
            Self::Method(Cow::Owned(method)) => method.len(),
            Self::Path(path) => path.len(),
            Self::Method(Cow::Borrowed(_)) | Self::Number(_) | Self::Grpc | Self::Kept(_) | Self::Unread => 0,
        }
    }
}

/// RFC 9110 section 11.6.2 has one at most; of more than these, the rest is not looked at.
const MAX_AUTHORIZATIONS: usize = 8;

#[derive(Default)]
pub struct Authorizations {
    kept: [Option<Kept>; MAX_AUTHORIZATIONS],
}

impl Authorizations {
    fn add(&mut self, kept: Kept) {
        if !self.kept.contains(&Some(kept))
            && let Some(free) = self.kept.iter_mut().find(|known| known.is_none())
        {
            *free = Some(kept);
        }
    }

    /// Shows them to `see`.
    pub fn with<T>(&self, see: impl FnOnce(&[Kept]) -> T) -> T {
        let mut all = [Kept(0); MAX_AUTHORIZATIONS];
        let mut count = 0;
        for (place, kept) in all.iter_mut().zip(self.kept.iter().flatten()) {
            *place = *kept;
            count += 1;
        }
        see(&all[..count])
    }
}

/// What a header block says.
#[derive(Default)]
pub struct Section {
    pub method: Option<Cow<'static, str>>,
    pub path: Option<Box<str>>,
    pub status: Option<u16>,
    pub grpc: bool,
    pub grpc_status: Option<u16>,
    /// The Authorization fields, as far as they differ.
    pub authorizations: Authorizations,
    pub credential: bool,
    /// Some of its fields are not known.
    pub unknown: bool,
}

/// Reads one block.
pub struct Fields<'a, W> {
    pub witness: &'a mut W,
    pub credential_headers: &'a [String],
    /// Only a client's Authorization is one.
    pub of_client: bool,
    pub section: Section,
    /// To be forgotten once the section was used: an entry may go in the very block that refers to it.
    pub gone: Vec<Kept>,
}

impl<W: Witness> Reader for Fields<'_, W> {
    type Name = Name;
    type Value = Value;

    fn name(&mut self, bytes: &[u8]) -> Name {
        let is = |name: &str| bytes.eq_ignore_ascii_case(name.as_bytes());
        match bytes {
            b":method" => Name::Method,
            b":path" => Name::Path,
            b":status" => Name::Status,
            _ if is("authorization") && self.of_client => Name::Authorization,
            _ if is("content-type") => Name::ContentType,
            _ if is("grpc-status") => Name::GrpcStatus,
            _ if self.of_client && self.credential_headers.iter().any(|name| is(name)) => Name::Credential,
            _ => Name::Other,
        }
    }

    fn value(&mut self, name: Option<&Name>, bytes: &[u8]) -> Value {
        match name {
            Some(Name::Method) => Value::Method(method(bytes)),
            Some(Name::Path) => {
                let path = bytes.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
                Value::Path(String::from_utf8_lossy(path).into())
            }
            Some(Name::Status | Name::GrpcStatus) => number(bytes).map_or(Value::Unread, Value::Number),
            Some(Name::ContentType) if is_grpc(bytes) => Value::Grpc,
            Some(Name::Authorization) => Value::Kept(self.witness.keep(bytes)),
            Some(Name::ContentType | Name::Credential | Name::Other) | None => Value::Unread,
        }
    }

    fn field(&mut self, name: Option<&Name>, value: Option<&Value>, passing: bool) {
        let section = &mut self.section;
        match (name, value) {
            (None, _) | (_, None) => section.unknown = true,
            (Some(Name::Method), Some(Value::Method(method))) => section.method = Some(method.clone()),
            (Some(Name::Path), Some(Value::Path(path))) => section.path = Some(path.clone()),
            (Some(Name::Status), Some(&Value::Number(status))) => section.status = Some(status),
            (Some(Name::GrpcStatus), Some(&Value::Number(status))) => section.grpc_status = Some(status),
            (Some(Name::ContentType), Some(Value::Grpc)) => section.grpc = true,
            (Some(Name::Credential), _) => section.credential = true,
            (_, Some(&Value::Kept(kept))) => {
                section.authorizations.add(kept);
                if passing {
                    self.gone.push(kept);
                }
            }
            _ => {}
        }
    }

    fn forget(&mut self, value: Value) {
        if let Value::Kept(kept) = value {
            self.gone.push(kept);
        }
    }
}

/// The methods of RFC 9110 section 9.3 and RFC 5789 cost no memory; a longer name than any is cut.
fn method(bytes: &[u8]) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    match KNOWN.into_iter().find(|known| known.as_bytes() == bytes) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(String::from_utf8_lossy(&bytes[..bytes.len().min(32)]).into_owned()),
    }
}

fn number(bytes: &[u8]) -> Option<u16> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// `application/grpc`, `application/grpc+proto`... (gRPC over HTTP/2, "Requests"); not `application/grpc-web`.
fn is_grpc(bytes: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    bytes.get(..TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
        && matches!(bytes.get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}
