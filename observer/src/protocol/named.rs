use super::{Kept, Request, Witness};
use crate::model::{Encryption, Protocol};

/// A witness that hears of TLS by the name of what is inside, where that was told before the handshake.
pub struct Named<'a, W> {
    pub name: Option<Protocol>,
    pub witness: &'a mut W,
}

impl<W: Witness> Witness for Named<'_, W> {
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption) {
        let protocol = if protocol == Protocol::Tls { self.name.unwrap_or(protocol) } else { protocol };
        self.witness.classified(protocol, encryption);
    }

    fn request(&mut self, request: Request<'_>) {
        self.witness.request(request);
    }

    fn repeated(&mut self, times: u64) {
        self.witness.repeated(times);
    }

    fn response(&mut self, status: u16) {
        self.witness.response(status);
    }

    fn response_repeated(&mut self, times: u64) {
        self.witness.response_repeated(times);
    }

    fn refused(&mut self) {
        self.witness.refused();
    }

    fn keep(&mut self, value: &[u8]) -> Kept {
        self.witness.keep(value)
    }

    fn forget(&mut self, kept: Kept) {
        self.witness.forget(kept);
    }

    fn malformed(&mut self, reason: &'static str) {
        self.witness.malformed(reason);
    }

    fn truncated(&mut self) {
        self.witness.truncated();
    }
}
