//! Client certificates and failed handshakes, by OpenSSL, GnuTLS, nginx and stunnel, with tshark's reading beside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{self, Certificate, addresses, authority, s_server};
use observer_integration::{Capture, Daemon, Reading};
use serde_json::{Value, json};

const PORT: u16 = 8443;
const SPIFFE: &str = "spiffe://cluster.local/ns/shop/sa/orders";
const HOST: &str = "orders.shop.svc";

struct Scene {
    daemon: Daemon,
    capture: Capture,
    /// The server's.
    certificate: Certificate,
    /// The client's.
    own: Certificate,
    server: Pod,
    client: Pod,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let certificate = Certificate::new("payments.shop.svc")?;
        let own = Certificate::with_names("orders", &format!("URI:{SPIFFE},DNS:{HOST}"))?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "payments").start()?;
        let client = node.pod("shop", "orders").start()?;
        let daemon = Daemon::start(&node)?;
        let capture = Capture::start(&client)?;
        Ok(Self { daemon, capture, certificate, own, server, client, _node: node })
    }

    /// `openssl s_client`, which may fail.
    fn s_client(&self, to: &str, more: &[&str]) -> Result<bool> {
        let line = [["openssl", "s_client", "-connect", to].as_slice(), more].concat();
        Ok(self.client.run(line)?.status.success())
    }

    /// The client's certificate and key.
    fn own(&self) -> Result<[&str; 2]> {
        Ok([path_str(&self.own.certificate)?, path_str(&self.own.key)?])
    }

    /// A file beside the daemon's.
    fn client_file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.daemon.directory().join(name);
        fs::write(&path, content)?;
        Ok(path)
    }
}

fn path_str(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// The client ports of the connections, in order, as tshark saw them.
fn ports(reading: &Reading) -> Result<Vec<u64>> {
    let hellos = reading.values("tls.handshake.type == 1", "tcp.srcport")?;
    hellos.iter().map(|port| Ok(port.parse()?)).collect()
}

/// What tshark reads of the certificate that the client on `port` showed.
fn shown(reading: &Reading, port: u64) -> Result<Option<Vec<String>>> {
    // RFC 5246 section 7.4.8: CertificateVerify follows a certificate that is one.
    let filter = format!("tcp.srcport == {port} && tls.handshake.type == 15");
    let rows = reading.rows(&filter, &["x509ce.uniformResourceIdentifier", "x509ce.dNSName"])?;
    Ok(rows.into_iter().next().map(|row| row.concat()))
}

fn assert_agrees(record: &Value, reading: &Reading, port: u64) -> Result<()> {
    let encryption = &record["encryption"];
    match shown(reading, port)? {
        Some(names) => {
            assert_eq!((&encryption["status"], &encryption["evidence"]), (&json!("mtls"), &json!("proven")));
            assert_eq!(encryption["client_identity"], json!(names), "{record:#}");
        }
        None => {
            assert_eq!((&encryption["status"], &encryption["evidence"]), (&json!("tls"), &Value::Null));
            assert_eq!(encryption["client_identity"], Value::Null, "{record:#}");
        }
    }
    assert_eq!(record["findings"], json!([]), "{record:#}");
    Ok(())
}

#[test]
fn a_certificate_shown_in_clear_is_proven_mtls_with_its_names() -> Result<()> {
    let scene = Scene::new()?;
    let [certificate, key] = scene.own()?;
    // 8 KB of certificates, sent before the client is asked for its own.
    let one = fs::read_to_string(&scene.certificate.certificate)?;
    let chain = scene.client_file("chain.pem", &one.repeat(8192 * 4 / 3 / one.len() + 1))?;
    let _asks = s_server(&scene.server, PORT, &scene.certificate, &["-verify", "1"])?;
    let _long = s_server(
        &scene.server,
        PORT + 1,
        &scene.certificate,
        &["-verify", "1", "-cert_chain", path_str(&chain)?],
    )?;
    let nginx = format!(
        "listen 8445 ssl; listen [::]:8445 ssl; ssl_protocols TLSv1.2; ssl_verify_client optional_no_ca;
         ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200; }}",
        scene.certificate.certificate.display(),
        scene.certificate.key.display()
    );
    let _nginx = servers::nginx(&scene.server, PORT + 2, &nginx)?;
    for ip in addresses(&scene.server) {
        let own = ["-tls1_2", "-cert", certificate, "-key", key];
        assert!(scene.s_client(&authority(ip, PORT), &own)?);
        assert!(scene.s_client(&authority(ip, PORT + 1), &own)?);
        assert!(scene.s_client(&authority(ip, PORT), &["-tls1_2"])?, "it may decline");
        let url = format!("https://{}/", authority(ip, PORT + 2));
        scene.client.run_ok(["curl", "-sSfk", "--cert", certificate, "--key", key, &url, &url])?;
        let (port, name) = (PORT.to_string(), ip.to_string());
        let certificates = ["--x509certfile", certificate, "--x509keyfile", key];
        let priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
        let line = ["gnutls-cli", "--insecure", "--priority", priority, "--port", &port];
        scene.client.run_ok([&line[..], &certificates, &[&name]].concat())?;
    }
    let reading = scene.capture.stop()?;
    let ports = ports(&reading)?;
    let shape = ports.iter().map(|port| Ok(shown(&reading, *port)?.is_some())).collect::<Result<Vec<_>>>()?;
    assert_eq!(shape, [true, true, false, true, true].repeat(2));
    assert_eq!(shown(&reading, ports[0])?, Some(vec![SPIFFE.to_owned(), HOST.to_owned()]));
    for port in ports {
        let record = scene.daemon.wait_final_from(port)?;
        assert_agrees(&record, &reading, port)?;
        assert_eq!(record["encryption"]["version"], "1.2");
    }
    assert_eq!(scene.daemon.metric("observer_flows_total", &["encryption=\"mtls\""])?, 8.0);
    Ok(())
}

