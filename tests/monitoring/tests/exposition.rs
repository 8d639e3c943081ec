//! What a scraper gets, as promtool and a strict OpenMetrics parser (Debian's python3-prometheus-client) read it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer::model::{
    AuthenticationStatus, DeclarationStatus, EdgeEnd, EdgeKey, EdgePort, EncryptionStatus, FindingKind, Kind,
    PostureKind, PostureRow, PostureStatus, Timestamp, Transport,
};
use observer::sink::families::{Metric, Type};
use observer::sink::{BuildInfo, Metrics};
use observer_harness::SimNode;
use observer_integration::Daemon;
use observer_integration::wire::{self, Manners, Step};
use observer_monitoring::promtool;

/// Prints name, type, unit and number of samples of each family. Refuses what OpenMetrics 1.0 does, among it a unit that
/// does not end its family's name and samples of one family that lie apart.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, family.name
    assert not any(sample.exemplar for sample in family.samples), family.name
    print(family.name, family.type, family.unit or '-', len(family.samples))
";

/// (name, type, unit, number of samples) of each family.
fn openmetrics(exposition: &str) -> Result<BTreeSet<(String, String, String, usize)>> {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("python3 does not start")?;
    child.stdin.take().context("no stdin")?.write_all(exposition.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}\n{exposition}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let family = |line: &str| {
        let [name, kind, unit, samples] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(anyhow::anyhow!("{line}"));
        };
        Ok((name.to_owned(), kind.to_owned(), unit.replace('-', ""), samples.parse()?))
    };
    text.lines().map(family).collect()
}

fn end(name: &str) -> EdgeEnd {
    EdgeEnd { namespace: "shop".into(), service_account: name.into(), kind: Kind::Pod }
}

/// Every family with samples, some with labels that want escaping.
fn populated() -> Metrics {
    let metrics = Metrics::new(50_000, BuildInfo { version: "1", revision: Some("abc") });
    for name in ["orders", "web"] {
        let edge = EdgeKey {
            client: end(name),
            server: end("payments"),
            port: EdgePort::Number(8080),
            transport: Transport::Tcp,
        };
        metrics.flow_settled(&edge, EncryptionStatus::Plaintext, DeclarationStatus::Unexpected);
        metrics.requests(&edge, AuthenticationStatus::None, 3);
        metrics.finding(&edge, FindingKind::Unencrypted);
        metrics.bytes(&edge, 10, 20);
        metrics.edge_seen(&edge, Timestamp::from_seconds(1_700_000_000));
        metrics.posture(&[PostureRow {
            kind: PostureKind::ClusterAdmin,
            status: PostureStatus::Found,
            reason: None,
            namespace: Some("shop".into()),
            service_account: Some(name.into()),
            workloads: Vec::new(),
            powers: Vec::new(),
            node: None,
            since: None,
            seconds: None,
            flows: None,
            detail: String::new(),
            fix: String::new(),
        }]);
    }
    metrics.exempted(FindingKind::Unencrypted, "a \"quoted\" word \\ and more");
    metrics.declared_edges("loaded", 3);
    metrics.declared_exceptions("expired", 1);
    metrics.truncated(1);
    metrics.unresolved("no-pod-at-address");
    metrics.open_flows(2);
    metrics.identities("pod", 5);
    metrics.identity_lag(Duration::from_millis(1_500));
    metrics.probe_info("sock_ops", "attached");
    metrics.watch_up("pods", true);
    metrics.malformed_objects("Pod", 1);
    metrics.config_read(Timestamp::from_seconds(1_700_000_000), true);
    metrics
}

#[test]
fn promtool_finds_nothing_wrong_with_the_text_format_of_any_family() -> Result<()> {
    let text = populated().prometheus_text();
    for metric in Metric::ALL {
        let family = metric.family();
        let name = family.sample_name();
        ensure!(text.lines().any(|line| line.starts_with(&name)), "{name} has no sample");
    }
    let said = promtool(&["check", "metrics"], &text)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

#[test]
fn a_strict_parser_reads_every_family_with_its_type_and_unit() -> Result<()> {
    let read = openmetrics(&populated().openmetrics())?;
    let documented = Metric::ALL.iter().map(|metric| {
        let family = metric.family();
        let kind = if family.kind == Type::Counter { "counter" } else { "gauge" };
        let unit = family.unit.map_or("", |unit| unit.as_str());
        (family.name.to_owned(), kind.to_owned(), unit.to_owned())
    });
    let shapes = read.iter().map(|(name, kind, unit, _)| (name.clone(), kind.clone(), unit.clone()));
    assert_eq!(shapes.collect::<BTreeSet<_>>(), documented.collect::<BTreeSet<_>>());
    ensure!(read.iter().all(|(.., samples)| *samples > 0), "{read:?}");
    Ok(())
}

#[test]
fn both_read_what_the_daemon_serves_under_traffic() -> Result<()> {
    let node = SimNode::builder().start()?;
    let (server, client) = (node.pod("shop", "server").start()?, node.pod("shop", "default").start()?);
    let _servers = wire::listen(&server, &[(8080, Manners::Answer)])?;
    let daemon = Daemon::start(&node)?;
    let plain = wire::get(&[("Authorization", "Basic eDp5")]);
    let steps = [Step::Send(plain.as_bytes()), Step::Hear];
    wire::talk(&client, &server.ip4.to_string(), 8080, &steps)?;
    server.run_ok(["curl", "-sS", "http://127.0.0.1:8080/"])?;
    daemon.wait_final("shop/default", "shop/server")?;
    let body = |accept: &str| -> Result<String> {
        let answer = daemon.get_as("/metrics", accept)?;
        Ok(answer.split_once("\r\n\r\n").context("no body")?.1.to_owned())
    };
    let said = promtool(&["check", "metrics"], &body("text/plain")?)?;
    ensure!(said.is_empty(), "{said}");
    let families = openmetrics(&body("application/openmetrics-text")?)?;
    for name in ["flows", "requests", "findings", "bytes", "exempted", "edge_last_seen_timestamp_seconds"] {
        let there = families.iter().find(|(family, ..)| *family == format!("observer_{name}"));
        ensure!(there.is_some_and(|(.., samples)| *samples > 0), "{name}: {families:?}");
    }
    Ok(())
}
