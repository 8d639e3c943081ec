//! Who stands at the two ends of a connection, and which of them speaks: one record, counted once.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use observer_harness::{Outside, Place, Pod, SimNode};
use observer_integration::servers::{self, Nginx, addresses, authority};
use observer_integration::{Capture, Daemon};
use serde_json::{Value, json};

const PORT: u16 = 8080;

fn nginx(place: &Place) -> Result<Nginx> {
    servers::nginx(place, PORT, "listen 8080; listen [::]:8080; return 200 'hello\\n';")
}

fn get(place: &Place, authority: &str) -> Result<()> {
    place.run_ok(["curl", "-sSf", "--max-time", "5", &format!("http://{authority}/")])?;
    Ok(())
}

/// All last records, once nobody can have anything to add, in the order of their ends; the metrics count each once.
fn settled(daemon: &Daemon, expected: usize) -> Result<Vec<Value>> {
    let finals = || -> Result<Vec<Value>> {
        Ok(daemon.records()?.into_iter().filter(|record| record["final"] == true).collect())
    };
    for _ in 0..50 {
        if finals()?.len() >= expected {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    // A client's end waits a second for its twin.
    thread::sleep(Duration::from_millis(1500));
    let finals = finals()?;
    assert_eq!(finals.len(), expected, "{finals:#?}");
    assert_eq!(daemon.metric("observer_flows_total", &[])?, expected as f64, "counted once");
    Ok(finals)
}

fn assert_is_pod(party: &Value, pod: &Pod) {
    let account = format!("{}/{}", pod.namespace, pod.service_account);
    assert_eq!((&party["principal"], &party["kind"]), (&json!(account), &json!("pod")), "{party:#}");
    assert_eq!(party["pod"], pod.name.as_str());
}

#[test]
fn behind_a_cluster_ip_the_servers_end_speaks_and_names_client_and_service() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").deployment("payments").start()?;
    let client = node.pod("shop", "orders").deployment("orders").start()?;
    let service = node.service("shop", "payments-svc").port(80, PORT).backend(&server).start()?;
    let _nginx = nginx(&server)?;
    let daemon = Daemon::start(&node)?;
    let capture = Capture::start(&server)?;
    get(&client, &authority(service.cluster_ip, 80))?;
    get(&client, &authority(service.cluster_ip6, 80))?;
    let reading = capture.stop()?;
    // What the server sees is the client's own address.
    let mut sources = reading.values("tcp.flags.syn == 1 && tcp.flags.ack == 0", "ip.src")?;
    sources.extend(reading.values("tcp.flags.syn == 1 && tcp.flags.ack == 0", "ipv6.src")?);
    assert_eq!(sources, [client.ip4.to_string(), client.ip6.to_string()]);
    for (record, (from, to)) in
        settled(&daemon, 2)?.iter().zip(addresses(&client).iter().zip(addresses(&server)))
    {
        assert_eq!((&record["reporter"], &record["hop"]), (&json!("server"), &json!("pod-to-pod")));
        assert_is_pod(&record["client"], &client);
        assert_is_pod(&record["server"], &server);
        assert_eq!(record["client"]["ip"], from.to_string());
        assert_eq!(record["server"]["ip"], to.to_string());
        assert_eq!(record["server"]["port"], PORT, "the port that the server's socket listens on");
        assert_eq!(record["server"]["service"], "payments-svc");
        assert_eq!(record["client"]["workload"], json!({"kind": "Deployment", "name": "orders"}));
        assert_eq!(record["encryption"]["link"], "none");
    }
    assert_eq!(daemon.metric("observer_flows_total", &["server_port=\"8080\""])?, 2.0);
    assert_eq!(daemon.metric("observer_requests_total", &[])?, 2.0);
    Ok(())
}

#[test]
fn a_pod_that_calls_itself_is_intra_pod_and_exempt() -> Result<()> {
    let node = SimNode::builder().start()?;
    let pod = node.pod("shop", "payments").start()?;
    let service = node.service("shop", "payments").port(80, PORT).backend(&pod).start()?;
    let _nginx = nginx(&pod)?;
    let daemon = Daemon::start(&node)?;
    // The way back through its Service is hidden behind the node's address; loopback is not.
    let ways = [
        authority(service.cluster_ip, 80),
        authority(service.cluster_ip6, 80),
        authority([127, 0, 0, 1], PORT),
        authority("::1".parse::<std::net::Ipv6Addr>()?, PORT),
        authority(pod.ip4, PORT),
    ];
    for way in &ways {
        get(&pod, way)?;
    }
    let records = settled(&daemon, ways.len())?;
    for record in &records {
        assert_eq!(record["hop"], "intra-pod", "{record:#}");
        assert_is_pod(&record["client"], &pod);
        assert_is_pod(&record["server"], &pod);
        assert_eq!(record["findings"], json!([]));
    }
    assert_eq!(records[0]["server"]["service"], "payments");
    let exempted = |kind| daemon.metric("observer_exempted_total", &[kind, "reason=\"intra-pod\""]);
    assert_eq!(exempted("kind=\"unencrypted\"")?, 5.0);
    assert_eq!(exempted("kind=\"unauthenticated\"")?, 5.0);
    assert_eq!(daemon.metric("observer_findings_total", &[])?, 0.0);
    Ok(())
}

#[test]
fn a_host_network_pod_is_known_by_its_cgroup() -> Result<()> {
    let node = SimNode::builder().start()?;
    let agent = node.pod("kube-system", "agent").host_network().start()?;
    let server = node.pod("shop", "payments").start()?;
    let service = node.service("shop", "payments").port(80, PORT).backend(&server).start()?;
    let _nginx = nginx(&server)?;
    let daemon = Daemon::start(&node)?;
    get(&agent, &authority(server.ip4, PORT))?;
    get(&agent, &authority(server.ip6, PORT))?;
    get(&agent, &authority(service.cluster_ip, 80))?;
    get(&agent, &authority(service.cluster_ip6, 80))?;
    for record in settled(&daemon, 4)? {
        assert_is_pod(&record["client"], &agent);
        assert_is_pod(&record["server"], &server);
        assert_eq!((&record["reporter"], &record["hop"]), (&json!("server"), &json!("pod-to-pod")));
        assert_eq!(record["findings"], json!(["unencrypted", "unauthenticated"]));
    }
    Ok(())
}

#[test]
fn the_nodes_own_processes_are_the_node_and_on_a_probes_port_exempt() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "payments").probe_port(8081).start()?;
    let _nginx = servers::nginx(
        &server,
        PORT,
        "listen 8080; listen [::]:8080; listen 8081; listen [::]:8081; return 200 'hello\\n';",
    )?;
    let daemon = Daemon::start(&node)?;
    for ip in addresses(&server) {
        get(node.host(), &authority(ip, PORT))?;
        get(node.host(), &authority(ip, 8081))?;
    }
    for (record, port) in settled(&daemon, 4)?.iter().zip([PORT, 8081].repeat(2)) {
        assert_eq!(record["client"]["principal"], "node");
        assert_eq!(record["client"]["kind"], "node");
        assert_is_pod(&record["server"], &server);
        assert_eq!(record["server"]["port"], port);
        let (hop, findings) = if port == PORT {
            ("node-local", json!(["unencrypted", "unauthenticated"]))
        } else {
            ("kubelet-probe", json!([]))
        };
        assert_eq!((&record["hop"], &record["findings"]), (&json!(hop), &findings), "{record:#}");
    }
    let probes = ["reason=\"kubelet-probe\""];
    assert_eq!(daemon.metric("observer_exempted_total", &probes)?, 4.0, "two kinds, two probes");
    Ok(())
}

