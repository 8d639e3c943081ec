//! Meshes by their signatures, and the legs inside pods that their proxies make. openssl, gnutls and haproxy say and do
//! what the meshes' proxies do, on the ports and with the redirections that those use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use observer_harness::{Place, Pod, Process, SimNode};
use observer_integration::servers::{self, Certificate, addresses, authority, s_server};
use observer_integration::{Capture, Daemon};
use serde_json::{Value, json};

const PORT: u16 = 8443;
const HBONE: u16 = 15008;
/// The user that the meshes' proxies run as, and whose traffic is not redirected.
const PROXY_USER: &str = "1337";

fn path_str(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// A file beside the daemon's.
fn file(daemon: &Daemon, name: &str, content: &str) -> Result<PathBuf> {
    let path = daemon.directory().join(name);
    fs::write(&path, content)?;
    Ok(path)
}

#[test]
fn each_meshs_handshake_is_inferred_mtls_with_whom_it_means() -> Result<()> {
    let certificate = Certificate::new("payments.shop.svc")?;
    let own = Certificate::with_names("orders", "URI:spiffe://cluster.local/ns/shop/sa/orders")?;
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").start()?;
    let client = node.pod("shop", "orders").start()?;
    let daemon = Daemon::start(&node)?;
    let capture = Capture::start(&client)?;
    let _servers = s_server(&server, PORT, &certificate, &["-Verify", "1"])?;
    let _tunnels = s_server(&server, HBONE, &certificate, &["-Verify", "1", "-alpn", "h2"])?;
    let istio = "outbound_.80_.v1_.payments.shop.svc.cluster.local";
    let linkerd = "payments.shop.serviceaccount.identity.linkerd.cluster.local";
    let consul = "payments.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul";
    let talks: [(u16, &[&str], Value, Value); 6] = [
        (
            PORT,
            &["-servername", istio, "-alpn", "istio-peer-exchange,istio"],
            json!("istio"),
            json!({"service": "payments", "namespace": "shop", "port": 80}),
        ),
        (PORT, &["-noservername", "-alpn", "istio-http/1.1,istio,http/1.1"], json!("istio"), Value::Null),
        (
            PORT,
            &["-servername", linkerd],
            json!("linkerd"),
            json!({"service_account": "shop/payments", "namespace": "shop"}),
        ),
        (
            PORT,
            &["-servername", consul],
            json!("consul"),
            json!({"service": "payments", "namespace": "default"}),
        ),
        (HBONE, &["-noservername", "-alpn", "h2"], json!("ambient"), Value::Null),
        // The same, to a port that is nobody's: only TLS.
        (PORT, &["-noservername", "-alpn", "h2"], Value::Null, Value::Null),
    ];
    for ip in addresses(&server) {
        for (port, says, _, _) in &talks {
            let to = authority(ip, *port);
            let own = ["-tls1_3", "-cert", path_str(&own.certificate)?, "-key", path_str(&own.key)?];
            client.run_ok([&["openssl", "s_client", "-connect", &to][..], &own, says].concat())?;
        }
    }
    let reading = capture.stop()?;
    let fields = ["tcp.srcport", "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str"];
    let hellos = reading.rows("tls.handshake.type == 1", &fields)?;
    assert_eq!(hellos.len(), 2 * talks.len());
    for (row, (_, _, mesh, target)) in hellos.iter().zip(talks.iter().cycle()) {
        let record = daemon.wait_final_from(row[0][0].parse()?)?;
        let encryption = &record["encryption"];
        let (status, evidence) =
            if mesh.is_null() { (json!("tls"), Value::Null) } else { (json!("mtls"), json!("inferred")) };
        assert_eq!((&encryption["status"], &encryption["evidence"]), (&status, &evidence), "{record:#}");
        assert_eq!((&encryption["mesh"], &encryption["mesh_target"]), (mesh, target), "{record:#}");
        assert_eq!(encryption["sni"], json!(row[1].first()), "{record:#}");
        assert_eq!((&record["hop"], &record["findings"]), (&json!("pod-to-pod"), &json!([])), "{record:#}");
    }
    Ok(())
}

/// A proxy that is not redirected, in good time for the programs beside it.
fn proxy(pod: &Pod, daemon: &Daemon, name: &str, config: &str, port: u16) -> Result<Process> {
    let config = file(
        daemon,
        name,
        &format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n{config}\n"
        ),
    )?;
    // haproxy gives up its rights itself.
    let words = ["haproxy", "-db", "-f", path_str(&config)?];
    let process = servers::start(pod, &words.map(str::to_owned))?;
    pod.wait_listening(port)?;
    Ok(process)
}

