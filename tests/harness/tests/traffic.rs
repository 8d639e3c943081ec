//! Traffic between pods, Services, the node and the outside, by third-party programs. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use observer_harness::{Place, Pod, Process, Qos, SimNode};

/// Answers each request with the address that it came from.
const ECHO_PEER: &str = "
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].removeprefix('::ffff:').encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(('::', int(sys.argv[1])), Handler).serve_forever()
";

fn echo_peer(place: &Place, port: u16) -> Process {
    let mut command = Command::new("python3");
    command.args(["-c", ECHO_PEER, &port.to_string()]).stdin(Stdio::null());
    let process = place.spawn(command).unwrap();
    place.wait_listening(port).unwrap();
    process
}

/// What the server at `ip` saw as the client's address.
fn seen_from(client: &Place, ip: impl Into<IpAddr>, port: u16) -> IpAddr {
    let url = format!("http://{}/", std::net::SocketAddr::new(ip.into(), port));
    let answer = client.run_ok(["curl", "-sS", "--max-time", "5", &url]).unwrap();
    answer.parse().unwrap_or_else(|_| panic!("{url} answered {answer:?}"))
}

fn pod(node: &SimNode, name: &str) -> Pod {
    node.pod("shop", name).start().unwrap()
}

#[test]
fn pods_reach_each_other_over_both_families_under_their_own_address() {
    let node = SimNode::builder().start().unwrap();
    let (client, server) = (pod(&node, "orders"), pod(&node, "payments"));
    let _server = echo_peer(&server, 8080);
    assert_eq!(seen_from(&client, server.ip4, 8080), client.ip4);
    assert_eq!(seen_from(&client, server.ip6, 8080), client.ip6);
}

#[test]
fn a_cluster_ip_leads_to_the_backend_which_sees_the_clients_pod_address() {
    let node = SimNode::builder().start().unwrap();
    let (client, server) = (pod(&node, "orders"), pod(&node, "payments"));
    let _server = echo_peer(&server, 8080);
    let service =
        node.service("shop", "payments").port(80, 8080).port(81, 8080).backend(&server).start().unwrap();
    for port in [80, 81] {
        assert_eq!(seen_from(&client, service.cluster_ip, port), client.ip4);
        assert_eq!(seen_from(&client, service.cluster_ip6, port), client.ip6);
    }
}

#[test]
fn a_pod_that_calls_itself_through_its_service_sees_the_nodes_address() {
    let node = SimNode::builder().start().unwrap();
    let server = pod(&node, "payments");
    let _server = echo_peer(&server, 8080);
    let service = node.service("shop", "payments").port(80, 8080).backend(&server).start().unwrap();
    assert_eq!(seen_from(&server, service.cluster_ip, 80), node.ip4());
    assert_eq!(seen_from(&server, service.cluster_ip6, 80), node.ip6());
}

#[test]
fn a_service_spreads_connections_over_its_backends() {
    let node = SimNode::builder().start().unwrap();
    let client = pod(&node, "orders");
    let backends = [pod(&node, "payments"), pod(&node, "payments")];
    let mut service = node.service("shop", "payments").port(80, 8080);
    let mut servers = Vec::new();
    for backend in &backends {
        let mut command = Command::new("python3");
        let code = "import http.server,sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('', 8080), H).serve_forever()";
        command.args(["-c", code, &backend.name]);
        servers.push(backend.spawn(command).unwrap());
        backend.wait_listening(8080).unwrap();
        service = service.backend(backend);
    }
    let service = service.start().unwrap();
    // Forty connections that all go to one of two happen once in 2^39 runs.
    let script = format!("for i in $(seq 40); do curl -sS http://{}/; echo; done", service.cluster_ip);
    let answers = client.run_ok(["sh", "-c", &script]).unwrap();
    let answers: BTreeSet<&str> = answers.lines().collect();
    assert_eq!(answers, backends.iter().map(|pod| pod.name.as_str()).collect());
}

