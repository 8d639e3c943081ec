//! TLS as openssl speaks it; what is expected comes from tshark's reading of the same capture.

use proptest::prelude::*;
use serde::Deserialize;

use super::{Capture, Interest, Talk, cut, plays};
use crate::model::{Encryption, EncryptionStatus, Protocol};

/// The handshake messages and alerts of a frame; `|` between the values of several.
#[derive(Deserialize)]
pub struct Frame {
    pub from: String,
    #[serde(rename = "tls.handshake.type", default)]
    pub kinds: String,
    #[serde(rename = "tls.handshake.extensions_server_name")]
    pub sni: Option<String>,
    #[serde(rename = "tls.handshake.extensions_alpn_str", default)]
    alpn: String,
    #[serde(rename = "tls.handshake.version", default)]
    version: String,
    #[serde(rename = "tls.handshake.extensions.supported_version")]
    supported: Option<String>,
    #[serde(rename = "tls.alert_message.desc")]
    pub alert: Option<String>,
    #[serde(rename = "x509ce.uniformResourceIdentifier", default)]
    pub uris: String,
    #[serde(rename = "x509ce.dNSName", default)]
    pub hosts: String,
}

pub type Tls = Capture<Vec<Frame>>;

const TLS13: &str = include_str!("../testdata/tls13.json");
const TLS12: &str = include_str!("../testdata/tls12.json");
const TLS12_BARE: &str = include_str!("../testdata/tls12_bare.json");
const RETRY: &str = include_str!("../testdata/tls13_retry.json");
const TLS10: &str = include_str!("../testdata/tls10.json");
const TLS11: &str = include_str!("../testdata/tls11.json");
const GNUTLS: &str = include_str!("../testdata/tls13_gnutls.json");
const SHORT_TAGS: &str = include_str!("../testdata/tls13_ccm8.json");
const RESUMED: &str = include_str!("../testdata/tls13_resumed.json");
const EARLY_DATA: &str = include_str!("../testdata/tls13_early_data.json");
const REFUSED: &str = include_str!("../testdata/tls_refused.json");
const UNKNOWN_NAME: &str = include_str!("../testdata/tls_unknown_name.json");

pub fn read(json: &str) -> Tls {
    serde_json::from_str(json).unwrap()
}

impl Tls {
    /// What tshark says the last ServerHello agreed to, of the client's offer.
    pub fn expected(&self) -> Encryption {
        let asked = self.tshark.iter().find(|frame| frame.from == "client").unwrap();
        let hello = |frame: &&Frame| frame.from == "server" && frame.kinds.split('|').any(|kind| kind == "2");
        let agreed = self.tshark.iter().rfind(hello).unwrap();
        let version = agreed.supported.as_deref().unwrap_or(&agreed.version);
        let version = [("0x0301", "1.0"), ("0x0302", "1.1"), ("0x0303", "1.2"), ("0x0304", "1.3")]
            .into_iter()
            .find(|(number, _)| *number == version);
        Encryption {
            status: EncryptionStatus::Tls,
            version: version.map(|(_, name)| name.into()),
            sni: asked.sni.as_deref().map(Into::into),
            alpn: asked.alpn.split('|').filter(|name| !name.is_empty()).map(Into::into).collect(),
            ..Encryption::default()
        }
    }
}

fn verdict(talk: &Talk) -> Option<(Protocol, Encryption)> {
    talk.verdict()
}

#[test]
fn version_name_and_protocols_are_what_tshark_reads() {
    for (name, json) in [
        ("1.3", TLS13),
        ("1.2", TLS12),
        ("1.1", TLS11),
        ("1.0", TLS10),
        ("bare", TLS12_BARE),
        ("retry", RETRY),
        ("warned", UNKNOWN_NAME),
        ("gnutls", GNUTLS),
        ("short tags", SHORT_TAGS),
        ("resumed", RESUMED),
        ("early data", EARLY_DATA),
    ] {
        let capture = read(json);
        let talk = plays(&capture.spoken());
        let expected = capture.expected();
        assert!(expected.version.is_some(), "{name}");
        assert_eq!(verdict(&talk), Some((Protocol::Tls, expected)), "{name}");
        assert_eq!(talk.told.len(), 1, "{name}: {:?}", talk.told);
    }
    // That tshark was asked the right question.
    let expected = read(TLS13).expected();
    assert_eq!(expected.alpn.len(), 2);
    assert!(expected.sni.is_some());
    assert_eq!(read(TLS12_BARE).expected().sni, None);
}

#[test]
fn after_the_handshake_no_byte_is_wanted() {
    for json in [TLS13, TLS12, RETRY] {
        let mut talk = Talk::default();
        for (client, bytes) in read(json).spoken() {
            talk.says(client, &bytes);
        }
        assert_eq!(talk.interest(), Interest::Nothing);
    }
}

