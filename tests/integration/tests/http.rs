//! HTTP/1 by curl against nginx, with tshark's reading of the same packets beside.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{self, Nginx, addresses, authority};
use observer_integration::{Capture, Claims, Daemon, Reading, TokenIssuer};
use serde_json::{Value, json};

const PORT: u16 = 8080;

const SERVER: &str = "
    listen 8080; listen [::]:8080;
    client_max_body_size 0;
    location / { return 200 'hello world\\n'; }
    # Reads the whole body before it answers.
    location = /read { proxy_pass http://127.0.0.1:8081/; }
    location = /large { root DIRECTORY; }
    location = /unauthorized { return 401; }
    location = /forbidden { return 403; }
    location = /private { auth_basic 'shop'; auth_basic_user_file DIRECTORY/users; root DIRECTORY; }
}
server {
    listen 127.0.0.1:8081;
    client_max_body_size 0;
    return 200 'read\\n';
";

struct Scene {
    daemon: Daemon,
    capture: Capture,
    nginx: Nginx,
    issuer: TokenIssuer,
    server: Pod,
    client: Pod,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let issuer = TokenIssuer::new("https://issuer.test")?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "orders").deployment("orders").start()?;
        let client = node.pod("shop", "frontend").deployment("frontend").start()?;
        let nginx = servers::nginx(&server, PORT, SERVER)?;
        let daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;
        let capture = Capture::start(&client)?;
        Ok(Self { daemon, capture, nginx, issuer, server, client, _node: node })
    }

    fn url(&self, ip: IpAddr, path: &str) -> String {
        format!("http://{}{path}", authority(ip, PORT))
    }

    /// `-H @FILE` with a token that the client owns, for somebody else than the API server.
    fn token(&self) -> Result<String> {
        let claims = Claims { audiences: vec!["shop".into()], expires_in: 3600 };
        let token = self.issuer.bound(&self.client, &claims)?;
        Ok(format!("@{}", self.issuer.header_file("header", &token)?.display()))
    }

    /// One curl, one connection: a request for each of `requests`.
    fn curl(&self, requests: &[&[&str]]) -> Result<()> {
        let mut line = vec!["curl"];
        for request in requests {
            if line.len() > 1 {
                line.push("--next");
            }
            line.extend(["-sS", "-o", "/dev/null", "-w", "%{num_connects}"]);
            line.extend(*request);
        }
        let connects = self.client.run_ok(line)?;
        let expected = format!("1{}", "0".repeat(requests.len() - 1));
        assert_eq!(connects, expected, "curl's connections, by request");
        Ok(())
    }
}

/// What tshark saw on one connection.
#[derive(Debug, Default)]
struct Seen {
    port: u64,
    methods: Vec<String>,
    versions: Vec<String>,
    credentials: u64,
    /// With the 1xx.
    statuses: Vec<u64>,
}

impl Seen {
    fn answers(&self) -> impl Iterator<Item = u64> {
        self.statuses.iter().copied().filter(|status| *status >= 200)
    }

    fn rejected(&self) -> u64 {
        self.answers().filter(|status| matches!(status, 401 | 403)).count() as u64
    }
}

/// One entry for each connection, in order.
fn seen(reading: &Reading) -> Result<Vec<Seen>> {
    let fields = [
        "tcp.srcport",
        "tcp.dstport",
        "http.request.method",
        "http.request.version",
        "http.authorization",
        "http.response.code",
    ];
    let mut all: Vec<Seen> = Vec::new();
    for row in reading.rows("http", &fields)? {
        let [from, to, methods, versions, credentials, statuses] = &row[..] else { continue };
        let number = |values: &[String]| values.first().context("a port")?.parse::<u64>().context("a port");
        let port = if number(to)? == u64::from(PORT) { number(from)? } else { number(to)? };
        let index = all.iter().position(|seen| seen.port == port).unwrap_or_else(|| {
            all.push(Seen { port, ..Seen::default() });
            all.len() - 1
        });
        all[index].methods.extend(methods.iter().cloned());
        all[index].versions.extend(versions.iter().cloned());
        all[index].credentials += credentials.len() as u64;
        for status in statuses {
            all[index].statuses.push(status.parse()?);
        }
    }
    Ok(all)
}

