use super::super::sniff::{Sniffed, sniff};

#[test]
fn first_bytes_are_known_by_what_they_prove() {
    let table: [(&[u8], Sniffed); 34] = [
        (b"", Sniffed::Incomplete),
        (b"G", Sniffed::Incomplete),
        (b"GET", Sniffed::Incomplete),
        (b"GET ", Sniffed::Incomplete),
        (b"GET / HTTP/1.1", Sniffed::Incomplete),
        (b"GET / HTTP/1.1\r", Sniffed::Incomplete),
        (b"GET / HTTP/1.1\r\n", Sniffed::Http1),
        (b"GET / HTTP/1.0\n", Sniffed::Http1),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", Sniffed::Http1),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n", Sniffed::Opaque),
        // The longest registered method (RFC 4437), and one that nobody registered.
        (b"UPDATEREDIRECTREF / HTTP/1.1\r\n", Sniffed::Http1),
        (b"SOMETHING-NOBODY-EVER-HEARD-OF-BEFORE / HTTP/1.1\r\n", Sniffed::Opaque),
        (b"GET / HTTP/2.0\r\n", Sniffed::Opaque),
        (b"GET / HTTP/1.2\r\n", Sniffed::Opaque),
        (b"GET /\r\n", Sniffed::Opaque),
        (b"OPTIONS rtsp://camera RTSP/1.0\r\n", Sniffed::Opaque),
        (b"GE(T / HTTP/1.1\r\n", Sniffed::Opaque),
        (b" GET / HTTP/1.1\r\n", Sniffed::Opaque),
        (b"GET /\0 HTTP/1.1\r\n", Sniffed::Opaque),
        (b"EHLO mail.example\r\n", Sniffed::Opaque),
        (b"*1\r\n$4\r\nPING\r\n", Sniffed::Opaque),
        // Postgres' SSLRequest.
        (&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], Sniffed::Opaque),
        (b"PRI * HTTP/2.0\r\n", Sniffed::Incomplete),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::Http2),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", Sniffed::Http2),
        (b"PRI * HTTP/2.1\r\n", Sniffed::Opaque),
        (&[22], Sniffed::Incomplete),
        (&[22, 3, 1, 2, 0], Sniffed::Incomplete),
        (&[22, 3, 1, 2, 0, 1], Sniffed::Tls),
        (&[22, 3, 1, 2, 0, 2], Sniffed::Opaque),
        (&[22, 3, 1, 0, 0, 1], Sniffed::Opaque),
        // RFC 8446 section 5.1: at most 2^14 bytes.
        (&[22, 3, 1, 0x40, 1, 1], Sniffed::Opaque),
        (&[22, 2, 0, 2, 0, 1], Sniffed::Opaque),
        // Application data, of a connection that was there before.
        (&[23, 3, 3, 0, 32, 7], Sniffed::Opaque),
    ];
    for (bytes, expected) in table {
        assert_eq!(sniff(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn more_bytes_never_change_what_was_proven() {
    let texts: [&[u8]; 6] = [
        b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SOMETHING-NOBODY-EVER-HEARD-OF-BEFORE / HTTP/1.1\r\n",
        b"220 mail\r\n",
    ];
    for text in texts {
        let mut proven = Sniffed::Incomplete;
        for end in 0..=text.len() {
            let now = sniff(&text[..end]);
            assert!(
                proven == Sniffed::Incomplete || now == proven,
                "{:?}",
                String::from_utf8_lossy(&text[..end])
            );
            proven = now;
        }
        assert_ne!(proven, Sniffed::Incomplete);
    }
}