#[test]
fn every_prefix_is_undecided_until_both_sides_went_on() {
    for json in [TLS13, TLS12, TLS10, RETRY, UNKNOWN_NAME, RESUMED, EARLY_DATA] {
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

#[test]
fn a_handshake_that_stops_is_unknown_and_keeps_what_was_asked_for() {
    let capture = read(TLS13);
    let mut talk = Talk::default();
    talk.client(&capture.spoken()[0].1).ends();
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Tls, EncryptionStatus::Unknown));
    assert_eq!(encryption.reason.as_deref(), Some("handshake-incomplete"));
    assert_eq!(encryption.sni, capture.expected().sni);
}

/// Encrypted records of both sides, or nothing was agreed: whatever the server says, the client may still hang up.
#[test]
fn a_server_hello_alone_is_no_encryption() {
    for json in [TLS13, TLS12, TLS10, RETRY, RESUMED, EARLY_DATA] {
        let capture = read(json);
        let spoken = capture.spoken();
        let server_speaks = |(client, _): &(bool, Vec<u8>)| !client;
        let first = spoken.iter().position(server_speaks).unwrap();
        let then = spoken[first..].iter().position(|(client, _)| *client).unwrap();
        let (protocol, encryption) = plays(&spoken[..first + then]).verdict().unwrap();
        assert_eq!((protocol, encryption.status), (Protocol::Tls, EncryptionStatus::Unknown));
        assert_eq!(encryption.reason.as_deref(), Some("handshake-incomplete"));
        assert_eq!(encryption.version, None);
    }
}

#[test]
fn an_alert_in_place_of_a_server_hello_is_a_failed_handshake() {
    let talk = plays(&read(REFUSED).spoken());
    let (protocol, encryption) = talk.verdict().unwrap();
    assert_eq!((protocol, encryption.status), (Protocol::Tls, EncryptionStatus::Unknown));
    assert_eq!(encryption.reason.as_deref(), Some("handshake-failed"));
    assert_eq!(encryption.version, None);
    assert_eq!(encryption.sni.as_deref(), read(REFUSED).tshark[0].sni.as_deref());
}

#[test]
fn the_server_that_asked_for_a_retry_sent_a_change_cipher_spec_with_it() {
    let (_, answer) = read(RETRY).spoken().into_iter().find(|(client, _)| !client).unwrap();
    let length = usize::from(u16::from_be_bytes([answer[3], answer[4]]));
    assert_eq!(
        answer[5 + length..5 + length + 6],
        [20, 3, 3, 0, 1, 1],
        "or the capture proves nothing about it"
    );
}

/// The handshake bytes of a record, in records of `size`.
fn in_records(segment: &[u8], size: usize) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([segment[3], segment[4]]));
    let record = |part: &[u8]| [&segment[..3], &(part.len() as u16).to_be_bytes(), part].concat();
    let mut records: Vec<u8> = segment[5..5 + length].chunks(size).flat_map(record).collect();
    records.extend_from_slice(&segment[5 + length..]);
    records
}

#[test]
fn hellos_split_over_records_and_segments_are_put_together() {
    let capture = read(TLS13);
    for size in [1, 3, 7, 100, 1000] {
        for segment in [1, 13, 4000] {
            let mut spoken = capture.spoken();
            for (_, bytes) in &mut spoken[..2] {
                *bytes = in_records(bytes, size);
            }
            let talk = plays(&cut(&spoken, &[segment]));
            assert_eq!(verdict(&talk), Some((Protocol::Tls, capture.expected())), "{size}, {segment}");
        }
    }
}

