//! Objects, files, tokens and keys that were made to do harm.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, Directory, TokenIssuer, base64url, proven, release_binary};
use serde_json::json;

const ISSUER: &str = "https://issuer.test";
const HTTP: u16 = 8080;
/// No API server lets such a name pass; a file can hold it. Quotes, a label's end, line ends, escapes of terminals in 7
/// and 8 bits, text that runs backwards, HTML.
const EVIL: &str = "a\"b\\c\n{x=\"y\"} 1\r\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}5m\u{202e}gnol<script>alert(1)</script>\u{e9}";
/// More than any of this needs; a bomb that goes off needs more.
const MAY_TAKE: &str = "--data=600000000";

fn call(client: &Pod, server: &Pod, headers: &[(&str, &str)]) -> Result<()> {
    let request = wire::get(headers);
    wire::talk(client, &server.ip4.to_string(), HTTP, &[Step::Send(request.as_bytes()), Step::Hear])
}

/// Neither moves a cursor, nor changes the order of what is read.
fn is_harmless(text: &str) -> bool {
    let turns =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    text.chars().all(|c| c == '\n' || !c.is_control() && !turns(c))
}

/// `name: mallory-x2k4v` becomes a quoted name with [`EVIL`] in it.
fn with_evil_names(yaml: &str) -> String {
    let mut text = String::new();
    for line in yaml.lines() {
        match line.split_once(": ").filter(|(_, value)| value.contains("mallory")) {
            Some((key, value)) => {
                let name = json!(value.trim_matches('"').replace("mallory", EVIL)).to_string();
                let _ = write!(text, "{key}: ");
                // YAML takes no control characters as they are.
                for c in name.chars() {
                    let _ = if c.is_ascii() {
                        write!(text, "{c}")
                    } else {
                        write!(text, "\\u{:04x}", u32::from(c))
                    };
                }
                text.push('\n');
            }
            None => text = text + line + "\n",
        }
    }
    text
}

#[test]
fn names_that_no_api_server_allows_stay_text_in_records_metrics_tables_and_logs() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").start()?;
    let client = node.pod("shop", "mallory").deployment("mallory").start()?;
    let _server = wire::listen(&server, &[(HTTP, Manners::Answer)])?;
    let graph = "
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec: {governs: namespace, edges: [{from: {serviceAccount: \"no\\e[31mbody\\nINFO forged\"}, to: {serviceAccount: payments}}]}
";
    let strict = Daemon::builder().graph(graph).rewrite(with_evil_names).start(&node);
    // Whether it starts with such a graph or not: what it says of it is one line.
    let said = strict.map_or_else(|error| format!("{error:#}"), |daemon| daemon.log());
    ensure!(is_harmless(&said) && !said.lines().any(|line| line.starts_with("INFO forged")), "{said:?}");

    let daemon = Daemon::builder().rewrite(with_evil_names).start(&node)?;
    call(&client, &server, &[])?;
    let evil = format!("shop/{EVIL}");
    let record =
        daemon.wait_for("of the evil name", |record| record["client"]["principal"] == evil.as_str())?;
    assert_eq!(record["client"]["service_account"], EVIL, "{record:#}");

    // promtool is the judge of the exposition.
    let exposition = daemon.get_as("/metrics", "text/plain")?;
    let (_, body) = exposition.split_once("\r\n\r\n").context("no body")?;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().context("promtool")?;
    promtool.stdin.take().context("stdin")?.write_all(body.as_bytes())?;
    let judged = promtool.wait_with_output()?;
    let said =
        String::from_utf8_lossy(&judged.stderr).into_owned() + &String::from_utf8_lossy(&judged.stdout);
    ensure!(judged.status.code() != Some(1) && !said.contains("error"), "{}: {said}", judged.status);
    // As the text format has it: backslash, quote and line feed are escaped, and nothing else.
    let escaped = EVIL.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    ensure!(body.contains(&format!("client_service_account=\"{escaped}\"")), "{body}");

    for asked in [&["flows"][..], &["flows", "-o", "wide"], &["edges"], &["findings"], &["posture"]] {
        let output = daemon.ask(asked)?;
        let table = String::from_utf8(output.stdout)?;
        // Posture knows too little here to name anybody.
        ensure!(asked[0] == "posture" || table.contains("red"), "{asked:?} does not tell of it: {table}");
        ensure!(is_harmless(&table), "{asked:?}: {table:?}");
    }
    ensure!(is_harmless(&daemon.log()), "{:?}", daemon.log());
    proven!(
        Input,
        "names with quotes, line ends, terminal escapes, HTML, reversed text",
        "promtool reads the metrics; records are equal to the name; no control character in 5 tables and the log"
    );
    Ok(())
}

/// An alias of an alias of an alias: 10^12 words (the "billion laughs").
fn laughs() -> String {
    let mut yaml = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(yaml, "a{level}: &a{level} [{aliases}]");
    }
    yaml
}

/// One long text, many times: quadratic, and no nesting gives it away.
fn echoes() -> String {
    format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 20_000].join(", "))
}

