//! The bytes of a flow -> TLS hello, HTTP/1, HTTP/2, another named protocol or opaque -> encryption and requests.
//!
//! Sans-IO: pieces of either direction go in, in order; what they show goes to a [`Witness`]. Three-valued
//! throughout: what was not seen is `unknown` with a reason.

mod buffer;
mod datagram;
mod entropy;
mod http1;
mod http2;
mod lines;
mod midstream;
mod name;
mod named;
mod opening;
mod postgres;
mod proxy;
mod session;
mod sniff;
mod tls;
mod upgrade;

pub use buffer::{MOST_KEPT_BY_ALL, crowded_out};
pub use datagram::datagram;
pub use session::{Interest, MOST_KEPT, Piece, Session, Settings};
pub use tls::infer_tunnel;

use crate::model::{Encryption, Protocol};

/// One request, as far as its head was seen. Borrows from the captured bytes: a credential is looked at here and now
/// or not at all.
pub struct Request<'a> {
    pub method: Option<&'a str>,
    /// Without the query.
    pub path: Option<&'a str>,
    pub credentials: Credentials<'a>,
}

/// What a request's head shows of its sender.
pub enum Credentials<'a> {
    /// The whole head was read, and it holds none.
    None,
    /// The value of its Authorization header.
    Authorization(&'a [u8]),
    /// The same, of which the witness kept what it thought of it.
    Kept(Kept),
    /// Several Authorization headers that differ, against RFC 9110 section 11.6.2: which of them counts is the
    /// server's to say.
    Several(&'a [&'a [u8]]),
    /// The same, of which the witness kept what it thought of them.
    SeveralKept(&'a [Kept]),
    /// Proxy-Authorization and no other: it is for the next proxy and for nobody behind it (RFC 9110 section 11.7.2).
    Proxy {
        value: &'a [u8],
        /// The request is one that only a proxy gets: CONNECT, or for a target with a host.
        addressed: bool,
    },
    /// A header that the settings name as one that holds credentials.
    Other,
    /// The head was not read whole.
    Unknown(&'static str),
}

/// What a witness calls a value that it was shown and that may be meant again without being sent again: HTTP/2 refers to
/// what it sent before, and no bytes of a credential are remembered for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept(pub u32);

/// Who wants to know what a flow shows.
pub trait Witness {
    /// What the flow is was found out; told again only when it changes.
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption);
    fn request(&mut self, request: Request<'_>);
    /// The last request came once more, `times` times.
    fn repeated(&mut self, times: u64);
    /// The status of a final response (RFC 9110 section 15).
    fn response(&mut self, status: u16);
    /// The last response came once more, `times` times.
    fn response_repeated(&mut self, times: u64);
    /// A response said no by other means than its status: gRPC's UNAUTHENTICATED or PERMISSION_DENIED.
    fn refused(&mut self);
    /// Looks at the value of an Authorization field and remembers what it is, until [`Self::forget`].
    fn keep(&mut self, value: &[u8]) -> Kept;
    fn forget(&mut self, kept: Kept);
    /// Bytes were captured that could not be read as what they claim to be.
    fn malformed(&mut self, reason: &'static str);
    /// Bytes that were sent but not captured hid something.
    fn truncated(&mut self);
}

#[cfg(test)]
mod tests;
