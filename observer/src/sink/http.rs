//! `/metrics`, `/healthz` and `/readyz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::health::{Heartbeat, Readiness};
use super::metrics::Metrics;
use super::stopped;
use super::text::Format;
use crate::model::Timestamp;

/// Connections served at once: a scraper, the kubelet, and a person or two. More are closed at once.
pub const MAX_HTTP_CONNECTIONS: usize = 32;
/// A client that takes longer to send its request's head is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The longest request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// How long a stopping daemon waits for answers that are under way.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// After a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address that `--listen` names cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; free it or choose another with --listen ADDRESS:PORT")]
pub struct ListenError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// Takes the address.
///
/// # Errors
/// It is in use, or not this machine's, or not allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
}

/// What the server shows.
#[derive(Clone, Debug)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    pub heartbeat: Heartbeat,
}

/// Serves until `stop` says true, then lets answers under way end.
pub async fn serve(listener: TcpListener, shown: Shown, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(MAX_HTTP_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        // Takes the finished ones out of the set.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                if let Ok(slot) = slots.clone().try_acquire_owned() {
                    let (shown, stop) = (shown.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, shown, stop).await;
                        drop(slot);
                    });
                }
            }
            Err(error) => {
                tracing::debug!(%error, "http-accept-failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ =
        tokio::time::timeout(DRAIN_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, shown: Shown, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let shown = shown.clone();
        async move { Ok::<_, Infallible>(answer(&request, shown).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks off is the peer's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The body of the request is never read.
async fn answer<B>(request: &Request<B>, shown: Shown) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        return plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n");
    }
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
        return response;
    }
    match path {
        "/metrics" => exposition(request, shown).await,
        "/healthz" => {
            if shown.heartbeat.alive(now()) {
                plain(StatusCode::OK, "ok\n")
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, "the pipeline has not moved for 10 s\n")
            }
        }
        _ => {
            let missing = shown.readiness.missing();
            if missing.is_empty() {
                plain(StatusCode::OK, "ready\n")
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
            }
        }
    }
}

async fn exposition<B>(request: &Request<B>, shown: Shown) -> Response<Full<Bytes>> {
    let accept: Vec<&str> =
        request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::from_accept(&accept.join(","));
    // A full budget takes tens of milliseconds: not on the threads that drain the ring.
    let body = tokio::task::spawn_blocking(move || match format {
        Format::OpenMetrics => shown.metrics.openmetrics(),
        Format::PrometheusText => shown.metrics.prometheus_text(),
    });
    match body.await {
        Ok(body) => respond(StatusCode::OK, format.content_type(), body),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the exposition could not be made\n"),
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn now() -> Timestamp {
    Timestamp::default() + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