/// Not that there was none: `tls` says only what was seen.
#[test]
fn a_certificate_that_tls_1_3_or_a_resumed_session_hides_is_tls() -> Result<()> {
    let scene = Scene::new()?;
    let [certificate, key] = scene.own()?;
    let _server = s_server(&scene.server, PORT, &scene.certificate, &["-verify", "1"])?;
    let session = scene.client_file("session", "")?;
    let session = path_str(&session)?;
    let to = authority(scene.server.ip4, PORT);
    let own = ["-cert", certificate, "-key", key];
    assert!(scene.s_client(&to, &[["-tls1_3"].as_slice(), &own].concat())?);
    assert!(scene.s_client(&to, &[["-tls1_2", "-sess_out", session].as_slice(), &own].concat())?);
    assert!(scene.s_client(&to, &[["-tls1_2", "-sess_in", session].as_slice(), &own].concat())?);
    let reading = scene.capture.stop()?;
    let ports = ports(&reading)?;
    let shape = ports.iter().map(|port| Ok(shown(&reading, *port)?.is_some())).collect::<Result<Vec<_>>>()?;
    assert_eq!(shape, [false, true, false], "TLS 1.3, the first session, and the one that resumes it");
    for port in ports {
        assert_agrees(&scene.daemon.wait_final_from(port)?, &reading, port)?;
    }
    Ok(())
}

#[test]
fn a_handshake_that_either_side_refuses_is_unknown() -> Result<()> {
    let scene = Scene::new()?;
    let _demands = s_server(&scene.server, PORT, &scene.certificate, &["-Verify", "1", "-tls1_2"])?;
    let _serves = s_server(&scene.server, PORT + 1, &scene.certificate, &[])?;
    for ip in addresses(&scene.server) {
        let (demands, serves) = (authority(ip, PORT), authority(ip, PORT + 1));
        assert!(!scene.s_client(&demands, &[])?, "no certificate for a server that demands one");
        let distrust = ["-verify_return_error", "-CAfile", path_str(&scene.own.certificate)?];
        assert!(!scene.s_client(&serves, &[["-tls1_2"].as_slice(), &distrust].concat())?);
        assert!(!scene.s_client(&serves, &[["-tls1_3"].as_slice(), &distrust].concat())?);
        // GnuTLS encrypts its refusal, as RFC 8446 asks: tshark cannot read it either.
        let output = scene.client.run(["gnutls-cli", "--port", &(PORT + 1).to_string(), &ip.to_string()])?;
        assert!(!output.status.success(), "{output:?}");
    }
    let reading = scene.capture.stop()?;
    let ports = ports(&reading)?;
    assert_eq!(ports.len(), 8);
    for port in ports {
        let record = scene.daemon.wait_final_from(port)?;
        let encryption = &record["encryption"];
        assert_eq!(encryption["status"], "unknown", "{record:#}");
        assert_eq!(encryption["reason"], "handshake-failed", "{record:#}");
        assert_eq!(encryption["version"], Value::Null, "{record:#}");
        assert_eq!(record["authentication"], json!({"status": "unknown", "reason": "handshake-failed"}));
        assert_eq!(record["findings"], json!([]));
    }
    Ok(())
}

