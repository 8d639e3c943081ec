use serde_json::{Value, json};

use super::*;
use crate::sink::query::{FilterRequest, FlowsRequest, PostureRequest};

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn merged(request: &Request, answers: &[&[Value]]) -> Vec<Value> {
    let mut merging = Merging::of(request);
    for answer in answers {
        let lines: Vec<String> = answer.iter().map(line).collect();
        merging.add(&lines).unwrap();
    }
    let lines = merging.lines().unwrap();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pod(account: &str) -> Value {
    json!({"principal": format!("shop/{account}"), "kind": "pod", "namespace": "shop", "service_account": account})
}

fn edge(client: &str, flows: u64, seen: (&str, &str)) -> Value {
    json!({
        "client": pod(client), "server": pod("payments"), "port": 8080, "transport": "tcp", "flows": flows,
        "requests": {"total": flows, "none": 1, "present": 2, "verified": 3, "invalid": 4, "unknown": 5, "rejected": 6},
        "encryption": {"plaintext": flows, "tls": 1, "mtls": 2, "unknown": 3},
        "declaration": {"allowed": 1, "unexpected": 2, "ungoverned": 3, "unevaluable": 4},
        "findings": {"unencrypted": flows}, "first_seen": seen.0, "last_seen": seen.1,
    })
}

const EARLY: &str = "2026-01-01T00:00:00.000000Z";
const NOON: &str = "2026-01-01T12:00:00.000000Z";
const LATE: &str = "2026-01-01T23:00:00.000000Z";

#[test]
fn an_edge_that_two_nodes_saw_is_one_with_all_its_counts_and_the_whole_of_its_time() {
    let request = Request::Edges(FilterRequest::default());
    let edges = merged(
        &request,
        &[
            &[edge("orders", 5, (NOON, LATE)), edge("zoo", 1, (NOON, NOON))],
            &[edge("frontend", 2, (NOON, NOON)), edge("orders", 7, (EARLY, NOON))],
        ],
    );
    let clients: Vec<&Value> = edges.iter().map(|edge| &edge["client"]["service_account"]).collect();
    assert_eq!(clients, ["frontend", "orders", "zoo"], "by name, as one observer tells them");
    let orders = &edges[1];
    assert_eq!(orders["flows"], 12);
    assert_eq!(
        orders["requests"],
        json!({"total": 12, "none": 2, "present": 4, "verified": 6, "invalid": 8, "unknown": 10, "rejected": 12})
    );
    assert_eq!(orders["encryption"], json!({"plaintext": 12, "tls": 2, "mtls": 4, "unknown": 6}));
    assert_eq!(
        orders["declaration"],
        json!({"allowed": 2, "unexpected": 4, "ungoverned": 6, "unevaluable": 8})
    );
    assert_eq!(orders["findings"], json!({"unencrypted": 12}));
    assert_eq!((&orders["first_seen"], &orders["last_seen"]), (&json!(EARLY), &json!(LATE)));
}

#[test]
fn a_finding_keeps_the_reason_of_the_node_that_had_it_last() {
    let finding = |flows: u64, first: &str, last: &str, reason: &str| {
        json!({"kind": "invalid-token", "client": pod("orders"), "server": pod("payments"), "port": "ephemeral",
            "transport": "tcp", "flows": flows, "first_seen": first, "last_seen": last, "reason": reason})
    };
    let request = Request::Findings(FilterRequest::default());
    for answers in [
        [finding(1, NOON, LATE, "expired"), finding(2, EARLY, NOON, "bad-signature")],
        [finding(2, EARLY, NOON, "bad-signature"), finding(1, NOON, LATE, "expired")],
    ] {
        let found = merged(&request, &[&answers[..1], &answers[1..]]);
        assert_eq!(found, [finding(3, EARLY, LATE, "expired")]);
    }
}

#[test]
fn flows_of_all_nodes_are_in_the_order_of_their_times_and_the_newest_are_kept() {
    let record =
        |node: &str, second: u32| json!({"time": format!("2026-01-01T00:00:{second:02}Z"), "node": node});
    let one: Vec<Value> = [1, 4, 6].map(|second| record("a", second)).to_vec();
    let other: Vec<Value> = [2, 3, 5, 7].map(|second| record("b", second)).to_vec();
    let flows = |last| Request::Flows(FlowsRequest { last, ..FlowsRequest::default() });
    let times = |last| -> Vec<Value> {
        let mut records = merged(&flows(last), &[&one, &other]);
        records.iter_mut().map(|record| record["time"].take()).collect()
    };
    let second = |n: u32| json!(format!("2026-01-01T00:00:0{n}Z"));
    assert_eq!(times(None), [1, 2, 3, 4, 5, 6, 7].map(second));
    assert_eq!(times(Some(3)), [5, 6, 7].map(second));
}

#[test]
fn what_every_node_says_of_the_cluster_is_told_once_and_what_is_of_a_node_names_it() {
    let row = |kind: &str, node: Option<&str>, flows: Option<u64>| {
        let mut row = json!({"kind": kind, "status": "found", "namespace": "shop", "service_account": "orders",
            "detail": "so it is", "fix": "do something"});
        if let Some(node) = node {
            row["node"] = json!(node);
        }
        if let Some(flows) = flows {
            row["flows"] = json!(flows);
        }
        row
    };
    let rows = merged(
        &Request::Posture(PostureRequest::default()),
        &[
            &[
                row("cluster-admin", None, None),
                row("legacy-token", None, Some(2)),
                row("unused-token", Some("a"), None),
            ],
            &[
                row("cluster-admin", None, None),
                row("legacy-token", None, Some(3)),
                row("unused-token", Some("b"), None),
            ],
        ],
    );
    assert_eq!(
        rows,
        [
            row("cluster-admin", None, None),
            row("legacy-token", None, Some(5)),
            row("unused-token", Some("a"), None),
            row("unused-token", Some("b"), None),
        ]
    );
}

#[test]
fn all_have_looked_since_the_last_of_them_began() {
    let coverage = |since: &str, lost: u64| json!({"since": since, "lost_events": {"ring": lost}, "unresolved_flows": {"no-owner": 1}, "truncated_payloads": 2});
    let all =
        merged(&Request::Coverage, &[&[coverage(NOON, 1)], &[coverage(LATE, 2)], &[coverage(EARLY, 4)]]);
    assert_eq!(
        all,
        [
            json!({"since": LATE, "lost_events": {"ring": 7}, "unresolved_flows": {"no-owner": 3}, "truncated_payloads": 6})
        ]
    );
}

#[test]
fn ends_of_an_edge_are_those_of_all_nodes_each_once_and_too_many_are_said_to_be_more() {
    let ends = |addresses: Vec<String>| {
        json!({"labels": [{"app": "orders"}], "unlabelled": false, "host_network": false, "addresses": addresses,
            "probe_ports": [8080], "more": false})
    };
    let observed = |addresses: Vec<String>| json!({"edge": edge("orders", 1, (EARLY, LATE)), "clients": ends(addresses), "servers": {}});
    let request = Request::Observed(FilterRequest::default());
    let address = |n: u32| format!("10.0.{}.{}", n / 256, n % 256);
    let of = |range: std::ops::Range<u32>| observed(range.map(address).collect());
    let all = merged(&request, &[&[of(0..2)], &[of(1..3)]]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["edge"]["flows"], 2);
    assert_eq!(all[0]["clients"], ends((0..3).map(address).collect()));
    let many = merged(&request, &[&[of(0..60)], &[of(60..120)]]);
    assert_eq!(many[0]["clients"]["addresses"].as_array().unwrap().len(), MAX_SEEN);
    assert_eq!(many[0]["clients"]["more"], true);
}

#[test]
fn an_answer_that_cannot_be_read_adds_nothing() {
    let mut merging = Merging::of(&Request::Edges(FilterRequest::default()));
    let complaint = merging.add(&[line(&edge("orders", 1, (EARLY, LATE))), "{}\n".into()]).unwrap_err();
    assert!(complaint.contains("same version") && !complaint.contains('\n'), "{complaint}");
    assert!(merging.lines().unwrap().is_empty());
}
