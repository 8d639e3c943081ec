//! `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::health::{Heartbeat, Readiness};
use super::metrics::Metrics;
use super::serve::{plain, respond};
use super::text::Format;
use crate::model::Timestamp;

/// Connections served at once: a scraper, the kubelet, and a person or two. More are closed at once.
pub const MAX_HTTP_CONNECTIONS: usize = 32;

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
pub async fn serve(listener: TcpListener, shown: Shown, stop: watch::Receiver<bool>) {
    let answer = move |request: Request<Incoming>| {
        let shown = shown.clone();
        async move { answer(&request, shown).await }
    };
    super::serve::serve(listener, MAX_HTTP_CONNECTIONS, answer, stop).await;
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

fn now() -> Timestamp {
    Timestamp::default() + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
