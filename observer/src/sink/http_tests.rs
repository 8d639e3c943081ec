use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::sink::fixture::metrics;

struct Running {
    address: SocketAddr,
    shown: Shown,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shown = Shown {
        metrics: Arc::new(metrics()),
        readiness: Readiness::default(),
        heartbeat: Heartbeat::new(now()),
    };
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, shown.clone(), stopped));
    Running { address, shown, stop, server }
}

/// Sends bytes, returns all that comes until the server closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn metrics_come_as_openmetrics_or_as_text_by_accept() {
    let running = start().await;
    let open = get(running.address, "/metrics", "").await;
    assert!(open.starts_with("HTTP/1.1 200"), "{open}");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(open.ends_with("# EOF\n"));
    let text = get(running.address, "/metrics", "accept: text/plain\r\n").await;
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{text}");
    assert!(text.contains("\n# TYPE observer_lost_events_total counter\n"));
}

#[tokio::test]
async fn readyz_names_what_is_missing_one_a_line() {
    let running = start().await;
    let probes = running.shown.readiness.block("probes");
    let identity = running.shown.readiness.block("identity");
    let answer = get(running.address, "/readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("\r\n\r\nidentity\nprobes\n"), "{answer}");
    drop(probes);
    assert!(get(running.address, "/readyz", "").await.ends_with("\r\n\r\nidentity\n"));
    drop(identity);
    assert!(get(running.address, "/readyz", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn healthz_fails_once_the_pipeline_has_not_moved_for_ten_seconds() {
    let running = start().await;
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 200"));
    running.shown.heartbeat.beat(now() - Duration::from_secs(11));
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 503"));
    running.shown.heartbeat.beat(now() - Duration::from_secs(5));
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn anything_else_is_404_or_405_and_a_body_is_never_read() {
    let running = start().await;
    assert!(get(running.address, "/", "").await.starts_with("HTTP/1.1 404"));
    assert!(get(running.address, "/metrics/x", "").await.starts_with("HTTP/1.1 404"));
    // A body of 1 MB is announced, and none of it is sent.
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
    let answer = tokio::time::timeout(Duration::from_secs(3), raw(running.address, post)).await;
    let answer = answer.expect("an answer before the body");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET\r\n"), "{answer}");
}

#[tokio::test]
async fn garbage_closes_the_connection_and_nothing_else() {
    let running = start().await;
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    for garbage in ["\x16\x03\x01\x02\0\x01\0\0\0\0\r\n\r\n", "\0\0\0\0\r\n\r\n", &long] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let _ = stream.write_all(garbage.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn of_too_many_connections_the_one_that_idles_longest_makes_room_and_is_counted() {
    let running = start().await;
    let mut open = Vec::new();
    for _ in 0..MAX_HTTP_CONNECTIONS {
        open.push(TcpStream::connect(running.address).await.unwrap());
    }
    // The server takes connections in order: this one comes after all of those.
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 200"));
    let closed = tokio::time::timeout(Duration::from_secs(2), open[0].read(&mut [0; 16])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    let stays = tokio::time::timeout(Duration::from_millis(100), open[1].read(&mut [0; 16])).await;
    assert!(stays.is_err(), "{stays:?}");
    let text = running.shown.metrics.prometheus_text();
    assert!(
        text.contains("observer_refused_clients_total{server=\"http\",reason=\"too-many\"} 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_counted() {
    let running = start().await;
    let answer = get(running.address, "/healthz", &format!("x-long: {}\r\n", "a".repeat(MAX_HEAD))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let text = running.shown.metrics.prometheus_text();
    assert!(text.contains("server=\"http\",reason=\"too-large\"} 1\n"), "{text}");
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let running = start().await;
    let _idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(3), running.server).await.expect("in time").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_address_cause_and_way_out() {
    let running = start().await;
    let error = bind(running.address).await.unwrap_err().to_string();
    assert!(error.contains(&running.address.to_string()), "{error}");
    assert!(error.contains("in use") && error.contains("--listen") && !error.contains('\n'), "{error}");
}
