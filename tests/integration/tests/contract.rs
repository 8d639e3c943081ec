//! The outside contract: the keys of records, the labels of metrics, and that all ways to ask give the same answer.

#[path = "contract/exposition.rs"]
mod exposition;
#[path = "contract/record.rs"]
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use exposition::{EDGE, Exposition, FAMILIES};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer, release_binary};
use serde_json::Value;

const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: namespace
  edges:
    - from: {serviceAccount: client}
      to: {serviceAccount: server}
      ports: [8080]
";
/// Answers one datagram with another.
const DNS: &str = "\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 53))
while True:
    query, peer = s.recvfrom(512)
    s.sendto(query[:2] + b'\\x81\\x80' + query[4:], peer)
";
const QUERY: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], 53))
s.send(b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x04test\\x00\\x00\\x01\\x00\\x01')
assert s.recv(512)
";

/// A node on which something of every kind has happened.
struct Scene {
    _node: SimNode,
    pods: Vec<Pod>,
    _servers: Vec<Process>,
    daemon: Daemon,
    token: String,
}

impl Scene {
    fn new() -> Result<Self> {
        let issuer = TokenIssuer::new("https://issuer.test")?;
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").deployment("server").start()?;
        let client = node.pod("shop", "client").deployment("client").start()?;
        let intruder = node.pod("elsewhere", "default").start()?;
        let outside = node.external("api")?;
        let service = node.service("shop", "server").port(80, 8080).backend(&server).start()?;
        let manners = [(8080, Manners::Answer), (8081, Manners::Reject), (9000, Manners::Sink)];
        let mut servers = vec![wire::listen(&server, &manners)?, wire::listen(&outside, &manners)?];
        let keys = Directory::new()?;
        servers.push(tls_server(&server, &keys)?);
        let mut dns = Command::new("python3");
        dns.args(["-c", DNS]);
        servers.push(server.spawn(dns)?);
        server.wait_listening(53)?;
        let daemon = Daemon::builder().graph(GRAPH).arguments(issuer.arguments()).start(&node)?;

        let claims = Claims { audiences: vec![issuer.url.clone()], expires_in: 3600 };
        let token = issuer.bound(&client, &claims)?;
        let (good, plain) = (bearer(&token), wire::get(&[]));
        let legacy = bearer(&issuer.legacy(&client)?);
        let (ip, six) = (server.ip4.to_string(), server.ip6.to_string());
        wire::talk(&client, &ip, 8080, &hear(&plain))?;
        let kept: Vec<Step<'_>> = [&good, &plain, &legacy].iter().flat_map(|head| hear(head)).collect();
        wire::talk(&client, &ip, 8080, &kept)?;
        wire::talk(&client, &six, 8080, &hear(&good))?;
        wire::talk(&client, &service.cluster_ip.to_string(), 80, &hear(&good))?;
        wire::talk(&client, &ip, 8081, &hear(&plain))?;
        wire::talk(&intruder, &ip, 8080, &hear(&good))?;
        wire::talk(&client, &ip, 9000, &[Step::Send(&wire::noise(100))])?;
        wire::talk(&client, &ip, 9000, &[])?;
        let long = wire::get(&[("X-Long", &"a".repeat(30_000))]);
        wire::talk(&client, &ip, 9000, &[Step::Send(long.as_bytes())])?;
        wire::talk(&client, &outside.ip4.to_string(), 8080, &hear(&good))?;
        ensure!(!client.run(["curl", "-sS", &format!("http://{ip}:7777/")])?.status.success());
        client.run_ok([
            "curl",
            "-sSk",
            "--resolve",
            &format!("server.shop:8443:{ip}"),
            "https://server.shop:8443/",
        ])?;
        server.run_ok(["curl", "-sS", "http://127.0.0.1:8080/"])?;
        client.run_ok(["python3", "-c", QUERY, &ip])?;
        let scene =
            Self { _node: node, pods: vec![server, client, intruder], _servers: servers, daemon, token };
        // The client's end of the external flow waits for a twin; nothing comes after that.
        scene.daemon.wait_final("shop/client", "external")?;
        scene.daemon.wait_for("the query", |record| record["protocol"] == "dns")?;
        thread::sleep(Duration::from_millis(1_500));
        Ok(scene)
    }

    fn json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self.daemon.ask(&[arguments, &["-o", "json"]].concat())?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// The last record of each flow.
    fn flows(&self) -> Result<Vec<Value>> {
        let mut flows = BTreeMap::new();
        for record in self.daemon.records()? {
            let socket = |end: &str| format!("{} {}", record[end]["ip"], record[end]["port"]);
            flows.insert((socket("client"), socket("server"), record["transport"].to_string()), record);
        }
        Ok(flows.into_values().collect())
    }
}

fn hear(text: &str) -> Vec<Step<'_>> {
    vec![Step::Send(text.as_bytes()), Step::Hear]
}

