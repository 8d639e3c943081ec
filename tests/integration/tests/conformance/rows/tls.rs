//! TLS handshakes, good ones and others.

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

/// `openssl s_server` and `openssl s_client` with options of both.
fn openssl(
    case: &str,
    server: &'static [&'static str],
    client: &'static [&'static str],
    expected: &str,
) -> Row {
    let of = |name: &str, options: &[&str]| format!("{name} {}", options.join(" "));
    row(case, of("s_client", client).trim(), of("s_server", server).trim())
        .dialect("tls")
        .does(move |at| {
            let _server = at.s_server(server)?;
            at.s_client(client).map(drop)
        })
        .reads(expected)
}

/// With a certificate of the client's, and none of it on the command line of the table.
fn certified(
    case: &str,
    server: &'static [&'static str],
    client: &'static [&'static str],
    expected: &str,
) -> Row {
    let mut row = openssl(case, server, client, expected);
    row.client += " -cert";
    row.does(move |at| {
        let _server = at.s_server(server)?;
        let own = at.own_arguments();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        at.s_client(&[client, &own].concat()).map(drop)
    })
}

/// Two handshakes of which the second resumes the first one's session.
fn resumed(case: &str, version: &'static str, expected: &str) -> Row {
    row(case, &format!("s_client {version}"), "s_server").connections(2).dialect("tls").reads(expected).does(
        move |at| {
            let _server = at.s_server(&[])?;
            let session = at.write("session", "")?;
            let session = path(&session)?;
            let to = at.to();
            // Tickets come after the handshake.
            let first = format!(
                "sleep 0.5 | openssl s_client -servername {NAME} {version} -sess_out {session} -connect {to}"
            );
            at.run(&["sh", "-c", &first])?;
            let again =
                ["openssl", "s_client", "-servername", NAME, version, "-sess_in", session, "-connect", &to];
            let said = at.run(&again)?;
            anyhow::ensure!(said.contains("Reused"), "not resumed: {said}");
            Ok(())
        },
    )
}

fn https(at: &At<'_>, more: &[&str]) -> anyhow::Result<()> {
    let (resolve, url) = (
        format!("{NAME}:{}:{}", at.port, at.to().trim_end_matches(&format!(":{}", at.port))),
        format!("https://{NAME}:{}/", at.port),
    );
    at.curl(&[&[["--resolve", &resolve, "-u", "user:open sesame"].as_slice(), more, &[&url]].concat()])
}

