//! A credential that a flow carries occurs in no log, record, metric or answer, and soon not in memory either.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use observer_harness::{Place, SimNode};
use observer_integration::needles::Needles;
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, TokenIssuer, base64url};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.test";
const FIRST: u16 = 9001;
const PORTS: u16 = 24;

/// Secrets as they are sent; each is unique.
struct Mint {
    issuer: TokenIssuer,
    needles: Needles,
    made: u32,
}

impl Mint {
    /// A token of the `client` pod. `expires_in` seconds.
    fn token(&mut self, name: &str, expires_in: i64) -> Result<String> {
        self.made += 1;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        self.sign(
            name,
            &json!({
                "iss": ISSUER, "sub": "system:serviceaccount:shop:client", "aud": ["shop"],
                "exp": now + expires_in, "jti": format!("{}-{}", std::process::id(), self.made),
                "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "client", "uid": "u"}},
            }),
        )
    }

    fn sign(&mut self, name: &str, claims: &Value) -> Result<String> {
        let token = self.issuer.sign(claims)?;
        self.watch(name, &token);
        Ok(token)
    }

    /// Looks for the whole of what was sent: of a token that is header, claims and signature as they are encoded.
    fn watch(&mut self, name: &str, secret: &str) {
        self.needles.add(name, secret.as_bytes());
    }

    /// Letters that occur nowhere else.
    fn opaque(&mut self, name: &str) -> String {
        self.made += 1;
        let seed = self.issuer.sign(&json!({"opaque": self.made, "pid": std::process::id()}));
        let secret = seed.map(|token| token[token.len() - 40..].to_owned()).unwrap_or_default();
        self.watch(name, &secret);
        secret
    }
}

fn bearer(token: &str) -> String {
    wire::get(&[("Authorization", &format!("Bearer {token}"))])
}

/// One way for a credential to come by, and what the record must say of it: that it did come by.
struct Path<'a> {
    from: &'a Place,
    host: String,
    port: u16,
    steps: Vec<Vec<u8>>,
    expect: (&'a str, &'a str),
}