fn bearer(token: &str) -> String {
    wire::get(&[("Authorization", &format!("Bearer {token}"))])
}

fn tls_server(pod: &Pod, directory: &Directory) -> Result<Process> {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server.shop", "-days", "1"];
    pod.run_ok(["openssl"].iter().chain(&request).copied().chain(["-keyout", &key, "-out", &certificate]))?;
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "8443", "-www", "-quiet", "-key", &key, "-cert", &certificate]);
    let process = pod.spawn(command)?;
    pod.wait_listening(8443)?;
    Ok(process)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One scene for all: it takes seconds, and nothing here changes it.
#[test]
fn records_metrics_and_answers_keep_the_contract() -> Result<()> {
    let scene = Scene::new()?;
    records_have_the_keys_of_the_contract_and_no_others(&scene).context("records")?;
    flows_prints_the_records_and_filters_choose_among_them(&scene).context("flows")?;
    let body = body(&scene.daemon.get_as("/metrics", "text/plain")?)?;
    let exposition = Exposition::parse(&body)?;
    metrics_have_the_labels_of_the_contract_and_no_others(&exposition).context("metrics")?;
    no_label_holds_an_address_a_pod_a_path_or_a_token(&scene, &exposition).context("labels")?;
    findings_and_edges_agree_with_the_records(&scene, &exposition).context("sums")?;
    the_exposition_comes_in_the_format_that_is_asked_for(&scene).context("formats")?;
    health_is_told(&scene).context("health")
}

fn records_have_the_keys_of_the_contract_and_no_others(scene: &Scene) -> Result<()> {
    let records = scene.daemon.records()?;
    for record in &records {
        record::check(record, record::RECORD).with_context(|| format!("{record:#}"))?;
    }
    // Those of this scene are of every sort, or the check says little.
    let all = |pick: &dyn Fn(&Value) -> String| records.iter().map(pick).collect::<BTreeSet<_>>();
    let protocols = all(&|record| text(&record["protocol"]).to_owned());
    ensure!(
        ["http/1.1", "tls", "dns", "opaque", "unknown"].iter().all(|p| protocols.contains(*p)),
        "{protocols:?}"
    );
    let closes = all(&|record| text(&record["close"]).to_owned());
    ensure!(["fin", "refused", "open"].iter().all(|close| closes.contains(*close)), "{closes:?}");
    let hops = all(&|record| text(&record["hop"]).to_owned());
    ensure!(["pod-to-pod", "intra-pod", "external"].iter().all(|hop| hops.contains(*hop)), "{hops:?}");
    let declarations = all(&|record| text(&record["declaration"]["status"]).to_owned());
    ensure!(
        ["allowed", "unexpected", "ungoverned"].iter().all(|d| declarations.contains(*d)),
        "{declarations:?}"
    );
    let reporters = all(&|record| text(&record["reporter"]).to_owned());
    ensure!(reporters.len() == 2, "{reporters:?}");
    let tls = records.iter().find(|record| record["protocol"] == "tls").context("tls")?;
    ensure!(tls["encryption"]["sni"] == "server.shop", "{tls:#}");
    let stdout = scene.daemon.stdout();
    ensure!(!stdout.contains("/secret") && !stdout.contains("query=1"), "a path is in a record");
    Ok(())
}

