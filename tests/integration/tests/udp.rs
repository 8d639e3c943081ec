//! UDP conversations, with tshark's reading of the same packets beside.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use observer_harness::{Pod, SimNode};
use observer_integration::servers::{addresses, python, python_server};
use observer_integration::{Capture, Daemon, Directory, Reading};
use serde_json::{Value, json};

/// Answers queries with one address (RFC 1035 section 4.1).
const NAME_SERVER: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', int(sys.argv[1])))
while True:
    query, peer = s.recvfrom(512)
    answer = b'\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x1e\\x00\\x04\\x0a\\x60\\x00\\x01'
    s.sendto(query[:2] + b'\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00' + query[12:] + answer, peer)
";

/// Asks for two names from one socket.
const RESOLVE: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
for number, name in enumerate(('payments.shop.svc', 'ledger.shop.svc')):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    s.send(bytes([7, number]) + b'\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00' + labels + b'\\0\\0\\x01\\0\\x01')
    s.recv(512)
";

const ECHO: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
";

/// Sends datagrams of the given sizes and awaits the echo of each.
const TALK: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
for size in sys.argv[3:]:
    s.send(b'\\0' * int(size))
    s.recv(65536)
";

struct Scene {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    _node: SimNode,
    _directory: Directory,
}

impl Scene {
    /// `prepare` adds to the node before the daemon reads its inventory.
    fn new<T>(prepare: impl FnOnce(&SimNode, &Pod) -> Result<T>) -> Result<(Self, T)> {
        let node = SimNode::builder().start()?;
        let server = node.pod("kube-system", "coredns").deployment("coredns").start()?;
        let client = node.pod("shop", "orders").start()?;
        let prepared = prepare(&node, &server)?;
        let directory = Directory::new()?;
        let config = directory.write("config.yaml", "udp_idle: 1\n")?.display().to_string();
        let daemon = Daemon::builder().arguments(["--config", &config]).start(&node)?;
        Ok((Self { daemon, server, client, _node: node, _directory: directory }, prepared))
    }

    /// The last records of all conversations, in the order of their clients' ports as tshark saw them; each counted
    /// once.
    fn finals(&self, ports: &[u64]) -> Result<Vec<Value>> {
        assert_eq!(ports.len(), 2, "one of each family");
        let finals = ports.iter().map(|port| self.daemon.wait_final_from(*port)).collect::<Result<_>>()?;
        // The other end of each would have been idle for as long.
        thread::sleep(Duration::from_millis(1500));
        let mut records = self.daemon.records()?;
        records.retain(|record| record["final"] == true);
        assert_eq!(records.len(), ports.len(), "one record a conversation: {records:#?}");
        assert_eq!(self.daemon.metric("observer_flows_total", &[])?, ports.len() as f64);
        assert_eq!(self.daemon.metric("observer_lost_events_total", &[])?, 0.0);
        Ok(finals)
    }
}

/// The ports that datagrams to `port` came from, each once.
fn clients(reading: &Reading, port: u16) -> Result<Vec<u64>> {
    let mut ports: Vec<u64> = Vec::new();
    for value in reading.values(&format!("udp.dstport == {port}"), "udp.srcport")? {
        let source = value.parse()?;
        if !ports.contains(&source) {
            ports.push(source);
        }
    }
    Ok(ports)
}

/// Bytes that the client on `port` sent and was sent, without the UDP headers of 8 bytes (RFC 768).
fn payload(reading: &Reading, port: u64) -> Result<(u64, u64)> {
    let sum = |filter: String| -> Result<u64> {
        let lengths = reading.values(&filter, "udp.length")?;
        lengths.iter().map(|length| Ok(length.parse::<u64>()? - 8)).sum()
    };
    Ok((sum(format!("udp.srcport == {port}"))?, sum(format!("udp.dstport == {port}"))?))
}

fn assert_bytes(record: &Value, reading: &Reading) -> Result<()> {
    let (sent, received) = payload(reading, record["client"]["port"].as_u64().unwrap_or(0))?;
    assert!(sent > 0 && received > 0);
    assert_eq!(
        (&record["bytes_sent"], &record["bytes_received"]),
        (&json!(sent), &json!(received)),
        "{record:#}"
    );
    Ok(())
}

#[test]
fn a_dns_exchange_is_one_flow_of_its_asker_and_exempt() -> Result<()> {
    let (scene, ()) = Scene::new(|_, _| Ok(()))?;
    let _server = python_server(&scene.server, 53, NAME_SERVER, &["53"])?;
    let capture = Capture::start(&scene.client)?;
    for ip in addresses(&scene.server) {
        scene.client.run_ok(python(RESOLVE, &[&ip.to_string(), "53"]))?;
    }
    let reading = capture.stop()?;
    let names = reading.values("dns.flags.response == 1 && dns.a == 10.96.0.1", "dns.qry.name")?;
    assert_eq!(names, ["payments.shop.svc", "ledger.shop.svc"].repeat(2), "tshark reads them as DNS");
    for record in scene.finals(&clients(&reading, 53)?)? {
        assert_eq!((&record["transport"], &record["protocol"]), (&json!("udp"), &json!("dns")));
        assert_eq!(record["client"]["principal"], "shop/orders");
        assert_eq!(record["server"]["principal"], "kube-system/coredns");
        assert_eq!(record["server"]["port"], 53);
        assert_eq!((&record["encryption"]["status"], &record["findings"]), (&json!("plaintext"), &json!([])));
        assert_bytes(&record, &reading)?;
    }
    let exempted = ["kind=\"unencrypted\"", "reason=\"dns\""];
    assert_eq!(scene.daemon.metric("observer_exempted_total", &exempted)?, 2.0);
    assert_eq!(scene.daemon.metric("observer_findings_total", &[])?, 0.0);
    let of_edge = |direction| {
        scene.daemon.metric("observer_bytes_total", &["transport=\"udp\"", "server_port=\"53\"", direction])
    };
    let mut sums = (0, 0);
    for port in clients(&reading, 53)? {
        let (sent, received) = payload(&reading, port)?;
        sums = (sums.0 + sent, sums.1 + received);
    }
    assert_eq!(of_edge("direction=\"sent\"")?, sums.0 as f64);
    assert_eq!(of_edge("direction=\"received\"")?, sums.1 as f64);
    Ok(())
}

