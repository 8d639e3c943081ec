//! A secret goes through every protocol while everything is switched on, and through a crash: it is in no output, soon
//! not in memory, and never on a disk.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Place, Pod, Process, SimNode};
use observer_integration::needles::Needles;
use observer_integration::programs::go;
use observer_integration::servers::{Certificate, nginx, python, s_server, start};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer, base64url, proven};

const ISSUER: &str = "https://issuer.test";
const ANSWER: u16 = 9001;
const SINK: u16 = 9002;
const FIRST: u16 = 9003;
const NGHTTPD: u16 = 9010;
const NGINX: u16 = 9011;
const GO: u16 = 9012;
const TLS: u16 = 9013;
const UDP: u16 = 9014;
/// The ring's size, and some: see `observer/src/probe/load.rs`.
const LAP: usize = 9 << 20;

struct Canaries {
    issuer: TokenIssuer,
    needles: Needles,
    client: Pod,
}

impl Canaries {
    /// Of the client's, and unique.
    fn token(&mut self, name: &str) -> Result<String> {
        let claims = Claims { audiences: vec![name.to_owned(), random()?], expires_in: 3600 };
        let token = self.issuer.bound(&self.client, &claims)?;
        // The header says only which key and which algorithm: it is told.
        let (_, rest) = token.split_once('.').context("a token")?;
        // Claims begin alike, and some of them are told; a signature is nobody else's.
        let signature = rest.rsplit('.').next().context("a signature")?;
        self.needles.add(name, signature.as_bytes());
        Ok(token)
    }

    fn word(&mut self, name: &str) -> Result<String> {
        let word = random()?;
        self.needles.add(name, word.as_bytes());
        Ok(word)
    }
}

/// 32 letters by chance.
fn random() -> Result<String> {
    let mut bytes = [0; 24];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(base64url(&bytes))
}

struct Scene {
    server: Pod,
    client: Pod,
    node: SimNode,
    _listener: Process,
}

impl Scene {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let ports = [(ANSWER, Manners::Answer), (SINK, Manners::Sink), (FIRST, Manners::First)];
        let listener = wire::listen(&server, &ports)?;
        Ok(Self { server, client, node, _listener: listener })
    }

    fn talk(&self, port: u16, parts: &[&[u8]]) -> Result<()> {
        let mut steps = if port == FIRST { vec![Step::Hear] } else { Vec::new() };
        steps.extend(parts.iter().flat_map(|&part| [Step::Send(part), Step::Pause(30)]));
        wire::talk(&self.client, &self.server.ip4.to_string(), port, &steps)
    }

    /// curl with a header that stands on no command line.
    fn curl(&self, port: u16, header: &str, more: &[&str]) -> Result<()> {
        let directory = Directory::new()?;
        let file = format!("@{}", directory.write("header", header)?.display());
        let url = format!("http://{}:{port}/", self.server.ip4);
        let line = [&["curl", "-sS", "-o", "/dev/null", "-H", &file], more, &[&url]].concat();
        self.client.run_ok(line).map(drop)
    }
}

fn length_first(kind: &[u8], body: &[u8]) -> Vec<u8> {
    // Postgres counts the length's own four bytes.
    let length = u32::try_from(body.len() + 4).unwrap_or(0).to_be_bytes();
    [kind, &length, body].concat()
}