/// As Istio's sidecar: what the pod's programs send goes to 15001, what comes in to 15006.
#[test]
fn the_legs_between_a_program_and_its_sidecar_are_no_edges_and_ports_are_those_of_the_programs() -> Result<()>
{
    let certificate = Certificate::new("payments.shop.svc")?;
    let own = Certificate::with_names("orders", "URI:spiffe://cluster.local/ns/shop/sa/orders")?;
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").container_port("http", 8080).start()?;
    let client = node.pod("shop", "orders").start()?;
    let service = node.service("shop", "payments").port(80, 8080).backend(&server).start()?;
    let daemon = Daemon::start(&node)?;
    let _nginx = servers::nginx(&server, 8080, "listen 8080; return 200 'hello\\n';")?;
    let pem = |name: &str, certificate: &Certificate| -> Result<PathBuf> {
        let both = fs::read_to_string(&certificate.certificate)? + &fs::read_to_string(&certificate.key)?;
        file(&daemon, name, &both)
    };
    let (server_pem, client_pem) = (pem("server.pem", &certificate)?, pem("client.pem", &own)?);
    let user = format!("global\n uid {PROXY_USER}\n gid {PROXY_USER}\n");
    let inbound = format!(
        "{user}listen inbound\n bind :15006 ssl crt {} verify required ca-file {} alpn istio\n source 127.0.0.6\n server app 127.0.0.1:8080",
        server_pem.display(),
        own.certificate.display(),
    );
    let outbound = format!(
        "{user}listen outbound\n bind :15001\n server payments {}:8080 ssl verify none crt {} alpn istio-peer-exchange,istio sni str(outbound_.80_._.payments.shop.svc.cluster.local)",
        server.ip4,
        client_pem.display(),
    );
    let _sidecars = (
        proxy(&server, &daemon, "in.cfg", &inbound, 15006)?,
        proxy(&client, &daemon, "out.cfg", &outbound, 15001)?,
    );
    redirect(&server, &daemon, "in.nft", "prerouting", "iifname eth0 tcp dport 8080 redirect to :15006")?;
    redirect(
        &client,
        &daemon,
        "out.nft",
        "output",
        &format!("meta skuid != {PROXY_USER} tcp dport 80 redirect to :15001"),
    )?;
    let answer = client.run_ok([
        "curl",
        "-sSf",
        "-u",
        "user:open sesame",
        &format!("http://{}/", service.cluster_ip),
    ])?;
    assert_eq!(answer, "hello\n");

    let tunnel = daemon.wait_final("shop/orders", "shop/payments")?;
    let encryption = &tunnel["encryption"];
    assert_eq!((&encryption["status"], &encryption["mesh"]), (&json!("mtls"), &json!("istio")), "{tunnel:#}");
    assert_eq!(encryption["mesh_target"], json!({"service": "payments", "namespace": "shop", "port": 80}));
    assert_eq!((&tunnel["hop"], &tunnel["findings"]), (&json!("pod-to-pod"), &json!([])), "{tunnel:#}");
    assert_eq!(tunnel["server"]["port"], 8080, "not the sidecar's: {tunnel:#}");
    for (account, port) in [("shop/orders", 15001), ("shop/payments", 8080)] {
        let leg = daemon.wait_final(account, account)?;
        assert_eq!(leg["encryption"]["status"], "plaintext", "{leg:#}");
        assert_eq!((&leg["hop"], &leg["findings"]), (&json!("sidecar"), &json!([])), "{leg:#}");
        assert_eq!(leg["server"]["port"], port, "{leg:#}");
    }
    assert_eq!(daemon.metric("observer_findings_total", &[])?, 0.0);

    // Through the Service, whose port is another: the sidecar wants TLS, but the connection is made.
    let stranger = node.pod("shop", "stranger").start()?;
    let late = Daemon::start(&node)?;
    assert!(!stranger.run(["curl", "-sSf", &format!("http://{}/", service.cluster_ip)])?.status.success());
    let record = late.wait_final("shop/stranger", "shop/payments")?;
    assert_eq!((&record["server"]["service"], &record["server"]["port"]), (&json!("payments"), &json!(8080)));
    assert_eq!(record["hop"], "pod-to-pod");
    Ok(())
}