pub fn rows() -> Vec<Row> {
    let old: &[&str] = &["-cipher", "DEFAULT@SECLEVEL=0"];
    let sni = format!("sni {NAME}");
    let mut rows = vec![
        openssl(
            "TLS 1.0",
            old,
            &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", NAME],
            &format!("tls tls 1.0, {sni}"),
        ),
        openssl(
            "TLS 1.1",
            old,
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", NAME],
            &format!("tls tls 1.1, {sni}"),
        ),
        openssl(
            "TLS 1.2",
            &["-alpn", "http/1.1"],
            &["-tls1_2", "-alpn", "h2,http/1.1", "-servername", NAME],
            &format!("tls tls 1.2, {sni}, alpn h2 http/1.1"),
        ),
        openssl(
            "TLS 1.3",
            &["-alpn", "http/1.1"],
            &["-alpn", "h2,http/1.1", "-servername", NAME],
            &format!("tls tls 1.3, {sni}, alpn h2 http/1.1"),
        ),
        openssl("no name", &[], &["-noservername"], "tls tls 1.3"),
        openssl(
            "HelloRetryRequest",
            &["-groups", "P-384"],
            &["-groups", "X25519:P-384", "-servername", NAME],
            &format!("tls tls 1.3, {sni}"),
        ),
        resumed("a resumed session", "-tls1_2", &format!("tls tls 1.2, {sni}")),
        resumed("a resumed session", "-tls1_3", &format!("tls tls 1.3, {sni}")),
        certified(
            "a client certificate",
            &["-verify", "1"],
            &["-tls1_2", "-servername", NAME],
            &format!("tls mtls proven 1.2, {sni}, of {SPIFFE} client.shop.svc"),
        ),
        certified(
            "a client certificate that nobody can see",
            &["-verify", "1"],
            &["-tls1_3", "-servername", NAME],
            &format!("tls tls 1.3, {sni}"),
        ),
        openssl(
            "a certificate that is asked for and declined",
            &["-verify", "1"],
            &["-tls1_2", "-servername", NAME],
            &format!("tls tls 1.2, {sni}"),
        ),
        openssl(
            "a version that the server refuses",
            &["-tls1_3"],
            &["-tls1_2", "-servername", NAME],
            &format!("tls unknown handshake-failed, {sni}"),
        ),
        openssl(
            "a certificate that is demanded and declined",
            &["-Verify", "1", "-tls1_2"],
            &["-servername", NAME],
            &format!("tls unknown handshake-failed, {sni}"),
        ),
        openssl(
            "a server that the client distrusts",
            &[],
            &["-verify_return_error", "-tls1_2", "-servername", NAME],
            &format!("tls unknown handshake-failed, {sni}"),
        ),
        openssl(
            "a server that the client distrusts",
            &[],
            &["-verify_return_error", "-servername", NAME],
            &format!("tls unknown handshake-failed, {sni}"),
        ),
    ];
    rows.extend([
        http("a hello to a server that speaks no TLS", "curl -k")
            .dialect("tls")
            .does(|at| at.talk(&["curl", "-sk", &at.url("/").replace("http:", "https:")]))
            .reads("tls unknown malformed-tls, alpn h2 http/1.1"),
        http("TLS 1.2 and HTTP/1.1", "curl")
            .listens("ssl http2")
            .dialect("tls")
            .does(|at| https(at, &["--http1.1", "--tls-max", "1.2"]))
            .reads(format!("tls tls 1.2, {sni}, alpn http/1.1"))
            .finds(&[]),
        http("TLS 1.3 and HTTP/2", "curl")
            .listens("ssl http2")
            .dialect("tls")
            .does(|at| https(at, &["--http2"]))
            .reads(format!("tls tls 1.3, {sni}, alpn h2 http/1.1"))
            .finds(&[]),
        row("TLS 1.3 by GnuTLS", "gnutls-cli", "s_server").dialect("tls").reads(format!("tls tls 1.3, {sni}")).does(|at| {
            let _server = at.s_server(&[])?;
            let port = at.port.to_string();
            at.talk(&["gnutls-cli", "--insecure", "--sni-hostname", NAME, "--port", &port, &at.ip().to_string()])
        }),
        row("post-quantum key shares", "rustls", "s_server").dialect("tls").reads(format!("tls tls 1.3, {sni}")).does(|at| {
            let _server = at.s_server(&[])?;
            let said = at.run(&[env!("CARGO_BIN_EXE_quantum-client"), &at.to(), NAME])?;
            anyhow::ensure!(said.contains("X25519MLKEM768"), "it offered {said}");
            Ok(())
        }),
        openssl("a hello cut into records", &[], &["-max_send_frag", "512", "-cipher", "ALL@SECLEVEL=0", "-servername", NAME], &format!("tls tls 1.3, {sni}")),
        row("a hello in segments of one byte", "python ssl", "s_server").dialect("tls").reads(format!("tls tls 1.3, {sni}")).does(|at| {
            let _server = at.s_server(&[])?;
            at.python(DRIP, &[NAME]).map(drop)
        }),
        row("an Istio sidecar's hello", "s_client -alpn istio", "s_server")
            .dialect("tls")
            .does(|at| {
                let _server = at.s_server(&["-alpn", "istio"])?;
                let name = "outbound_.8080_._.payments.shop.svc.cluster.local";
                at.s_client(&["-alpn", "istio-peer-exchange,istio", "-servername", name]).map(drop)
            })
            .reads("tls mtls inferred 1.3, mesh istio, sni outbound_.8080_._.payments.shop.svc.cluster.local, alpn istio-peer-exchange istio")
            .otherwise("Encryption", "knows no meshes")
            .otherwise("Evidence", "knows no meshes"),
        row("a Linkerd proxy's hello", "s_client -servername", "s_server")
            .dialect("tls")
            .does(|at| {
                let _server = at.s_server(&[])?;
                let name = "payments.shop.serviceaccount.identity.linkerd.cluster.local";
                at.s_client(&["-servername", name]).map(drop)
            })
            .reads("tls mtls inferred 1.3, mesh linkerd, sni payments.shop.serviceaccount.identity.linkerd.cluster.local")
            .otherwise("Encryption", "knows no meshes")
            .otherwise("Evidence", "knows no meshes"),
        row("stunnel to stunnel", "stunnel", "stunnel").dialect("tls").does(tunnels).reads(format!(
            "tls mtls proven 1.2, of {SPIFFE} client.shop.svc"
        )),
    ]);
    rows
}

fn tunnels(at: &At<'_>) -> anyhow::Result<()> {
    let config = |name: &str, [certificate, key]: [&str; 2], rest: String| {
        let common = "foreground = yes\npid =\nsyslog = no\n[http]\nsslVersion = TLSv1.2";
        at.write(name, format!("{common}\ncert = {certificate}\nkey = {key}\n{rest}\n"))
    };
    let files = |certificate: &observer_integration::servers::Certificate| {
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