/// Everything that carries credentials in clear, one after the other; how many ways there were.
fn all_protocols(scene: &Scene, canaries: &mut Canaries) -> Result<usize> {
    let mut ways = 0;
    let mut raw = |name: &str, port: u16, parts: &[&[u8]]| {
        ways += 1;
        scene.talk(port, parts).with_context(|| name.to_owned())
    };
    // HTTP/1 and what begins with it.
    for (name, version) in [("http/1.1", "HTTP/1.1"), ("http/1.0", "HTTP/1.0")] {
        let head = wire::get(&[("Authorization", &format!("Bearer {}", canaries.token(name)?))]);
        raw(name, ANSWER, &[head.replace("HTTP/1.1", version).as_bytes()])?;
    }
    for scheme in ["Digest username=\"x\", response=", "Negotiate ", "AWS4-HMAC-SHA256 Credential=", ""] {
        let value = format!("{scheme}{}", canaries.word(&format!("scheme {scheme:?}"))?);
        raw("a scheme", ANSWER, &[wire::get(&[("Authorization", &value)]).as_bytes()])?;
    }
    for header in ["X-Api-Key", "Cookie", "Proxy-Authorization", "X-Unheard-Of"] {
        raw(header, ANSWER, &[wire::get(&[(header, &canaries.word(header)?)]).as_bytes()])?;
    }
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Authorization", &*format!("Bearer {}", canaries.token("websocket")?)),
    ];
    let frame = [b"\x81\xa0abcd".as_slice(), canaries.word("in a websocket's frame")?.as_bytes()].concat();
    raw("websocket", ANSWER, &[wire::get(&upgrade).as_bytes(), &frame])?;
    let connect = format!(
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic {}\r\n\r\n",
        canaries.word("connect")?
    );
    raw("connect", ANSWER, &[connect.as_bytes(), canaries.word("in a tunnel")?.as_bytes()])?;
    let head = wire::get(&[("Authorization", &format!("Bearer {}", canaries.token("proxy protocol")?))]);
    let proxied = format!("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n{head}");
    raw("proxy protocol", ANSWER, &[proxied.as_bytes()])?;
    let trailer = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer {}\r\n\r\n",
        canaries.token("in a trailer")?
    );
    raw("trailer", ANSWER, &[trailer.as_bytes()])?;
    let half = wire::get(&[("Authorization", &format!("Bearer {}", canaries.token("half a head")?))]);
    raw("half a head", SINK, &[&half.as_bytes()[..half.len() - 4]])?;
    // Protocols whose names are told.
    let startup = length_first(b"", b"\0\x03\0\0user\0shop\0\0");
    let password = length_first(b"p", format!("{}\0", canaries.word("postgres")?).as_bytes());
    raw("postgres", SINK, &[&startup, &password])?;
    let auth = format!("*2\r\n$4\r\nAUTH\r\n$32\r\n{}\r\n", canaries.word("redis")?);
    raw("redis", SINK, &[auth.as_bytes()])?;
    let auth = format!("EHLO x\r\nAUTH PLAIN {}\r\n", canaries.word("smtp")?);
    raw("smtp", FIRST, &[auth.as_bytes()])?;
    let connect = format!("CONNECT {{\"auth_token\":\"{}\"}}\r\nPING\r\n", canaries.word("nats")?);
    raw("nats", SINK, &[connect.as_bytes()])?;
    let password = canaries.word("ldap")?;
    let bind = [b"\x30\x2d\x02\x01\x01\x60\x28\x02\x01\x03\x04\x01x\x80\x20", password.as_bytes()];
    raw("ldap", SINK, &[&bind.concat()])?;
    let set = format!("set k 0 0 32\r\n{}\r\n", canaries.word("memcached")?);
    raw("memcached", SINK, &[set.as_bytes()])?;
    let noise = [&wire::noise(400), canaries.word("noise")?.as_bytes()].concat();
    raw("noise", SINK, &[&noise])?;

    // HTTP/2, as three programs speak it: with and without indexed fields, upgraded, with gRPC's content type.
    let bearer = |token: String| format!("authorization: Bearer {token}\n");
    scene.curl(NGHTTPD, &bearer(canaries.token("http/2")?), &["--http2-prior-knowledge"])?;
    scene.curl(GO, &bearer(canaries.token("upgraded to http/2")?), &["--http2"])?;
    let grpc = ["--http2-prior-knowledge", "-H", "content-type: application/grpc", "-d", "x"];
    scene.curl(NGHTTPD, &bearer(canaries.token("grpc")?), &grpc)?;
    // The answer holds it too.
    scene.curl(NGINX, &bearer(canaries.token("echoed")?), &[])?;
    let url = format!("http://{}:{GO}/", scene.server.ip4);
    let header = Directory::new()?;
    let file = header.write("token", canaries.token("indexed by Go's HPACK")?)?.display().to_string();
    let program = go("go-h2c")?.display().to_string();
    scene.client.run_ok([&*program, "-url", &url, "-n", "5", "-token-file", &file])?;
    // Inside TLS nobody sees it.
    let file = format!("@{}", header.write("header", bearer(canaries.token("tls")?))?.display());
    let url = format!("https://{}:{TLS}/", scene.server.ip4);
    scene.client.run_ok(["curl", "-sSk", "-o", "/dev/null", "-H", &file, &url])?;
    // Datagrams.
    let send = "import socket,sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(open(sys.argv[3],'rb').read(), (sys.argv[1], int(sys.argv[2])))";
    let file = header.write("datagram", canaries.word("datagram")?)?;
    let (host, port) = (scene.server.ip4.to_string(), UDP.to_string());
    scene.client.run_ok(python(send, &[&host, &port, &file.display().to_string()]))?;
    Ok(ways + 7)
}