#[test]
fn a_connection_is_told_when_its_handshake_is_done_not_when_it_ends() -> Result<()> {
    let scene = Scene::new()?;
    // Without anything on its standard input s_server hangs up at once.
    let listen = format!("sleep 60 | openssl s_server -quiet -accept 0.0.0.0:{PORT} \"$@\"");
    let mut line = ["sh", "-c", &listen, "sh"].map(str::to_owned).to_vec();
    line.extend(scene.certificate.arguments());
    let _server = servers::start(&scene.server, &line)?;
    scene.server.wait_listening(PORT)?;
    let to = authority(scene.server.ip4, PORT);
    for version in ["-tls1_2", "-tls1_3"] {
        let talk = format!("sleep 60 | openssl s_client -quiet {version} -connect {to}");
        let client = servers::start(&scene.client, &["sh", "-c", &talk].map(str::to_owned))?;
        let version = if version == "-tls1_2" { "1.2" } else { "1.3" };
        let record = scene.daemon.wait_for(version, |record| record["encryption"]["version"] == version)?;
        assert_eq!(record["final"], Value::Null, "{record:#}");
        assert_eq!(record["encryption"]["status"], "tls");
        drop(client);
    }
    drop(scene.capture);
    Ok(())
}

/// stunnel at both ends: curl speaks clear text to the one beside it, and that is nobody's business.
#[test]
fn tunnels_between_pods_are_mtls_and_their_ends_within_the_pods_give_no_finding() -> Result<()> {
    let scene = Scene::new()?;
    let _nginx = servers::nginx(&scene.server, 8080, "listen 127.0.0.1:8080; return 200 'hello\\n';")?;
    let config = |name: &str, certificate: &Certificate, rest: &str| {
        let (certificate, key) = (certificate.certificate.display(), certificate.key.display());
        scene.client_file(
            name,
            &format!(
                "foreground = yes\npid =\nsyslog = no\n[http]\nsslVersion = TLSv1.2\ncert = {certificate}\nkey = {key}\n{rest}\n"
            ),
        )
    };
    let trust = scene.own.certificate.display();
    let server = config(
        "server.conf",
        &scene.certificate,
        &format!("accept = {PORT}\nconnect = 127.0.0.1:8080\nverifyPeer = yes\nCAfile = {trust}"),
    )?;
    let client = config(
        "client.conf",
        &scene.own,
        &format!("client = yes\naccept = 127.0.0.1:8081\nconnect = {}", authority(scene.server.ip4, PORT)),
    )?;
    let start =
        |pod: &Pod, file: &Path| servers::start(pod, &["stunnel4".to_owned(), file.display().to_string()]);
    let _ends = (start(&scene.server, &server)?, start(&scene.client, &client)?);
    scene.server.wait_listening(PORT)?;
    scene.client.wait_listening(8081)?;
    let answer = scene.client.run_ok(["curl", "-sSf", "-u", "user:open sesame", "http://127.0.0.1:8081/"])?;
    assert_eq!(answer, "hello\n");
    let reading = scene.capture.stop()?;
    let tunnel = scene.daemon.wait_final("shop/orders", "shop/payments")?;
    assert_agrees(&tunnel, &reading, ports(&reading)?[0])?;
    assert_eq!(tunnel["encryption"]["status"], "mtls");
    assert_eq!(tunnel["hop"], "pod-to-pod");
    for account in ["shop/orders", "shop/payments"] {
        let leg = scene.daemon.wait_final(account, account)?;
        assert_eq!(leg["encryption"]["status"], "plaintext", "{leg:#}");
        assert_eq!((&leg["hop"], &leg["findings"]), (&json!("intra-pod"), &json!([])), "{leg:#}");
    }
    Ok(())
}
