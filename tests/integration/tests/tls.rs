//! TLS by OpenSSL, curl and nginx, with tshark's reading of the same handshakes beside.

use anyhow::{Context as _, Result};
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{self, Certificate, addresses, authority, s_server};
use observer_integration::{Capture, Daemon, Reading};
use serde_json::{Value, json};

const NAME: &str = "payments.shop.svc";
const PORT: u16 = 8443;

struct Scene {
    daemon: Daemon,
    capture: Capture,
    certificate: Certificate,
    server: Pod,
    client: Pod,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let certificate = Certificate::new(NAME)?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "payments").start()?;
        let client = node.pod("shop", "orders").start()?;
        let daemon = Daemon::start(&node)?;
        let capture = Capture::start(&client)?;
        Ok(Self { daemon, capture, certificate, server, client, _node: node })
    }
}

/// A handshake as tshark reads it.
#[derive(Debug)]
struct Handshake {
    port: u64,
    /// Of the ClientHello.
    sni: Vec<String>,
    alpn: Vec<String>,
    /// Of the last ServerHello; `None` without one.
    version: Option<&'static str>,
    server_hellos: usize,
}

fn handshakes(reading: &Reading) -> Result<Vec<Handshake>> {
    let server_fields =
        ["tcp.dstport", "tls.handshake.version", "tls.handshake.extensions.supported_version"];
    let answers = reading.rows("tls.handshake.type == 2", &server_fields)?;
    let client_fields =
        ["tcp.srcport", "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str"];
    let mut all: Vec<Handshake> = Vec::new();
    for row in reading.rows("tls.handshake.type == 1", &client_fields)? {
        let port = &row[0][0];
        let answers: Vec<_> = answers.iter().filter(|answer| answer[0][0] == *port).collect();
        let version = answers.last().map(|answer| {
            // RFC 8446 section 4.2.1: the extension decides, where there is one.
            match answer[2].first().or(answer[1].first()).map(String::as_str) {
                Some("0x0304") => "1.3",
                Some("0x0303") => "1.2",
                _ => "another",
            }
        });
        let port = port.parse()?;
        // The second ClientHello of a retried handshake says the same.
        if all.iter().all(|handshake| handshake.port != port) {
            let (sni, alpn) = (row[1].clone(), row[2].clone());
            all.push(Handshake { port, sni, alpn, version, server_hellos: answers.len() });
        }
    }
    Ok(all)
}

fn assert_agrees(record: &Value, handshake: &Handshake) {
    let encryption = &record["encryption"];
    assert_eq!(encryption["status"], "tls", "{handshake:?} {record:#}");
    assert_eq!(encryption["version"], json!(handshake.version), "{handshake:?} {record:#}");
    assert_eq!(encryption["sni"], json!(handshake.sni.first()), "{handshake:?} {record:#}");
    let alpn = (!handshake.alpn.is_empty()).then_some(&handshake.alpn);
    assert_eq!(encryption["alpn"], json!(alpn), "{handshake:?} {record:#}");
    assert_eq!(record["protocol"], "tls");
    assert_eq!(record["requests"], Value::Null);
    assert_eq!(record["findings"], json!([]));
    // What TLS hides is not known to be absent.
    assert_eq!(record["authentication"], json!({"status": "unknown", "reason": "encrypted"}));
}

#[test]
fn openssl_handshakes_show_version_name_and_offer() -> Result<()> {
    let scene = Scene::new()?;
    let certificate = &scene.certificate;
    let _both = s_server(&scene.server, PORT, certificate, &["-alpn", "http/1.1"])?;
    let _retries = s_server(&scene.server, PORT + 1, certificate, &["-groups", "P-384"])?;
    for ip in addresses(&scene.server) {
        let (usual, retrying) = (authority(ip, PORT), authority(ip, PORT + 1));
        let ask = |more: &[&str]| {
            let line = [["openssl", "s_client"].as_slice(), more].concat();
            scene.client.run_ok(line).context("s_client")
        };
        let offer = ["-servername", NAME, "-alpn", "h2,http/1.1"];
        ask(&[["-connect", &usual, "-tls1_2"].as_slice(), &offer].concat())?;
        ask(&[["-connect", &usual, "-tls1_3"].as_slice(), &offer].concat())?;
        ask(&["-connect", &usual, "-noservername"])?;
        // The server has no use for the first key share, and says so with a HelloRetryRequest.
        ask(&["-connect", &retrying, "-groups", "X25519:P-384", "-servername", NAME])?;
    }
    let reading = scene.capture.stop()?;
    let handshakes = handshakes(&reading)?;
    let shape: Vec<_> = handshakes.iter().map(|hello| (hello.version, hello.server_hellos)).collect();
    let four = [(Some("1.2"), 1), (Some("1.3"), 1), (Some("1.3"), 1), (Some("1.3"), 2)];
    assert_eq!(shape, four.repeat(2), "{handshakes:?}");
    assert_eq!((handshakes[0].sni[0].as_str(), handshakes[0].alpn.join(" ")), (NAME, "h2 http/1.1".into()));
    for handshake in &handshakes {
        let record = scene.daemon.wait_final_from(handshake.port)?;
        assert_agrees(&record, handshake);
        let (sent, received) = reading.payload(handshake.port)?;
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
    }
    Ok(())
}

#[test]
fn curl_and_nginx_over_tls_give_no_finding() -> Result<()> {
    let scene = Scene::new()?;
    let (certificate, key) = (scene.certificate.certificate.display(), scene.certificate.key.display());
    let _nginx = servers::nginx(
        &scene.server,
        PORT,
        &format!(
            "listen 8443 ssl http2; listen [::]:8443 ssl http2;
             ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};
             location / {{ return 200 'hello\\n'; }}"
        ),
    )?;
    for ip in addresses(&scene.server) {
        let resolve = format!("{NAME}:{PORT}:{ip}");
        let url = format!("https://{NAME}:{PORT}/");
        for how in [["--http1.1", "--tls-max", "1.2"], ["--http1.1", "--tlsv1.3", ""], ["--http2", "", ""]] {
            let mut line = vec!["curl", "-sSfk", "--resolve", &resolve, "-u", "user:open sesame"];
            line.extend(how.into_iter().filter(|word| !word.is_empty()));
            line.extend([url.as_str(), &url]);
            scene.client.run_ok(line)?;
        }
    }
    let reading = scene.capture.stop()?;
    let handshakes = handshakes(&reading)?;
    let versions: Vec<_> = handshakes.iter().filter_map(|hello| hello.version).collect();
    assert_eq!(versions, ["1.2", "1.3", "1.3"].repeat(2), "{handshakes:?}");
    let offers: Vec<_> = handshakes.iter().map(|hello| hello.alpn.join(" ")).collect();
    assert_eq!(offers, ["http/1.1", "http/1.1", "h2 http/1.1"].repeat(2));
    for handshake in &handshakes {
        let record = scene.daemon.wait_final_from(handshake.port)?;
        assert_agrees(&record, handshake);
        assert_eq!(record["server"]["principal"], "shop/payments");
    }
    assert_eq!(scene.daemon.metric("observer_flows_total", &["encryption=\"tls\""])?, 6.0);
    assert_eq!(scene.daemon.metric("observer_findings_total", &[])?, 0.0);
    Ok(())
}
