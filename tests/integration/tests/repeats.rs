//! A client that says the same again and again costs the daemon next to nothing, and whatever it says in between is
//! seen as if it had said nothing else.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{self, Nginx};
use observer_integration::{Claims, Daemon, TokenIssuer};
use serde_json::{Value, json};

const PORT: u16 = 8080;
const SERVER: &str = "
    listen 8080; listen [::]:8080;
    keepalive_requests 1000000;
    location / { return 200 'hello world\\n'; }
    location = /no { return 401; }
    location = /large { root DIRECTORY; }
";

/// Says what its standard input tells, a line each: how often, whether it waits for each answer, the request in hex.
/// Answers are read by their length.
const TALKER: &str = r"
import socket, sys, time
host, port = sys.argv[1], int(sys.argv[2])
c = socket.create_connection((host, port)); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
f = c.makefile('rb')
def answer(head_only):
    length, line = 0, f.readline()
    assert line.startswith(b'HTTP/1.1 '), line
    while line.strip():
        if line.lower().startswith(b'content-length:'): length = int(line.split(b':')[1])
        line = f.readline()
    if not head_only: f.read(length)
for line in sys.stdin:
    times, how, hexed = line.split(); said = bytes.fromhex(hexed); asked = said.count(b'HTTP/1.1\r\n')
    for n in range(int(times)):
        # The daemon hears of the first ones.
        if n == 4: time.sleep(0.15)
        if how == 'split':
            c.sendall(said[:20]); time.sleep(0.0005); c.sendall(said[20:])
        else:
            c.sendall(said)
        if how == 'slowly': time.sleep(0.1)
        if how == 'twice':
            c.sendall(said); answer(False)
        for _ in range(asked): answer(said.startswith(b'HEAD'))
";

struct Said {
    times: u32,
    how: &'static str,
    request: String,
}

fn said(times: u32, how: &'static str, request: impl Into<String>) -> Said {
    Said { times, how, request: request.into() }
}

struct Scene {
    daemon: Daemon,
    nginx: Nginx,
    server: Pod,
    client: Pod,
    token: String,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let issuer = TokenIssuer::new("https://issuer.test")?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "orders").start()?;
        let client = node.pod("shop", "frontend").start()?;
        let nginx = servers::nginx(&server, PORT, SERVER)?;
        let claims = Claims { audiences: vec!["shop".into()], expires_in: 3600 };
        let token = issuer.bound(&client, &claims)?;
        let daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;
        Ok(Self { daemon, nginx, server, client, token, _node: node })
    }

    /// On one connection; answers its last record.
    fn talk(&self, said: &[Said]) -> Result<Value> {
        let lines = said.iter().map(|Said { times, how, request }| {
            let hex: String = request.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("{times} {how} {hex}\n")
        });
        let script = self.nginx.directory.write("said", lines.collect::<String>())?;
        let host = self.server.ip4.to_string();
        let command = format!("exec python3 -c \"$0\" {host} {PORT} < {}", script.display());
        let before = self.daemon.finals("shop/frontend", "shop/orders")?.len();
        self.client.run_ok(["sh", "-c", &command, TALKER])?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let finals = self.daemon.finals("shop/frontend", "shop/orders")?;
            if let Some(last) = finals.get(before) {
                return Ok(last.clone());
            }
            ensure!(Instant::now() < deadline, "no last record");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn get(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: orders\r\n{header}\r\n")
}

#[test]
fn whatever_differs_among_repeats_is_counted_as_what_it_is() -> Result<()> {
    let scene = Scene::new()?;
    let bearer = format!("Authorization: Bearer {}\r\n", scene.token);
    let body = "POST / HTTP/1.1\r\nHost: orders\r\nContent-Length: 4\r\n\r\nbody";
    let record = scene.talk(&[
        said(300, "once", get("/", "")),
        said(1, "once", get("/", &bearer)),
        said(300, "once", get("/", "")),
        said(200, "once", get("/", &bearer)),
        said(1, "once", get("/", "Authorization: Bearer not-a-token\r\n")),
        said(100, "once", get("/no", "")),
        said(1, "once", get("/", "")),
        said(100, "once", body),
        said(50, "once", [get("/", ""), get("/no", &bearer)].concat()),
        said(50, "twice", get("/", "")),
        said(50, "split", get("/", &bearer)),
        said(50, "once", "HEAD / HTTP/1.1\r\nHost: orders\r\n\r\n"),
        said(3, "once", get("/no", &bearer)),
    ])?;
    let none = 300 + 300 + 100 + 1 + 100 + 50 + 2 * 50 + 50;
    let verified = 1 + 200 + 50 + 50 + 3;
    let expected = json!({
        "total": none + verified + 1,
        "none": none,
        "verified": verified,
        "present": 1,
        "invalid": 0,
        "unknown": 0,
        "rejected": 100 + 50 + 3,
    });
    for (key, value) in expected.as_object().context("an object")? {
        assert_eq!(
            record["requests"][key].as_u64().unwrap_or(0),
            value.as_u64().unwrap_or(0),
            "{key}: {record:#}"
        );
    }
    assert_eq!(record["last_request"], json!({"method": "GET", "status": 401}));
    assert_eq!(scene.daemon.metric("observer_lost_events_total", &[])?, 0.0);
    let counted = |status: &str| {
        scene.daemon.metric("observer_requests_total", &[&format!("authentication=\"{status}\"")])
    };
    assert_eq!((counted("none")?, counted("verified")?), (f64::from(none), f64::from(verified)));
    Ok(())
}

#[test]
fn what_is_counted_shows_while_the_connection_lives() -> Result<()> {
    let scene = Scene::new()?;
    let shown = thread::scope(|scope| -> Result<f64> {
        let talking = scope.spawn(|| {
            // The last one waits for long enough.
            scene.talk(&[said(1000, "once", get("/", "")), said(5, "slowly", get("/no", ""))])
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut most = 0.0_f64;
        while !talking.is_finished() && Instant::now() < deadline {
            let now =
                scene.daemon.metric("observer_requests_total", &["authentication=\"none\""]).unwrap_or(0.0);
            assert!(now >= most, "{now} after {most}");
            most = now;
            thread::sleep(Duration::from_millis(20));
        }
        let record = talking.join().map_err(|_| anyhow!("the client panicked"))??;
        assert_eq!(record["requests"]["total"], 1005);
        Ok(most)
    })?;
    assert!(shown >= 1000.0, "{shown} requests were shown while the connection lived");
    Ok(())
}

#[test]
fn large_answers_to_repeats_are_left_out_and_their_bytes_counted() -> Result<()> {
    let scene = Scene::new()?;
    scene.nginx.directory.write("large", "x".repeat(300_000))?;
    let record = scene.talk(&[
        said(40, "once", get("/large", "")),
        said(1, "once", get("/no", "")),
        said(40, "once", get("/large", "")),
    ])?;
    assert_eq!(record["requests"]["total"], 81, "{record:#}");
    assert_eq!(record["requests"]["rejected"], 1, "{record:#}");
    assert!(record["bytes_received"].as_u64() > Some(80 * 300_000), "{record:#}");
    Ok(())
}
