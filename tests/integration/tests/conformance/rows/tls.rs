//! TLS handshakes, good ones and others.

use anyhow::{Result, ensure};
use observer_integration::servers::Certificate;

use crate::row::{Row, http, row};
use crate::scene::{At, NAME, SPIFFE, path};

/// A ClientHello in segments of one byte: the handshake goes through memory and by hand to the socket.
const DRIP: &str = r#"
import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(heard, said, server_hostname=sys.argv[3])
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def speak(size):
    data = said.read()
    for at in range(0, len(data), size):
        s.sendall(data[at:at + size])
        if size == 1: time.sleep(.001)
size = 1
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        speak(size)
        size = 1 << 16
        heard.write(s.recv(1 << 16))
tls.write(b"hello")
speak(1 << 16)
"#;

/// A name long enough for a hello of more than 512 bytes.
const LONG: &str = "payments.a-namespace-whose-name-is-as-long-as-they-may-be-but-one-letter-less.\
                    svc.a-cluster-domain-that-somebody-thought-a-good-idea-at-the-time.example";

/// `openssl s_server` and `openssl s_client` with options of both; the client says a name unless they say otherwise.
fn openssl(
    case: &str,
    server: &'static [&'static str],
    client: &'static [&'static str],
    expected: impl Into<String>,
) -> Row {
    // Names stand in the reading; a list of ciphers is too long to be told.
    let of = |name: &str, options: &[&str]| {
        let told =
            options.split(|word| matches!(*word, "-cipher" | "-servername")).next().unwrap_or_default();
        format!("{name} {}", told.join(" ")).trim().to_owned()
    };
    row(case, &of("s_client", client), &of("s_server", server))
        .dialect("tls")
        .does(move |at| {
            let _server = at.s_server(server)?;
            at.s_client(&named(client)).map(drop)
        })
        .reads(expected)
}

fn named<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let name: &[&str] =
        if options.iter().any(|word| word.contains("servername")) { &[] } else { &["-servername", NAME] };
    [options, name].concat()
}

/// As [`openssl`], with the client's certificate.
fn certified(
    case: &str,
    server: &'static [&'static str],
    client: &'static [&'static str],
    expected: impl Into<String>,
) -> Row {
    let mut row = openssl(case, server, client, expected);
    row.client += " -cert";
    row.does(move |at| {
        let _server = at.s_server(server)?;
        let own = at.own_arguments();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        at.s_client(&[named(client), own].concat()).map(drop)
    })
}

/// Two handshakes of which the second resumes the first one's session.
fn resumed(version: &'static str, expected: String) -> Row {
    row("a resumed session", &format!("s_client {version}"), "s_server")
        .connections(2)
        .dialect("tls")
        .does(move |at| {
            let _server = at.s_server(&[])?;
            let session = at.write("session", "")?;
            let (session, to) = (path(&session)?, at.to());
            let client = format!("openssl s_client -servername {NAME} {version} -connect {to}");
            // Tickets come after the handshake.
            at.run(&["sh", "-c", &format!("sleep 0.5 | {client} -sess_out {session}")])?;
            let said = at.run(&["sh", "-c", &format!("{client} -sess_in {session} </dev/null")])?;
            ensure!(said.contains("Reused"), "not resumed: {said}");
            Ok(())
        })
        .reads(expected)
}

/// The shared nginx, by name, with a credential that nobody is to see.
fn https(case: &str, more: &'static [&'static str], expected: impl Into<String>) -> Row {
    http(case, "curl")
        .listens("ssl http2")
        .dialect("tls")
        .does(move |at| {
            let resolve = format!("{NAME}:{}:{}", at.port, at.ip());
            let url = format!("https://{NAME}:{}/", at.port);
            let common = ["--resolve", &resolve, "-u", "user:open sesame"];
            at.curl(&[&[&common, more, &[&url]].concat()])
        })
        .reads(expected)
        .finds(&[])
}

fn said(version: &str) -> String {
    format!("tls {version}, sni {NAME}")
}

pub fn rows() -> Vec<Row> {
    [versions(), certificates(), failures(), programs(), meshes()].into_iter().flatten().collect()
}

fn versions() -> Vec<Row> {
    let old: &[&str] = &["-cipher", "DEFAULT@SECLEVEL=0"];
    let both = |version: &str| format!("{}, alpn h2 http/1.1", said(version));
    vec![
        openssl("TLS 1.0", old, &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], said("tls 1.0")),
        openssl("TLS 1.1", old, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], said("tls 1.1")),
        openssl("TLS 1.2", &["-alpn", "http/1.1"], &["-tls1_2", "-alpn", "h2,http/1.1"], both("tls 1.2")),
        openssl("TLS 1.3", &["-alpn", "http/1.1"], &["-alpn", "h2,http/1.1"], both("tls 1.3")),
        openssl("no name", &[], &["-noservername"], "tls tls 1.3"),
        openssl("HelloRetryRequest", &["-groups", "P-384"], &["-groups", "X25519:P-384"], said("tls 1.3")),
        resumed("-tls1_2", said("tls 1.2")),
        resumed("-tls1_3", said("tls 1.3")),
        openssl(
            "a hello cut into records",
            &[],
            &["-max_send_frag", "512", "-servername", LONG, "-cipher", "ALL@SECLEVEL=0"],
            format!("tls tls 1.3, sni {LONG}"),
        ),
    ]
}

