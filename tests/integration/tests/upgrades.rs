//! Connections that begin in clear: what an upgrade within them, a header before them or a tunnel makes of them, with
//! tshark's reading of the same connections beside.

use std::path::Path;

use anyhow::{Context as _, Result};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::servers::{Certificate, nginx, python_server, start};
use observer_integration::{Capture, Daemon, Directory};
use serde_json::{Value, json};

const SERVER: &str = include_str!("upgrades/server.py");

struct Scene {
    daemon: Daemon,
    certificate: Certificate,
    server: Pod,
    client: Pod,
    middle: Pod,
    _node: SimNode,
}

impl Scene {
    fn new() -> Result<Self> {
        let certificate = Certificate::new("shop")?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let middle = node.pod("shop", "middle").start()?;
        let daemon = Daemon::start(&node)?;
        Ok(Self { daemon, certificate, server, client, middle, _node: node })
    }

    fn dialect(&self, dialect: &str, port: u16, offer: &str) -> Result<Process> {
        let (certificate, key) = (path(&self.certificate.certificate)?, path(&self.certificate.key)?);
        python_server(&self.server, port, SERVER, &[dialect, &port.to_string(), certificate, key, offer])
    }

    /// Runs a client; how it fares is not the point.
    fn talk(&self, line: &[&str]) -> Result<()> {
        self.client.run(["timeout", "10"].iter().chain(line)).map(drop)
    }

    /// Sends mail to port 25.
    fn mail(&self, options: &[&str]) -> Result<()> {
        let url = format!("smtp://{}:25/shop", self.server.ip4);
        let line =
            ["curl", "-sS", &url, "--mail-from", "a@shop", "--mail-rcpt", "b@shop", "-T", "/etc/hostname"];
        self.talk(&[&line, options].concat())
    }

    /// The last record of the connection to a port of the server.
    fn record(&self, port: u16) -> Result<Value> {
        final_to(&self.daemon, "shop/server", port)
    }
}

