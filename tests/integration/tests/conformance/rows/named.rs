//! Protocols that are neither HTTP nor TLS, by their own programs or by their first bytes.

use observer_integration::wire::{Manners, Step, noise};

use crate::row::{Row, row};

/// Says `argv[3]` (hexadecimal), after the server has spoken if `argv[4]` is `after`, and hears one answer.
const SAY: &str = r#"
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
    if sys.argv[4] == "after": connection.recv(65536)
    connection.sendall(bytes.fromhex(sys.argv[3]))
    connection.recv(65536)
"#;

/// Answers the first message with what it is told.
const ANSWER: &str = r#"
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as listener:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(bytes.fromhex(sys.argv[2]))
    while connection.recv(65536): pass
"#;

const DATAGRAM: &str = "import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))";

const BOUND: &str = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', int(sys.argv[1])))
time.sleep(60)";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message and its answer, both as the protocol's specification has them.
fn exchange(name: &str, decode: &'static str, message: &[u8], answer: &[u8]) -> Row {
    let (message, answer) = (hex(message), hex(answer));
    row(name, "python sockets", "python sockets")
        .dialect(decode)
        .does(move |at| {
            let _server = at.serve_python(ANSWER, &[&answer])?;
            at.python(SAY, &[&message, "first"]).map(drop)
        })
        .reads(format!("{name} plaintext"))
}

/// RFC 9000 section 17.2: an Initial's header with the connection id of RFC 9001 appendix A, and as many bytes as that promises.
fn quic(name: &str, first: u8, version: u32) -> Row {
    let mut packet = vec![first];
    packet.extend(version.to_be_bytes());
    packet.extend([8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e]);
    packet.resize(1200, 0xd1);
    row(format!("QUIC, {name}"), "python sockets", "python sockets")
        .does(move |at| {
            let _server = at.serve_python(BOUND, &[])?;
            at.python(DATAGRAM, &[&hex(&packet)]).map(drop)
        })
        .reads(format!("quic tls {name}"))
        .finds(&[])
}

pub fn rows() -> Vec<Row> {
    vec![
        row("redis", "redis-cli", "redis-server")
            .dialect("resp")
            .reads("redis plaintext")
            .finds(&["unencrypted"])
            .does(|at| {
                let (port, directory) = (at.port.to_string(), at.files.path().display().to_string());
                let line = [
                    "redis-server",
                    "--port",
                    &port,
                    "--bind",
                    "0.0.0.0",
                    "--protected-mode",
                    "no",
                    "--dir",
                    &directory,
                ];
                let _server = at.serve(&line)?;
                at.run(&["redis-cli", "-h", &at.ip().to_string(), "-p", &port, "set", "cart", "3"]).map(drop)
            }),
        row("memcached", "python sockets", "memcached")
            .dialect("memcache")
            .reads("memcached plaintext")
            .finds(&["unencrypted"])
            .does(|at| {
                let _server =
                    at.serve(&["memcached", "-u", "root", "-p", &at.port.to_string(), "-U", "0"])?;
                at.python(SAY, &[&hex(b"get cart\r\n"), "first"]).map(drop)
            }),
        row("nats", "python sockets", "nats-server")
            .reads("nats plaintext")
            .finds(&["unencrypted"])
            .unread("has no dissector for it")
            .does(|at| {
                let _server = at.serve(&["nats-server", "-a", "0.0.0.0", "-p", &at.port.to_string()])?;
                at.python(SAY, &[&hex(b"CONNECT {\"verbose\":false}\r\nPING\r\n"), "after"]).map(drop)
            }),
        // MQTT 3.1.1 sections 3.1 and 3.2: CONNECT of client "a", CONNACK.
        exchange("mqtt", "mqtt", b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a", b"\x20\x02\0\0"),
        // AMQP 0-9-1 section 4.2.2, and connection.start.
        exchange(
            "amqp",
            "amqp",
            b"AMQP\0\0\x09\x01",
            b"\x01\0\0\0\0\0\x0c\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\xce",
        ),
        // Kafka's ApiVersions, version 0, correlation 1, client "a"; no error, no versions.
        exchange(
            "kafka",
            "kafka",
            b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01a",
            b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0",
        ),
        // RFC 4253 section 4.2.
        exchange("ssh", "ssh", b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-2.0-OpenSSH_9.2\r\n")
            .reads("ssh unknown ssh-encryption"),
        // RFC 1035 section 4.2.2: a query of A for `a.`, and the answer that there is none.
        exchange(
            "dns",
            "dns",
            b"\0\x13\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01",
            b"\0\x13\x12\x34\x81\x83\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01",
        ),
        row("lines of text of no protocol", "python sockets", "python sockets")
            .unread("knows nothing of it")
            .does(|at| {
                let _server = at.serve_python(ANSWER, &[&hex(b"hello to you\r\n")])?;
                at.say("hello there\r\n")
            })
            .reads("opaque plaintext"),
        row("noise", "python sockets", "python sockets")
            .unread("knows nothing of it")
            .does(|at| {
                let _server = at.listen(Manners::Sink)?;
                at.steps(&[Step::Send(&noise(1000))])
            })
            .reads("opaque unknown high-entropy"),
        quic("quic-v1", 0xc0, 1),
        quic("quic-v2", 0xd0, 0x6b33_43cf),
    ]
}
