//! Takes down what a flow shows, and checks that it can be.

use observer::model::{Encryption, EncryptionStatus, Protocol};
use observer::protocol::{Credentials, Kept, Request, Witness};

/// Entries that HPACK's overhead allows in the largest table, and those of a block that passes by.
const MOST_KEPT: usize = 2 * 2048;

#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Classified(Protocol, Encryption),
    Request { method: Option<String>, path: Option<String>, credentials: Shown },
    Response(u16),
    Refused,
    Malformed(&'static str),
    Truncated,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    None,
    Authorization(Vec<u8>),
    Several(Vec<Vec<u8>>),
    Proxy(Vec<u8>, bool),
    Other,
    Unknown(&'static str),
}

/// See the module.
#[derive(Default)]
pub struct Notes {
    pub told: Vec<Told>,
    /// By their handles; `None` once forgotten.
    values: Vec<Option<Vec<u8>>>,
    live: usize,
}

impl Notes {
    pub fn requests(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Request { .. })).count()
    }

    pub fn responses(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Response(_) | Told::Refused)).count()
    }

    fn value(&self, kept: Kept) -> Vec<u8> {
        let value = self.values.get(kept.0 as usize).expect("a handle that nobody gave out");
        value.clone().expect("meant again after it was forgotten")
    }

    pub fn is_plaintext(&self) -> bool {
        let plaintext = |told: &Told| matches!(told, Told::Classified(_, encryption) if encryption.status == EncryptionStatus::Plaintext);
        self.told.iter().any(plaintext)
    }
}

impl Witness for Notes {
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption) {
        match encryption.status {
            EncryptionStatus::Unknown => assert!(encryption.reason.is_some(), "unknown, and nobody says why"),
            EncryptionStatus::Mtls => assert!(encryption.evidence.is_some(), "mtls without evidence"),
            EncryptionStatus::Plaintext | EncryptionStatus::Tls => {
                assert_eq!(encryption.reason, None);
            }
        }
        self.told.push(Told::Classified(protocol, encryption.clone()));
    }

    fn request(&mut self, request: Request<'_>) {
        let credentials = match request.credentials {
            Credentials::None => Shown::None,
            Credentials::Authorization(value) => Shown::Authorization(value.to_vec()),
            Credentials::Kept(kept) => Shown::Authorization(self.value(kept)),
            Credentials::SeveralKept(kept) => {
                assert!(kept.len() > 1);
                Shown::Several(kept.iter().map(|kept| self.value(*kept)).collect())
            }
            Credentials::Several(values) => {
                assert!(values.len() > 1);
                Shown::Several(values.iter().map(|value| value.to_vec()).collect())
            }
            Credentials::Proxy { value, addressed } => Shown::Proxy(value.to_vec(), addressed),
            Credentials::Other => Shown::Other,
            Credentials::Unknown(reason) => Shown::Unknown(reason),
        };
        let path = request.path.map(str::to_owned);
        assert!(path.as_ref().is_none_or(|path| !path.contains('?')), "a query: {path:?}");
        self.told.push(Told::Request { method: request.method.map(str::to_owned), path, credentials });
    }

    fn repeated(&mut self, times: u64) {
        let last = self.told.iter().rfind(|told| matches!(told, Told::Request { .. })).cloned();
        for _ in 0..times {
            self.told.extend(last.clone());
        }
    }

    fn response_repeated(&mut self, times: u64) {
        let last = self.told.iter().rfind(|told| matches!(told, Told::Response(_))).cloned();
        for _ in 0..times {
            self.told.extend(last.clone());
        }
    }

    fn response(&mut self, status: u16) {
        self.told.push(Told::Response(status));
    }

    fn refused(&mut self) {
        self.told.push(Told::Refused);
    }

    fn keep(&mut self, value: &[u8]) -> Kept {
        self.values.push(Some(value.to_vec()));
        self.live += 1;
        assert!(self.live <= MOST_KEPT, "{} credentials are kept", self.live);
        Kept(u32::try_from(self.values.len() - 1).expect("inputs are shorter"))
    }

    fn forget(&mut self, kept: Kept) {
        let value = self.values.get_mut(kept.0 as usize).expect("a handle that nobody gave out");
        assert!(value.take().is_some(), "forgotten twice");
        self.live -= 1;
    }

    fn malformed(&mut self, reason: &'static str) {
        self.told.push(Told::Malformed(reason));
    }

    fn truncated(&mut self) {
        self.told.push(Told::Truncated);
    }
}