/// A real hello, grown by an extension of an unassigned number as a post-quantum key share grows it.
fn grown(segment: &[u8], by: usize) -> Vec<u8> {
    let mut hello = segment[9..].to_vec();
    let session = 2 + 32;
    let ciphers = session + 1 + usize::from(hello[session]);
    let compression = ciphers + 2 + usize::from(u16::from_be_bytes([hello[ciphers], hello[ciphers + 1]]));
    let extensions = compression + 1 + usize::from(hello[compression]);
    let length = u16::from_be_bytes([hello[extensions], hello[extensions + 1]]) + 4 + by as u16;
    let extension = [&[0x5a, 0x5b][..], &(by as u16).to_be_bytes(), &vec![7; by]].concat();
    hello.splice(extensions..extensions + 2, length.to_be_bytes().into_iter().chain(extension));
    let message = [&[1][..], &(hello.len() as u32).to_be_bytes()[1..], &hello].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

#[test]
fn a_hello_of_the_size_of_a_post_quantum_one_is_read() {
    let capture = read(TLS13);
    let spoken = capture.spoken();
    for by in [1200, 4000, 12_000] {
        let hello = grown(&spoken[0].1, by);
        for hello in [hello.clone(), in_records(&hello, 512)] {
            let talk = plays(&cut(&[&[(true, hello)], &spoken[1..]].concat(), &[1448]));
            assert_eq!(verdict(&talk), Some((Protocol::Tls, capture.expected())), "{by}");
        }
    }
    let mut talk = Talk::default();
    talk.client(in_records(&grown(&spoken[0].1, 16_200), 8000)).server(&spoken[1].1);
    assert_eq!(talk.reason().as_deref(), Some("hello-too-long"));
    assert_eq!(talk.malformed().len(), 1);
}

/// Some servers put their whole flight into one record, of which only the start is captured.
#[test]
fn a_server_hello_at_the_start_of_a_long_record_is_read() {
    let capture = read(TLS12);
    let spoken = capture.spoken();
    let answer = &spoken[1].1;
    let length = usize::from(u16::from_be_bytes([answer[3], answer[4]]));
    let mut long = answer[..5 + length].to_vec();
    long[3..5].copy_from_slice(&12_000u16.to_be_bytes());
    long.extend_from_slice(&[11, 0, 0x20, 0]);
    let mut talk = Talk::default();
    talk.client(&spoken[0].1).server(&long).loses(false, 11_500);
    for (client, bytes) in &spoken[2..] {
        talk.says(*client, bytes);
    }
    assert_eq!(verdict(&talk), Some((Protocol::Tls, capture.expected())));
}

#[test]
fn a_lying_length_is_malformed_and_counted_or_opaque() {
    let spoken = read(TLS13).spoken();
    let mut record = spoken[0].1.clone();
    record[3..5].copy_from_slice(&[0xff, 0xff]);
    let mut talk = Talk::default();
    talk.client(&record).server(&spoken[1].1);
    assert_eq!((talk.protocol(), talk.malformed().len()), (Some(Protocol::Opaque), 0));

    // The record ends in the middle of the hello: the next one starts with garbage.
    let mut record = spoken[0].1.clone();
    record[3..5].copy_from_slice(&[0, 100]);
    let mut talk = Talk::default();
    talk.client(&record).server(&spoken[1].1);
    assert_eq!(talk.reason().as_deref(), Some("malformed-tls"));
    assert_eq!(talk.malformed(), ["malformed-tls"]);

    // The hello's own length, and its session id's.
    for (at, value) in [(6, 0xff), (7, 0xff), (43, 0xff)] {
        let mut record = spoken[0].1.clone();
        record[at] = value;
        let mut talk = Talk::default();
        talk.client(&record).server(&spoken[1].1).ends();
        assert_eq!(talk.verdict().unwrap().1.status, EncryptionStatus::Unknown, "byte {at}");
    }
}

#[test]
fn a_server_that_does_not_answer_in_tls_is_malformed() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\0\0", "\x17\x03\x03\0\x10\0\0"] {
        let mut talk = Talk::default();
        talk.client(&read(TLS13).spoken()[0].1).server(answer);
        assert_eq!(talk.reason().as_deref(), Some("malformed-tls"), "{answer:?}");
        assert_eq!(talk.malformed().len(), 1, "{answer:?}");
    }
}

#[test]
fn a_gap_in_a_handshake_is_unknown_and_counted() {
    let spoken = read(TLS13).spoken();
    let mut talk = Talk::default();
    talk.client(&spoken[0].1[..200]).loses(true, 100).server(&spoken[1].1);
    assert_eq!(talk.reason().as_deref(), Some("handshake-truncated"));
    assert_eq!(talk.truncations(), 1);
}

#[test]
fn a_name_that_is_no_visible_text_is_none() {
    let mut spoken = read(TLS13).spoken();
    let hello = &mut spoken[0].1;
    let at = hello.windows(6).position(|window| window == b"ledger").unwrap();
    hello[at] = 0x1b;
    let (_, encryption) = plays(&spoken).verdict().unwrap();
    assert_eq!((encryption.status, encryption.sni), (EncryptionStatus::Tls, None));
}

proptest! {
    #[test]
    fn any_segmentation_of_a_handshake_gives_the_same(sizes in prop::collection::vec(1usize..1500, 1..20)) {
        for json in [TLS13, TLS12, TLS12_BARE, RETRY, REFUSED, UNKNOWN_NAME] {
            let spoken = read(json).spoken();
            prop_assert_eq!(plays(&cut(&spoken, &sizes)).told, plays(&spoken).told);
        }
    }

    #[test]
    fn no_changed_byte_makes_a_handshake_panic_or_plaintext(at in 0usize..2000, value: u8) {
        for json in [TLS13, RETRY] {
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