/// Adds a chain to the pod's nftables: its hook, and its rule.
fn redirect(pod: &Pod, daemon: &Daemon, name: &str, hook: &str, rule: &str) -> Result<()> {
    let rules =
        format!("table ip mesh {{\n chain c {{\n type nat hook {hook} priority -100;\n {rule}\n }}\n}}\n");
    let rules = file(daemon, name, &rules)?;
    pod.run_ok(["nft", "-f", path_str(&rules)?])?;
    Ok(())
}

/// Ambient's proxy of the node, and two pods; its programs work in the pods' network namespaces.
struct Ambient {
    daemon: Daemon,
    ztunnel: Pod,
    orders: Pod,
    payments: Pod,
    _nginx: servers::Nginx,
    _node: SimNode,
}

impl Ambient {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let ztunnel = node.pod("istio-system", "ztunnel").label("app", "ztunnel").start()?;
        let orders = node.pod("shop", "orders").start()?;
        let payments = node.pod("shop", "payments").start()?;
        let nginx = servers::nginx(&payments, 8080, "listen 8080; listen [::]:8080; return 200 'hello\\n';")?;
        let daemon = Daemon::start(&node)?;
        Ok(Self { daemon, ztunnel, orders, payments, _nginx: nginx, _node: node })
    }

    /// A command line of the ztunnel in another pod's network.
    fn inside(pod: &Place, words: &[&str]) -> Vec<String> {
        let start = ["ip", "netns", "exec", pod.netns_name()];
        start.iter().chain(words).map(|&word| word.to_owned()).collect()
    }
}

/// The address is that of whoever sent the request through the tunnel.
#[test]
fn what_a_ztunnel_delivers_under_its_clients_address_is_no_edge() -> Result<()> {
    let ambient = Ambient::new()?;
    let Ambient { daemon, ztunnel, orders, payments, .. } = &ambient;
    // As ztunnel's redirection has it: its packets are marked, and the answers find their way back to it.
    let rules = "table ip mesh {
        chain out { type route hook output priority mangle; meta mark 0x539 ct mark set 0x111 return; ct mark 0x111 meta mark set 0x539; }
    }\n";
    let rules = file(daemon, "ambient.nft", rules)?;
    payments.run_ok(["nft", "-f", path_str(&rules)?])?;
    payments.run_ok(["ip", "rule", "add", "fwmark", "0x539", "lookup", "100"])?;
    payments.run_ok(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"])?;
    let script = "
import socket, sys
IP_TRANSPARENT, MARK = 19, 0x539
s = socket.socket()
s.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
s.bind((sys.argv[1], 0)); s.connect((sys.argv[2], 8080))
s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\nAuthorization: Basic b3BlbjpzZXNhbWU=\\r\\nConnection: close\\r\\n\\r\\n')
assert b'hello' in s.makefile('rb').read()
";
    let (from, to) = (orders.ip4.to_string(), payments.ip4.to_string());
    let line = Ambient::inside(payments, &["/usr/bin/python3", "-c", script, &from, &to]);
    ztunnel.run_ok(line)?;
    let record = daemon.wait_final("shop/orders", "shop/payments")?;
    assert_eq!(record["encryption"]["status"], "plaintext", "{record:#}");
    assert_eq!((&record["hop"], &record["findings"]), (&json!("sidecar"), &json!([])), "{record:#}");
    assert_eq!(record["client"]["ip"], from);
    Ok(())
}