/// `arguments` in a process that may have some hundred megabytes.
fn run(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("prlimit");
    command.arg(MAY_TAKE).arg("timeout").arg("20").arg(release_binary()?).args(arguments);
    command.stdin(Stdio::null()).output().context("prlimit")
}

#[test]
fn yaml_bombs_in_any_file_are_refused_in_one_line() -> Result<()> {
    let directory = Directory::new()?;
    let head =
        "apiVersion: observer.dev/v1alpha1\nkind: ServiceGraph\nmetadata: {name: shop, namespace: shop}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, uid: u}\n";
    let deep = format!("a: {}\n", "[".repeat(100_000));
    let json = format!("{{\"a\": {}", "[".repeat(100_000));
    let bombs = [("laughs", laughs()), ("echoes", echoes()), ("deep", deep)];
    let mut failures = Vec::new();
    for (name, bomb) in &bombs {
        let file = |kind: &str, text: String| -> Result<String> {
            Ok(directory.write(&format!("{name}-{kind}.yaml"), text)?.display().to_string())
        };
        let config = file("config", bomb.clone())?;
        let graph = file("graph", format!("{head}spec:\n  {}", bomb.replace('\n', "\n  ")))?;
        let inventory = file("inventory", format!("{pod}{bomb}"))?;
        let json = directory.write("deep.json", &json)?.display().to_string();
        for arguments in [
            &["run", "--config", &config][..],
            &["graph", "check", &graph],
            &["run", "--inventory", &inventory],
            &["graph", "check", &json],
        ] {
            let started = Instant::now();
            let output = run(arguments)?;
            let took = started.elapsed();
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            let refused = matches!(output.status.code(), Some(1 | 2)) && said.len() < 2000;
            eprintln!(
                "{name} {arguments:?} {} after {took:?}: {}",
                output.status,
                said.lines().last().unwrap_or_default()
            );
            if !refused || said.contains("panicked") || took > Duration::from_secs(10) {
                failures.push(format!("{name} {arguments:?}: {} after {took:?}: {said:.300}", output.status));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    proven!(
        Input,
        "YAML and JSON that expand or nest without end, as settings, graph and inventory",
        "{} bombs in 4 files each refused within 10 s and 600 MB",
        bombs.len()
    );
    Ok(())
}

#[test]
fn a_policy_of_a_megabyte_is_in_force_and_keeps_nobody_waiting() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").start()?;
    let client = node.pod("shop", "orders").start()?;
    let other = node.pod("shop", "other").start()?;
    let _server = wire::listen(&server, &[(HTTP, Manners::Answer)])?;
    let mut policy = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: huge, namespace: shop}
spec:
  action: ALLOW
  rules:
"
    .to_owned();
    let mut number = 0;
    while policy.len() < 1 << 20 {
        number += 1;
        let _ = writeln!(
            policy,
            "  - from: [{{source: {{principals: [cluster.local/ns/elsewhere/sa/client-{number}]}}}}]"
        );
    }
    policy += "  - from: [{source: {namespaces: [shop]}}]\n    to: [{operation: {ports: ['8080']}}]\n";
    let started = Instant::now();
    let daemon = Daemon::builder().graph(&policy).start(&node)?;
    eprintln!("{number} rules, ready after {:?}", started.elapsed());
    for _ in 0..20 {
        call(&client, &server, &[])?;
    }
    call(&other, &server, &[])?;
    let last = Instant::now();
    let record = daemon.wait_final("shop/other", "shop/payments")?;
    eprintln!("told after {:?}: {}", last.elapsed(), record["declaration"]);
    let source = record["declaration"]["source"].as_str().unwrap_or_default();
    ensure!(source.contains("AuthorizationPolicy shop/huge"), "{record:#}");
    assert_eq!(daemon.finals("shop/orders", "shop/payments")?.len(), 20);
    assert_eq!(daemon.metric("observer_lost_events_total", &[])?, 0.0);
    proven!(
        Input,
        "an AuthorizationPolicy of 1 MiB",
        "{number} rules in force; 21 of 21 flows judged, nothing lost"
    );
    Ok(())
}

fn token(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", base64url(header.as_bytes()), base64url(claims.as_bytes()))
}

#[test]
fn tokens_made_to_break_their_reader_are_never_verified_and_end_nothing() -> Result<()> {
    let issuer = TokenIssuer::new(ISSUER)?;
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").start()?;
    let client = node.pod("shop", "orders").start()?;
    let _server = wire::listen(&server, &[(HTTP, Manners::Answer)])?;
    let mut daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;
    let claims = json!({"iss": ISSUER, "sub": "system:serviceaccount:shop:orders", "exp": 4_000_000_000_u64})
        .to_string();
    let deep = format!("{{\"iss\": \"{ISSUER}\", \"a\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let wide = format!("{{\"iss\": \"{ISSUER}\", {} \"z\": 0}}", "\"a\": 1, ".repeat(1000));
    let signature = base64url(&[7; 256]);
    let long = "k".repeat(8000);
    let cases = [
        ("alg none", token(r#"{"alg":"none"}"#, &claims, ""), Some("invalid")),
        ("alg nOnE", token(r#"{"alg":"nOnE"}"#, &claims, &signature), None),
        ("alg HS256", token(r#"{"alg":"HS256","kid":"test-key"}"#, &claims, &signature), Some("invalid")),
        (
            "a kid of 8,000 letters",
            token(&json!({"alg": "RS256", "kid": long}).to_string(), &claims, &signature),
            None,
        ),
        (
            "a kid with line ends",
            token(&json!({"alg": "RS256", "kid": EVIL}).to_string(), &claims, &signature),
            None,
        ),
        (
            "a jku of the sender's",
            token(r#"{"alg":"RS256","kid":"x","jku":"http://127.0.0.1:1/"}"#, &claims, &signature),
            None,
        ),
        ("deep claims", token(r#"{"alg":"RS256","kid":"test-key"}"#, &deep, &signature), None),
        ("a deep header", token(&deep, &claims, &signature), None),
        ("claims a thousand times", token(r#"{"alg":"RS256","kid":"test-key"}"#, &wide, &signature), None),
        (
            "an endless signature",
            token(r#"{"alg":"RS256","kid":"test-key"}"#, &claims, &"A".repeat(9000)),
            None,
        ),
        (
            "numbers out of range",
            token(
                r#"{"alg":"RS256","kid":"test-key"}"#,
                r#"{"iss":"https://issuer.test","exp":1e999,"nbf":-1e999}"#,
                &signature,
            ),
            None,
        ),
    ];
    for (n, (name, token, status)) in cases.iter().enumerate() {
        call(&client, &server, &[("Authorization", &format!("Bearer {token}"))])?;
        let record = loop {
            let finals = daemon.finals("shop/orders", "shop/payments")?;
            if finals.len() > n {
                break finals[n].clone();
            }
            ensure!(daemon.get("/healthz")?.starts_with("HTTP/1.1 200"), "{name}: {}", daemon.log());
            thread::sleep(Duration::from_millis(50));
        };
        let is = &record["authentication"]["status"];
        eprintln!("{name}: {}", record["authentication"]);
        ensure!(*is != "verified" && *is != "none", "{name}: {record:#}");
        ensure!(status.is_none_or(|status| *is == status), "{name}: {record:#}");
        ensure!(record.to_string().len() < 4000, "{name}: {} bytes", record.to_string().len());
    }
    ensure!(!daemon.log().contains("panicked") && is_harmless(&daemon.log()), "{:?}", daemon.log());
    ensure!(daemon.end(libc::SIGTERM)?.success());
    proven!(
        Input,
        "tokens with alg none, endless key ids, deep and wide claims",
        "{} tokens, none verified",
        cases.len()
    );
    Ok(())
}

/// Answers, by path: a byte a second; without end; 200 MB; by sending the caller on to itself.
const JWKS: &str = r#"
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/again":
                self.send_response(302)
                self.send_header("Location", "/again")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            if self.path == "/slow":
                for letter in '{"keys": [' + ' ' * 10000:
                    self.wfile.write(letter.encode())
                    self.wfile.flush()
                    time.sleep(1)
            elif self.path == "/endless":
                while True:
                    self.wfile.write(b'{"keys": [' + b' ' * 65536)
            else:
                self.wfile.write(b'{"keys": [')
                for _ in range(200):
                    self.wfile.write(b'{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x"},' * 20000)
        except OSError:
            pass
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// In the daemon's own network namespace; ends with the test.
struct Keys(Child);

impl Keys {
    fn serve(port: u16) -> Result<Self> {
        let server = Self(Command::new("python3").args(["-c", JWKS, &port.to_string()]).spawn()?);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(10), "the server of keys does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn servers_of_keys_that_are_slow_endless_or_huge_keep_nothing_waiting() -> Result<()> {
    const SLOW: Duration = Duration::from_secs(18);
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").start()?;
    let client = node.pod("shop", "orders").start()?;
    let _server = wire::listen(&server, &[(HTTP, Manners::Answer)])?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let _keys = Keys::serve(port)?;
    let directory = Directory::new()?;
    let paths = ["slow", "endless", "huge", "again"];
    let issuers: Vec<String> = paths
        .iter()
        .map(|path| {
            format!("{{issuer: \"https://{path}.test\", jwks_url: \"http://127.0.0.1:{port}/{path}\"}}")
        })
        .collect();
    let config = directory.write("config.yaml", format!("issuers: [{}]\n", issuers.join(", ")))?;
    let started = Instant::now();
    let mut daemon = Daemon::builder().arguments(["--config", &config.display().to_string()]).start(&node)?;
    ensure!(started.elapsed() < Duration::from_secs(15), "ready after {:?}", started.elapsed());
    let pid = daemon.pid();
    let mut calls = 0;
    let mut most = 0;
    while started.elapsed() < SLOW {
        let issuer = paths[calls % paths.len()];
        let claims = json!({"iss": format!("https://{issuer}.test"), "sub": "x", "exp": 4_000_000_000_u64})
            .to_string();
        let token = token(r#"{"alg":"RS256","kid":"x"}"#, &claims, &base64url(&[7; 256]));
        call(&client, &server, &[("Authorization", &format!("Bearer {token}"))])?;
        calls += 1;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
        most = most.max(memory.trim().trim_end_matches(" kB").parse::<u64>()?);
        thread::sleep(Duration::from_millis(500));
    }
    daemon.wait_ready()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while daemon.finals("shop/orders", "shop/payments")?.len() < calls {
        ensure!(Instant::now() < deadline, "records are missing: {}", daemon.log());
        thread::sleep(Duration::from_millis(100));
    }
    for record in daemon.finals("shop/orders", "shop/payments")? {
        assert_eq!(record["authentication"]["status"], "present", "{record:#}");
        assert_eq!(record["authentication"]["reason"], "unverified", "{record:#}");
    }
    eprintln!("{calls} calls, {most} KiB at most\n{}", daemon.log());
    ensure!(most < 128 << 10, "{most} KiB");
    ensure!(is_harmless(&daemon.log()) && !daemon.log().contains("panicked"), "{:?}", daemon.log());
    proven!(
        Input,
        "JWKS servers that are slow, endless, huge, or redirect to themselves",
        "{calls} of {calls} flows judged meanwhile, all unverified; {most} KiB at most"
    );
    Ok(())
}