fn certificates() -> Vec<Row> {
    vec![
        certified(
            "a client certificate",
            &["-verify", "1"],
            &["-tls1_2"],
            format!("tls mtls proven 1.2, sni {NAME}, of {SPIFFE} client.shop.svc"),
        ),
        certified(
            "a client certificate that nobody can see",
            &["-verify", "1"],
            &["-tls1_3"],
            said("tls 1.3"),
        ),
        openssl(
            "a certificate that is asked for and declined",
            &["-verify", "1"],
            &["-tls1_2"],
            said("tls 1.2"),
        ),
    ]
}

fn failures() -> Vec<Row> {
    let failed = said("unknown handshake-failed");
    let distrust = "a server that the client distrusts";
    vec![
        openssl("a version that the server refuses", &["-tls1_3"], &["-tls1_2"], failed.clone()),
        openssl(
            "a certificate that is demanded and declined",
            &["-Verify", "1", "-tls1_2"],
            &[],
            failed.clone(),
        ),
        openssl(distrust, &[], &["-verify_return_error", "-tls1_2"], failed.clone()),
        openssl(distrust, &[], &["-verify_return_error"], failed),
        http("a hello to a server that speaks no TLS", "curl -k")
            .dialect("tls")
            .does(|at| at.talk(&["curl", "-sk", &at.url("/").replace("http:", "https:")]))
            .reads("tls unknown malformed-tls, alpn h2 http/1.1")
            .finds(&[]),
    ]
}

fn programs() -> Vec<Row> {
    let of_server = |case: &str, client: &str| row(case, client, "s_server").dialect("tls");
    vec![
        https(
            "TLS 1.2 and HTTP/1.1",
            &["--http1.1", "--tls-max", "1.2"],
            format!("{}, alpn http/1.1", said("tls 1.2")),
        ),
        https("TLS 1.3 and HTTP/2", &["--http2"], format!("{}, alpn h2 http/1.1", said("tls 1.3"))),
        of_server("TLS 1.3 by GnuTLS", "gnutls-cli")
            .does(|at| {
                let _server = at.s_server(&[])?;
                let (host, port) = (at.ip().to_string(), at.port.to_string());
                let line = ["gnutls-cli", "--insecure", "--sni-hostname", NAME, "--port", &port, &host];
                at.talk(&line)
            })
            .reads(said("tls 1.3")),
        // With the name that is 1,454 bytes, more than a segment holds.
        of_server("post-quantum key shares", "rustls")
            .does(|at| {
                let _server = at.s_server(&[])?;
                let said = at.run(&[env!("CARGO_BIN_EXE_quantum-client"), &at.to(), NAME])?;
                ensure!(said.starts_with("[X25519MLKEM768"), "it offered {said}");
                Ok(())
            })
            .reads(said("tls 1.3")),
        of_server("a hello in segments of one byte", "python ssl")
            .does(|at| {
                let _server = at.s_server(&[])?;
                at.python(DRIP, &[NAME]).map(drop)
            })
            .reads(said("tls 1.3")),
        row("stunnel to stunnel", "stunnel", "stunnel")
            .dialect("tls")
            .does(tunnels)
            .reads(format!("tls mtls proven 1.2, of {SPIFFE} client.shop.svc"))
            .finds(&[]),
    ]
}

fn meshes() -> Vec<Row> {
    const ISTIO: &str = "outbound_.8080_._.payments.shop.svc.cluster.local";
    const LINKERD: &str = "payments.shop.serviceaccount.identity.linkerd.cluster.local";
    let mesh = |row: Row| {
        row.finds(&[]).otherwise("Encryption", "knows no meshes").otherwise("Evidence", "knows no meshes")
    };
    let alpn = "istio-peer-exchange istio";
    vec![
        mesh(openssl(
            "an Istio sidecar's hello",
            &["-alpn", "istio"],
            &["-alpn", "istio-peer-exchange,istio", "-servername", ISTIO],
            format!("tls mtls inferred 1.3, mesh istio, sni {ISTIO}, alpn {alpn}"),
        )),
        mesh(openssl(
            "a Linkerd proxy's hello",
            &[],
            &["-servername", LINKERD],
            format!("tls mtls inferred 1.3, mesh linkerd, sni {LINKERD}"),
        )),
    ]
}

fn tunnels(at: &At<'_>) -> Result<()> {
    let config = |name: &str, [certificate, key]: [&str; 2], rest: String| {
        let common = "foreground = yes\npid =\nsyslog = no\n[http]\nsslVersion = TLSv1.2";
        at.write(name, format!("{common}\ncert = {certificate}\nkey = {key}\n{rest}\n"))
    };
    let files = |certificate: &Certificate| {
        [&certificate.certificate, &certificate.key].map(|file| file.display().to_string())
    };
    let (theirs, own) = (files(&at.certificate), files(&at.own));
    let server = config(
        "server.conf",
        [&theirs[0], &theirs[1]],
        format!("accept = {}\nconnect = 127.0.0.1:80\nverifyPeer = yes\nCAfile = {}", at.port, own[0]),
    )?;
    let client = config(
        "client.conf",
        [&own[0], &own[1]],
        format!("client = yes\nsni =\naccept = 127.0.0.1:{}\nconnect = {}", at.port, at.to()),
    )?;
    let _server = at.serve(&["stunnel4", path(&server)?])?;
    let _client = at.serve_in(&at.client, at.port, &["stunnel4", path(&client)?])?;
    at.run(&["curl", "-sSf", "-u", "a:b", &format!("http://127.0.0.1:{}/", at.port)]).map(drop)
}