fn flows_prints_the_records_and_filters_choose_among_them(scene: &Scene) -> Result<()> {
    let records = scene.daemon.records()?;
    let all = scene.json(&["flows", "--last", "1000"])?;
    ensure!(all == records, "flows differs from stdout: {} and {} records", all.len(), records.len());
    ensure!(scene.json(&["flows", "--last", "3"])? == records[records.len() - 3..], "--last 3");
    ensure!(scene.json(&["flows", "--since", "1h"])? == records, "--since 1h");
    ensure!(scene.json(&["flows", "--since", "2100-01-01T00:00:00Z"])?.is_empty(), "--since 2100");
    let middle = text(&records[records.len() / 2]["time"]);
    let later: Vec<&Value> = records.iter().filter(|record| text(&record["time"]) >= middle).collect();
    ensure!(
        scene.json(&["flows", "--since", middle])?.iter().collect::<Vec<_>>() == later,
        "--since {middle}"
    );
    type Choice = fn(&Value) -> bool;
    let filters: &[(&[&str], Choice)] = &[
        (&["--from", "shop/client"], |r| r["client"]["principal"] == "shop/client"),
        (&["--from", "elsewhere/default"], |r| r["client"]["principal"] == "elsewhere/default"),
        (&["--to", "external"], |r| r["server"]["principal"] == "external"),
        (&["-n", "elsewhere"], |r| {
            r["client"]["namespace"] == "elsewhere" || r["server"]["namespace"] == "elsewhere"
        }),
        (&["--finding", "unexpected"], |r| r["findings"].to_string().contains("\"unexpected\"")),
        (&["--finding", "legacy-token"], |r| r["findings"].to_string().contains("\"legacy-token\"")),
        (&["--from", "shop/client", "--to", "shop/server", "--finding", "unauthenticated"], |r| {
            r["client"]["principal"] == "shop/client"
                && r["server"]["principal"] == "shop/server"
                && r["findings"].to_string().contains("\"unauthenticated\"")
        }),
    ];
    for (arguments, choice) in filters {
        let wanted: Vec<&Value> = records.iter().filter(|record| choice(record)).collect();
        ensure!(!wanted.is_empty() && wanted.len() < records.len(), "{arguments:?} chooses nothing, or all");
        let got = scene.json(&[&["flows", "--last", "1000"], *arguments].concat())?;
        ensure!(
            got.iter().collect::<Vec<_>>() == wanted,
            "{arguments:?}: {} instead of {}",
            got.len(),
            wanted.len()
        );
    }
    let table = scene.daemon.ask(&["flows", "--last", "1000"])?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains("shop/client") && table.contains("elsewhere/default"), "{table}");
    Ok(())
}

fn metrics_have_the_labels_of_the_contract_and_no_others(exposition: &Exposition) -> Result<()> {
    for sample in &exposition.samples {
        let family = FAMILIES.iter().find(|(name, ..)| *name == sample.name);
        let (name, _, labels, edge, _) =
            family.with_context(|| format!("no {} in the contract", sample.name))?;
        let mut wanted: BTreeSet<&str> = labels.iter().copied().collect();
        if *edge {
            wanted.extend(EDGE);
        }
        let got: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
        // A build outside of a repository knows no revision.
        if *name == "observer_build_info" && !got.contains("revision") {
            wanted.remove("revision");
        }
        ensure!(got == wanted, "{name}: {got:?} instead of {wanted:?}");
    }
    for (name, kind, _, _, sampled) in FAMILIES {
        let there = exposition.samples.iter().any(|sample| sample.name == *name);
        ensure!(there || !sampled, "{name} is missing");
        if there {
            let is = exposition.types.get(*name).map(String::as_str);
            ensure!(is == Some(kind), "{name} is a {is:?} instead of a {kind}");
        }
    }
    Ok(())
}

fn no_label_holds_an_address_a_pod_a_path_or_a_token(scene: &Scene, exposition: &Exposition) -> Result<()> {
    let parts = scene.token.split('.').map(str::to_owned);
    let mut private: Vec<String> = parts.chain(["/secret".into(), "query".into()]).collect();
    for pod in &scene.pods {
        private.extend([pod.name.clone(), pod.uid.clone(), pod.ip4.to_string(), pod.ip6.to_string()]);
    }
    for sample in &exposition.samples {
        for (key, value) in &sample.labels {
            let found = private.iter().find(|word| value.contains(word.as_str()));
            ensure!(found.is_none(), "{}{{{key}={value:?}}} holds {found:?}", sample.name);
            ensure!(value.parse::<std::net::IpAddr>().is_err(), "{}{{{key}={value:?}}}", sample.name);
        }
    }
    Ok(())
}

/// Client, server, port and transport.
type Edge = (String, String, String, String);

fn edge(value: &Value, port: &Value) -> Edge {
    let word = |value: &Value| text(value).to_owned();
    let (client, server) = (word(&value["client"]["principal"]), word(&value["server"]["principal"]));
    (client, server, port.to_string(), word(&value["transport"]))
}

