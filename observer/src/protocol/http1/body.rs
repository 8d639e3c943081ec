//! How long a message body is (RFC 9112 sections 6 and 7), and walking over it without reading it.

use httparse::Header;

/// The length of a body that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Sized(u64),
    Chunked(Chunks),
}

/// Contradictions that RFC 9112 section 6.3 tells a recipient to treat as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

impl Body {
    /// Of a message with these headers; `None` if they do not say.
    ///
    /// # Errors
    /// Content-Length values that are no number or differ, or a transfer coding that does not end in `chunked`.
    pub fn of(headers: &[Header<'_>]) -> Result<Option<Self>, Contradiction> {
        let mut length: Option<u64> = None;
        let mut coding: Option<&[u8]> = None;
        for header in headers {
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                coding = Some(header.value);
            } else if header.name.eq_ignore_ascii_case("content-length") {
                for value in header.value.split(|&byte| byte == b',') {
                    let value = number(value.trim_ascii()).ok_or(Contradiction)?;
                    if length.is_some_and(|length| length != value) {
                        return Err(Contradiction);
                    }
                    length = Some(value);
                }
            }
        }
        match coding {
            // A transfer coding overrides a length.
            Some(coding) => {
                let last = coding.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
                if last.eq_ignore_ascii_case(b"chunked") {
                    Ok(Some(Self::Chunked(Chunks::Size(None))))
                } else {
                    Err(Contradiction)
                }
            }
            None => Ok(length.map(Self::Sized)),
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where in a chunked body (RFC 9112 section 7.1) the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// In the digits of a chunk size; the value so far, `None` before the first.
    Size(Option<u64>),
    /// In a chunk extension, or between size and line end.
    Extension(u64),
    Data(u64),
    /// In the line end after a chunk.
    DataEnd,
    /// In the trailer section: whether its current line has characters.
    Trailer {
        line: bool,
    },
    Over,
}

impl Chunks {
    /// Walks over `bytes`; says how many of them belong to the body. `None`: they are no chunked body.
    pub fn walk(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::Over {
            if let Self::Data(left) = *self {
                let here = left.min((bytes.len() - at) as u64);
                at += here as usize;
                *self = if left == here { Self::DataEnd } else { Self::Data(left - here) };
                continue;
            }
            let byte = bytes[at];
            *self = match *self {
                Self::Size(Some(value)) if matches!(byte, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                    match byte {
                        b'\n' => Self::after_size(value),
                        _ => Self::Extension(value),
                    }
                }
                Self::Size(value) => {
                    let digit = char::from(byte).to_digit(16)?;
                    Self::Size(Some(value.unwrap_or(0).checked_mul(16)?.checked_add(u64::from(digit))?))
                }
                Self::Extension(value) if byte == b'\n' => Self::after_size(value),
                Self::Extension(value) => Self::Extension(value),
                Self::DataEnd => match byte {
                    b'\r' => Self::DataEnd,
                    b'\n' => Self::Size(None),
                    _ => return None,
                },
                Self::Trailer { line } => match byte {
                    b'\n' if !line => Self::Over,
                    b'\n' => Self::Trailer { line: false },
                    b'\r' => Self::Trailer { line },
                    _ => Self::Trailer { line: true },
                },
                Self::Data(_) | Self::Over => *self,
            };
            at += 1;
        }
        Some(at)
    }

    fn after_size(value: u64) -> Self {
        if value == 0 { Self::Trailer { line: false } } else { Self::Data(value) }
    }
}