/// Whatever the traffic was: the record's numbers are tshark's.
fn assert_agrees(record: &Value, seen: &Seen, reading: &Reading) -> Result<()> {
    let requests = &record["requests"];
    assert_eq!(requests["total"], seen.methods.len(), "{seen:?} {record:#}");
    assert_eq!(requests["rejected"], seen.rejected(), "{seen:?} {record:#}");
    let shown = ["present", "verified", "invalid"].iter().filter_map(|key| requests[key].as_u64());
    assert_eq!(shown.sum::<u64>(), seen.credentials, "{seen:?} {record:#}");
    assert_eq!(record["last_request"]["method"], *seen.methods.last().context("no request")?, "{record:#}");
    assert_eq!(record["last_request"]["status"], seen.answers().last().context("no answer")?, "{record:#}");
    let version = seen.versions.first().context("no request")?.to_lowercase();
    assert_eq!(record["protocol"], version, "{record:#}");
    let (sent, received) = reading.payload(seen.port)?;
    assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
    assert_eq!(record["encryption"]["status"], "plaintext");
    assert_eq!((&record["reporter"], &record["close"]), (&json!("server"), &json!("fin")));
    assert_eq!(record["client"]["principal"], "shop/frontend");
    assert_eq!(record["server"]["principal"], "shop/orders");
    Ok(())
}

#[test]
fn each_request_of_a_kept_connection_is_judged_by_itself() -> Result<()> {
    let scene = Scene::new()?;
    let token = scene.token()?;
    for ip in addresses(&scene.server) {
        let url = scene.url(ip, "/");
        scene.curl(&[
            &[&url],
            &["-H", &token, &url],
            &[&url],
            &["-u", "user:open sesame", &url],
            &["-H", "Authorization: Bearer abracadabra", &url],
            &["-H", &token, &url],
        ])?;
    }
    let reading = scene.capture.stop()?;
    let seen = seen(&reading)?;
    assert_eq!(seen.len(), 2, "{seen:?}");
    for seen in seen {
        let record = scene.daemon.wait_final_from(seen.port)?;
        assert_agrees(&record, &seen, &reading)?;
        let expected = json!({"total": 6, "none": 2, "present": 2, "verified": 2, "invalid": 0, "unknown": 0, "rejected": 0});
        assert_eq!(record["requests"], expected);
        assert_eq!(record["authentication"]["status"], "verified", "the last request's");
        assert_eq!(record["findings"], json!(["unencrypted", "unauthenticated", "credential-in-cleartext"]));
    }
    for secret in ["abracadabra", "sesame", "dXNlcjpvcGVuIHNlc2FtZQ"] {
        assert!(!scene.daemon.stdout().contains(secret) && !scene.daemon.log().contains(secret));
    }
    Ok(())
}

/// 5 MB and more in both directions, made of what a careless reader would take for requests and answers.
#[test]
fn bodies_of_any_size_are_stepped_over_in_both_directions() -> Result<()> {
    let scene = Scene::new()?;
    let bait =
        "GET /bait HTTP/1.1\r\nHost: bait\r\nAuthorization: Basic YmFpdDpiYWl0\r\nContent-Length: 0\r\n\r\n";
    let large = bait.repeat(5_000_000 / bait.len() + 1);
    let data = |name: &str, length: usize| -> Result<String> {
        Ok(scene.nginx.directory.write(name, &large[..length])?.display().to_string())
    };
    let (small, middle, large) = (data("small", 1024)?, data("middle", 300_000)?, data("bodies", 5_000_000)?);
    let (small, large) = (format!("@{small}"), format!("@{large}"));
    scene
        .nginx
        .directory
        .write("large", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".repeat(100_000))?;
    let token = scene.token()?;
    for ip in addresses(&scene.server) {
        let [url, download] = ["/read", "/large"].map(|path| scene.url(ip, path));
        scene.curl(&[
            &["--data-binary", "", &url],
            &["--data-binary", &small, &url],
            &["--data-binary", &large, "-H", "Expect: 100-continue", &url],
            &["-H", &token, &url],
            &["-T", &middle, "-H", "Transfer-Encoding: chunked", &url],
            &[&download],
            &["-T", &middle, "-H", "Transfer-Encoding: chunked", "-H", "Expect:", &url],
            &["--data-binary", &large, "-H", "Expect:", &url],
            &["-H", &token, &url],
        ])?;
    }
    let reading = scene.capture.stop()?;
    let seen = seen(&reading)?;
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert!(seen.statuses.contains(&100), "nginx said 100 Continue: {seen:?}");
        let record = scene.daemon.wait_final_from(seen.port)?;
        assert_agrees(&record, &seen, &reading)?;
        let expected = json!({"total": 9, "none": 7, "present": 0, "verified": 2, "invalid": 0, "unknown": 0, "rejected": 0});
        assert_eq!(record["requests"], expected);
        assert!(record["bytes_sent"].as_u64() > Some(10_600_000), "{record:#}");
    }
    Ok(())
}

