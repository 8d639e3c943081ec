use crate::model::Scheme;

/// The scheme of an Authorization value (RFC 9110 section 11.1: a token, compared without regard to case).
#[must_use]
pub fn scheme_of(value: &[u8]) -> Scheme {
    split(value).0
}

/// Scheme and credentials (RFC 9110 section 11.4). The credentials are empty if the scheme stands alone.
pub(super) fn split(value: &[u8]) -> (Scheme, &[u8]) {
    let value = trim(value);
    let end = value.iter().position(is_space).unwrap_or(value.len());
    let (name, rest) = value.split_at(end);
    (named(name), trim(rest))
}

/// The first word. A bearer credential is one token68 (RFC 6750 section 2.1); receivers ignore what follows
/// it.
pub(super) fn first_word(credentials: &[u8]) -> &[u8] {
    credentials.split(is_space).next().unwrap_or_default()
}

fn named(name: &[u8]) -> Scheme {
    const KNOWN: [(&[u8], Scheme); 4] = [
        (b"bearer", Scheme::Bearer),
        (b"basic", Scheme::Basic),
        (b"digest", Scheme::Digest),
        (b"negotiate", Scheme::Negotiate),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map_or(Scheme::Other, |(_, scheme)| *scheme)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_space(last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
