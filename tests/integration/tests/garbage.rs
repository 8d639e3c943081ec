//! Garbage on the wire is `opaque` or `unknown` with a reason, and counted; it never ends the daemon, and the next good
//! request is judged as always.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, TokenIssuer, base64url};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.test";
const GOOD: u16 = 8080;
const FIRST: u16 = 9001;
const PORTS: u16 = 8;

struct Scene {
    _node: SimNode,
    client: Pod,
    server: Pod,
    _server: Process,
    issuer: TokenIssuer,
    daemon: Daemon,
    next: u16,
}

impl Scene {
    fn new(manners: Manners) -> Result<Self> {
        let issuer = TokenIssuer::new(ISSUER)?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let mut ports = vec![(GOOD, Manners::Answer)];
        ports.extend((FIRST..FIRST + PORTS).map(|port| (port, manners)));
        let listener = wire::listen(&server, &ports)?;
        let daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;
        Ok(Self { _node: node, client, server, _server: listener, issuer, daemon, next: FIRST })
    }

    /// Sends it, over a port of its own; the record of its end. Afterwards the daemon is as well as before, the
    /// counter `counted` has moved, and a good request is judged right.
    fn garbage(&mut self, steps: &[Step<'_>], counted: Counted) -> Result<Value> {
        let port = self.next;
        self.next += 1;
        let pid = self.daemon.pid();
        let before = counted.value(&self.daemon)?;
        wire::talk(&self.client, &self.server.ip4.to_string(), port, steps)?;
        let record = self.last_record(port, 0)?;
        eprintln!("{record}");
        let after = counted.value(&self.daemon)?;
        ensure!(after > before, "{counted:?} was {before} and is {after}: {record:#}");
        self.is_well(pid)?;
        Ok(record)
    }

    fn last_record(&self, port: u16, skip: usize) -> Result<Value> {
        let is_it = |record: &Value| record["final"] == true && record["server"]["port"] == port;
        self.daemon.wait_for(&format!("final, port {port}"), is_it)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(record) = self.daemon.records()?.into_iter().filter(is_it).nth(skip) {
                return Ok(record);
            }
            ensure!(Instant::now() < deadline, "no record of port {port} after {skip} others");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_well(&self, pid: u32) -> Result<()> {
        ensure!(self.daemon.pid() == pid);
        let health = self.daemon.get("/healthz")?;
        ensure!(health.starts_with("HTTP/1.1 200"), "{health}\n{}", self.daemon.log());
        ensure!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
        let before = self.daemon.records()?;
        let before = before.iter().filter(|r| r["final"] == true && r["server"]["port"] == GOOD).count();
        let good = wire::get(&[]);
        wire::talk(
            &self.client,
            &self.server.ip4.to_string(),
            GOOD,
            &[Step::Send(good.as_bytes()), Step::Hear],
        )?;
        let record = self.last_record(GOOD, before)?;
        let said =
            [&record["protocol"], &record["encryption"]["status"], &record["authentication"]["status"]];
        ensure!(said == ["http/1.1", "plaintext", "none"], "{record:#}");
        ensure!(record["last_request"] == json!({"method": "GET", "status": 200}), "{record:#}");
        ensure!(record["requests"]["total"] == 1, "{record:#}");
        Ok(())
    }
}

/// Where it must be counted.
#[derive(Debug)]
enum Counted {
    Unresolved(&'static str),
    Truncated,
    Requests(&'static str),
    Flows(&'static str),
}

impl Counted {
    fn value(&self, daemon: &Daemon) -> Result<f64> {
        match self {
            Self::Unresolved(reason) => {
                daemon.metric("observer_unresolved_flows_total", &[&format!("reason=\"{reason}\"")])
            }
            Self::Truncated => daemon.metric("observer_truncated_payloads_total", &[]),
            Self::Flows(encryption) => {
                daemon.metric("observer_flows_total", &[&format!("encryption=\"{encryption}\"")])
            }
            Self::Requests(status) => {
                daemon.metric("observer_requests_total", &[&format!("authentication=\"{status}\"")])
            }
        }
    }
}

/// Neither plaintext nor unauthenticated: nothing is known of it.
fn is_opaque(record: &Value, protocol: &str, reason: &str) {
    assert_eq!(record["protocol"], protocol, "{record:#}");
    assert_eq!(record["encryption"]["status"], "unknown", "{record:#}");
    assert_eq!(record["encryption"]["reason"], reason, "{record:#}");
    assert_eq!(record["authentication"], Value::Null, "{record:#}");
    assert_eq!(record["findings"], json!([]), "{record:#}");
}

/// HTTP whose credential could not be seen.
fn is_unknown_request(record: &Value, reason: &str) {
    assert_eq!(record["protocol"], "http/1.1", "{record:#}");
    assert_eq!(record["authentication"], json!({"status": "unknown", "reason": reason}), "{record:#}");
    assert_eq!(record["requests"]["unknown"], 1, "{record:#}");
    let findings = record["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(!findings.contains(&json!("unauthenticated")), "{record:#}");
}

#[test]
fn bytes_of_no_protocol_are_opaque() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    for (bytes, reason) in [
        (wire::noise(5_000), "high-entropy"),
        (vec![0; 3_000], "opaque-protocol"),
        (vec![0xff], "too-few-bytes"),
        (b"\r\n\r\n\r\n\r\n\r\n\r\n".to_vec(), "opaque-protocol"),
    ] {
        let record = scene.garbage(&[Step::Send(&bytes)], Counted::Unresolved(reason))?;
        is_opaque(&record, "opaque", reason);
        assert_eq!(record["bytes_sent"], bytes.len(), "{record:#}");
    }
    let record = scene.garbage(&[], Counted::Unresolved("no-data"))?;
    is_opaque(&record, "unknown", "no-data");
    Ok(())
}

#[test]
fn tls_records_that_lie_about_their_length_are_unknown() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    // Longer than any record may be (RFC 8446 section 5.1).
    let record = [b"\x16\x03\x01\xff\xff\x01\x00\xff\xfa\x03\x03".as_slice(), &wire::noise(600)].concat();
    let record = scene.garbage(&[Step::Send(&record)], Counted::Unresolved("high-entropy"))?;
    is_opaque(&record, "opaque", "high-entropy");
    // A hello of 64 KiB in a record of 512 bytes, of which 300 come.
    let record = [b"\x16\x03\x01\x02\x00\x01\x00\xff\xff\x03\x03".as_slice(), &wire::noise(300)].concat();
    let record = scene.garbage(&[Step::Send(&record)], Counted::Unresolved("hello-too-long"))?;
    assert_eq!(record["encryption"]["status"], "unknown", "{record:#}");
    assert_eq!(record["encryption"]["reason"], "hello-too-long", "{record:#}");
    // A hello that is promised and never ends.
    let record = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &wire::noise(100)].concat();
    let record = scene.garbage(&[Step::Send(&record)], Counted::Unresolved("handshake-incomplete"))?;
    assert_eq!(record["encryption"]["status"], "unknown", "{record:#}");
    assert_eq!(record["encryption"]["reason"], "handshake-incomplete", "{record:#}");
    // A whole hello whose session id is longer than the hello.
    let mut hello = b"\x16\x03\x01\x00\x2b\x01\x00\x00\x27\x03\x03".to_vec();
    hello.extend([7; 32]);
    hello.extend([0xff, 0, 0, 0, 0]);
    let record = scene.garbage(&[Step::Send(&hello)], Counted::Unresolved("malformed-tls"))?;
    assert_eq!(record["encryption"]["status"], "unknown", "{record:#}");
    assert_eq!(record["encryption"]["reason"], "malformed-tls", "{record:#}");
    Ok(())
}

#[test]
fn a_head_that_is_too_long_is_unknown_and_counted_as_truncated() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    let megabyte = wire::get(&[("X-Long", &"a".repeat(1 << 20))]);
    let record = scene.garbage(&[Step::Send(megabyte.as_bytes())], Counted::Truncated)?;
    is_unknown_request(&record, "head-too-long");
    assert_eq!(record["bytes_sent"], megabyte.len(), "{record:#}");

    let claims: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("c{n}"), json!(n))).collect();
    let token = scene.issuer.sign(&Value::Object(claims))?;
    assert!(token.len() > 16 << 10);
    let head = wire::get(&[("Authorization", &format!("Bearer {token}"))]);
    let record = scene.garbage(&[Step::Send(head.as_bytes())], Counted::Truncated)?;
    is_unknown_request(&record, "head-too-long");
    Ok(())
}

#[test]
fn a_token_full_of_claims_is_judged_as_any_other_as_long_as_it_fits() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    let expires = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() + 3600;
    let mut claims = json!({"iss": ISSUER, "sub": "somebody", "aud": ["shop"], "exp": expires});
    let map = claims.as_object_mut().context("an object")?;
    map.extend((0..1_000).map(|n| (format!("c{n}"), json!(0))));
    let token = scene.issuer.sign(&claims)?;
    assert!((12 << 10..16 << 10).contains(&(token.len() + 200)), "{}", token.len());
    let head = wire::get(&[("Authorization", &format!("Bearer {token}"))]);
    let record = scene.garbage(&[Step::Send(head.as_bytes())], Counted::Requests("verified"))?;
    assert_eq!(record["authentication"]["status"], "verified", "{record:#}");
    assert_eq!(record["authentication"]["token"]["subject"], "somebody", "{record:#}");

