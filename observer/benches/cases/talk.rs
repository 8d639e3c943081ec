//! Flows in the middle of their talk.

use std::hint::black_box;

use observer::model::{Encryption, EncryptionStatus, Protocol};
use observer::protocol::{Credentials, Kept, Piece, Request, Session, Settings, Witness};
use serde_json::Value;

use super::Case;

/// What wrk sends.
pub const GET: &str = "GET / HTTP/1.1\r\nHost: 10.200.0.3:8080\r\n\r\n";
/// What nginx answers, as far as it is captured.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 05:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n";

#[derive(Default)]
struct Count {
    requests: u64,
    responses: u64,
    handshakes: u64,
}

impl Witness for Count {
    fn classified(&mut self, _: Protocol, encryption: &Encryption) {
        self.handshakes += u64::from(encryption.status == EncryptionStatus::Tls);
    }
    fn request(&mut self, request: Request<'_>) {
        self.requests += 1;
        if let Credentials::Authorization(value) = request.credentials {
            black_box(value);
        }
    }
    fn repeated(&mut self, times: u64) {
        self.requests += times;
    }
    fn response(&mut self, status: u16) {
        self.responses += u64::from(black_box(status) == 200);
    }
    fn response_repeated(&mut self, times: u64) {
        self.responses += times;
    }
    fn refused(&mut self) {}
    fn keep(&mut self, value: &[u8]) -> Kept {
        black_box(value);
        Kept(0)
    }
    fn forget(&mut self, _: Kept) {}
    fn malformed(&mut self, reason: &'static str) {
        panic!("{reason}");
    }
    fn truncated(&mut self) {
        panic!("nothing is missing");
    }
}

#[derive(Default)]
struct Flow {
    session: Session,
    settings: Settings,
    seen: Count,
}

impl Flow {
    fn say(&mut self, client: bool, bytes: &[u8]) {
        let piece = Piece::Bytes { bytes: black_box(bytes), turn: true };
        self.session.push(client, piece, &self.settings, &mut self.seen);
    }

    /// A request and its answer.
    fn exchange(&mut self, request: &[u8], answer: &[u8]) {
        let before = (self.seen.requests, self.seen.responses);
        self.say(true, request);
        self.say(false, answer);
        assert_eq!((self.seen.requests, self.seen.responses), (before.0 + 1, before.1 + 1));
    }
}

/// On a kept connection.
pub fn http1(more: &str) -> Case {
    let request = format!("{}{more}\r\n", &GET[..GET.len() - 2]);
    let mut flow = Flow::default();
    Box::new(move || flow.exchange(request.as_bytes(), OK))
}

/// As h2load and nginx talk: what was said before is referred to (RFC 7541).
pub fn http2() -> Case {
    let mut flow = Flow::default();
    flow.say(true, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    flow.say(false, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    // GET, http, /; the authority and the program's name, which the table keeps.
    flow.exchange(
        &headers(1, b"\x82\x86\x84\x41\x0f10.200.0.3:8081\x7a\x06h2load"),
        &headers(1, b"\x88\x76\x05nginx"),
    );
    let mut stream = 1;
    Box::new(move || {
        stream += 2;
        flow.exchange(&headers(stream, b"\x82\x86\x84\xbf\xbe"), &headers(stream, b"\x88\xbe"));
    })
}

/// HEADERS that end their header block and their stream (RFC 9113 section 6.2).
fn headers(stream: u32, block: &[u8]) -> [u8; 64] {
    let mut frame = [0; 64];
    frame[2] = 55;
    frame[3] = 1;
    // END_STREAM, END_HEADERS, PADDED: the frame is of one length whatever the block's.
    frame[4] = 0x0d;
    frame[5..9].copy_from_slice(&stream.to_be_bytes());
    frame[9] = (54 - block.len()) as u8;
    frame[10..10 + block.len()].copy_from_slice(block);
    frame
}

/// A new connection of openssl's, until it is known to be encrypted: every segment that was captured.
pub fn handshake() -> Case {
    let capture: Value =
        serde_json::from_str(include_str!("../../src/protocol/testdata/tls13.json")).expect("the capture");
    let segments: Vec<(bool, Vec<u8>)> =
        capture["segments"].as_array().expect("segments").iter().map(segment).collect();
    Box::new(move || {
        let mut flow = Flow::default();
        for (client, bytes) in &segments {
            flow.say(*client, bytes);
        }
        assert_eq!(flow.seen.handshakes, 1);
    })
}

fn segment(of: &Value) -> (bool, Vec<u8>) {
    let hex = of["hex"].as_str().expect("hex");
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (of["from"] == "client", (0..hex.len()).step_by(2).map(byte).collect())
}
