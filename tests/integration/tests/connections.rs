//! How connections end, what they carried and how long they took, with tshark's reading of the same packets beside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::servers::{self, addresses, authority, python, python_server};
use observer_integration::{Capture, Daemon, Reading};
use serde_json::{Value, json};

const PORT: u16 = 9000;

/// Answers 1000 bytes with 100 after a pause. With another argument, then waits for one byte and sends an RST.
const ANSWER: &str = "
import socket, struct, sys, threading, time
def serve(c):
    c.recv(1000, socket.MSG_WAITALL)
    time.sleep(float(sys.argv[2]))
    c.sendall(b'b' * 100)
    try: c.recv(1)
    except OSError: pass
    if len(sys.argv) > 3:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    c.close()
s = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],)).start()
";

/// Sends 1000 bytes and reads the answer. `fin` and `rst` close so; `wait` sends one byte more and reads to the end.
const ASK: &str = "
import socket, struct, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(b'\\0' * 1000)
s.recv(100, socket.MSG_WAITALL)
if sys.argv[3] == 'rst':
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
if sys.argv[3] == 'wait':
    s.sendall(b'.')
    try: s.recv(1)
    except ConnectionResetError: pass
s.close()
";

struct Scene {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    node: SimNode,
}

impl Scene {
    fn new() -> Result<(Self, Capture)> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "orders").deployment("orders").start()?;
        let client = node.pod("shop", "frontend").start()?;
        let daemon = Daemon::start(&node)?;
        let capture = Capture::start(&client)?;
        Ok((Self { daemon, server, client, node }, capture))
    }

    fn ask(&self, ip: impl ToString, how: &str) -> Result<()> {
        self.client.run_ok(python(ASK, &[&ip.to_string(), &PORT.to_string(), how]))?;
        Ok(())
    }

    /// The last records of all connections that tshark saw attempted, in order: one each, counted once.
    fn finals(&self, reading: &Reading) -> Result<Vec<(u64, Value)>> {
        let mut ports = reading.values("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.srcport")?;
        ports.dedup();
        let mut finals = Vec::new();
        for port in ports {
            let port = port.parse()?;
            finals.push((port, self.daemon.wait_final_from(port)?));
        }
        // Whoever would speak for the other end has done so by then.
        thread::sleep(Duration::from_millis(1500));
        let mut records = self.daemon.records()?;
        records.retain(|record| record["final"] == true);
        assert_eq!(records.len(), finals.len(), "one record a connection: {records:#?}");
        assert_eq!(self.daemon.metric("observer_flows_total", &[])?, finals.len() as f64);
        Ok(finals)
    }
}

/// A connection that never was: said by the client, without a verdict.
fn assert_attempt(record: &Value, close: &str) {
    assert_eq!((&record["reporter"], &record["close"]), (&json!("client"), &json!(close)), "{record:#}");
    assert_eq!(record["client"]["principal"], "shop/frontend");
    let encryption = &record["encryption"];
    assert_eq!(
        (&encryption["status"], &encryption["reason"]),
        (&json!("unknown"), &json!("not-established"))
    );
    assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(0), &json!(0)));
    assert_eq!((&record["findings"], &record["requests"]), (&json!([]), &Value::Null));
}

#[test]
fn a_refused_connection_is_one_record_by_the_client() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    for ip in addresses(&scene.server) {
        let output = scene.client.run(["curl", "-sS", &format!("http://{}/", authority(ip, PORT))])?;
        // curl(1): 7 is a failure to connect.
        assert_eq!(output.status.code(), Some(7), "{output:?}");
    }
    let reading = capture.stop()?;
    assert_eq!(reading.values("tcp.flags.reset == 1 && tcp.seq == 1", "tcp.dstport")?.len(), 2);
    let finals = scene.finals(&reading)?;
    assert_eq!(finals.len(), 2);
    for (_, record) in finals {
        assert_attempt(&record, "refused");
        assert_eq!(record["server"]["principal"], "shop/orders");
        assert_eq!(record["server"]["port"], PORT);
    }
    Ok(())
}

#[test]
fn connects_that_nobody_answers_are_aborted_or_timed_out_by_the_client() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    let rules = format!(
        "table inet silence {{ chain dropped {{ type filter hook forward priority 0; tcp dport {PORT} drop; }}; }}"
    );
    scene.node.host().run_ok(["nft", &rules])?;
    // One SYN more than the first, then the kernel gives up: tcp(7), TCP_SYNCNT.
    let patient = "import errno, socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