    // As deep as fits, which would overflow the stack of a parser that recurses.
    let deep = format!("{{\"iss\":\"{ISSUER}\",\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let deep = format!("eyJhbGciOiJSUzI1NiJ9.{}.AAAA", base64url(deep.as_bytes()));
    let head = wire::get(&[("Authorization", &format!("Bearer {deep}"))]);
    let record = scene.garbage(&[Step::Send(head.as_bytes())], Counted::Requests("invalid"))?;
    assert_eq!(record["authentication"]["reason"], "bad-signature", "{record:#}");
    Ok(())
}

#[test]
fn http_that_contradicts_itself_is_unknown() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    let twice = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    let record = scene.garbage(&[Step::Send(twice)], Counted::Unresolved("contradictory-length"))?;
    is_unknown_request(&record, "contradictory-length");

    let binary =
        [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), &wire::noise(500), b"\n\n", &wire::noise(500)];
    let binary = binary.concat();
    let record = scene.garbage(&[Step::Send(&binary)], Counted::Unresolved("malformed-http"))?;
    // What came before it was good.
    assert_eq!(record["requests"]["none"], 1, "{record:#}");
    assert_eq!(record["requests"]["unknown"], 1, "{record:#}");
    assert_eq!(
        record["authentication"],
        json!({"status": "unknown", "reason": "malformed-http"}),
        "{record:#}"
    );

    let nul = b"GET / HTTP/1.1\r\nHost: x\0y\r\nAuthorization: Bearer \0\0\0\r\n\r\n";
    let record = scene.garbage(&[Step::Send(nul)], Counted::Unresolved("malformed-http"))?;
    is_unknown_request(&record, "malformed-http");

    let chunks =
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nxx";
    let record = scene.garbage(&[Step::Send(chunks)], Counted::Unresolved("malformed-chunk"))?;
    assert_eq!(record["requests"]["none"], 1, "{record:#}");

    let line = b"GET / HTTP/9.9\r\nHost: x\r\n\r\n";
    let record = scene.garbage(&[Step::Send(line)], Counted::Unresolved("opaque-protocol"))?;
    is_opaque(&record, "opaque", "opaque-protocol");
    Ok(())
}

