//! What the observing thread does for single events, each made ready to be done again and again.

mod record;
mod talk;
mod token;

/// Does it once.
pub type Case = Box<dyn FnMut()>;

/// All of them.
pub const NAMES: [&str; 8] = [
    "decode",
    "http1_request",
    "http1_request_with_token",
    "http2_request",
    "tls_handshake",
    "token_seen_before",
    "token_new_rs256",
    "token_new_es256",
];

/// Makes a case ready: what only the first time costs has been paid.
pub fn ready(name: &str) -> Case {
    let mut case = match name {
        "decode" => record::decode(),
        "http1_request" => talk::http1(""),
        "http1_request_with_token" => {
            talk::http1(&format!("Authorization: Bearer {}\r\n", token::of("RS256")))
        }
        "http2_request" => talk::http2(),
        "tls_handshake" => talk::handshake(),
        "token_seen_before" => token::seen_before(),
        "token_new_rs256" => token::new("RS256"),
        "token_new_es256" => token::new("ES256"),
        other => panic!("there is no case {other}"),
    };
    for _ in 0..3 {
        case();
    }
    case
}
