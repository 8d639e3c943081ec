use super::super::datagram;
use crate::model::{EncryptionStatus, Protocol};

/// The client's Initial of RFC 9001 appendix A.2: its header, and the length of what it protects.
fn initial() -> Vec<u8> {
    let mut packet =
        vec![0xc0, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e];
    packet.extend([0x7b, 0x9a, 0xec, 0x34]);
    packet.resize(1200, 0xd1);
    packet
}

#[test]
fn a_long_header_of_a_known_version_is_encrypted() {
    let (protocol, encryption) = datagram(&initial(), 443);
    assert_eq!((protocol, encryption.status), (Protocol::Quic, EncryptionStatus::Tls));
    assert_eq!(encryption.version.as_deref(), Some("quic-v1"));
    // RFC 9369 section 3: another version number, and another type for Initial.
    let mut second = initial();
    second[..5].copy_from_slice(&[0xd0, 0x6b, 0x33, 0x43, 0xcf]);
    assert_eq!(datagram(&second, 443).1.version.as_deref(), Some("quic-v2"));
}

#[test]
fn what_does_not_fit_a_long_header_is_opaque() {
    let with = |at: usize, value: u8| {
        let mut packet = initial();
        packet[at] = value;
        packet
    };
    let table = [
        ("short header", with(0, 0x40)),
        ("no fixed bit", with(0, 0x80)),
        ("Retry", with(0, 0xf0)),
        ("version negotiation", with(4, 0)),
        ("unknown version", with(4, 7)),
        ("long connection id", with(5, 21)),
        ("length beyond the datagram", with(16, 0x7f)),
        ("no length", initial()[..14].to_vec()),
    ];
    for (what, packet) in table {
        assert_eq!(datagram(&packet, 443).0, Protocol::Opaque, "{what}");
    }
    for end in 0..1200 {
        assert_eq!(datagram(&initial()[..end], 443).0, Protocol::Opaque, "{end}");
    }
}

#[test]
fn a_query_to_port_53_is_dns() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    assert_eq!(datagram(query, 53).0, Protocol::Dns);
    assert_eq!(datagram(query, 5353).0, Protocol::Opaque);
}