#[test]
fn lines_in_clear_to_a_server_that_speaks_first_are_no_request() -> Result<()> {
    let mut scene = Scene::new(Manners::First)?;
    let steps = [Step::Hear, Step::Send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")];
    let record = scene.garbage(&steps, Counted::Flows("plaintext"))?;
    assert_eq!(record["protocol"], "opaque", "{record:#}");
    assert_eq!(record["requests"], Value::Null, "{record:#}");
    assert_eq!(record["findings"], json!(["unencrypted"]), "{record:#}");
    Ok(())
}

#[test]
fn a_request_that_is_cut_by_a_reset_is_counted_and_accuses_nobody() -> Result<()> {
    let mut scene = Scene::new(Manners::Sink)?;
    let half = b"GET / HTTP/1.1\r\nHost: x\r\nAuthoriz";
    let steps = [Step::Send(half), Step::Pause(100), Step::Reset];
    let record = scene.garbage(&steps, Counted::Unresolved("head-incomplete"))?;
    assert_eq!(record["close"], "reset", "{record:#}");
    assert_eq!(record["authentication"], Value::Null, "{record:#}");
    assert!(!record["findings"].to_string().contains("unauthenticated"), "{record:#}");

    let steps = [Step::Send(b"GET / HT"), Step::Pause(100), Step::Reset];
    let record = scene.garbage(&steps, Counted::Unresolved("too-few-bytes"))?;
    is_opaque(&record, "opaque", "too-few-bytes");
    assert_eq!(record["close"], "reset", "{record:#}");
    Ok(())
}

#[test]
fn a_flood_of_short_connections_is_seen_whole() -> Result<()> {
    const COUNT: usize = 2_000;
    let scene = Scene::new(Manners::Sink)?;
    wire::flood(&scene.client, &scene.server.ip4.to_string(), FIRST, COUNT)?;
    let port = format!("server_port=\"{FIRST}\"");
    let flows = || scene.daemon.metric("observer_flows_total", &[&port]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while flows()? < COUNT as f64 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Long enough for one too many to show.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(flows()?, COUNT as f64);
    assert_eq!(scene.daemon.metric("observer_lost_events_total", &[])?, 0.0);
    assert_eq!(scene.daemon.metric("observer_open_flows", &[])?, 0.0);
    let finals = scene.daemon.finals("shop/client", "shop/server")?;
    assert_eq!(finals.len(), COUNT);
    assert!(finals.iter().all(|record| record["bytes_sent"] == 5 && record["close"] == "fin"));
    scene.is_well(scene.daemon.pid())
}
