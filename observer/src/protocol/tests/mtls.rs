//! Client certificates, and handshakes that a certificate ends; what is expected comes from tshark's reading.

use proptest::prelude::*;

use super::tls::{Tls, read};
use super::{Talk, cut, plays};
use crate::model::{Encryption, EncryptionStatus, Evidence, Protocol};

const SHOWN: &str = include_str!("../testdata/tls12_mtls.json");
const GNUTLS: &str = include_str!("../testdata/tls12_gnutls_mtls.json");
const NAMELESS: &str = include_str!("../testdata/tls12_mtls_nameless.json");
/// The server's certificates are 8 KB.
const CHAIN: &str = include_str!("../testdata/tls12_mtls_chain.json");
const DECLINED: &str = include_str!("../testdata/tls12_mtls_declined.json");
const DENIED: &str = include_str!("../testdata/tls12_mtls_denied.json");
const RESUMED: &str = include_str!("../testdata/tls12_mtls_resumed.json");
const HIDDEN: &str = include_str!("../testdata/tls13_mtls.json");
const DISTRUSTED12: &str = include_str!("../testdata/tls12_distrusted.json");
const DISTRUSTED13: &str = include_str!("../testdata/tls13_distrusted.json");
const DISTRUSTED13_SHORT_TAGS: &str = include_str!("../testdata/tls13_distrusted_ccm8.json");
const DISTRUSTED13_GNUTLS: &str = include_str!("../testdata/tls13_distrusted_gnutls.json");

const CERTIFICATE: &str = "11";
const CERTIFICATE_REQUEST: &str = "13";
const CERTIFICATE_VERIFY: &str = "15";

/// Whether tshark saw this message.
fn saw(capture: &Tls, from: &str, kind: &str) -> bool {
    let frames = capture.tshark.iter().filter(|frame| frame.from == from);
    frames.flat_map(|frame| frame.kinds.split('|')).any(|seen| seen == kind)
}

/// What tshark read of the client's certificate.
fn expected(capture: &Tls) -> Encryption {
    let shown = capture
        .tshark
        .iter()
        .find(|frame| frame.from == "client" && frame.kinds.split('|').any(|kind| kind == CERTIFICATE));
    let names = shown.map_or("|".to_owned(), |frame| format!("{}|{}", frame.uris, frame.hosts));
    Encryption {
        status: EncryptionStatus::Mtls,
        evidence: Some(Evidence::Proven),
        client_identity: names.split('|').filter(|name| !name.is_empty()).map(Into::into).collect(),
        ..capture.expected()
    }
}

fn status_of(json: &str) -> (EncryptionStatus, Option<String>) {
    let (protocol, encryption) = plays(&read(json).spoken()).verdict().unwrap();
    assert_eq!(protocol, Protocol::Tls);
    (encryption.status, encryption.reason.map(Into::into))
}

#[test]
fn a_certificate_that_the_client_showed_is_proven_mtls_with_its_names() {
    for (name, json) in [("openssl", SHOWN), ("gnutls", GNUTLS), ("nameless", NAMELESS), ("chain", CHAIN)] {
        let capture = read(json);
        assert!(saw(&capture, "server", CERTIFICATE_REQUEST), "{name}");
        assert!(saw(&capture, "client", CERTIFICATE_VERIFY), "{name}");
        let talk = plays(&capture.spoken());
        assert_eq!(talk.verdict(), Some((Protocol::Tls, expected(&capture))), "{name}");
        assert_eq!(talk.told.len(), 1, "{name}: {:?}", talk.told);
    }
    // That tshark was asked the right question.
    assert_eq!(
        expected(&read(SHOWN)).client_identity,
        ["spiffe://cluster.local/ns/shop/sa/orders", "orders.shop.svc"].map(Into::into)
    );
    assert_eq!(expected(&read(NAMELESS)).client_identity.len(), 0);
}

#[test]
fn an_empty_certificate_is_no_mtls() {
    let capture = read(DECLINED);
    assert!(saw(&capture, "client", CERTIFICATE) && !saw(&capture, "client", CERTIFICATE_VERIFY));
    assert_eq!(plays(&capture.spoken()).verdict(), Some((Protocol::Tls, capture.expected())));
}

/// The certificate of the first connection is not shown again, and TLS 1.3 encrypts it: neither is mTLS, nor not.
#[test]
fn a_certificate_that_cannot_be_seen_proves_nothing() {
    for json in [RESUMED, HIDDEN] {
        let capture = read(json);
        assert!(!saw(&capture, "client", CERTIFICATE));
        assert_eq!(plays(&capture.spoken()).verdict(), Some((Protocol::Tls, capture.expected())));
    }
}

#[test]
fn a_server_that_wants_a_certificate_and_gets_none_ends_the_handshake() {
    // RFC 5246 section 7.2.2: handshake_failure is alert 40.
    assert!(read(DENIED).tshark.iter().any(|frame| frame.alert.as_deref() == Some("40")));
    assert_eq!(status_of(DENIED), (EncryptionStatus::Unknown, Some("handshake-failed".into())));
}