fn servers(scene: &Scene, certificate: &Certificate, files: &Directory) -> Result<Vec<Box<dyn Running>>> {
    let words = |line: &[&str]| line.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let place: &Place = &scene.server;
    let mut running: Vec<Box<dyn Running>> = Vec::new();
    let path = files.path().display().to_string();
    running
        .push(Box::new(start(place, &words(&["nghttpd", "--no-tls", "-d", &path, &NGHTTPD.to_string()]))?));
    place.wait_listening(NGHTTPD)?;
    let echo =
        format!("listen {NGINX}; add_header X-Echo $http_authorization; return 200 '$http_authorization';");
    running.push(Box::new(nginx(place, NGINX, &echo)?));
    let program = go("go-h2c")?.display().to_string();
    running.push(Box::new(start(place, &words(&[&program, "-listen", &format!(":{GO}")]))?));
    place.wait_listening(GO)?;
    running.push(Box::new(s_server(place, TLS, certificate, &["-www"])?));
    Ok(running)
}

/// Something that runs until it is dropped.
trait Running {}
impl<T> Running for T {}

fn outputs(daemon: &Daemon) -> Result<Vec<(&'static str, String)>> {
    let ask = |arguments: &[&str]| -> Result<String> {
        let output = daemon.ask(arguments)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    Ok(vec![
        ("stdout", daemon.stdout()),
        ("log", daemon.log()),
        ("/metrics", daemon.get("/metrics")?),
        ("flows", ask(&["flows", "-o", "json", "--last", "1000"])?),
        ("findings", ask(&["findings", "-o", "json"])?),
        ("edges", ask(&["edges", "-o", "json"])?),
        ("posture", ask(&["posture", "-o", "json"])?),
    ])
}

fn nowhere(needles: &Needles, outputs: &[(&'static str, String)]) -> Result<()> {
    for (name, text) in outputs {
        let found = needles.find(text.as_bytes());
        ensure!(found.is_empty(), "{name} holds {found:?}");
    }
    Ok(())
}

#[test]
fn a_canary_in_every_protocol_is_in_no_output_soon_not_in_memory_and_after_a_lap_not_in_the_ring()
-> Result<()> {
    let scene = Scene::new()?;
    let mut canaries = Canaries {
        issuer: TokenIssuer::new(ISSUER)?,
        needles: Needles::default(),
        client: scene.client.clone(),
    };
    let (certificate, files) = (Certificate::new("shop")?, Directory::new()?);
    files.write("index.html", "hello\n")?;
    let _servers = servers(&scene, &certificate, &files)?;
    let config = files.write("config.yaml", "credential_headers: [x-api-key, cookie]\n")?;
    let daemon = Daemon::builder()
        .arguments(canaries.issuer.arguments())
        .arguments(["--log-level", "trace", "--output", "json", "--flow-rate", "0"])
        .arguments(["--config".to_owned(), config.display().to_string()])
        .start(&scene.node)?;
    let ways = all_protocols(&scene, &mut canaries)?;
    let in_ring = canaries.needles.find_in_ring(daemon.pid())?;
    ensure!(!in_ring.is_empty(), "the search does not see the ring");
    thread::sleep(Duration::from_secs(2));
    let in_memory = canaries.needles.find_in_process(daemon.pid())?;
    ensure!(in_memory.is_empty(), "left in memory after 2 s:\n{}", in_memory.join("\n"));
    // Verified, present, read as HTTP/2, named: it was looked at and not only passed by.
    let records = daemon.records()?;
    let told = |pointer: &str, word: &str| {
        records.iter().any(|record| record.pointer(pointer).is_some_and(|value| value == word))
    };
    for (pointer, word) in [
        ("/authentication/status", "verified"),
        ("/authentication/status", "present"),
        ("/protocol", "http/2"),
        ("/protocol", "grpc"),
        ("/protocol", "postgres"),
        ("/protocol", "redis"),
        ("/protocol", "tls"),
    ] {
        ensure!(told(pointer, word), "nothing told has {pointer} {word}");
    }
    nowhere(&canaries.needles, &outputs(&daemon)?)?;
    // One lap: whatever else passes.
    let (host, count) = (scene.server.ip4.to_string(), (LAP / 3_000 + 1).to_string());
    scene.client.run_ok(python(LAPS, &[&host, &ANSWER.to_string(), &count]))?;
    thread::sleep(Duration::from_millis(500));
    let in_ring = canaries.needles.find_in_ring(daemon.pid())?;
    ensure!(in_ring.is_empty(), "{} pieces are in the ring after one lap", in_ring.len());
    nowhere(&canaries.needles, &outputs(&daemon)?)?;
    proven!(
        Secret,
        "a canary through every protocol at TRACE, with records, metrics and socket",
        "{ways} ways; in no output; not in memory after 2 s; not in the ring after one lap"
    );
    Ok(())
}

/// Requests on one connection, each after its answer, and no two alike: those would only be counted. Slow enough for a
/// daemon that traces: what comes faster is sampled.
const LAPS: &str = r#"
import socket, sys, time
host, port, count = sys.argv[1:]
s = socket.create_connection((host, int(port)), timeout=20)
for n in range(int(count)):
    if n % 50 == 0: time.sleep(0.05)
    s.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\nX-Filler: %s\r\n\r\n" % (n, b"f" * 3000))
    assert s.recv(1 << 16)
"#;

fn cores(directory: &std::path::Path) -> Result<Vec<String>> {
    let mut cores = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("core") {
            cores.push(name);
        }
    }
    Ok(cores)
}

#[test]
fn a_crash_leaves_no_core_file_and_tells_no_secret() -> Result<()> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    for signal in [libc::SIGABRT, libc::SIGSEGV] {
        let scene = Scene::new()?;
        let mut canaries = Canaries {
            issuer: TokenIssuer::new(ISSUER)?,
            needles: Needles::default(),
            client: scene.client.clone(),
        };
        let mut daemon = Daemon::builder()
            .under(&["prlimit", "--core=unlimited:unlimited"])
            .arguments(canaries.issuer.arguments())
            .arguments(["--log-level", "trace"])
            .start(&scene.node)?;
        // A head whose end never comes is in memory when it crashes.
        let head = wire::get(&[("Authorization", &format!("Bearer {}", canaries.token("waiting")?))]);
        let head = head.as_bytes()[..head.len() - 2].to_vec();
        let (client, host) = (scene.client.clone(), scene.server.ip4.to_string());
        let waiting =
            thread::spawn(move || wire::talk(&client, &host, SINK, &[Step::Send(&head), Step::Pause(1_500)]));
        let deadline = Instant::now() + Duration::from_secs(10);
        while canaries.needles.find_in_process(daemon.pid())?.is_empty() {
            ensure!(Instant::now() < deadline, "the canary is not in memory");
            thread::sleep(Duration::from_millis(20));
        }
        if signal == libc::SIGSEGV {
            // The first one finds Rust's own handler, which waits for the fault to come again.
            let _ = Command::new("kill").args(["-SEGV", &daemon.pid().to_string()]).status()?;
            thread::sleep(Duration::from_millis(50));
        }
        let status = daemon.end(signal)?;
        ensure!(!status.success());
        waiting.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        let found = cores(daemon.directory())?;
        ensure!(found.is_empty(), "signal {signal}: {found:?}");
        nowhere(&canaries.needles, &[("log", daemon.log()), ("stdout", daemon.stdout())])?;
    }
    // Where a core goes elsewhere, nothing can be seen of it here; the flag is the same.
    if pattern.trim() == "core" {
        let directory = Directory::new()?;
        let line = "ulimit -c unlimited; kill -ABRT $$";
        let _ = Command::new("sh").args(["-c", line]).current_dir(directory.path()).status()?;
        ensure!(!cores(directory.path())?.is_empty(), "no program leaves a core here: this proves nothing");
    }
    proven!(
        Secret,
        "SIGABRT and SIGSEGV with a canary in memory, cores allowed",
        "no core file; no output holds it"
    );
    Ok(())
}

fn status(daemon: &Daemon, field: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("the field")?;
    Ok(line.trim().to_owned())
}

#[test]
fn memory_is_locked_where_the_limit_may_be_raised_and_elsewhere_it_works_without() -> Result<()> {
    let scene = Scene::new()?;
    let kib =
        |daemon: &Daemon| -> Result<u64> { Ok(status(daemon, "VmLck:")?.trim_end_matches(" kB").parse()?) };
    // Not everybody's root may: a container's often lacks CAP_SYS_RESOURCE.
    let may =
        Command::new("prlimit").args(["--memlock=unlimited:unlimited", "true"]).output()?.status.success();
    let locked = kib(&Daemon::start(&scene.node)?)?;
    ensure!(if may { locked > 1024 } else { locked == 0 }, "{locked} KiB are locked; may: {may}");
    let limited = Daemon::builder()
        .under(&["prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-sys_resource,-ipc_lock"])
        .start(&scene.node)?;
    ensure!(kib(&limited)? == 0);
    scene.talk(ANSWER, &[wire::get(&[]).as_bytes()])?;
    limited.wait_final("shop/client", "shop/server")?;
    let here =
        if may { format!("{locked} KiB locked") } else { "the limit may not be raised here".to_owned() };
    proven!(
        Secret,
        "memory that holds credentials, with and without the right to lock it",
        "{here}; under a limit of 64 KiB it works unlocked, and `observer doctor` says so where there is swap"
    );
    Ok(())
}