print(errno.errorcode[s.connect_ex((sys.argv[1], int(sys.argv[2])))])";
    for ip in addresses(&scene.server) {
        let url = format!("http://{}/", authority(ip, PORT));
        let output = scene.client.run(["curl", "-sS", "--connect-timeout", "0.5", &url])?;
        // curl(1): 28 is a timeout, curl's own.
        assert_eq!(output.status.code(), Some(28), "{output:?}");
        let said = scene.client.run_ok(python(patient, &[&ip.to_string(), &PORT.to_string()]))?;
        assert_eq!(said.trim(), "ETIMEDOUT");
    }
    let reading = capture.stop()?;
    assert_eq!(reading.values("tcp.flags.ack == 1", "tcp.srcport")?, [""; 0], "nobody answered");
    let finals = scene.finals(&reading)?;
    assert_eq!(finals.len(), 4);
    for ((_, record), close) in finals.iter().zip(["aborted", "timeout"].repeat(2)) {
        assert_attempt(record, close);
        assert_eq!(record["server"]["principal"], "shop/orders");
        // curl's half second begins before it connects.
        let least = if close == "timeout" { 1000 } else { 400 };
        assert!(record["duration_ms"].as_u64() >= Some(least), "{record:#}");
    }
    Ok(())
}

#[test]
fn an_attempt_at_an_address_of_nobody_is_the_clients_with_an_unknown_server() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    let mut ip4 = scene.server.ip4.octets();
    let mut ip6 = scene.server.ip6.segments();
    (ip4[3], ip6[7]) = (250, 250);
    for authority in [authority(ip4, PORT), authority(ip6, PORT)] {
        let url = format!("http://{authority}/");
        let output = scene.client.run(["curl", "-sS", "--connect-timeout", "1", &url])?;
        assert_eq!(output.status.code(), Some(28), "{output:?}");
    }
    for (_, record) in scene.finals(&capture.stop()?)? {
        assert_attempt(&record, "aborted");
        let server = &record["server"];
        assert_eq!((&server["principal"], &server["kind"]), (&json!("unknown"), &json!("unknown")));
        assert_eq!(server["reason"], "no-pod-at-address");
    }
    let unresolved =
        scene.daemon.metric("observer_unresolved_flows_total", &["reason=\"no-pod-at-address\""])?;
    assert_eq!(unresolved, 2.0);
    Ok(())
}

#[test]
fn bytes_and_duration_of_a_connection_are_those_on_the_wire() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    let _server = python_server(&scene.server, PORT, ANSWER, &[&PORT.to_string(), "1.2"])?;
    for ip in addresses(&scene.server) {
        scene.ask(ip, "fin")?;
    }
    let reading = capture.stop()?;
    let finals = scene.finals(&reading)?;
    assert_eq!(finals.len(), 2);
    for (port, record) in finals {
        assert_eq!((&record["reporter"], &record["close"]), (&json!("server"), &json!("fin")));
        let (sent, received) = reading.payload(port)?;
        assert_eq!((sent, received), (1000, 100));
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
        let times = reading.values(&format!("tcp.port == {port}"), "frame.time_relative")?;
        let (first, last) = (times.first().context("SYN")?, times.last().context("FIN")?);
        let on_wire = (last.parse::<f64>()? - first.parse::<f64>()?) * 1000.0;
        let duration = record["duration_ms"].as_f64().context("duration")?;
        assert!((on_wire - duration).abs() < 100.0, "{on_wire} on the wire, {duration} in the record");
        assert!(duration >= 1200.0);
        assert_eq!(record["protocol"], "opaque");
        assert_eq!(record["encryption"]["status"], "unknown");
        assert_eq!(record["findings"], json!([]));
    }
    let bytes = |direction| scene.daemon.metric("observer_bytes_total", &[direction]);
    assert_eq!(bytes("direction=\"sent\"")?, 2000.0);
    assert_eq!(bytes("direction=\"received\"")?, 200.0);
    Ok(())
}

#[test]
fn a_connection_that_the_client_resets_is_reset() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    let _server = python_server(&scene.server, PORT, ANSWER, &[&PORT.to_string(), "0"])?;
    for ip in addresses(&scene.server) {
        scene.ask(ip, "rst")?;
    }
    let reading = capture.stop()?;
    let rst = reading.values(&format!("tcp.flags.reset == 1 && tcp.dstport == {PORT}"), "tcp.srcport")?;
    assert_eq!(rst.len(), 2, "tshark saw the client's RST");
    for (port, record) in scene.finals(&reading)? {
        assert_eq!(
            (&record["reporter"], &record["close"]),
            (&json!("server"), &json!("reset")),
            "{record:#}"
        );
        let (sent, received) = reading.payload(port)?;
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
    }
    Ok(())
}

/// The record is the server's, and there it was not the peer who cut the connection.
#[test]
fn a_connection_that_the_server_resets_is_aborted_by_this_end() -> Result<()> {
    let (scene, capture) = Scene::new()?;
    let _server = python_server(&scene.server, PORT, ANSWER, &[&PORT.to_string(), "0", "rst"])?;
    for ip in addresses(&scene.server) {
        scene.ask(ip, "wait")?;
    }
    let reading = capture.stop()?;
    let rst = reading.values(&format!("tcp.flags.reset == 1 && tcp.srcport == {PORT}"), "tcp.dstport")?;
    assert_eq!(rst.len(), 2, "tshark saw the server's RST");
    for (port, record) in scene.finals(&reading)? {
        assert_eq!(
            (&record["reporter"], &record["close"]),
            (&json!("server"), &json!("aborted")),
            "{record:#}"
        );
        let (sent, received) = reading.payload(port)?;
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
    }
    Ok(())
}

