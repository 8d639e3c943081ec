//! Request heads that no ordinary client sends so, with tshark's reading of the same packets beside.

use std::net::IpAddr;

use anyhow::Result;
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{self, Nginx, addresses, authority, python};
use observer_integration::{Capture, Daemon};
use serde_json::json;

const PORT: u16 = 8080;

const SERVER: &str = "
    listen 8080; listen [::]:8080;
    large_client_header_buffers 4 32k;
    location / { return 200 'hello world\\n'; }
";

/// Sends a file in pieces of so many bytes with a pause after each, then reads to the end.
const SEND: &str = "
import socket, sys, time
host, port, path, size, pause = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
data = open(path, 'rb').read()
s = socket.create_connection((host, port), 10)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    for at in range(0, len(data), size):
        s.sendall(data[at:at + size])
        time.sleep(pause)
    while s.recv(65536): pass
except OSError: pass
";

struct Scene {
    daemon: Daemon,
    capture: Capture,
    nginx: Nginx,
    server: Pod,
    client: Pod,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "orders").start()?;
        let client = node.pod("shop", "frontend").start()?;
        let nginx = servers::nginx(&server, PORT, SERVER)?;
        let daemon = Daemon::start(&node)?;
        let capture = Capture::start(&client)?;
        Ok(Self { daemon, capture, nginx, server, client, _node: node })
    }

    fn send(&self, ip: IpAddr, bytes: &[u8], size: usize, pause: &str) -> Result<()> {
        let file = self.nginx.directory.write("bytes", bytes)?.display().to_string();
        let arguments = [&ip.to_string(), &PORT.to_string(), &file, &size.to_string(), pause];
        self.client.run_ok(python(SEND, &arguments))?;
        Ok(())
    }
}

#[test]
fn a_head_cut_into_single_bytes_is_read_whole() -> Result<()> {
    let scene = Scene::new()?;
    let head = "PUT / HTTP/1.1\r\nHost: shop\r\nAuthorization: Basic dXNlcjpzZXNhbWU=\r\nContent-Length: 2\r\n\
                Connection: close\r\n\r\nok";
    for ip in addresses(&scene.server) {
        scene.send(ip, head.as_bytes(), 1, "0.002")?;
    }
    let reading = scene.capture.stop()?;
    let rows = reading.rows("http.request", &["tcp.srcport", "http.request.method", "http.authorization"])?;
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row[1].len(), row[2].len()), (1, 1));
        let segments = reading.values(&format!("tcp.srcport == {} && tcp.len > 0", row[0][0]), "tcp.len")?;
        assert!(segments.len() > head.len() / 2, "{} segments", segments.len());
        let record = scene.daemon.wait_final_from(row[0][0].parse()?)?;
        assert_eq!((&record["requests"]["total"], &record["requests"]["present"]), (&json!(1), &json!(1)));
        assert_eq!(record["authentication"]["scheme"], "basic");
        assert_eq!(record["last_request"], json!({"method": "PUT", "status": 200}));
        assert_eq!(record["bytes_sent"], head.len());
    }
    Ok(())
}

#[test]
fn a_header_line_of_a_megabyte_is_unknown_and_the_next_connection_is_judged_right() -> Result<()> {
    let scene = Scene::new()?;
    let long = format!("GET / HTTP/1.1\r\nHost: shop\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    for ip in addresses(&scene.server) {
        scene.send(ip, long.as_bytes(), long.len(), "0")?;
        scene.client.run_ok(["curl", "-sSf", "-u", "user:x", &format!("http://{}/", authority(ip, PORT))])?;
    }
    let reading = scene.capture.stop()?;
    let opened = reading.values("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.srcport")?;
    assert_eq!(opened.len(), 4);
    for ports in opened.chunks(2) {
        let record = scene.daemon.wait_final_from(ports[0].parse()?)?;
        let requests = &record["requests"];
        assert_eq!((&requests["total"], &requests["unknown"]), (&json!(1), &json!(1)), "{record:#}");
        assert_eq!(record["authentication"]["status"], "unknown");
        assert_eq!(record["authentication"]["reason"], "head-too-long");
        assert!(!record["findings"].to_string().contains("unauthenticated"), "{record:#}");
        // nginx: 400 Request Header Or Cookie Too Large.
        let answer =
            reading.values(&format!("http.response && tcp.dstport == {}", ports[0]), "http.response.code")?;
        assert_eq!(record["last_request"]["status"].to_string(), answer[0]);

        let record = scene.daemon.wait_final_from(ports[1].parse()?)?;
        assert_eq!((&record["requests"]["total"], &record["requests"]["present"]), (&json!(1), &json!(1)));
        assert_eq!(record["last_request"], json!({"method": "GET", "status": 200}));
    }
    assert!(scene.daemon.metric("observer_truncated_payloads_total", &[])? >= 2.0);
    assert!(!scene.daemon.log().contains("panic"), "{}", scene.daemon.log());
    Ok(())
}