fn findings_and_edges_agree_with_the_records(scene: &Scene, exposition: &Exposition) -> Result<()> {
    let (mut flows, mut findings) = (BTreeMap::<Edge, u64>::new(), BTreeMap::<(Edge, String), u64>::new());
    let mut requests = BTreeMap::<(Edge, &str), u64>::new();
    let statuses = ["none", "present", "verified", "invalid", "unknown"];
    for flow in scene.flows()? {
        let edge = edge(&flow, &flow["server"]["port"]);
        *flows.entry(edge.clone()).or_default() += 1;
        for kind in flow["findings"].as_array().into_iter().flatten() {
            *findings.entry((edge.clone(), text(kind).to_owned())).or_default() += 1;
        }
        for status in statuses {
            *requests.entry((edge.clone(), status)).or_default() +=
                flow["requests"][status].as_u64().unwrap_or(0);
        }
    }
    let mut seen = BTreeMap::new();
    for view in scene.json(&["edges"])? {
        let edge = edge(&view, &view["port"]);
        for status in statuses {
            let wanted = requests.get(&(edge.clone(), status)).copied().unwrap_or(0);
            ensure!(view["requests"][status] == wanted, "{status} {wanted}: {view:#}");
        }
        for counts in ["encryption", "declaration"] {
            let sum: u64 =
                view[counts].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
            ensure!(view["flows"] == sum, "{counts}: {view:#}");
        }
        seen.insert(edge, view["flows"].as_u64().context("flows")?);
    }
    ensure!(seen == flows, "edges says {seen:#?}\nthe records say {flows:#?}");
    let mut seen = BTreeMap::new();
    for view in scene.json(&["findings"])? {
        let kind = text(&view["kind"]).to_owned();
        seen.insert((edge(&view, &view["port"]), kind), view["flows"].as_u64().context("flows")?);
    }
    ensure!(seen == findings, "findings says {seen:#?}\nthe records say {findings:#?}");
    // And the metrics count the same.
    let total: u64 = flows.values().sum();
    ensure!(exposition.sum("observer_flows_total", &[]) == total as f64, "flows_total");
    for kind in record::FINDINGS {
        let wanted: u64 = findings.iter().filter(|((_, is), _)| is == kind).map(|(_, n)| n).sum();
        ensure!(
            exposition.sum("observer_findings_total", &[("kind", kind)]) == wanted as f64,
            "{kind}: {wanted}"
        );
    }
    for status in statuses {
        let wanted: u64 = requests.iter().filter(|((_, is), _)| *is == status).map(|(_, n)| n).sum();
        let got = exposition.sum("observer_requests_total", &[("authentication", status)]);
        ensure!(got == wanted as f64, "requests {status}: {got} instead of {wanted}");
    }
    ensure!(exposition.sum("observer_lost_events_total", &[]).abs() < 0.5, "lost events");
    Ok(())
}

fn body(answer: &str) -> Result<String> {
    Ok(answer.split_once("\r\n\r\n").context("no body")?.1.to_owned())
}

fn the_exposition_comes_in_the_format_that_is_asked_for(scene: &Scene) -> Result<()> {
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    // What Prometheus sends (its documentation, "Content negotiation").
    let scraper = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, kind) in [(scraper, open), ("application/openmetrics-text", open), ("text/plain", plain)] {
        let answer = scene.daemon.get_as("/metrics", accept)?;
        let head = answer.to_ascii_lowercase();
        ensure!(head.contains(&format!("content-type: {kind}")), "{accept}: {}", &answer[..300]);
        ensure!(answer.ends_with("# EOF\n") == (kind == open), "{accept}: ends otherwise");
        ensure!(answer.contains("observer_flows_total{"), "{accept}: no flows");
    }
    Ok(())
}

fn health_is_told(scene: &Scene) -> Result<()> {
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/", 404), ("/debug", 404)]
    {
        let answer = scene.daemon.get(path)?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    Ok(())
}

#[test]
fn the_doctor_prints_a_line_for_each_check_and_is_content_here() -> Result<()> {
    let doctor = |arguments: &[&str]| {
        Command::new(release_binary()?).arg("doctor").args(arguments).output().context("doctor")
    };
    let output = doctor(&[])?;
    let table = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(0), "{}\n{table}", output.status);
    let json: Value = serde_json::from_slice(&doctor(&["-o", "json"])?.stdout)?;
    let checks = json["checks"].as_array().context("checks")?;
    ensure!(checks.len() >= 8, "{json:#}");
    for check in checks {
        let name = text(&check["name"]);
        let lines = table.lines().filter(|line| line.contains(name)).count();
        ensure!(lines >= 1, "{name} is not in\n{table}");
        let state = text(&check["state"]);
        ensure!(["ok", "degraded", "missing"].contains(&state), "{check:#}");
        ensure!(state == "ok" || !text(&check["cost"]).is_empty(), "no cost: {check:#}");
    }
    ensure!(
        ["kernel", "btf", "cgroup"].iter().all(|word| table.to_ascii_lowercase().contains(word)),
        "{table}"
    );
    Ok(())
}