/// Starts a Python client that says one line once it is connected, and goes on at each line that it is told.
fn on_command(pod: &Pod, script: &str, arguments: &[&str]) -> Result<Process> {
    let line = python(script, arguments);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = pod.spawn(command)?;
    heard(&mut process)?;
    Ok(process)
}

fn heard(process: &mut Process) -> Result<()> {
    let mut line = String::new();
    BufReader::new(process.child().stdout.as_mut().context("stdout")?).read_line(&mut line)?;
    anyhow::ensure!(!line.is_empty(), "the client ended");
    Ok(())
}

fn tell(process: &mut Process) -> Result<()> {
    process.child().stdin.as_mut().context("stdin")?.write_all(b"\n")?;
    heard(process)
}

#[test]
fn a_connection_older_than_the_daemon_is_a_record_that_says_so_and_ends_when_it_closes() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "orders").start()?;
    let client = node.pod("shop", "frontend").start()?;
    let echo = "import socketserver, sys
class Server(socketserver.ThreadingTCPServer): address_family = 10
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1000): self.request.sendall(data)
Server(('::', int(sys.argv[1])), Echo).serve_forever()";
    let _server = python_server(&server, PORT, echo, &[&PORT.to_string()])?;
    let talk = "import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
for last in False, False, True:
    s.sendall(b'\\0talk'); s.recv(5, socket.MSG_WAITALL)
    if last: s.close()
    print('done', flush=True)
    sys.stdin.readline()";
    let mut clients = Vec::new();
    for ip in addresses(&server) {
        clients.push(on_command(&client, talk, &[&ip.to_string(), &PORT.to_string()])?);
    }
    let capture = Capture::start(&client)?;
    let daemon = Daemon::start(&node)?;
    for process in &mut clients {
        tell(process)?;
    }
    let open = |record: &Value| record["close"] == "open" && record["server"]["port"] == PORT;
    daemon.wait_for("while it lasts", open)?;
    thread::sleep(Duration::from_millis(300));
    assert!(daemon.finals("shop/frontend", "shop/orders")?.is_empty());
    for process in &mut clients {
        tell(process)?;
    }
    let reading = capture.stop()?;
    let mut ports = reading.values(&format!("tcp.dstport == {PORT}"), "tcp.srcport")?;
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 2);
    for port in ports {
        let record = daemon.wait_final_from(port.parse()?)?;
        assert_eq!(record["encryption"]["reason"], "attached-mid-stream");
        assert_eq!((&record["reporter"], &record["close"]), (&json!("server"), &json!("fin")), "{record:#}");
        assert_eq!(record["client"]["principal"], "shop/frontend");
        assert_eq!(record["server"]["port"], PORT);
        assert_eq!(record["findings"], json!([]));
    }
    thread::sleep(Duration::from_millis(1500));
    let finals: Vec<Value> = daemon.records()?.into_iter().filter(|record| record["final"] == true).collect();
    assert_eq!(finals.len(), 2, "{finals:#?}");
    Ok(())
}

#[test]
fn the_requests_of_a_connection_older_than_the_daemon_are_judged_from_then_on() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "orders").start()?;
    let client = node.pod("shop", "frontend").start()?;
    let _nginx = servers::nginx(&server, PORT, "listen 9000; listen [::]:9000; return 200 'hello\\n';")?;
    let talk = "import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]))
for headers in {}, {'Authorization': 'Basic dXNlcjpzZXNhbWU='}, {}:
    c.request('GET', '/', headers=headers); c.getresponse().read()
    print('done', flush=True)
    sys.stdin.readline()";
    let mut clients = Vec::new();
    for ip in addresses(&server) {
        clients.push(on_command(&client, talk, &[&ip.to_string(), &PORT.to_string()])?);
    }
    let daemon = Daemon::start(&node)?;
    let capture = Capture::start(&client)?;
    for process in &mut clients {
        tell(process)?;
        tell(process)?;
        process.child().stdin.as_mut().context("stdin")?.write_all(b"\n")?;
        process.wait(Duration::from_secs(5))?;
    }
    let reading = capture.stop()?;
    let requests = reading.values("http.request", "tcp.srcport")?;
    assert_eq!(requests.len(), 4);
    for port in [&requests[0], &requests[2]] {
        let record = daemon.wait_final_from(port.parse()?)?;
        let requests = &record["requests"];
        let counts = ["total", "none", "present", "unknown"].map(|key| requests[key].as_u64());
        assert_eq!(counts, [2, 1, 1, 0].map(Some), "{record:#}");
        assert_eq!(record["encryption"]["status"], "plaintext");
        assert_eq!(record["last_request"], json!({"method": "GET", "status": 200}));
        assert_eq!(record["reporter"], "server");
    }
    Ok(())
}
