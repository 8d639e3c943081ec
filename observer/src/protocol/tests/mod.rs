//! Captures come from third-party programs (`testdata/capture.py`), and what they hold from tshark's reading of them.

mod captures;
mod datagram;
mod hostile;
mod http1;
mod http2;
mod http2_captures;
mod loss;
mod memory;
mod mesh;
mod midstream;
mod mtls;
mod named;
mod sniff;
mod tls;

use serde::Deserialize;

use super::{Credentials, Interest, Kept, Piece, Request, Session, Settings, Witness};
use crate::model::{Encryption, Protocol};

/// What a witness was told, in order.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Classified(Protocol, Encryption),
    Request {
        method: Option<String>,
        path: Option<String>,
        credentials: Shown,
    },
    Response(u16),
    Refused,
    /// A value; its handle is its place in the story.
    Kept(String),
    Forgotten(u32),
    Malformed(&'static str),
    Truncated,
}

#[derive(Clone, Debug, PartialEq)]
enum Shown {
    None,
    Authorization(String),
    Several(Vec<String>),
    Proxy { value: String, addressed: bool },
    Other,
    Unknown(&'static str),
}

impl Witness for Vec<Told> {
    fn classified(&mut self, protocol: Protocol, encryption: &Encryption) {
        self.push(Told::Classified(protocol, encryption.clone()));
    }

    fn request(&mut self, request: Request<'_>) {
        self.push(Told::Request {
            method: request.method.map(Into::into),
            path: request.path.map(Into::into),
            credentials: match request.credentials {
                Credentials::None => Shown::None,
                Credentials::Authorization(value) => {
                    Shown::Authorization(String::from_utf8_lossy(value).into_owned())
                }
                Credentials::Kept(kept) => Shown::Authorization(kept_value(self, kept)),
                Credentials::SeveralKept(kept) => {
                    Shown::Several(kept.iter().map(|kept| kept_value(self, *kept)).collect())
                }
                Credentials::Several(values) => {
                    let text = |value: &&[u8]| String::from_utf8_lossy(value).into_owned();
                    Shown::Several(values.iter().map(text).collect())
                }
                Credentials::Proxy { value, addressed } => {
                    Shown::Proxy { value: String::from_utf8_lossy(value).into_owned(), addressed }
                }
                Credentials::Other => Shown::Other,
                Credentials::Unknown(reason) => Shown::Unknown(reason),
            },
        });
    }

    fn repeated(&mut self, times: u64) {
        let last = self.iter().rfind(|told| matches!(told, Told::Request { .. })).cloned();
        for _ in 0..times {
            self.extend(last.clone());
        }
    }

    fn response_repeated(&mut self, times: u64) {
        let last = self.iter().rfind(|told| matches!(told, Told::Response(_))).cloned();
        for _ in 0..times {
            self.extend(last.clone());
        }
    }

    fn response(&mut self, status: u16) {
        self.push(Told::Response(status));
    }

    fn refused(&mut self) {
        self.push(Told::Refused);
    }

    fn keep(&mut self, value: &[u8]) -> Kept {
        self.push(Told::Kept(String::from_utf8_lossy(value).into_owned()));
        Kept(self.len() as u32 - 1)
    }

    fn forget(&mut self, kept: Kept) {
        assert!(matches!(self[kept.0 as usize], Told::Kept(_)), "never kept");
        assert!(!self.contains(&Told::Forgotten(kept.0)), "forgotten twice");
        self.push(Told::Forgotten(kept.0));
    }

    fn malformed(&mut self, reason: &'static str) {
        self.push(Told::Malformed(reason));
    }

    fn truncated(&mut self) {
        self.push(Told::Truncated);
    }
}

fn kept_value(told: &[Told], kept: Kept) -> String {
    assert!(!told.contains(&Told::Forgotten(kept.0)), "meant again after it was forgotten");
    match &told[kept.0 as usize] {
        Told::Kept(value) => value.clone(),
        other => panic!("{other:?} is no kept value"),
    }
}

/// A connection, told to a session as the kernel would: a turn starts when the other end spoke last.
#[derive(Default)]
struct Talk {
    session: Session,
    settings: Settings,
    last_speaker: Option<bool>,
    told: Vec<Told>,
}

impl Talk {
    fn says(&mut self, client: bool, bytes: &[u8]) -> &mut Self {
        let turn = self.last_speaker.replace(client) != Some(client);
        self.session.push(client, Piece::Bytes { bytes, turn }, &self.settings, &mut self.told);
        self
    }

    fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.says(true, bytes.as_ref())
    }

    fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.says(false, bytes.as_ref())
    }

    /// So many bytes go by unseen: what follows them in the same turn is not its start.
    fn loses(&mut self, client: bool, len: u64) -> &mut Self {
        self.last_speaker = Some(client);
        self.session.push(client, Piece::Gap { len }, &self.settings, &mut self.told);
        self
    }

    fn ends(&mut self) -> &mut Self {
        self.session.finish(&mut self.told);
        self
    }

    /// Method, or `?`, and what was shown.
    fn requests<'a>(&'a self) -> Vec<(&'a str, Shown)> {
        let request = |told: &'a Told| match told {
            Told::Request { method, credentials, .. } => {
                Some((method.as_deref().unwrap_or("?"), credentials.clone()))
            }
            _ => None,
        };
        self.told.iter().filter_map(request).collect()
    }

    fn paths<'a>(&'a self) -> Vec<&'a str> {
        let path = |told: &'a Told| match told {
            Told::Request { path, .. } => Some(path.as_deref().unwrap_or("?")),
            _ => None,
        };
        self.told.iter().filter_map(path).collect()
    }

    fn statuses(&self) -> Vec<u16> {
        let status = |told: &Told| if let Told::Response(status) = told { Some(*status) } else { None };
        self.told.iter().filter_map(status).collect()
    }

    fn malformed(&self) -> Vec<&'static str> {
        let reason = |told: &Told| if let Told::Malformed(reason) = told { Some(*reason) } else { None };
        self.told.iter().filter_map(reason).collect()
    }

    fn truncations(&self) -> usize {
        self.told.iter().filter(|told| **told == Told::Truncated).count()
    }

    /// The last word on what the flow is.
    fn verdict(&self) -> Option<(Protocol, Encryption)> {
        self.told.iter().rev().find_map(|told| match told {
            Told::Classified(protocol, encryption) => Some((*protocol, encryption.clone())),
            _ => None,
        })
    }

    fn protocol(&self) -> Option<Protocol> {
        self.verdict().map(|(protocol, _)| protocol)
    }

    /// Why the encryption is unknown.
    fn reason(&self) -> Option<String> {
        self.verdict().and_then(|(_, encryption)| encryption.reason).map(Into::into)
    }

    fn interest(&self) -> Interest {
        self.session.interest()
    }
}

/// A capture of `testdata`.
#[derive(Deserialize)]
struct Capture<R> {
    segments: Vec<Segment>,
    tshark: R,
}

#[derive(Clone, Deserialize)]
struct Segment {
    from: String,
    hex: String,
}

impl Segment {
    fn client(&self) -> bool {
        self.from == "client"
    }

    fn bytes(&self) -> Vec<u8> {
        let digits = self.hex.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }
}

impl<R> Capture<R> {
    /// Who said what, segment by segment.
    fn spoken(&self) -> Vec<(bool, Vec<u8>)> {
        self.segments.iter().map(|segment| (segment.client(), segment.bytes())).collect()
    }
}

fn plays(spoken: &[(bool, Vec<u8>)]) -> Talk {
    let mut talk = Talk::default();
    for (client, bytes) in spoken {
        talk.says(*client, bytes);
    }
    talk.ends();
    talk
}

/// Cuts every segment at the given places, taken in turn.
fn cut(spoken: &[(bool, Vec<u8>)], sizes: &[usize]) -> Vec<(bool, Vec<u8>)> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut cut = Vec::new();
    for (client, bytes) in spoken {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (here, there) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            cut.push((*client, here.to_vec()));
            rest = there;
        }
    }
    cut
}

fn bearer(value: &str) -> Shown {
    Shown::Authorization(format!("Bearer {value}"))
}
