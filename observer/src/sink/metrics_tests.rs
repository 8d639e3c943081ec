use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::families::{Metric, Type, USERSPACE_STAGES, Values};
use super::fixture::{edge, edge_between, metrics, sample};
use super::labels::{AUTHENTICATION, DECLARATION, ENCRYPTION};
use super::{BuildInfo, Metrics};
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgePort, EncryptionStatus, FindingKind, PostureKind,
    PostureRow, PostureStatus, Timestamp,
};

const EDGE: &str = r#"client_namespace="shop",client_service_account="orders",client_kind="pod",server_namespace="shop",server_service_account="payments",server_kind="pod",server_port="8080",transport="tcp""#;

/// One of everything.
fn busy() -> Metrics {
    let metrics = Metrics::new(50_000, BuildInfo { version: "1.2.3", revision: Some("abc") });
    metrics.flow_settled(&edge(), EncryptionStatus::Plaintext, DeclarationStatus::Unexpected);
    metrics.requests(&edge(), AuthenticationStatus::Verified, 12);
    metrics.finding(&edge(), FindingKind::CredentialInCleartext);
    metrics.bytes(&edge(), 10, 20);
    metrics.edge_seen(&edge(), Timestamp(1_700_000_000_500_000_000));
    metrics.exempted(FindingKind::Unauthenticated, "kubelet \"probe\"\n\\");
    metrics.truncated(2);
    metrics.unresolved("service-backend");
    metrics.open_flows(3);
    metrics.identities("pod", 4);
    metrics.identity_lag(Duration::from_millis(250));
    metrics.probe_info("sock_ops", "link");
    metrics.watch_up("pods", true);
    metrics.declared_edges("loaded", 5);
    metrics.declared_exceptions("expired", 1);
    metrics.malformed_objects("Pod", 1);
    metrics.posture(&[found(PostureKind::SharedServiceAccount, "shop", "orders")]);
    metrics.config_read(Timestamp(1_700_000_001_500_000_000), true);
    metrics
}

fn found(kind: PostureKind, namespace: &str, service_account: &str) -> PostureRow {
    PostureRow {
        kind,
        status: PostureStatus::Found,
        reason: None,
        namespace: Some(namespace.into()),
        service_account: Some(service_account.into()),
        workloads: Vec::new(),
        powers: Vec::new(),
        node: None,
        since: None,
        seconds: None,
        flows: None,
        detail: String::new(),
        fix: String::new(),
    }
}

/// Family -> (type, samples).
type Families = BTreeMap<String, (String, Vec<(String, f64)>)>;

/// A reader of the exposition that shares nothing with its writer.
fn read(exposition: &str) -> Families {
    let mut families = BTreeMap::new();
    let mut current = String::new();
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split_once(' ').expect("a help text").0.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "TYPE follows its HELP");
            let before = families.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
            assert!(before.is_none(), "{name} is described once");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap();
            let family = name.strip_prefix(&current).expect("samples follow their family");
            assert!(family.is_empty() || family == "_total", "{name} in {current}");
            families.get_mut(&current).unwrap().1.push((series.to_owned(), value.parse().unwrap()));
        }
    }
    families
}

#[test]
fn the_metrics_are_those_of_the_contract() {
    let families = read(&busy().openmetrics());
    let names: Vec<(&str, &str)> =
        families.iter().map(|(name, (kind, _))| (name.as_str(), kind.as_str())).collect();
    assert_eq!(
        names,
        [
            ("observer_build_info", "gauge"),
            ("observer_bytes", "counter"),
            ("observer_config_last_reload_success_timestamp_seconds", "gauge"),
            ("observer_config_last_reload_successful", "gauge"),
            ("observer_declared_edges", "gauge"),
            ("observer_declared_exceptions", "gauge"),
            ("observer_edge_last_seen_timestamp_seconds", "gauge"),
            ("observer_exempted", "counter"),
            ("observer_findings", "counter"),
            ("observer_flows", "counter"),
            ("observer_identities", "gauge"),
            ("observer_identity_lag_seconds", "gauge"),
            ("observer_lost_events", "counter"),
            ("observer_malformed_objects", "counter"),
            ("observer_open_flows", "gauge"),
            ("observer_posture_findings", "gauge"),
            ("observer_posture_known", "gauge"),
            ("observer_probe_info", "gauge"),
            ("observer_refused_clients", "counter"),
            ("observer_requests", "counter"),
            ("observer_series_overflow", "counter"),
            ("observer_truncated_payloads", "counter"),
            ("observer_unresolved_flows", "counter"),
            ("observer_watch_up", "gauge"),
        ]
    );
}