#[test]
fn a_credential_is_in_no_log_record_metric_or_answer_and_not_left_in_memory() -> Result<()> {
    let mut mint = Mint { issuer: TokenIssuer::new(ISSUER)?, needles: Needles::default(), made: 0 };
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "server").start()?;
    let client = node.pod("shop", "client").start()?;
    let outside = node.external("api")?;
    let ports: Vec<(u16, Manners)> = (FIRST..FIRST + PORTS).map(|port| (port, Manners::Answer)).collect();
    let _inside = wire::listen(&server, &ports)?;
    let _outside = wire::listen(&outside, &ports)?;
    let daemon = Daemon::builder()
        .arguments(mint.issuer.arguments())
        .arguments(["--log-level", "trace", "--output", "json"])
        .start(&node)?;

    let mut next = FIRST;
    let mut paths = Vec::new();
    let mut path = |steps: Vec<Vec<u8>>, expect| {
        let port = next;
        next += 1;
        paths.push(Path { from: &client, host: server.ip4.to_string(), port, steps, expect });
    };
    let whole = mint.token("whole", 3600)?;
    path(vec![bearer(&whole).into()], ("verified", ""));
    let split = bearer(&mint.token("split over segments", 3600)?);
    path(split.as_bytes().chunks(90).map(<[u8]>::to_vec).collect(), ("verified", ""));
    let first = mint.token("in a head over the limit", 3600)?;
    let long = [("Authorization", &*format!("Bearer {first}")), ("X-Long", &"a".repeat(40_000))];
    path(vec![wire::get(&long).into()], ("unknown", "head-too-long"));
    let broken =
        bearer(&mint.token("in a malformed request", 3600)?).replace("\r\n\r\n", "\r\nbro\0ken\r\n\r\n");
    path(vec![broken.into()], ("unknown", "malformed-http"));
    let mut burst = String::new();
    for n in 0..5 {
        burst += &bearer(&mint.token(&format!("pipelined {n}"), 3600)?);
    }
    path(vec![burst.into()], ("verified", ""));
    let half = bearer(&mint.token("in half a pipelined request", 3600)?);
    let half = [wire::get(&[]), half[..half.len() - 30].to_owned()].concat();
    path(vec![half.into()], ("none", ""));
    let (head, body) = (mint.token("of a chunked request", 3600)?, mint.token("in a chunked body", 3600)?);
    let mut chunked = bearer(&head).replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    write!(chunked, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len())?;
    path(vec![chunked.into()], ("verified", ""));
    let mut forged = mint.token("with another signature", 3600)?;
    forged.replace_range(forged.len() - 60..forged.len() - 20, &mint.opaque("the forged part"));
    path(vec![bearer(&forged).into()], ("invalid", "bad-signature"));
    let expired = mint.token("expired", -7200)?;
    path(vec![bearer(&expired).into()], ("invalid", "expired"));
    let legacy = mint.sign(
        "legacy",
        &json!({
            "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:client",
            "kubernetes.io/serviceaccount/namespace": "shop",
            "kubernetes.io/serviceaccount/service-account.name": "client",
            "kubernetes.io/serviceaccount/secret.name": format!("client-token-{}", std::process::id()),
        }),
    )?;
    path(vec![bearer(&legacy).into()], ("verified", ""));
    let foreign = mint.sign("of a foreign issuer", &json!({"iss": "https://elsewhere.test", "sub": "x"}))?;
    path(vec![bearer(&foreign).into()], ("present", "foreign-issuer"));
    let password = base64url(format!("admin:{}", mint.opaque("password")).as_bytes());
    mint.watch("basic", &password);
    path(vec![wire::get(&[("Authorization", &format!("Basic {password}"))]).into()], ("present", ""));
    let opaque = mint.opaque("opaque");
    path(vec![bearer(&opaque).into()], ("present", ""));
    let bare = mint.token("without a scheme", 3600)?;
    path(vec![wire::get(&[("Authorization", &bare)]).into()], ("present", ""));
    let query = mint.token("in a query", 3600)?;
    path(vec![wire::get(&[]).replace("query=1", &format!("access_token={query}")).into()], ("none", ""));
    let key = mint.opaque("in another header");
    path(vec![wire::get(&[("X-Api-Key", &key)]).into()], ("none", ""));
    let late = bearer(&mint.token("on a kept connection", 3600)?);
    path(vec![wire::get(&[]).into(), wire::get(&[]).into(), late.into()], ("verified", ""));
    let noise = [&[0xf5][..], mint.token("in the noise", 3600)?.as_bytes()].concat();
    path(vec![noise], ("", ""));
    let word = format!("{}\r\n", mint.opaque("in a line that is no request"));
    path(vec![word[..20].into(), word[20..].into()], ("", ""));
    let six = mint.token("over IPv6", 3600)?;
    path(vec![bearer(&six).into()], ("verified", ""));
    if let Some(last) = paths.last_mut() {
        last.host = server.ip6.to_string();
    }
    let out = bearer(&mint.token("to an external server", 3600)?);
    let port = FIRST + PORTS - 1;
    let steps = out.as_bytes().chunks(200).map(<[u8]>::to_vec).collect();
    let host = outside.ip4.to_string();
    paths.push(Path { from: &client, host, port, steps, expect: ("verified", "") });

    for path in &paths {
        let steps = path.steps.iter().flat_map(|bytes| [Step::Send(bytes), Step::Pause(30)]);
        wire::talk(path.from, &path.host, path.port, &steps.collect::<Vec<_>>())?;
    }
    thread::sleep(Duration::from_secs(2));
    let in_memory = mint.needles.find_in_process(daemon.pid())?;

    // Each came by, and was judged: otherwise not to find it would prove nothing.
    for Path { port, expect: (status, reason), .. } in &paths {
        let what = format!("final, port {port}");
        let record =
            daemon.wait_for(&what, |record| record["final"] == true && record["server"]["port"] == *port)?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let authentication = &record["authentication"];
        assert_eq!(word(&authentication["status"]), *status, "{record:#}");
        assert_eq!(word(&authentication["reason"]), *reason, "{record:#}");
    }
    // The search finds what is there.
    let own = mint.needles.find_in_process(std::process::id())?;
    assert!(!own.is_empty(), "the search is blind");
    assert!(!mint.needles.find(format!("x{opaque}y").as_bytes()).is_empty(), "the search is blind");

    let answers = [
        ("stdout", daemon.stdout()),
        ("log", daemon.log()),
        ("/metrics as text", daemon.get_as("/metrics", "text/plain")?),
        ("/metrics as OpenMetrics", daemon.get_as("/metrics", "application/openmetrics-text")?),
        ("/healthz", daemon.get("/healthz")?),
        ("/readyz", daemon.get("/readyz")?),
        ("flows", ask(&daemon, &["flows", "-o", "json", "--last", "1000"])?),
        ("flows as a table", ask(&daemon, &["flows", "--last", "1000"])?),
        ("findings", ask(&daemon, &["findings", "-o", "json"])?),
        ("edges", ask(&daemon, &["edges", "-o", "json"])?),
    ];
    for (name, text) in &answers {
        assert!(!text.is_empty(), "{name} is empty");
        let found = mint.needles.find(text.as_bytes());
        if let Some((secret, at)) = found.first() {
            let start = text.floor_char_boundary(at.saturating_sub(200));
            panic!(
                "{name} holds the secret {secret:?}: ...{}",
                &text[start..text.ceil_char_boundary(at + 50)]
            );
        }
    }
    assert!(in_memory.is_empty(), "left in memory after 2 s:\n{}", in_memory.join("\n"));
    Ok(())
}

fn ask(daemon: &Daemon, arguments: &[&str]) -> Result<String> {
    let output = daemon.ask(arguments)?;
    anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("not UTF-8")
}
