//! Whom a certificate names.

use std::sync::Arc;

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::hello::printable;
use super::records::MAX_MESSAGE;

/// Names that are kept of one certificate.
const MAX_IDENTITIES: usize = 8;
/// The longest SPIFFE ID that must be supported (SPIFFE-ID section 2.3).
const MAX_IDENTITY: usize = 2048;

/// Header, length of the list, length of its first certificate (RFC 5246 section 7.4.2).
const FIRST: usize = 4 + 3 + 3;

/// How many bytes of a Certificate message of `total` are worth keeping: up to the end of its first certificate, which
/// is the sender's own.
pub fn wanted_length(start: &[u8], total: usize) -> usize {
    match start.get(FIRST - 3..FIRST) {
        None => FIRST.min(total),
        Some(length) => {
            let leaf = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
            let end = (FIRST + leaf).min(total);
            if end > MAX_MESSAGE { FIRST } else { end }
        }
    }
}

/// The first certificate of a Certificate message; `None` if its list is empty: the sender has none to show. Empty if
/// it is too long to be kept.
pub fn first(message: &[u8]) -> Option<&[u8]> {
    let list = message.get(4..7)?;
    if list == [0, 0, 0] {
        return None;
    }
    Some(message.get(FIRST..).unwrap_or_default())
}

/// The URIs and DNS names under which a certificate was issued (RFC 5280 section 4.2.1.6), URIs first: a workload's
/// SPIFFE ID is one.
pub fn identities(certificate: &[u8]) -> Vec<Arc<str>> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = || {
        certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
    };
    let uris = names().flatten().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let hosts = names().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    uris.chain(hosts)
        .filter(|name| name.len() <= MAX_IDENTITY)
        .filter_map(|name| printable(name.as_bytes()))
        .take(MAX_IDENTITIES)
        .map(Arc::from)
        .collect()
}