/// To a pod outside the mesh it speaks in clear, and from the network of the pod that asked.
#[test]
fn what_a_ztunnel_sends_in_clear_to_another_pod_is_that_pods_edge() -> Result<()> {
    let ambient = Ambient::new()?;
    let Ambient { daemon, ztunnel, orders, payments, .. } = &ambient;
    for ip in addresses(payments) {
        let url = format!("http://{}/", authority(ip, 8080));
        ztunnel.run_ok(Ambient::inside(orders, &["curl", "-sSf", &url]))?;
    }
    let record = daemon.wait_final("shop/orders", "shop/payments")?;
    assert_eq!(record["hop"], "pod-to-pod", "{record:#}");
    assert_eq!(record["findings"], json!(["unencrypted", "unauthenticated"]), "{record:#}");
    Ok(())
}

#[test]
fn a_tunnel_between_ztunnels_is_mtls_between_the_pods_they_speak_for() -> Result<()> {
    let certificate = Certificate::new("payments.shop.svc")?;
    let ambient = Ambient::new()?;
    let Ambient { daemon, ztunnel, orders, payments, .. } = &ambient;
    let accept = HBONE.to_string();
    let serve = ["openssl", "s_server", "-quiet", "-accept", &accept, "-alpn", "h2", "-Verify", "1"];
    let own = certificate.arguments();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut server = Command::new("ip");
    server.args(&Ambient::inside(payments, &[&serve[..], &own].concat())[1..]).stdin(Stdio::null());
    let _server = ztunnel.spawn(server)?;
    payments.wait_listening(HBONE)?;
    let to = authority(payments.ip4, HBONE);
    let ask = ["openssl", "s_client", "-connect", &to, "-tls1_3", "-noservername", "-alpn", "h2"];
    ztunnel.run_ok(Ambient::inside(orders, &[&ask[..], &own].concat()))?;
    let record = daemon.wait_final("shop/orders", "shop/payments")?;
    let encryption = &record["encryption"];
    assert_eq!(
        (&encryption["status"], &encryption["mesh"]),
        (&json!("mtls"), &json!("ambient")),
        "{record:#}"
    );
    assert_eq!((&record["hop"], &record["findings"]), (&json!("pod-to-pod"), &json!([])), "{record:#}");
    Ok(())
}

/// As ztunnel takes what a pod's programs send: on loopback, in the pod's own network.
#[test]
fn what_a_program_sends_to_its_ztunnel_is_no_edge() -> Result<()> {
    let ambient = Ambient::new()?;
    let Ambient { daemon, ztunnel, orders, payments, .. } = &ambient;
    redirect(orders, daemon, "capture.nft", "output", "tcp dport 8080 redirect to :15001")?;
    let listen = [
        "/usr/bin/python3",
        "-m",
        "http.server",
        "15001",
        "--bind",
        "0.0.0.0",
        "--directory",
        "/usr/share/common-licenses",
    ];
    let _proxy = servers::start(ztunnel, &Ambient::inside(orders, &listen))?;
    // Something of the pod's own: an empty pod is not waited for.
    let _program = servers::start(orders, &["sleep", "60"].map(str::to_owned))?;
    orders.wait_listening(15001)?;
    orders.run_ok([
        "curl",
        "-sSf",
        "-o",
        "/dev/null",
        &format!("http://{}/", authority(payments.ip4, 8080)),
    ])?;
    let record = daemon.wait_final("shop/orders", "shop/orders")?;
    assert_eq!(record["encryption"]["status"], "plaintext", "{record:#}");
    assert_eq!((&record["hop"], &record["findings"]), (&json!("sidecar"), &json!([])), "{record:#}");
    Ok(())
}