#[test]
fn datagrams_of_no_known_protocol_are_opaque_and_their_bytes_counted() -> Result<()> {
    let (scene, ()) = Scene::new(|_, _| Ok(()))?;
    let _server = python_server(&scene.server, 9999, ECHO, &["9999"])?;
    let capture = Capture::start(&scene.client)?;
    for ip in addresses(&scene.server) {
        scene.client.run_ok(python(TALK, &[&ip.to_string(), "9999", "1", "1400", "0", "300"]))?;
    }
    let reading = capture.stop()?;
    for record in scene.finals(&clients(&reading, 9999)?)? {
        assert_eq!((&record["transport"], &record["protocol"]), (&json!("udp"), &json!("opaque")));
        assert_eq!(record["client"]["principal"], "shop/orders");
        assert_eq!(record["server"]["port"], 9999);
        let encryption = &record["encryption"];
        assert_eq!(
            (&encryption["status"], &encryption["reason"]),
            (&json!("unknown"), &json!("opaque-protocol"))
        );
        assert_eq!(record["findings"], json!([]));
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(1701), &json!(1701)));
        assert_bytes(&record, &reading)?;
    }
    Ok(())
}

#[test]
fn udp_through_a_cluster_ip_is_one_record_of_the_servers_end() -> Result<()> {
    let (scene, service) = Scene::new(|node, server| {
        node.service("kube-system", "kube-dns").udp_port(53, 53).backend(server).start()
    })?;
    let _server = python_server(&scene.server, 53, NAME_SERVER, &["53"])?;
    let capture = Capture::start(&scene.server)?;
    for ip in [service.cluster_ip.to_string(), service.cluster_ip6.to_string()] {
        scene.client.run_ok(python(RESOLVE, &[&ip, "53"]))?;
    }
    let reading = capture.stop()?;
    for (record, ip) in scene.finals(&clients(&reading, 53)?)?.iter().zip(addresses(&scene.client)) {
        assert_eq!((&record["reporter"], &record["protocol"]), (&json!("server"), &json!("dns")));
        assert_eq!(record["client"]["principal"], "shop/orders");
        assert_eq!(record["client"]["ip"], ip.to_string());
        assert_eq!(record["server"]["principal"], "kube-system/coredns");
        assert_bytes(record, &reading)?;
    }
    Ok(())
}

#[test]
fn udp_to_the_outside_is_the_clients_to_report() -> Result<()> {
    let (scene, outside) = Scene::new(|node, _| node.external("resolver"))?;
    let _server = python_server(&outside, 53, NAME_SERVER, &["53"])?;
    let capture = Capture::start(&scene.client)?;
    for ip in [outside.ip4.to_string(), outside.ip6.to_string()] {
        scene.client.run_ok(python(RESOLVE, &[&ip, "53"]))?;
    }
    let reading = capture.stop()?;
    for record in scene.finals(&clients(&reading, 53)?)? {
        assert_eq!((&record["reporter"], &record["protocol"]), (&json!("client"), &json!("dns")));
        assert_eq!(record["client"]["principal"], "shop/orders");
        assert_eq!((&record["server"]["kind"], &record["hop"]), (&json!("external"), &json!("external")));
        assert_bytes(&record, &reading)?;
    }
    Ok(())
}

/// Who listens on a well-known port is the server, though it was the first to be heard: its client spoke before the
/// daemon's time.
#[test]
fn who_speaks_first_from_a_listening_well_known_port_is_the_server() -> Result<()> {
    let (scene, ()) = Scene::new(|_, _| Ok(()))?;
    let push = "import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 514))
s.settimeout(5)
for ip in sys.argv[1:]:
    s.sendto(b'x' * 200, ('::ffff:' + ip if '.' in ip else ip, 40000)); s.recv(1000)";
    let _client = python_server(&scene.client, 40000, ECHO, &["40000"])?;
    let capture = Capture::start(&scene.client)?;
    let [v4, v6] = addresses(&scene.client).map(|ip| ip.to_string());
    scene.server.run_ok(python(push, &[&v4, &v6]))?;
    let reading = capture.stop()?;
    assert_eq!(clients(&reading, 40000)?, [514]);
    scene.daemon.wait_final("shop/orders", "kube-system/coredns")?;
    thread::sleep(Duration::from_millis(2500));
    let mut records = scene.daemon.records()?;
    records.retain(|record| record["final"] == true);
    assert_eq!(records.len(), 2, "{records:#?}");
    for record in records {
        assert_eq!((&record["client"]["port"], &record["server"]["port"]), (&json!(40000), &json!(514)));
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(200), &json!(200)));
        assert_eq!(record["reporter"], "server");
    }
    Ok(())
}
