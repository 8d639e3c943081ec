use std::path::PathBuf;

use super::*;
use crate::model::FlowRecord;
use crate::sink::fixture::{TempDir, edge, metrics, record, sample};
use crate::sink::query::EdgeView;
use crate::sink::{FOLLOWER_BACKLOG, Sinks, StoreLimits};

struct Running {
    sinks: Sinks,
    path: PathBuf,
    stop: watch::Sender<bool>,
    _dir: TempDir,
}

fn start() -> Running {
    let dir = TempDir::new();
    let path = dir.path().join("observer.sock");
    let sinks = Sinks::new(Arc::new(metrics()), StoreLimits::default(), None);
    let (stop, stopped) = watch::channel(false);
    let socket = BoundSocket::bind(&path).unwrap();
    tokio::spawn(serve(
        socket,
        (sinks.feed.clone(), sinks.board.clone()),
        sinks.metrics.clone(),
        "1.2.3",
        stopped,
    ));
    Running { sinks, path, stop, _dir: dir }
}

async fn ask(path: &std::path::Path, request: &str) -> BufReader<UnixStream> {
    let mut stream = BufReader::new(UnixStream::connect(path).await.unwrap());
    let mut hello = String::new();
    stream.read_line(&mut hello).await.unwrap();
    assert_eq!(hello, "{\"protocol\":2,\"version\":\"1.2.3\"}\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"\n").await.unwrap();
    stream
}

async fn all(path: &std::path::Path, request: &str) -> Vec<String> {
    let mut text = String::new();
    ask(path, request).await.read_to_string(&mut text).await.unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn next(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_line(&mut line)).await.expect("a line").unwrap();
    line
}

#[tokio::test]
async fn flows_are_the_last_records_oldest_first_and_then_the_end() {
    let running = start();
    for n in 0..5 {
        running.sinks.record(&edge(), record(n));
    }
    let lines = all(&running.path, r#"{"flows":{"last":2}}"#).await;
    assert_eq!(lines.len(), 3);
    let records: Vec<FlowRecord> =
        lines[..2].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, [record(3), record(4)]);
    assert_eq!(lines[2], r#"{"end":2}"#);
}

#[tokio::test]
async fn a_follower_gets_each_record_once_kept_or_new() {
    let running = start();
    running.sinks.record(&edge(), record(1));
    let mut stream = ask(&running.path, r#"{"flows":{"follow":true,"last":10}}"#).await;
    let first: FlowRecord = serde_json::from_str(&next(&mut stream).await).unwrap();
    running.sinks.record(&edge(), record(2));
    let second: FlowRecord = serde_json::from_str(&next(&mut stream).await).unwrap();
    assert_eq!((first, second), (record(1), record(2)));
}

#[tokio::test]
async fn a_follower_sees_only_what_it_asked_for() {
    let running = start();
    let mut stream =
        ask(&running.path, r#"{"flows":{"follow":true,"last":9,"filter":{"finding":["unencrypted"]}}}"#)
            .await;
    let mut bad = record(7);
    bad.findings = vec![crate::model::FindingKind::Unencrypted];
    running.sinks.record(&edge(), record(6));
    running.sinks.record(&edge(), bad.clone());
    assert_eq!(serde_json::from_str::<FlowRecord>(&next(&mut stream).await).unwrap(), bad);
}

#[tokio::test]
async fn what_a_filter_leaves_out_does_not_count_as_dropped() {
    let running = start();
    let mut wanted = record(7);
    wanted.encryption.status = crate::model::EncryptionStatus::Tls;
    wanted.server.port = 443;
    running.sinks.record(&edge(), wanted.clone());
    let request = r#"{"flows":{"follow":true,"last":1,"filter":{"encryption":["tls"],"port":[443]}}}"#;
    let mut stream = ask(&running.path, request).await;
    assert!(next(&mut stream).await.contains("\"time\""));
    // More than the backlog holds, in portions that the follower can look through.
    for n in 0..2 * FOLLOWER_BACKLOG as u64 {
        running.sinks.record(&edge(), record(n));
        if n % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    running.sinks.record(&edge(), wanted.clone());
    assert_eq!(serde_json::from_str::<FlowRecord>(&next(&mut stream).await).unwrap(), wanted);
    assert_eq!(sample(&running.sinks.metrics, "observer_lost_events_total{stage=\"api\"}"), Some(0.0));
}

#[tokio::test]
async fn a_key_that_says_nothing_of_what_is_asked_for_is_refused() {
    let running = start();
    for (request, expected) in [
        (
            r#"{"findings":{"filter":{"encryption":["tls"],"protocol":["dns"]}}}"#,
            r#"{"error":"findings cannot be chosen by protocol, encryption; leave it out"}"#,
        ),
        (
            r#"{"edges":{"filter":{"encryption":["tls"],"pod":["a"]}}}"#,
            r#"{"error":"edges cannot be chosen by pod; leave it out"}"#,
        ),
    ] {
        assert_eq!(all(&running.path, request).await, [expected]);
    }
}

#[tokio::test]
async fn a_slow_follower_is_told_how_many_records_it_lost_and_delays_nobody() {
    let running = start();
    running.sinks.record(&edge(), record(1));
    let mut stream = ask(&running.path, r#"{"flows":{"follow":true,"last":1}}"#).await;
    assert!(next(&mut stream).await.contains("\"time\""));
    // Far more than the socket's buffer and the backlog hold; nothing is read meanwhile.
    let sent = 20 * FOLLOWER_BACKLOG as u64;
    for n in 0..sent {
        running.sinks.record(&edge(), record(n));
        if n % 256 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (mut received, mut dropped) = (0, 0);
    while received + dropped < sent {
        let line = next(&mut stream).await;
        match serde_json::from_str::<Notice>(&line) {
            Ok(Notice::Dropped(n)) => dropped += n,
            Ok(other) => panic!("{other:?}"),
            Err(_) => received += 1,
        }
    }
    assert_eq!(received + dropped, sent);
    assert!(dropped > 0);
    let counted = sample(&running.sinks.metrics, "observer_lost_events_total{stage=\"api\"}");
    assert_eq!(counted, Some(dropped as f64));
}

#[tokio::test]
async fn edges_and_findings_are_summed_up() {
    let running = start();
    let mut bad = record(7);
    bad.findings = vec![crate::model::FindingKind::Unencrypted];
    running.sinks.record(&edge(), bad);
    let edges = all(&running.path, r#"{"edges":{}}"#).await;
    let view: EdgeView = serde_json::from_str(&edges[0]).unwrap();
    assert_eq!((view.flows, view.client.principal.as_str()), (1, "shop/orders"));
    assert!(edges[0].contains(r#""findings":{"unencrypted":1}"#), "{}", edges[0]);
    let findings = all(&running.path, r#"{"findings":{}}"#).await;
    assert_eq!(findings.len(), 2);
    let view: serde_json::Value = serde_json::from_str(&findings[0]).unwrap();
    assert_eq!((&view["kind"], &view["port"]), (&"unencrypted".into(), &8080.into()));
}

#[tokio::test]
async fn a_bad_request_is_answered_with_an_error_line() {
    let running = start();
    let unknown_key = r#"{"flows":{"filter":{"colour":["red"]}}}"#;
    for request in ["{}", "nonsense", r#"{"flows":{"lsat":1}}"#, unknown_key, r#"{"secrets":{}}"#, "\0"] {
        let lines = all(&running.path, request).await;
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with(r#"{"error":"not a request: "#), "{lines:?}");
    }
    assert_eq!(all(&running.path, r#"{"flows":{}}"#).await, [r#"{"end":0}"#]);
}

#[tokio::test]
async fn a_request_line_is_bounded() {
    let running = start();
    let mut stream = BufReader::new(UnixStream::connect(&running.path).await.unwrap());
    next(&mut stream).await;
    let long = vec![b' '; usize::try_from(MAX_REQUEST).unwrap()];
    stream.write_all(&long).await.unwrap();
    assert!(next(&mut stream).await.contains("longer than 64 KiB"));
}

#[tokio::test]
async fn clients_are_bounded_and_the_one_too_many_is_told() {
    let running = start();
    let mut open = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut stream = BufReader::new(UnixStream::connect(&running.path).await.unwrap());
        next(&mut stream).await;
        open.push(stream);
    }
    let mut one_more = BufReader::new(UnixStream::connect(&running.path).await.unwrap());
    next(&mut one_more).await;
    assert!(next(&mut one_more).await.contains("too many clients"));
}

#[tokio::test]
async fn a_follower_that_leaves_frees_its_place() {
    let running = start();
    for _ in 0..2 * MAX_CLIENTS {
        let stream = ask(&running.path, r#"{"flows":{"follow":true}}"#).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(all(&running.path, r#"{"flows":{}}"#).await, [r#"{"end":0}"#]);
}

#[tokio::test]
async fn the_sockets_file_goes_with_the_daemon() {
    let running = start();
    running.stop.send(true).unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    while running.path.exists() {
        assert!(tokio::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_record_is_written_as_json_only_if_somebody_reads_it() {
    let running = start();
    let entry = Arc::new(Entry::new(Arc::new(record(1))));
    running.sinks.feed.publish(&edge(), entry.clone());
    assert!(format!("{entry:?}").contains("line: OnceLock(<uninit>)"));
}
