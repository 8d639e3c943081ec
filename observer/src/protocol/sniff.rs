//! What a client's first bytes are.

/// What the first bytes prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// They are the start of something that is known; more will tell.
    Incomplete,
    Tls,
    Http1,
    /// The connection preface of RFC 9113 section 3.4.
    Http2,
    /// Nothing that is known here.
    Opaque,
}

/// RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than any registered method; IANA's longest has 17 characters.
const LONGEST_METHOD: usize = 32;
/// CR and LF before a request line: two empty lines.
const MOST_LINE_ENDS: usize = 4;

/// Looks at the first bytes that the client sent.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Sniffed {
    if bytes.is_empty() {
        return Sniffed::Incomplete;
    }
    if let Some(verdict) = tls(bytes) {
        return verdict;
    }
    if bytes.starts_with(HTTP2_PREFACE) {
        return Sniffed::Http2;
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Sniffed::Incomplete;
    }
    http1_request_line(bytes)
}

/// A handshake record that starts with a ClientHello (RFC 8446 sections 4 and 5.1), whose lengths can be true.
fn tls(bytes: &[u8]) -> Option<Sniffed> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const LARGEST_RECORD: usize = 1 << 14;
    let shape: [fn(u8) -> bool; 3] = [|b| b == HANDSHAKE, |b| b == 3, |b| b <= 4];
    if !bytes.iter().zip(shape).all(|(&byte, fits)| fits(byte)) {
        return None;
    }
    if let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > LARGEST_RECORD {
            return Some(Sniffed::Opaque);
        }
        if let [message, ..] = rest {
            return Some(if *message == CLIENT_HELLO { Sniffed::Tls } else { Sniffed::Opaque });
        }
    }
    Some(Sniffed::Incomplete)
}

/// `method SP target SP HTTP/1.x` (RFC 9112 section 3), as far as it is there; empty lines before it are allowed
/// (section 2.2).
#[must_use]
pub fn http1_request_line(bytes: &[u8]) -> Sniffed {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    if start > MOST_LINE_ENDS {
        return Sniffed::Opaque;
    }
    let line = &bytes[start..];
    let Some(space) = line.iter().position(|&byte| byte == b' ') else {
        let maybe = line.len() <= LONGEST_METHOD && line.iter().all(|&byte| is_token(byte));
        return if maybe { Sniffed::Incomplete } else { Sniffed::Opaque };
    };
    let method = &line[..space];
    if method.is_empty() || method.len() > LONGEST_METHOD || !method.iter().all(|&byte| is_token(byte)) {
        return Sniffed::Opaque;
    }
    let rest = &line[space + 1..];
    let end = rest.iter().position(|&byte| byte == b'\n');
    let target = &rest[..end.unwrap_or(rest.len())];
    if target.iter().any(|&byte| byte < b' ' && byte != b'\r' && byte != b'\t') {
        return Sniffed::Opaque;
    }
    match end {
        None => Sniffed::Incomplete,
        Some(_) => {
            let line = target.strip_suffix(b"\r").unwrap_or(target);
            let http1 = [b" HTTP/1.1".as_slice(), b" HTTP/1.0"].iter().any(|version| line.ends_with(version));
            if http1 { Sniffed::Http1 } else { Sniffed::Opaque }
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