#[test]
fn units_are_told_and_change_no_name() {
    let exposition = busy().openmetrics();
    let mut units: Vec<&str> = exposition.lines().filter_map(|line| line.strip_prefix("# UNIT ")).collect();
    units.sort_unstable();
    assert_eq!(
        units,
        [
            "observer_bytes bytes",
            "observer_config_last_reload_success_timestamp_seconds seconds",
            "observer_edge_last_seen_timestamp_seconds seconds",
            "observer_identity_lag_seconds seconds",
        ]
    );
    assert!(exposition.contains("\nobserver_bytes_total{") && !exposition.contains(" # {"), "no exemplars");
}

/// The labels of a sample, by name and in their order, with their values.
fn labels(series: &str) -> Vec<(&str, &str)> {
    let Some((_, set)) = series.split_once('{') else { return Vec::new() };
    let pairs = set.trim_end_matches('}').split("\",").map(|pair| pair.trim_end_matches('"'));
    pairs.map(|pair| pair.split_once("=\"").expect("a label")).collect()
}

#[test]
fn what_is_exported_is_what_is_documented_name_for_name_and_label_for_label() {
    let families = read(&busy().openmetrics());
    let documented: Vec<String> = Metric::ALL.iter().map(|metric| metric.family().name.to_owned()).collect();
    assert_eq!(documented.iter().collect::<BTreeSet<_>>(), families.keys().collect());
    assert_eq!(documented.len(), families.len(), "none is documented twice");
    for metric in Metric::ALL {
        let family = metric.family();
        let (kind, samples) = &families[family.name];
        assert_eq!(kind, family.kind.as_str());
        assert!(!samples.is_empty(), "{} has no sample in this test", family.name);
        let suffix = if family.kind == Type::Counter { "_total" } else { "" };
        for (series, _) in samples {
            assert!(series.starts_with(&format!("{}{suffix}", family.name)), "{series}");
            let got = labels(series);
            let wanted: Vec<&str> = family.all_labels().map(|label| label.name).collect();
            assert_eq!(got.iter().map(|(name, _)| *name).collect::<Vec<_>>(), wanted, "{series}");
            for ((_, value), label) in got.iter().zip(family.all_labels()) {
                if let Values::Words(words) = label.values
                    && *metric != Metric::ProbeInfo
                {
                    assert!(words().iter().any(|(word, _)| word == value), "{series}: {value}");
                }
            }
        }
    }
}

#[test]
fn samples_carry_the_labels_of_the_contract_in_its_order() {
    let exposition = busy().openmetrics();
    for line in [
        format!("observer_flows_total{{{EDGE},encryption=\"plaintext\",declaration=\"unexpected\"}} 1"),
        format!("observer_requests_total{{{EDGE},authentication=\"verified\"}} 12"),
        format!("observer_findings_total{{{EDGE},kind=\"credential-in-cleartext\"}} 1"),
        format!("observer_bytes_total{{{EDGE},direction=\"sent\"}} 10"),
        format!("observer_bytes_total{{{EDGE},direction=\"received\"}} 20"),
        format!("observer_edge_last_seen_timestamp_seconds{{{EDGE}}} 1700000000.5"),
        r#"observer_exempted_total{kind="unauthenticated",reason="kubelet \"probe\"\n\\"} 1"#.to_owned(),
        r#"observer_build_info{version="1.2.3",revision="abc"} 1"#.to_owned(),
        r#"observer_probe_info{hook="sock_ops",mode="link"} 1"#.to_owned(),
        r#"observer_watch_up{resource="pods"} 1"#.to_owned(),
        r#"observer_declared_edges{state="loaded"} 5"#.to_owned(),
        r#"observer_identities{kind="pod"} 4"#.to_owned(),
        r#"observer_unresolved_flows_total{reason="service-backend"} 1"#.to_owned(),
        "observer_truncated_payloads_total 2".to_owned(),
        "observer_open_flows 3".to_owned(),
        "observer_identity_lag_seconds 0.25".to_owned(),
        "observer_series_overflow_total 0".to_owned(),
        "observer_config_last_reload_successful 1".to_owned(),
        "observer_config_last_reload_success_timestamp_seconds 1700000001.5".to_owned(),
    ] {
        assert!(exposition.lines().any(|there| there == line), "{line}\nnot in\n{exposition}");
    }
    assert!(exposition.ends_with("# EOF\n"));
}