fn final_to(daemon: &Daemon, principal: &str, port: u16) -> Result<Value> {
    daemon.wait_for(&format!("final, to port {port} of {principal}"), |record| {
        record["final"] == true
            && record["server"]["principal"] == principal
            && record["server"]["port"] == port
            && record["client"]["principal"] != principal
    })
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn verdict(record: &Value) -> [&Value; 3] {
    [&record["protocol"], &record["encryption"]["status"], &record["encryption"]["reason"]]
}

fn has(record: &Value, finding: &str) -> bool {
    record["findings"].as_array().is_some_and(|all| all.iter().any(|kind| kind == finding))
}

/// Ports by which tshark knows the protocols, and what `openssl s_client -starttls` calls them.
const DIALECTS: [(&str, u16); 7] = [
    ("smtp", 25),
    ("ftp", 21),
    ("pop3", 110),
    ("imap", 143),
    ("ldap", 389),
    ("mysql", 3306),
    ("postgres", 5432),
];

#[test]
fn after_an_upgrade_a_connection_is_tls_by_its_own_name_as_tshark_reads_it() -> Result<()> {
    let scene = Scene::new()?;
    let servers: Vec<Process> =
        DIALECTS.iter().map(|(dialect, port)| scene.dialect(dialect, *port, "tls")).collect::<Result<_>>()?;
    let capture = Capture::start(&scene.client)?;
    for (dialect, port) in DIALECTS {
        let to = format!("{}:{port}", scene.server.ip4);
        scene.talk(&["openssl", "s_client", "-starttls", dialect, "-connect", &to])?;
    }
    let records: Vec<Value> = DIALECTS.iter().map(|(_, port)| scene.record(*port)).collect::<Result<_>>()?;
    let reading = capture.stop()?;
    drop(servers);
    for ((dialect, port), record) in DIALECTS.iter().zip(&records) {
        let hello = format!("tcp.srcport == {port} && tls.handshake.type == 2");
        let version = reading.values(&hello, "tls.handshake.extensions.supported_version")?;
        assert_eq!(version, ["0x0304"], "{dialect}");
        assert_eq!(record["protocol"], *dialect, "{record:#}");
        assert_eq!(record["encryption"]["status"], "tls", "{record:#}");
        assert_eq!(record["encryption"]["version"], "1.3", "{record:#}");
        assert!(!has(record, "unencrypted"), "{record:#}");
    }
    Ok(())
}

#[test]
fn postgres_clients_get_the_verdict_that_their_sslmode_leads_to() -> Result<()> {
    let scene = Scene::new()?;
    let _servers = [scene.dialect("postgres", 5432, "tls")?, scene.dialect("postgres", 5433, "clear")?];
    let _more = [scene.dialect("postgres", 5434, "clear")?, scene.dialect("postgres", 5435, "clear")?];
    let capture = Capture::start(&scene.client)?;
    let table = [
        (5432, "require", json!(["postgres", "tls", null])),
        (5433, "disable", json!(["postgres", "plaintext", null])),
        (5434, "prefer", json!(["postgres", "plaintext", null])),
        (5435, "require", json!(["postgres", "unknown", "upgrade-refused"])),
    ];
    for (port, mode, expected) in &table {
        let target = format!("host={} port={port} user=me dbname=shop sslmode={mode}", scene.server.ip4);
        scene.talk(&["psql", "-w", &target, "-c", "select 1"])?;
        let record = scene.record(*port)?;
        assert_eq!(json!(verdict(&record)), *expected, "{record:#}");
        assert_eq!(has(&record, "unencrypted"), expected[1] == "plaintext", "{record:#}");
    }
    let reading = capture.stop()?;
    let asked = reading.values("pgsql.type == \"SSL request\" && tcp.dstport == 5432", "tcp.dstport")?;
    assert!(!asked.is_empty(), "tshark sees the question too");
    let names = reading.rows("tcp.dstport == 5433 && tcp contains \"user\"", &["tcp.dstport"])?;
    assert_eq!(names.len(), 1, "the login went in clear");
    Ok(())
}

#[test]
fn stunnel_upgrades_postgres_and_mail() -> Result<()> {
    let scene = Scene::new()?;
    let _backends = [scene.dialect("postgres", 6432, "clear")?, scene.dialect("smtp", 6025, "clear")?];
    let directory = Directory::new()?;
    let (certificate, key) = (scene.certificate.certificate.display(), scene.certificate.key.display());
    let config = directory.write(
        "stunnel.conf",
        format!(
            "foreground = yes\npid =\ncert = {certificate}\nkey = {key}\n\
             [pg]\naccept = 0.0.0.0:5432\nconnect = 127.0.0.1:6432\nprotocol = pgsql\n\
             [mail]\naccept = 0.0.0.0:25\nconnect = 127.0.0.1:6025\nprotocol = smtp\n"
        ),
    )?;
    let _stunnel = start(&scene.server, &["stunnel".into(), path(&config)?.into()])?;
    scene.server.wait_listening(5432)?;
    scene.server.wait_listening(25)?;
    let ip = scene.server.ip4.to_string();
    scene.talk(&["psql", "-w", &format!("host={ip} user=me sslmode=require"), "-c", "select 1"])?;
    scene.mail(&["--ssl-reqd", "-k"])?;
    for (port, protocol) in [(5432, "postgres"), (25, "smtp")] {
        let record = scene.record(port)?;
        assert_eq!(json!(verdict(&record)), json!([protocol, "tls", null]), "{record:#}");
    }
    Ok(())
}

#[test]
fn mail_and_mysql_without_an_upgrade_are_plaintext() -> Result<()> {
    let scene = Scene::new()?;
    let _servers = [scene.dialect("smtp", 25, "clear")?, scene.dialect("mysql", 3306, "clear")?];
    let _encrypted = scene.dialect("mysql", 3307, "tls")?;
    let ip = scene.server.ip4.to_string();
    scene.mail(&[])?;
    scene.talk(&["mariadb", "--no-defaults", "-h", &ip, "-P", "3306", "-u", "me", "-e", "select 1"])?;
    scene.talk(&[
        "mariadb",
        "--no-defaults",
        "--ssl",
        "-h",
        &ip,
        "-P",
        "3307",
        "-u",
        "me",
        "-e",
        "select 1",
    ])?;
    for (port, expected) in [
        (25, json!(["smtp", "plaintext", null])),
        (3306, json!(["mysql", "plaintext", null])),
        (3307, json!(["mysql", "tls", null])),
    ] {
        let record = scene.record(port)?;
        assert_eq!(json!(verdict(&record)), expected, "{record:#}");
    }
    Ok(())
}

#[test]
fn a_proxy_header_of_either_version_hides_neither_requests_nor_tls() -> Result<()> {
    let scene = Scene::new()?;
    let (certificate, key) = (scene.certificate.certificate.display(), scene.certificate.key.display());
    let _nginx = nginx(
        &scene.server,
        8080,
        &format!(
            "listen 8080 proxy_protocol; listen 8081 proxy_protocol;
             listen 8443 ssl proxy_protocol; listen 8444 ssl proxy_protocol;
             ssl_certificate {certificate}; ssl_certificate_key {key};
             location / {{ return 200 \"fine\\n\"; }}"
        ),
    )?;
    let ports =
        [(8080, "send-proxy"), (8081, "send-proxy-v2"), (8443, "send-proxy"), (8444, "send-proxy-v2")];
    let listeners: String = ports
        .iter()
        .map(|(port, how)| {
            format!("listen l{port}\n bind :{port}\n server s {}:{port} {how}\n", scene.server.ip4)
        })
        .collect();
    let directory = Directory::new()?;
    let config = directory.write(
        "haproxy.cfg",
        format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n{listeners}"
        ),
    )?;
    let _haproxy = start(&scene.middle, &["haproxy".into(), "-f".into(), path(&config)?.into()])?;
    scene.middle.wait_listening(8444)?;
    for (port, how) in ports {
        let scheme = if port < 8443 { "http" } else { "https" };
        let url = format!("{scheme}://{}:{port}/", scene.middle.ip4);
        let header = "Authorization: Basic bm86b25l";
        scene.client.run_ok(["curl", "-sSk", "--http1.1", "-H", header, &url])?;
        let record = scene.record(port)?;
        assert_eq!(record["client"]["principal"], "shop/middle", "{how} {record:#}");
        if scheme == "http" {
            assert_eq!(json!(verdict(&record)), json!(["http/1.1", "plaintext", null]), "{how} {record:#}");
            assert_eq!(record["requests"]["present"], 1, "{how} {record:#}");
        } else {
            assert_eq!(json!(verdict(&record)), json!(["tls", "tls", null]), "{how} {record:#}");
        }
    }
    Ok(())
}

#[test]
fn a_tunnel_is_what_is_in_it_and_what_its_proxy_was_shown_went_in_clear() -> Result<()> {
    let scene = Scene::new()?;
    let proxy = &scene.middle;
    let (certificate, key) = (scene.certificate.certificate.display(), scene.certificate.key.display());
    let _nginx = nginx(
        &scene.server,
        8443,
        &format!(
            "listen 8080; listen 8443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
             location / {{ return 200 \"fine\\n\"; }}"
        ),
    )?;
    let directory = Directory::new()?;
    let mut proxies = Vec::new();
    for port in [3128, 3129, 3130, 3131] {
        let text = format!("Port {port}\nBasicAuth who what\nConnectPort 8443\nConnectPort 8080\n");
        let config = directory.write(&format!("tinyproxy-{port}.conf"), text)?;
        proxies.push(start(proxy, &["tinyproxy".into(), "-d".into(), "-c".into(), path(&config)?.into()])?);
        proxy.wait_listening(port)?;
    }
    let curl = |port: u16, credential: &str, more: &[&str], url: &str| {
        let proxy = format!("http://{credential}{}:{port}", proxy.ip4);
        let line = ["curl", "-sSk", "-o", "/dev/null", "-x", &proxy];
        scene.client.run(line.iter().chain(more).chain(&[url])).map(drop)
    };
    let (encrypted, clear) =
        (format!("https://{}:8443/", scene.server.ip4), format!("http://{}:8080/", scene.server.ip4));
    curl(3128, "who:what@", &[], &encrypted)?;
    curl(3129, "who:what@", &["-p"], &clear)?;
    curl(3130, "who:what@", &[], &clear)?;
    curl(3131, "", &[], &encrypted)?;

    let tunnel = final_to(&scene.daemon, "shop/middle", 3128)?;
    assert_eq!(json!(verdict(&tunnel)), json!(["tls", "tls", null]), "{tunnel:#}");
    assert_eq!(tunnel["requests"]["total"], 1, "{tunnel:#}");
    assert_eq!(tunnel["requests"]["present"], 1, "{tunnel:#}");
    assert!(has(&tunnel, "credential-in-cleartext") && !has(&tunnel, "unencrypted"), "{tunnel:#}");

    let clear_tunnel = final_to(&scene.daemon, "shop/middle", 3129)?;
    assert_eq!(json!(verdict(&clear_tunnel)), json!(["http/1.1", "plaintext", null]), "{clear_tunnel:#}");
    assert_eq!(clear_tunnel["requests"]["total"], 2, "{clear_tunnel:#}");
    assert_eq!(clear_tunnel["requests"]["none"], 1, "{clear_tunnel:#}");

    let absolute = final_to(&scene.daemon, "shop/middle", 3130)?;
    assert_eq!(absolute["authentication"]["status"], "present", "{absolute:#}");
    assert_eq!(absolute["authentication"]["reason"], "proxy-authorization", "{absolute:#}");
    assert!(has(&absolute, "credential-in-cleartext") && has(&absolute, "unencrypted"), "{absolute:#}");

    let refused = final_to(&scene.daemon, "shop/middle", 3131)?;
    assert_eq!(json!(verdict(&refused)), json!(["http/1.1", "plaintext", null]), "{refused:#}");
    assert_eq!(refused["requests"]["none"], 1, "{refused:#}");
    assert_eq!(refused["last_request"]["status"], 407, "{refused:#}");
    Ok(())
}
