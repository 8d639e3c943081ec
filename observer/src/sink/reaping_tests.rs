use std::time::Duration;

use super::fixture::{edge, edge_between, metrics, sample};
use super::metrics_tests::samples;
use super::{BuildInfo, Metrics, Still};
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EdgeEnd, EdgeKey, EncryptionStatus, FindingKind, Timestamp,
};

fn hour(n: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + n * 3_600)
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Reaps at `now` with `pods` for the ServiceAccounts that still have some.
fn reap(metrics: &Metrics, now: Timestamp, pods: &[&str]) -> usize {
    let end = |end: &EdgeEnd| pods.contains(&end.to_string().as_str());
    metrics.reap(now, HOUR, &Still { end: &end, reason: &|reason| reason == "in force" })
}

fn busy_edge(metrics: &Metrics, edge: &EdgeKey) {
    metrics.flow_settled(edge, EncryptionStatus::Plaintext, DeclarationStatus::Ungoverned);
    metrics.requests(edge, AuthenticationStatus::None, 2);
    metrics.finding(edge, FindingKind::Unencrypted);
    metrics.bytes(edge, 10, 20);
    metrics.edge_seen(edge, hour(0));
}

fn has(metrics: &Metrics, client: &str) -> bool {
    let (_, name) = client.split_once('/').unwrap_or(("", client));
    metrics.openmetrics().contains(&format!("client_service_account=\"{name}\""))
}

#[test]
fn an_edge_whose_client_or_server_is_gone_gives_its_series_back_after_an_hour() {
    let metrics = metrics();
    let before = samples(&metrics);
    busy_edge(&metrics, &edge_between("shop/gone", "shop/payments", 8080));
    busy_edge(&metrics, &edge_between("shop/orders", "shop/old", 8080));
    busy_edge(&metrics, &edge_between("external", "shop/gone", 8080));
    let full = samples(&metrics);
    let there = ["shop/orders", "shop/payments"];
    assert_eq!(reap(&metrics, hour(0), &there), 0);
    assert_eq!(reap(&metrics, hour(1) - Duration::from_secs(1), &there), 0, "not before its time");
    assert_eq!(reap(&metrics, hour(1), &there), full - before);
    assert_eq!(samples(&metrics), before);
}

#[test]
fn an_edge_whose_pods_are_there_outlasts_any_quiet_night() {
    let metrics = metrics();
    busy_edge(&metrics, &edge());
    busy_edge(&metrics, &edge_between("shop/orders", "external", 443));
    let before = samples(&metrics);
    for n in 0..1_000 {
        assert_eq!(reap(&metrics, hour(n), &["shop/orders", "shop/payments"]), 0);
    }
    assert_eq!(samples(&metrics), before);
}

#[test]
fn an_edge_without_a_pods_end_goes_by_time_alone() {
    let metrics = metrics();
    busy_edge(&metrics, &edge_between("unknown", "node", 8080));
    let before = samples(&metrics);
    reap(&metrics, hour(0), &[]);
    assert_eq!((reap(&metrics, hour(1), &[]), samples(&metrics)), (6, before - 6));
}

#[test]
fn an_open_flow_keeps_its_edge_and_no_count_of_it_is_lost() {
    let metrics = metrics();
    let edge = edge_between("shop/gone", "shop/payments", 8080);
    busy_edge(&metrics, &edge);
    let kept = metrics.edge(&edge);
    for n in 0..5 {
        assert_eq!(reap(&metrics, hour(n), &[]), 0);
    }
    kept.requests(AuthenticationStatus::None, 3);
    assert!(metrics.openmetrics().contains("authentication=\"none\"} 5"));
    kept.seen(hour(5));
    drop(kept);
    assert_eq!(reap(&metrics, hour(5), &[]), 0, "its time begins when the last flow is over");
    assert_eq!(reap(&metrics, hour(6), &[]), 6);
}

#[test]
fn an_edge_that_was_admitted_and_not_seen_yet_has_its_time_too() {
    let metrics = metrics();
    metrics.requests(&edge_between("shop/gone", "shop/payments", 8080), AuthenticationStatus::None, 1);
    assert_eq!((reap(&metrics, hour(0), &[]), reap(&metrics, hour(1), &[])), (0, 2));
}

#[test]
fn an_edge_that_comes_back_starts_at_zero_within_the_budget() {
    let metrics = metrics();
    let edge = edge_between("shop/gone", "shop/payments", 8080);
    busy_edge(&metrics, &edge);
    reap(&metrics, hour(0), &[]);
    reap(&metrics, hour(1), &[]);
    assert!(!has(&metrics, "shop/gone"));
    metrics.requests(&edge, AuthenticationStatus::None, 7);
    assert!(metrics.openmetrics().contains("authentication=\"none\"} 7"));
}

#[test]
fn what_was_reaped_makes_room_for_others_down_to_the_last_series() {
    let metrics = Metrics::new(2_000, BuildInfo { version: "1", revision: None });
    let fill = |prefix: &str| {
        for n in 0..2_000 {
            busy_edge(&metrics, &edge_between(&format!("shop/{prefix}{n}"), "shop/payments", 8080));
        }
        metrics.openmetrics().matches("observer_edge_last_seen_timestamp_seconds{").count()
    };
    let first = fill("a");
    for n in 0..3 {
        reap(&metrics, hour(n), &["shop/payments"]);
    }
    assert!(!has(&metrics, "shop/a0"));
    assert_eq!(fill("b"), first, "as many edges find room as did at first");
    assert!(has(&metrics, "shop/b0"));
}

#[test]
fn an_exempted_pair_goes_once_its_reason_is_not_in_force_and_comes_back_at_zero() {
    let metrics = metrics();
    let exempt = |reason| metrics.exempted(FindingKind::Unencrypted, reason);
    exempt("withdrawn");
    exempt("in force");
    let series = |reason: &str| {
        sample(&metrics, &format!("observer_exempted_total{{kind=\"unencrypted\",reason=\"{reason}\"}}"))
    };
    assert_eq!(reap(&metrics, hour(0), &[]), 0);
    exempt("withdrawn");
    assert_eq!(reap(&metrics, hour(1), &[]), 0, "it was counted since the last look");
    assert_eq!(reap(&metrics, hour(2), &[]), 1);
    assert_eq!((series("withdrawn"), series("in force")), (None, Some(1.0)));
    exempt("withdrawn");
    assert_eq!(series("withdrawn"), Some(1.0));
}