#[test]
fn a_client_that_does_not_trust_the_server_ends_the_handshake() {
    // RFC 5246 section 7.2.2: unknown_ca is alert 48.
    for json in [DISTRUSTED12, DISTRUSTED13, DISTRUSTED13_SHORT_TAGS] {
        assert_eq!(read(json).tshark.last().unwrap().alert.as_deref(), Some("48"));
        assert_eq!(status_of(json), (EncryptionStatus::Unknown, Some("handshake-failed".into())));
    }
    // GnuTLS encrypts it: of an alert only the length shows.
    assert!(read(DISTRUSTED13_GNUTLS).tshark.iter().all(|frame| frame.alert.is_none()));
    assert_eq!(status_of(DISTRUSTED13_GNUTLS), (EncryptionStatus::Unknown, Some("handshake-failed".into())));
}

/// The kernel ships so much of what a server says at a time; its certificates may be longer.
#[test]
fn a_request_for_a_certificate_that_was_not_captured_does_not_hide_the_answer() {
    let capture = read(CHAIN);
    for allowance in [100, 1000, 4096, 7000] {
        let mut talk = Talk::default();
        let (mut left, mut missing) = (allowance, 0);
        for (client, bytes) in capture.spoken() {
            if client {
                // A new turn, a new allowance: the rest is short.
                left = if missing > 0 { bytes.len() * 100 } else { left };
                talk.client(&bytes);
                continue;
            }
            // What is missing is told when the server speaks next.
            if missing > 0 && talk.last_speaker == Some(true) {
                let gap = super::Piece::Gap { len: std::mem::take(&mut missing) };
                talk.session.push(false, gap, &talk.settings, &mut talk.told);
            }
            let here = left.min(bytes.len());
            left -= here;
            missing += (bytes.len() - here) as u64;
            if here > 0 {
                talk.server(&bytes[..here]);
            }
        }
        talk.ends();
        assert_eq!(talk.verdict(), Some((Protocol::Tls, expected(&capture))), "{allowance}");
        assert_eq!(talk.truncations(), 1, "{allowance}");
    }
}

#[test]
fn a_client_certificate_that_was_not_captured_proves_nothing() {
    let capture = read(SHOWN);
    let mut talk = Talk::default();
    for (client, bytes) in capture.spoken() {
        // The client's second flight starts with it.
        if client && talk.last_speaker == Some(false) && bytes[0] == 22 {
            talk.loses(true, bytes.len() as u64);
        } else {
            talk.says(client, &bytes);
        }
    }
    let end = talk.ends().verdict().unwrap().1;
    assert_ne!(end.status, EncryptionStatus::Mtls);
    assert_eq!(end.client_identity.len(), 0);
}

/// A certificate's names go to terminals, and are a stranger's to choose.
#[test]
fn names_that_are_no_visible_text_are_left_out() {
    let capture = read(SHOWN);
    let mut spoken = capture.spoken();
    for (_, bytes) in &mut spoken {
        if let Some(at) = bytes.windows(6).position(|window| window == b"spiffe") {
            bytes[at] = 0x1b;
        }
    }
    let (_, encryption) = plays(&spoken).verdict().unwrap();
    assert_eq!(encryption.status, EncryptionStatus::Mtls);
    assert_eq!(encryption.client_identity, ["orders.shop.svc".into()]);
}

#[test]
fn every_prefix_of_a_handshake_is_undecided_until_its_end() {
    for json in [SHOWN, GNUTLS, CHAIN, DECLINED, DENIED, RESUMED, HIDDEN, DISTRUSTED12, DISTRUSTED13_GNUTLS] {
        let spoken = read(json).spoken();
        let whole = plays(&spoken).told;
        let mut talk = Talk::default();
        for (client, bytes) in &spoken {
            for byte in bytes {
                talk.says(*client, &[*byte]);
                assert!(talk.told.is_empty() || talk.told == whole, "{:?}", talk.told);
            }
        }
        assert_eq!(talk.told, whole);
    }
}

proptest! {
    #[test]
    fn any_segmentation_of_a_handshake_gives_the_same(sizes in prop::collection::vec(1usize..1500, 1..20)) {
        for json in [SHOWN, GNUTLS, CHAIN, DECLINED, DENIED, RESUMED, HIDDEN, DISTRUSTED12, DISTRUSTED13_GNUTLS] {
            let spoken = read(json).spoken();
            prop_assert_eq!(plays(&cut(&spoken, &sizes)).told, plays(&spoken).told);
        }
    }

    #[test]
    fn no_changed_byte_makes_a_handshake_panic_or_plaintext(at in 0usize..6000, value: u8) {
        for json in [SHOWN, CHAIN] {
            let mut spoken = read(json).spoken();
            let mut at = at;
            for (_, bytes) in &mut spoken {
                if at < bytes.len() {
                    bytes[at] = value;
                    break;
                }
                at -= bytes.len();
            }
            if let Some((_, encryption)) = plays(&spoken).verdict() {
                prop_assert_ne!(encryption.status, EncryptionStatus::Plaintext);
            }
        }
    }
}