#[test]
fn the_text_format_describes_counters_by_their_samples_name() {
    let text = busy().prometheus_text();
    let families = read(&text);
    assert_eq!(families["observer_flows_total"].0, "counter");
    assert_eq!(families["observer_open_flows"].0, "gauge");
    assert!(!families.contains_key("observer_flows"));
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    let samples = |families: &Families| families.values().map(|(_, samples)| samples.len()).sum::<usize>();
    assert_eq!(samples(&families), samples(&read(&busy().openmetrics())));
}

#[test]
fn every_stage_that_can_lose_something_shows_its_zero() {
    let metrics = metrics();
    for stage in observer_common::Counter::ALL
        .iter()
        .map(|counter| counter.stage())
        .chain(USERSPACE_STAGES.map(|(stage, _)| stage))
    {
        assert_eq!(sample(&metrics, &format!("observer_lost_events_total{{stage=\"{stage}\"}}")), Some(0.0));
    }
}

#[test]
fn a_total_that_somebody_else_keeps_is_counted_once_and_may_begin_again() {
    let metrics = metrics();
    for total in [5, 5, 9, 2] {
        metrics.lost_total("kernel_payload", total);
    }
    assert_eq!(sample(&metrics, "observer_lost_events_total{stage=\"kernel_payload\"}"), Some(11.0));
}