#[test]
fn a_node_that_calls_from_an_address_of_no_object_is_still_the_node() -> Result<()> {
    let node = SimNode::builder().own_address().start()?;
    let server = node.pod("shop", "payments").probe_port(PORT).start()?;
    let _nginx = nginx(&server)?;
    let daemon = Daemon::start(&node)?;
    for ip in addresses(&server) {
        get(node.host(), &authority(ip, PORT))?;
    }
    for record in settled(&daemon, 2)? {
        assert_eq!((&record["client"]["kind"], &record["hop"]), (&json!("node"), &json!("kubelet-probe")));
    }
    Ok(())
}

#[test]
fn the_outside_is_external_as_client_and_as_server() -> Result<()> {
    let node = SimNode::builder().start()?;
    let pod = node.pod("shop", "frontend").start()?;
    let outside = node.external("browser")?;
    let (_inner, _outer) = (nginx(&pod)?, nginx(&outside)?);
    let daemon = Daemon::start(&node)?;
    let capture = Capture::start(&pod)?;
    get(&outside, &authority(pod.ip4, PORT))?;
    get(&outside, &authority(pod.ip6, PORT))?;
    let (v4, v6) = (authority(outside.ip4, PORT), authority(outside.ip6, PORT));
    for url in [format!("http://{v4}/"), format!("http://{v6}/")] {
        pod.run_ok(["curl", "-sSf", "-u", "user:x", &url])?;
    }
    let reading = capture.stop()?;
    let mut records = settled(&daemon, 4)?;
    let outgoing: Vec<Value> = records.extract_if(.., |record| record["reporter"] == "client").collect();
    assert_eq!((records.len(), outgoing.len()), (2, 2));
    for record in &records {
        assert_eq!(
            (&record["client"]["principal"], &record["hop"]),
            (&json!("external"), &json!("external"))
        );
        assert_is_pod(&record["server"], &pod);
        assert_eq!(record["findings"], json!(["unauthenticated"]));
    }
    for record in &outgoing {
        assert_eq!(
            (&record["server"]["principal"], &record["hop"]),
            (&json!("external"), &json!("external"))
        );
        assert_is_pod(&record["client"], &pod);
        assert_eq!(record["encryption"]["status"], "plaintext", "its own bytes were read");
        assert_eq!(record["requests"]["present"], 1);
        assert_eq!(record["last_request"], json!({"method": "GET", "status": 200}));
        assert_eq!(record["findings"], json!(["credential-in-cleartext"]));
    }
    for record in records.iter().chain(&outgoing) {
        let (sent, received) = reading.payload(record["client"]["port"].as_u64().unwrap_or(0))?;
        assert_eq!((&record["bytes_sent"], &record["bytes_received"]), (&json!(sent), &json!(received)));
    }
    Ok(())
}