/// nginx answers before it has read the body, so that the next request follows that without a turn.
#[test]
fn a_request_after_an_early_answer_is_seen_or_unknown_but_never_left_out() -> Result<()> {
    let scene = Scene::new()?;
    let body = scene.nginx.directory.write("bodies", vec![b'x'; 5_000_000])?;
    let (body, token) = (format!("@{}", body.display()), scene.token()?);
    for ip in addresses(&scene.server) {
        let url = scene.url(ip, "/");
        let (upload, ask): (&[&str], &[&str]) =
            (&["--data-binary", &body, "-H", "Expect:", &url], &["-H", &token, &url]);
        scene.curl(&[upload, ask, upload, ask])?;
    }
    let reading = scene.capture.stop()?;
    let seen = seen(&reading)?;
    assert_eq!(seen.len(), 2);
    for seen in seen {
        let record = scene.daemon.wait_final_from(seen.port)?;
        let count = |key: &str| record["requests"][key].as_u64().unwrap_or(0);
        assert_eq!(count("total"), seen.methods.len() as u64, "{seen:?} {record:#}");
        assert_eq!(count("none"), 2, "{record:#}");
        assert_eq!(count("verified") + count("unknown"), seen.credentials, "{record:#}");
    }
    Ok(())
}

#[test]
fn answers_of_401_and_403_are_counted_as_rejected() -> Result<()> {
    let scene = Scene::new()?;
    scene.nginx.directory.write("private", "private\n")?;
    scene.nginx.directory.write("users", "user:{PLAIN}sesame\n")?;
    for ip in addresses(&scene.server) {
        let [url, private, unauthorized, forbidden] =
            ["/", "/private", "/unauthorized", "/forbidden"].map(|path| scene.url(ip, path));
        scene.curl(&[
            &[&private],
            // No body follows, whatever Content-Length says.
            &["-I", &private],
            &["-u", "user:sesame", &private],
            &["-u", "user:wrong", &private],
            &[&unauthorized],
            &["-I", &url],
            &["-X", "DELETE", &forbidden],
        ])?;
    }
    let reading = scene.capture.stop()?;
    let seen = seen(&reading)?;
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(seen.statuses, [401, 401, 200, 401, 401, 200, 403]);
        let record = scene.daemon.wait_final_from(seen.port)?;
        assert_agrees(&record, &seen, &reading)?;
        assert_eq!(record["last_request"], json!({"method": "DELETE", "status": 403}));
    }
    Ok(())
}

#[test]
fn what_nginx_served_is_what_the_metrics_count() -> Result<()> {
    let scene = Scene::new()?;
    for ip in addresses(&scene.server) {
        let url = scene.url(ip, "/");
        scene.curl(&[&[&url], &["-u", "user:x", &url], &[&url]])?;
    }
    let reading = scene.capture.stop()?;
    for seen in seen(&reading)? {
        scene.daemon.wait_final_from(seen.port)?;
    }
    let edge = [
        "client_namespace=\"shop\"",
        "client_service_account=\"frontend\"",
        "server_service_account=\"orders\"",
        "server_port=\"8080\"",
        "transport=\"tcp\"",
    ];
    let with = |label: &'static str| -> Vec<&str> { edge.into_iter().chain([label]).collect() };
    let count = |name: &str, label| scene.daemon.metric(name, &with(label));
    let of = |filter: &str| reading.values(filter, "frame.number").map(|frames| frames.len() as f64);
    assert_eq!(
        count("observer_requests_total", "authentication=\"none\"")?,
        of("http.request && !http.authorization")?
    );
    assert_eq!(
        count("observer_requests_total", "authentication=\"present\"")?,
        of("http.request && http.authorization")?
    );
    assert_eq!(scene.daemon.metric("observer_requests_total", &[])?, of("http.request")?);
    assert_eq!(count("observer_flows_total", "encryption=\"plaintext\"")?, 2.0);
    assert_eq!(count("observer_findings_total", "kind=\"unauthenticated\"")?, 2.0);
    assert_eq!(scene.daemon.metric("observer_lost_events_total", &[])?, 0.0);
    let all = scene.daemon.get("/metrics")?;
    assert!(!all.contains(&scene.server.ip4.to_string()) && !all.contains(&scene.client.name));
    Ok(())
}