#[test]
fn a_hook_has_one_mode_at_a_time() {
    let metrics = metrics();
    metrics.probe_info("sock_ops", "link");
    metrics.probe_info("sock_ops", "off");
    assert_eq!(sample(&metrics, "observer_probe_info{hook=\"sock_ops\""), None);
    let exposition = metrics.openmetrics();
    assert!(exposition.contains(r#"observer_probe_info{hook="sock_ops",mode="off"} 1"#));
    assert!(!exposition.contains(r#"mode="link""#));
}

#[test]
fn an_ephemeral_port_is_one_edge() {
    let metrics = metrics();
    let mut edge = edge_between("external", "node", 1);
    edge.port = EdgePort::Ephemeral;
    metrics.bytes(&edge, 1, 0);
    let exposition = metrics.openmetrics();
    assert!(exposition.contains(
        r#"client_namespace="",client_service_account="",client_kind="external",server_namespace="",server_service_account="",server_kind="node",server_port="ephemeral",transport="tcp",direction="sent"} 1"#
    ), "{exposition}");
}

#[test]
fn the_budget_bounds_the_series_and_the_rest_is_counted_as_overflow() {
    let budget = 2_000;
    let metrics = Metrics::new(budget, BuildInfo { version: "1", revision: None });
    let rounds = 3_000_u32;
    for n in 0..rounds {
        let edge = edge_between(&format!("ns{n}/caller"), "shop/payments", 8080);
        metrics.flow_settled(&edge, EncryptionStatus::Plaintext, DeclarationStatus::Ungoverned);
        metrics.requests(&edge, AuthenticationStatus::None, 2);
        metrics.edge_seen(&edge, Timestamp::from_seconds(1));
        metrics.exempted(FindingKind::Unencrypted, &format!("reason {n}"));
    }
    let exposition = metrics.openmetrics();
    let samples = exposition.lines().filter(|line| !line.starts_with('#')).count();
    assert!(samples <= budget, "{samples} samples");
    assert!(samples > budget / 2, "{samples} samples: the budget is there to be used");
    let families = read(&exposition);
    let total = |family: &str| families[family].1.iter().map(|(_, value)| value).sum::<f64>();
    assert!((total("observer_flows") - f64::from(rounds)).abs() < 0.5, "nothing is lost");
    assert!((total("observer_requests") - f64::from(rounds * 2)).abs() < 0.5, "nothing is lost");
    let overflow = r#"client_namespace="_overflow",client_service_account="_overflow",client_kind="_overflow",server_namespace="_overflow",server_service_account="_overflow",server_kind="_overflow",server_port="_overflow",transport="_overflow",encryption="plaintext",declaration="ungoverned"} "#;
    let elsewhere =
        exposition.lines().find_map(|line| line.split_once(overflow)).expect("an overflow series");
    assert!(elsewhere.1.parse::<u32>().unwrap() > rounds / 2);
    assert!(total("observer_series_overflow") > f64::from(rounds));
}

#[test]
fn a_known_edges_finding_is_not_crowded_out_by_a_flood_of_edges() {
    let metrics = Metrics::new(2_000, BuildInfo { version: "1", revision: None });
    metrics.bytes(&edge(), 1, 1);
    for n in 0..3_000 {
        metrics.edge_seen(
            &edge_between(&format!("ns{n}/caller"), "shop/payments", 1),
            Timestamp::from_seconds(1),
        );
    }
    metrics.finding(&edge(), FindingKind::Unexpected);
    assert_eq!(
        sample(&metrics, &format!("observer_findings_total{{{EDGE},kind=\"unexpected\"}}")),
        Some(1.0)
    );
}

#[test]
fn an_edges_counters_can_be_kept_with_the_flow() {
    let metrics = metrics();
    let kept = metrics.edge(&edge());
    kept.requests(AuthenticationStatus::None, 1);
    metrics.requests(&edge(), AuthenticationStatus::None, 1);
    kept.requests(AuthenticationStatus::None, 0);
    assert_eq!(
        sample(&metrics, &format!("observer_requests_total{{{EDGE},authentication=\"none\"}}")),
        Some(2.0)
    );
}

/// More of everything than the budget has room for, as names and reasons of an enemy's choice would make it.
fn flood(metrics: &Metrics, rounds: u32) {
    for n in 0..rounds {
        let edge = edge_between(&format!("ns{n}/caller"), "shop/payments", 8080);
        metrics.edge_seen(&edge, Timestamp::from_seconds(1));
        for encryption in ENCRYPTION {
            for declaration in DECLARATION {
                metrics.flow_settled(&edge, encryption, declaration);
            }
        }
        for authentication in AUTHENTICATION {
            metrics.requests(&edge, authentication, 2);
        }
        metrics.bytes(&edge, 1, 1);
        for kind in FindingKind::ALL {
            metrics.finding(&edge, kind);
            metrics.exempted(kind, &format!("reason {n}"));
        }
        metrics.unresolved(Box::leak(format!("reason-{n}").into_boxed_str()));
    }
    let row = |n: u32, kind| found(kind, &format!("ns{n}"), "caller");
    let rows: Vec<_> = (0..rounds).flat_map(|n| PostureKind::ALL.map(|kind| row(n, kind))).collect();
    metrics.posture(&rows);
}

/// What has as many samples as this program has words, all there.
fn fixed(metrics: &Metrics) {
    for n in 0..12 {
        let word = |what: &str| -> &'static str { Box::leak(format!("{what}{n}").into_boxed_str()) };
        metrics.watch_up(word("resource"), true);
        metrics.malformed_objects(word("kind"), 1);
        metrics.probe_info(word("hook"), "attached");
    }
    for kind in ["pod", "service", "node", "namespace", "service_account"] {
        metrics.identities(kind, 1);
    }
    metrics.declared_edges("loaded", 1);
    for state in ["active", "expired"] {
        metrics.declared_exceptions(state, 1);
    }
    metrics.config_read(Timestamp::from_seconds(1), true);
}

pub(super) fn samples(metrics: &Metrics) -> usize {
    metrics.openmetrics().lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn no_flood_of_names_makes_more_samples_than_the_budget_whatever_the_family() {
    for budget in [1_000, 5_000, 50_000] {
        let metrics = Metrics::new(budget, BuildInfo { version: "1", revision: None });
        fixed(&metrics);
        flood(&metrics, 5_000);
        let (first, overflow) = (samples(&metrics), sample(&metrics, "observer_series_overflow_total"));
        assert!(first <= budget, "{first} samples of {budget}");
        assert!(first > budget / 2, "{first} samples of {budget}: the budget is there to be used");
        assert!(overflow > Some(0.0));
        flood(&metrics, 5_000);
        assert_eq!(samples(&metrics), first, "and it stays so");
    }
}