#[test]
fn a_service_refuses_without_endpoints_and_on_ports_that_it_does_not_have() {
    let node = SimNode::builder().start().unwrap();
    let (client, server) = (pod(&node, "orders"), pod(&node, "payments"));
    let _server = echo_peer(&server, 8080);
    let empty = node.service("shop", "empty").port(80, 8080).start().unwrap();
    let service = node.service("shop", "payments").port(80, 8080).backend(&server).start().unwrap();
    // The kernel's errno tells a refusal from a host that does not answer; a second try is within the ten seconds,
    // because Linux takes an ICMP refusal for a hint while connect() still holds the socket.
    let code = "import errno, socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 10); print('connected')
except OSError as error: print(errno.errorcode.get(error.errno, error))";
    let targets = [
        (empty.cluster_ip.to_string(), "80"),
        (empty.cluster_ip6.to_string(), "80"),
        (service.cluster_ip.to_string(), "8080"),
        (service.cluster_ip6.to_string(), "8080"),
    ];
    for (place, (ip, port)) in targets.iter().flat_map(|target| [(&*client, target), (node.host(), target)]) {
        let answer = place.run_ok(["python3", "-c", code, ip, port]).unwrap();
        assert_eq!(answer.trim(), "ECONNREFUSED", "{place}: {ip} {port}");
    }
}

#[test]
fn udp_passes_a_service() {
    let node = SimNode::builder().start().unwrap();
    let (client, server) = (pod(&node, "resolver"), pod(&node, "dns"));
    let mut command = Command::new("python3");
    command.args([
        "-c",
        "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5353))
while True: d, a = s.recvfrom(99); s.sendto(a[0].encode(), a)",
    ]);
    let _server = server.spawn(command).unwrap();
    server.wait_listening(5353).unwrap();
    let service = node.service("shop", "dns").udp_port(53, 5353).backend(&server).start().unwrap();
    let code = "import socket,sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect((sys.argv[1], 53))
s.send(b'?'); print(s.recv(99).decode())";
    let answer = client.run_ok(["python3", "-c", code, &service.cluster_ip.to_string()]).unwrap();
    assert_eq!(answer.trim(), client.ip4.to_string());
}

#[test]
fn the_outside_reaches_pods_and_pods_reach_it_behind_the_nodes_address() {
    let node = SimNode::builder().start().unwrap();
    let (server, outside) = (pod(&node, "frontend"), node.external("browser").unwrap());
    let _server = echo_peer(&server, 8080);
    assert_eq!(seen_from(&outside, server.ip4, 8080), outside.ip4);
    assert_eq!(seen_from(&outside, server.ip6, 8080), outside.ip6);
    let _api = echo_peer(&outside, 9000);
    assert_eq!(seen_from(&server, outside.ip4, 9000), node.ip4());
    assert_eq!(seen_from(&server, outside.ip6, 9000), node.ip6());
}

#[test]
fn the_nodes_processes_reach_pods_and_services() {
    let node = SimNode::builder().start().unwrap();
    let server = pod(&node, "payments");
    let _server = echo_peer(&server, 8080);
    let service = node.service("shop", "payments").port(80, 8080).backend(&server).start().unwrap();
    assert_eq!(seen_from(node.host(), server.ip4, 8080), node.ip4());
    assert_eq!(seen_from(node.host(), server.ip6, 8080), node.ip6());
    assert_eq!(seen_from(node.host(), service.cluster_ip, 80), node.ip4());
    assert_eq!(seen_from(node.host(), service.cluster_ip6, 80), node.ip6());
}

#[test]
fn a_node_with_its_own_address_calls_from_the_gateways() {
    let node = SimNode::builder().own_address().start().unwrap();
    let (gateway4, gateway6) = node.gateway();
    assert_ne!(node.ip4(), gateway4);
    let server = pod(&node, "payments");
    let _server = echo_peer(&server, 8080);
    let service = node.service("shop", "payments").port(80, 8080).backend(&server).start().unwrap();
    assert_eq!(seen_from(node.host(), server.ip4, 8080), gateway4);
    assert_eq!(seen_from(node.host(), service.cluster_ip, 80), gateway4);
    assert_eq!(seen_from(node.host(), service.cluster_ip6, 80), gateway6);
    let _kubelet = echo_peer(node.host(), 10250);
    assert_eq!(seen_from(&server, node.ip4(), 10250), server.ip4);
    assert_eq!(seen_from(&server, node.ip6(), 10250), server.ip6);
}

