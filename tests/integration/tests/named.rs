//! Protocols that are neither HTTP nor TLS, as their own programs speak them, with tshark's reading beside.

use anyhow::{Context as _, Result};
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{nginx, python, python_server, start};
use observer_integration::{Capture, Daemon, Directory};
use serde_json::{Value, json};

struct Scene {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    directory: Directory,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let daemon = Daemon::start(&node)?;
        Ok(Self { daemon, server, client, directory: Directory::new()?, _node: node })
    }

    fn record(&self, port: u16) -> Result<Value> {
        self.daemon.wait_for(&format!("final, port {port}"), |record| {
            record["final"] == true && record["server"]["port"] == port
        })
    }
}

/// Says `argv[3]` (hexadecimal) to `argv[1]`:`argv[2]`, after what the server says first if `argv[4]` is `after`, and
/// hears one answer.
const SAY: &str = r#"
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    if sys.argv[4] == "after":
        connection.recv(65536)
    connection.sendall(bytes.fromhex(sys.argv[3]))
    connection.recv(65536)
"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn stores_and_brokers_are_plaintext_by_name_as_tshark_reads_them() -> Result<()> {
    let scene = Scene::new()?;
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let directory = scene.directory.path().display().to_string();
    let _servers = [
        start(
            &scene.server,
            &words(&format!("redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --dir {directory}")),
        )?,
        start(&scene.server, &words("memcached -u root -p 11211 -U 0"))?,
        start(&scene.server, &words("nats-server -a 0.0.0.0 -p 4222"))?,
    ];
    for port in [6379, 11211, 4222] {
        scene.server.wait_listening(port)?;
    }
    let capture = Capture::start(&scene.client)?;
    let ip = scene.server.ip4.to_string();
    scene.client.run_ok(["redis-cli", "-h", &ip, "set", "cart", "3"])?;
    scene.client.run_ok(python(SAY, &[&ip, "11211", &hex(b"get cart\r\n"), "first"]))?;
    let connect = hex(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
    scene.client.run_ok(python(SAY, &[&ip, "4222", &connect, "after"]))?;
    for (port, protocol) in [(6379, "redis"), (11211, "memcached"), (4222, "nats")] {
        let record = scene.record(port)?;
        assert_eq!(record["protocol"], protocol, "{record:#}");
        assert_eq!(record["encryption"]["status"], "plaintext", "{record:#}");
        assert_eq!(record["findings"], json!(["unencrypted"]), "{record:#}");
        assert!(record.get("authentication").is_none() && record.get("requests").is_none(), "{record:#}");
    }
    let reading = capture.stop()?;
    assert!(!reading.rows("resp && tcp.dstport == 6379", &["frame.number"])?.is_empty());
    assert!(!reading.rows("memcache && tcp.dstport == 11211", &["frame.number"])?.is_empty());
    Ok(())
}

/// RFC 6455 section 1.3, with one frame of text in either direction.
const WEBSOCKET: &str = r#"
import base64, hashlib, re, socket, sys
with socket.create_server(("", 8080)) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            key = re.search(rb"Sec-WebSocket-Key: *(\S+)", head, re.I).group(1)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + b"\x81\x10GET / HTTP/1.1\r\n")
"#;

#[test]
fn a_websocket_is_one_request_and_what_it_carries_is_none() -> Result<()> {
    let scene = Scene::new()?;
    let _server = python_server(&scene.server, 8080, WEBSOCKET, &[])?;
    let capture = Capture::start(&scene.client)?;
    let url = format!("http://{}:8080/chat", scene.server.ip4);
    let mut line = vec!["curl", "-sS", "--http1.1", "-o", "/dev/null", &url];
    for header in [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization: Basic bm86b25l",
    ] {
        line.extend(["-H", header]);
    }
    scene.client.run(line)?;
    let record = scene.record(8080)?;
    assert_eq!(record["protocol"], "websocket", "{record:#}");
    assert_eq!(record["encryption"]["status"], "plaintext", "{record:#}");
    assert_eq!((&record["requests"]["total"], &record["requests"]["present"]), (&json!(1), &json!(1)));
    assert_eq!(record["last_request"], json!({"method": "GET", "status": 101}));
    let reading = capture.stop()?;
    assert_eq!(reading.rows("websocket", &["frame.number"])?.len(), 1);
    Ok(())
}

#[test]
fn an_initial_packet_of_quic_is_encrypted_with_its_version() -> Result<()> {
    let scene = Scene::new()?;
    let capture = Capture::start(&scene.client)?;
    // The client's Initial of RFC 9001 appendix A.2: its header, and as many bytes as that promises.
    let mut packet =
        vec![0xc0, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e];
    packet.resize(1200, 0xd1);
    let script = "import socket, sys\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))";
    let sink = "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', 443))\ns.recv(2000)\ntime.sleep(60)";
    let _server = start(&scene.server, &python(sink, &[]))?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    scene.client.run_ok(python(script, &[&scene.server.ip4.to_string(), "443", &hex(&packet)]))?;
    let record = scene.daemon.wait_for("quic", |record| record["transport"] == "udp")?;
    assert_eq!(record["protocol"], "quic", "{record:#}");
    assert_eq!(record["encryption"]["status"], "tls", "{record:#}");
    assert_eq!(record["encryption"]["version"], "quic-v1", "{record:#}");
    assert_eq!(record["findings"], json!([]), "{record:#}");
    let reading = capture.stop()?;
    assert_eq!(reading.values("quic.long.packet_type == 0", "quic.version")?, ["0x00000001"]);
    Ok(())
}

#[test]
fn heads_that_bend_the_rules_are_judged_and_told() -> Result<()> {
    let scene = Scene::new()?;
    let _nginx =
        nginx(&scene.server, 8080, "listen 8080; listen 8081; location / { return 200 \"fine\\n\"; }")?;
    let ip = scene.server.ip4.to_string();
    let two = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic b25lOjE=\r\nAuthorization: Basic dHdvOjI=\r\n\r\n";
    let bare = b"GET / HTTP/1.1\nHost: x\nAuthorization: Basic b25lOjE=\n\n";
    for (port, head) in [(8080, &two[..]), (8081, bare)] {
        scene.client.run_ok(python(SAY, &[&ip, &port.to_string(), &hex(head), "first"]))?;
    }
    let record = scene.record(8080)?;
    assert_eq!(record["authentication"], json!({"status": "present", "reason": "duplicate-authorization"}));
    let findings = record["findings"].as_array().context("findings")?;
    assert!(findings.contains(&json!("credential-in-cleartext")), "{record:#}");
    let record = scene.record(8081)?;
    assert_eq!(record["requests"]["present"], 1, "{record:#}");
    assert_eq!(record["last_request"], json!({"method": "GET", "status": 200}), "{record:#}");
    Ok(())
}