/// The inventory's word for a pod on another node, with the outside host's addresses.
fn pod_of_another_node(outside: &Outside) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: ledger-0, namespace: shop, uid: 0f6a3a5f-1c1f-4b6e-9a4e-d6e9c5b20a11}}
spec: {{serviceAccountName: ledger, nodeName: n2, containers: [{{name: main}}]}}
status: {{phase: Running, podIP: {ip4}, podIPs: [{{ip: {ip4}}}, {{ip: '{ip6}'}}], hostIP: 192.0.2.2}}
",
        ip4 = outside.ip4,
        ip6 = outside.ip6
    )
}

#[test]
fn towards_a_pod_of_another_node_the_client_gives_neither_record_nor_count() -> Result<()> {
    let node = SimNode::builder().start()?;
    let pod = node.pod("shop", "orders").start()?;
    let outside = node.external("ledger")?;
    let (_inner, _outer) = (nginx(&pod)?, nginx(&outside)?);
    let daemon = Daemon::builder().elsewhere(&pod_of_another_node(&outside)).start(&node)?;
    get(&pod, &authority(outside.ip4, PORT))?;
    get(&pod, &authority(outside.ip6, PORT))?;
    // The other way round this node's end is the server's.
    get(&outside, &authority(pod.ip4, PORT))?;
    get(&outside, &authority(pod.ip6, PORT))?;
    for record in settled(&daemon, 2)? {
        assert_eq!((&record["reporter"], &record["hop"]), (&json!("server"), &json!("pod-to-pod")));
        assert_eq!(record["client"]["principal"], "shop/ledger");
        assert_is_pod(&record["server"], &pod);
        assert_eq!(record["encryption"]["link"], "unknown", "nobody knows what is between the nodes");
    }
    assert_eq!(daemon.metric("observer_requests_total", &[])?, 2.0);
    Ok(())
}