#[test]
fn a_host_network_pod_speaks_with_the_nodes_address_from_its_own_cgroup() {
    let node = SimNode::builder().start().unwrap();
    let agent = node.pod("kube-system", "agent").host_network().start().unwrap();
    let server = pod(&node, "payments");
    let _server = echo_peer(&server, 8080);
    assert_eq!((agent.ip4, agent.ip6), (node.ip4(), node.ip6()));
    assert_eq!(seen_from(&agent, server.ip4, 8080), node.ip4());
    let cgroup = agent.run_ok(["cat", "/proc/self/cgroup"]).unwrap();
    assert!(cgroup.contains("kubepods-burstable.slice"), "{cgroup}");
}

#[test]
fn a_pods_processes_lie_in_the_scope_that_the_kubelet_would_name() {
    let node = SimNode::builder().start().unwrap();
    let uid = "d6e9c5b2-1c1f-4b6e-9a4e-0f6a3a5f0a11";
    let pod = node.pod("shop", "orders").uid(uid).start().unwrap();
    let guaranteed = node.pod("shop", "ledger").qos(Qos::Guaranteed).start().unwrap();
    let outside = node.external("browser").unwrap();

    // cgroups(7): `0::` is the line of cgroup2; the path is relative to its mount.
    let cgroup2 = |place: &Place| {
        let all = place.run_ok(["cat", "/proc/self/cgroup"]).unwrap();
        all.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
    };
    let root = format!("/observer-node-{}", node.id());
    assert_eq!(
        cgroup2(&pod),
        format!(
            "{root}/kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-podd6e9c5b2_1c1f_4b6e_9a4e_0f6a3a5f0a11.slice/cri-containerd-{}.scope",
            pod.container_id
        )
    );
    assert_eq!(pod.container_id.len(), 64);
    assert!(cgroup2(&guaranteed).starts_with(&format!("{root}/kubepods.slice/kubepods-pod")));
    assert_eq!(cgroup2(node.host()), format!("{root}/system.slice/kubelet.service"));
    assert!(!cgroup2(&outside).starts_with(&root));
    assert!(node.cgroup_root().ends_with(&root[1..]));
    assert!(pod.cgroup().starts_with(node.cgroup_root()));
    assert!(fs::exists(pod.cgroup()).unwrap());
}

#[test]
fn two_nodes_side_by_side_share_nothing() {
    let (one, two) =
        (SimNode::builder().name("n1").start().unwrap(), SimNode::builder().name("n2").start().unwrap());
    assert_ne!(one.cluster_cidr(), two.cluster_cidr());
    assert_ne!(one.cgroup_root(), two.cgroup_root());
    for node in [&one, &two] {
        let server = node.pod("shop", "payments").name("payments").start().unwrap();
        let client = pod(node, "orders");
        let _server = echo_peer(&server, 8080);
        let service = node.service("shop", "payments").port(80, 8080).backend(&server).start().unwrap();
        assert_eq!(seen_from(&client, service.cluster_ip, 80), client.ip4);
    }
    drop(one);
    let (client, server) = (pod(&two, "orders"), pod(&two, "ledger"));
    let _server = echo_peer(&server, 8080);
    assert_eq!(seen_from(&client, server.ip4, 8080), client.ip4);
}

#[test]
fn a_node_of_six_pods_is_up_within_two_seconds() {
    let started = Instant::now();
    let node = SimNode::builder().start().unwrap();
    for name in ["frontend", "orders", "payments", "ledger", "intruder", "stranger"] {
        pod(&node, name);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    eprintln!("six pods in {took:?}");
}
