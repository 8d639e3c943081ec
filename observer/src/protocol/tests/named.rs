//! What the first bytes prove. The dialogues are those of the protocols' documents and of programs that speak them.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Interest, Talk, cut, plays};
use crate::model::{EncryptionStatus, Protocol};

type Dialogue = &'static [(bool, &'static [u8])];

const CLIENT: bool = true;
const SERVER: bool = false;

/// In clear for good, as the documents of each protocol have it.
const PLAINTEXT: [(Protocol, Dialogue); 27] = [
    (Protocol::Redis, &[(CLIENT, b"*1\r\n$4\r\nPING\r\n")]),
    (Protocol::Redis, &[(CLIENT, b"*2\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n")]),
    (Protocol::Redis, &[(CLIENT, b"PING\r\n"), (SERVER, b"+PONG\r\n")]),
    (Protocol::Memcached, &[(CLIENT, b"get session\r\n"), (SERVER, b"END\r\n")]),
    (Protocol::Memcached, &[(CLIENT, b"set a 0 0 1\r\nb\r\n"), (SERVER, b"STORED\r\n")]),
    (
        Protocol::Memcached,
        &[
            (CLIENT, b"\x80\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\x07\0\0\0\0\0\0\0\0Hello"),
            (SERVER, b"\x81\0\0\0\0\0\0\x01\0\0\0\x09\0\0\0\x07\0\0\0\0\0\0\0\0Not found"),
        ],
    ),
    // hello of a driver: OP_MSG, and the older OP_QUERY.
    (Protocol::Mongodb, &[(CLIENT, b"\x2d\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x18\0\0\0")]),
    (Protocol::Mongodb, &[(CLIENT, b"\x3a\x01\0\0\x02\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0")]),
    (
        Protocol::Cassandra,
        &[(CLIENT, b"\x04\0\0\0\x05\0\0\0\0"), (SERVER, b"\x84\0\0\0\x06\0\0\0\x10\0\x01\0\x0bCOMPRESSION")],
    ),
    // librdkafka's ApiVersions.
    (
        Protocol::Kafka,
        &[
            (CLIENT, b"\0\0\0\x18\0\x12\0\x03\0\0\0\x01\0\x07rdkafka\0\x0blibrdkafka"),
            (SERVER, b"\0\0\x01\x46\0\0\0\x01\0\0"),
        ],
    ),
    (Protocol::Amqp, &[(CLIENT, b"AMQP\0\0\x09\x01")]),
    (Protocol::Amqp, &[(CLIENT, b"AMQP\0\x01\0\0")]),
    (Protocol::Amqp, &[(CLIENT, b"AMQP\x03\x01\0\0")]),
    (Protocol::Mqtt, &[(CLIENT, b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd")]),
    (Protocol::Mqtt, &[(CLIENT, b"\x10\x80\x01\0\x04MQTT\x05\x02\0\x3c\0")]),
    (
        Protocol::Nats,
        &[(SERVER, b"INFO {\"server_id\":\"N\"}\r\n"), (CLIENT, b"CONNECT {\"verbose\":false}\r\n")],
    ),
    (
        Protocol::Dns,
        &[
            (CLIENT, b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01"),
            (SERVER, b"\0\x1d\x12\x34\x81\x80\0\x01\0\x01"),
        ],
    ),
    (Protocol::Postgres, &[(CLIENT, b"\0\0\0\x20\0\x03\0\0user\0me\0database\0shop\0\0")]),
    (Protocol::Postgres, &[(CLIENT, b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x01\x02\0\0\x03\x04")]),
    (
        Protocol::Postgres,
        &[
            (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x30"),
            (SERVER, b"N"),
            (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x2f"),
            (SERVER, b"N"),
            (CLIENT, b"\0\0\0\x12\0\x03\0\0user\0me\0\0"),
        ],
    ),
    (Protocol::Mysql, &[(SERVER, MYSQL_GREETING), (CLIENT, b"\x54\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21")]),
    (
        Protocol::Smtp,
        &[
            (SERVER, b"220 mail\r\n"),
            (CLIENT, b"HELO a\r\n"),
            (SERVER, b"250 b\r\n"),
            (CLIENT, b"MAIL FROM:<>\r\n"),
        ],
    ),
    (
        Protocol::Smtp,
        &[
            (SERVER, b"220-mail\r\n220 ready\r\n"),
            (CLIENT, b"EHLO a\r\n"),
            (SERVER, b"250-b\r\n250 STARTTLS\r\n"),
            (CLIENT, b"STARTTLS\r\n"),
            (SERVER, b"454 not now\r\n"),
            (CLIENT, b"AUTH PLAIN AHUAcA==\r\n"),
        ],
    ),
    (Protocol::Ftp, &[(SERVER, b"220 files\r\n"), (CLIENT, b"USER me\r\n")]),
    (
        Protocol::Pop3,
        &[
            (SERVER, b"+OK hello\r\n"),
            (CLIENT, b"CAPA\r\n"),
            (SERVER, b"+OK\r\nSTLS\r\n.\r\n"),
            (CLIENT, b"USER me\r\n"),
        ],
    ),
    (
        Protocol::Imap,
        &[
            (SERVER, b"* OK hello\r\n"),
            (CLIENT, b"a1 CAPABILITY\r\n"),
            (SERVER, b"* CAPABILITY X\r\na1 OK\r\n"),
            (CLIENT, b"a2 LOGIN me you\r\n"),
        ],
    ),
    (Protocol::Ldap, &[(CLIENT, b"\x30\x0f\x02\x01\x01\x60\x0a\x02\x01\x03\x04\x02cn\x80\x01x")]),
];

/// A server's first packet, as MariaDB 10.11 sends it.
const MYSQL_GREETING: &[u8] = b"\x63\0\0\0\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\0\x08\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";

/// Until the client's hello; what follows is the handshake of `tls12.json`.
const BEFORE_TLS: [(Protocol, Dialogue); 10] = [
    (Protocol::Postgres, &[(CLIENT, b"\0\0\0\x08\x04\xd2\x16\x2f"), (SERVER, b"S")]),
    (
        Protocol::Postgres,
        &[
            (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x30"),
            (SERVER, b"N"),
            (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x2f"),
            (SERVER, b"S"),
        ],
    ),
    (
        Protocol::Smtp,
        &[
            (SERVER, b"220 mail\r\n"),
            (CLIENT, b"EHLO a\r\n"),
            (SERVER, b"250-b\r\n250 STARTTLS\r\n"),
            (CLIENT, b"starttls\r\n"),
            (SERVER, b"220 go\r\n"),
        ],
    ),
    (Protocol::Ftp, &[(SERVER, b"220 files\r\n"), (CLIENT, b"AUTH TLS\r\n"), (SERVER, b"234 go\r\n")]),
    (Protocol::Pop3, &[(SERVER, b"+OK\r\n"), (CLIENT, b"STLS\r\n"), (SERVER, b"+OK go\r\n")]),
    (Protocol::Imap, &[(SERVER, b"* OK hello\r\n"), (CLIENT, b"a STARTTLS\r\n"), (SERVER, b"a OK go\r\n")]),
    (
        Protocol::Mysql,
        &[
            (SERVER, MYSQL_GREETING),
            (
                CLIENT,
                b"\x20\0\0\x01\x85\xae\xff\x01\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ),
        ],
    ),
    (Protocol::Amqp, &[(CLIENT, b"AMQP\x02\x01\0\0"), (SERVER, b"AMQP\x02\x01\0\0")]),
    (
        Protocol::Ldap,
        &[
            (CLIENT, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
            (SERVER, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"),
        ],
    ),
    (Protocol::Nats, &[(SERVER, b"INFO {\"tls_required\":true}\r\n")]),
];

fn spoken(dialogue: Dialogue) -> Vec<(bool, Vec<u8>)> {
    dialogue.iter().map(|(client, bytes)| (*client, bytes.to_vec())).collect()
}

fn handshake() -> Vec<(bool, Vec<u8>)> {
    let capture: super::Capture<serde_json::Value> =
        serde_json::from_str(include_str!("../testdata/tls12.json")).unwrap();
    capture.spoken()
}

fn status(talk: &Talk) -> Option<(Protocol, EncryptionStatus)> {
    talk.verdict().map(|(protocol, encryption)| (protocol, encryption.status))
}

#[test]
fn the_first_bytes_name_what_is_in_clear_for_good() {
    for (protocol, dialogue) in PLAINTEXT {
        let mut talk = Talk::default();
        for (client, bytes) in dialogue {
            talk.says(*client, bytes);
        }
        assert_eq!(status(&talk), Some((protocol, EncryptionStatus::Plaintext)), "{dialogue:?}");
        assert_eq!(talk.interest(), Interest::Nothing, "{protocol:?}");
    }
}

#[test]
fn after_an_upgrade_the_handshake_decides_and_the_name_stays() {
    for (protocol, dialogue) in BEFORE_TLS {
        let talk = plays(&[spoken(dialogue), handshake()].concat());
        let (found, encryption) = talk.verdict().unwrap();
        assert_eq!((found, encryption.status), (protocol, EncryptionStatus::Tls), "{:?}", talk.told);
        assert_eq!(encryption.version.as_deref(), Some("1.2"));
        assert_eq!(encryption.sni.as_deref(), Some("ledger.shop.svc"));
    }
}

#[test]
fn while_an_upgrade_may_be_pending_nothing_is_plaintext() {
    for (protocol, dialogue) in BEFORE_TLS {
        let whole = [spoken(dialogue), handshake()].concat();
        let mut talk = Talk::default();
        for (client, bytes) in cut(&whole, &[1]) {
            talk.says(client, &bytes);
            let plaintext = status(&talk).is_some_and(|(_, status)| status == EncryptionStatus::Plaintext);
            assert!(!plaintext, "{protocol:?}: {:?}", talk.told);
        }
    }
}

#[test]
fn an_upgrade_that_came_to_nothing_is_unknown_and_says_why() {
    const SSL: (bool, &[u8]) = (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x2f");
    const GSS: (bool, &[u8]) = (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x30");
    let table: [(Dialogue, &str); 9] = [
        (&[SSL], "upgrade-pending"),
        (&[SSL, (SERVER, b"S")], "upgrade-pending"),
        (&[SSL, (SERVER, b"N")], "upgrade-refused"),
        (&[SSL, (SERVER, b"E\0\0\0\x10SFATAL\0")], "upgrade-refused"),
        (&[GSS, (SERVER, b"G"), (CLIENT, b"\0\0\x02\x00")], "gss-encryption"),
        (&[SSL, (SERVER, b"S"), (CLIENT, b"\0\0\0\x12\0\x03\0\0user\0")], "upgrade-not-taken"),
        (
            &[
                (SERVER, b"220 m\r\n"),
                (CLIENT, b"EHLO a\r\n"),
                (SERVER, b"250 b\r\n"),
                (CLIENT, b"STARTTLS\r\n"),
            ],
            "upgrade-pending",
        ),
        (
            &[(SERVER, b"+OK\r\n"), (CLIENT, b"STLS\r\n"), (SERVER, b"-ERR no\r\n"), (CLIENT, b"QUIT\r\n")],
            "upgrade-refused",
        ),
        (
            &[
                (CLIENT, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
                (SERVER, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\0\x04\0"),
            ],
            "upgrade-refused",
        ),
    ];
    for (dialogue, reason) in table {
        let talk = plays(&spoken(dialogue));
        let (_, encryption) = talk.verdict().unwrap();
        assert_eq!(
            (encryption.status, talk.reason().as_deref()),
            (EncryptionStatus::Unknown, Some(reason)),
            "{dialogue:?}"
        );
    }
}

#[test]
fn bytes_of_an_upgrade_that_were_not_captured_are_unknown_and_counted() {
    let mut talk = Talk::default();
    talk.client(b"\0\0\0\x08\x04\xd2\x16\x2f").loses(SERVER, 1);
    assert_eq!(
        (talk.protocol(), talk.reason().as_deref()),
        (Some(Protocol::Postgres), Some("upgrade-unseen"))
    );
    assert_eq!(talk.truncations(), 1);
}

#[test]
fn ssh_and_sasl_layers_are_no_tls_and_not_plaintext() {
    for (protocol, reason, bytes) in [
        (Protocol::Ssh, "ssh-encryption", &b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..]),
        (
            Protocol::Ldap,
            "sasl-layer",
            b"\x30\x14\x02\x01\x01\x60\x0f\x02\x01\x03\x04\0\xa3\x08\x04\x06GSSAPI",
        ),
    ] {
        let mut talk = Talk::default();
        talk.client(bytes);
        assert_eq!(status(&talk), Some((protocol, EncryptionStatus::Unknown)));
        assert_eq!(talk.reason().as_deref(), Some(reason));
    }
}

#[test]
fn a_greeting_that_nobody_answers_names_the_protocol_and_accuses_nobody() {
    for (greeting, protocol) in [
        (MYSQL_GREETING, Protocol::Mysql),
        (b"SSH-2.0-x\r\n", Protocol::Ssh),
        (b"220 mail ESMTP Postfix\r\n", Protocol::Smtp),
        (b"220 who knows\r\n", Protocol::Opaque),
        (b"* OK IMAP4\r\n", Protocol::Imap),
        (b"+OK POP3\r\n", Protocol::Pop3),
        (b"INFO {}\r\n", Protocol::Nats),
    ] {
        let mut talk = Talk::default();
        talk.server(greeting).ends();
        assert_eq!(status(&talk), Some((protocol, EncryptionStatus::Unknown)), "{protocol:?}");
        assert_eq!(talk.reason().as_deref(), Some("no-client-data"));
    }
}

/// The headers are the specification's own examples (proxy-protocol.txt, sections 2.1 and 2.2).
#[test]
fn a_proxy_header_is_left_aside_and_what_follows_is_read() {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    let tcp4 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01\x1f\x90\x01\xbb";
    let headers: [&[u8]; 5] = [
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        b"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        local,
        tcp4,
    ];
    for header in headers {
        for (protocol, dialogue) in PLAINTEXT {
            let whole = [vec![(CLIENT, header.to_vec())], spoken(dialogue)].concat();
            let talk = plays(&cut(&whole, &[7]));
            assert_eq!(status(&talk), Some((protocol, EncryptionStatus::Plaintext)), "{header:?}");
        }
        let talk = plays(&[vec![(CLIENT, header.to_vec())], handshake()].concat());
        assert_eq!(status(&talk), Some((Protocol::Tls, EncryptionStatus::Tls)));
        let mut talk = Talk::default();
        talk.client([header, b"GET / HTTP/1.1\r\n\r\n"].concat());
        assert_eq!(talk.requests().len(), 1);
        // A check by a load balancer says no more.
        let mut talk = Talk::default();
        talk.client(header).ends();
        assert_eq!((talk.protocol(), talk.reason().as_deref()), (Some(Protocol::Unknown), Some("no-data")));
    }
}

#[test]
fn one_proxy_header_is_left_aside_and_no_more() {
    let header = "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";
    let mut talk = Talk::default();
    talk.client(format!("{header}{header}GET / HTTP/1.1\r\n\r\n")).ends();
    assert_eq!(talk.requests().len(), 0);
    assert_eq!(talk.protocol(), Some(Protocol::Opaque));
}

#[test]
fn a_tunnel_is_what_is_in_it() {
    let connect =
        (CLIENT, b"CONNECT ledger:443 HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n\r\n".to_vec());
    let granted = (SERVER, b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
    let opening = vec![connect, granted];
    let talk = plays(&[opening.clone(), handshake()].concat());
    assert_eq!(status(&talk), Some((Protocol::Tls, EncryptionStatus::Tls)));
    assert_eq!(talk.requests().len(), 1);
    for (protocol, dialogue) in PLAINTEXT {
        let talk = plays(&[opening.clone(), spoken(dialogue)].concat());
        assert_eq!(status(&talk), Some((protocol, EncryptionStatus::Plaintext)));
    }
}

#[test]
fn lines_that_anybody_can_read_are_plaintext_both_ways_and_nothing_less_is() {
    let base64 = b"c29tZXRoaW5nIGVuY3J5cHRlZCBpbiBiYXNlNjQgd2l0aG91dCBhbnkgYmxhbmtz\r\n";
    let table: [(&[u8], &[u8], bool); 8] = [
        (b"JOB 17 START\r\n", b"DONE 17 in 4 ms\r\n", true),
        (b"{\"op\": \"sum\", \"of\": [1, 2]}\n", b"{\"answer\": 3, \"ok\": true}\n", true),
        (b"JOB 17 START\r\n", b"", false),
        (b"JOB 17 START\r\n", base64, false),
        (base64, b"OK, thank you\r\n", false),
        (b"JOB 17 START\r\n", b"DONE 17\r\n\x80\x01", false),
        (b"no line end", b"no line end", false),
        (b"HELLO\r\nSTARTTLS\r\n", b"OK, go on\r\n", false),
    ];
    for (client, server, readable) in table {
        let mut talk = Talk::default();
        talk.client(client);
        if !server.is_empty() {
            talk.server(server);
        }
        talk.ends();
        let expected = if readable { EncryptionStatus::Plaintext } else { EncryptionStatus::Unknown };
        assert_eq!(status(&talk), Some((Protocol::Opaque, expected)), "{client:?} {server:?}");
    }
    let mut talk = Talk::default();
    for _ in 0..20 {
        talk.client(b"JOB 17 START\r\n").server(b"DONE 17 in 4 ms\r\n");
    }
    assert_eq!(status(&talk), Some((Protocol::Opaque, EncryptionStatus::Plaintext)));
    assert_eq!(talk.interest(), Interest::Nothing);
}

#[test]
fn what_never_proves_anything_is_not_kept_for_good() {
    for (client, server) in [(&b"say what? "[..], &b""[..]), (b"", b"blah, blah "), (b"get a", b"no line")] {
        let mut talk = Talk::default();
        for _ in 0..4000 {
            for (from, bytes) in [(CLIENT, client), (SERVER, server)] {
                if !bytes.is_empty() {
                    talk.says(from, bytes);
                }
            }
        }
        assert_eq!(talk.interest(), Interest::Nothing);
        assert_eq!(status(&talk), Some((Protocol::Opaque, EncryptionStatus::Unknown)));
    }
}

fn any_dialogue() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let all: Vec<Dialogue> = PLAINTEXT.iter().chain(&BEFORE_TLS).map(|(_, dialogue)| *dialogue).collect();
    prop::sample::select(all).prop_map(|dialogue| [spoken(dialogue), handshake()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_segmentation_of_a_dialogue_gives_the_same(
        dialogue in any_dialogue(), sizes in prop::collection::vec(1usize..40, 1..8),
    ) {
        prop_assert_eq!(plays(&cut(&dialogue, &sizes)).told, plays(&dialogue).told);
    }

    #[test]
    fn a_changed_byte_gives_the_same_however_it_is_cut(
        dialogue in any_dialogue(), sizes in prop::collection::vec(1usize..40, 1..8), at: Index, value: u8,
    ) {
        let mut dialogue = dialogue;
        let utterances = dialogue.len().min(4);
        let (_, bytes) = &mut dialogue[at.index(utterances)];
        let at = at.index(bytes.len());
        bytes[at] = value;
        prop_assert_eq!(plays(&cut(&dialogue, &sizes)).told, plays(&dialogue).told);
    }

    #[test]
    fn noise_is_never_plaintext(client in prop::collection::vec(any::<u8>(), 8..600), server in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut talk = Talk::default();
        talk.client(&client);
        if !server.is_empty() {
            talk.server(&server);
        }
        talk.ends();
        prop_assert_ne!(talk.verdict().unwrap().1.status, EncryptionStatus::Plaintext);
    }
}