#[test]
fn between_nodes_whose_wireguard_keys_are_shown_plaintext_is_no_finding() -> Result<()> {
    let node = SimNode::builder().start()?;
    let pod = node.pod("shop", "orders").start()?;
    let neighbour = node.pod("shop", "frontend").start()?;
    let outside = node.external("ledger")?;
    let _nginx = nginx(&pod)?;
    let cilium_node = |name: &str| {
        format!(
            "---\napiVersion: cilium.io/v2\nkind: CiliumNode\nmetadata: {{name: {name}, annotations: \
             {{network.cilium.io/wg-pub-key: 2wFkjIlTxOcfpb8P2bQpYBZrnB7X3g9Xx9JlZ1Y3Zn0=}}}}\n"
        )
    };
    let elsewhere = pod_of_another_node(&outside) + &cilium_node(node.name()) + &cilium_node("n2");
    let daemon = Daemon::builder().elsewhere(&elsewhere).start(&node)?;
    get(&outside, &authority(pod.ip4, PORT))?;
    get(&neighbour, &authority(pod.ip4, PORT))?;
    let records = settled(&daemon, 2)?;
    let of = |client: &str| records.iter().find(|record| record["client"]["principal"] == client);
    let far = of("shop/ledger").context("no record of the other node's pod")?;
    assert_eq!(far["encryption"], json!({"status": "plaintext", "link": "wireguard"}));
    assert_eq!(far["findings"], json!(["unauthenticated"]));
    let near = of("shop/frontend").context("no record of this node's pod")?;
    assert_eq!(near["encryption"], json!({"status": "plaintext", "link": "none"}));
    assert_eq!(near["findings"], json!(["unencrypted", "unauthenticated"]));
    Ok(())
}

#[test]
fn with_both_ends_a_clients_end_is_shown_and_not_counted() -> Result<()> {
    let node = SimNode::builder().start()?;
    let pod = node.pod("shop", "orders").start()?;
    let outside = node.external("ledger")?;
    let _nginx = nginx(&outside)?;
    let daemon = Daemon::builder()
        .elsewhere(&pod_of_another_node(&outside))
        .arguments(["--both-ends"])
        .start(&node)?;
    get(&pod, &authority(outside.ip4, PORT))?;
    get(&pod, &authority(outside.ip6, PORT))?;
    for _ in 0..2 {
        let record = daemon.wait_final("shop/orders", "shop/ledger")?;
        assert_eq!(record["reporter"], "client");
    }
    thread::sleep(Duration::from_millis(1500));
    let finals = daemon.finals("shop/orders", "shop/ledger")?;
    assert_eq!(finals.len(), 2, "{finals:#?}");
    for metric in ["flows", "requests", "findings", "bytes", "exempted"] {
        assert_eq!(daemon.metric(&format!("observer_{metric}_total"), &[])?, 0.0, "{metric}");
    }
    Ok(())
}

#[test]
fn a_service_that_refuses_is_the_account_that_all_its_endpoints_share() -> Result<()> {
    let node = SimNode::builder().start()?;
    let client = node.pod("shop", "frontend").start()?;
    let payments = || node.pod("shop", "payments").start();
    let (one, two, other) = (payments()?, payments()?, node.pod("shop", "ledger").start()?);
    let service = |name| node.service("shop", name).port(80, PORT);
    let shared = service("shared").backend(&one).backend(&two).start()?;
    let mixed = service("mixed").backend(&one).backend(&other).start()?;
    let daemon = Daemon::start(&node)?;
    for address in [
        authority(shared.cluster_ip, 80),
        authority(shared.cluster_ip6, 80),
        authority(mixed.cluster_ip, 80),
        authority(mixed.cluster_ip6, 80),
    ] {
        let output = client.run(["curl", "-sS", &format!("http://{address}/")])?;
        assert_eq!(output.status.code(), Some(7), "{output:?}");
    }
    for (index, record) in settled(&daemon, 4)?.iter().enumerate() {
        assert_eq!(
            (&record["reporter"], &record["close"]),
            (&json!("client"), &json!("refused")),
            "{record:#}"
        );
        assert_is_pod(&record["client"], &client);
        let server = &record["server"];
        if index < 2 {
            assert_eq!(
                (&server["principal"], &server["service"]),
                (&json!("shop/payments"), &json!("shared"))
            );
        } else {
            assert_eq!((&server["principal"], &server["service"]), (&json!("unknown"), &json!("mixed")));
            assert_eq!(server["reason"], "service-backend");
        }
    }
    Ok(())
}
