//! `/metrics`, `/healthz` and `/readyz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::health::{Heartbeat, Readiness};
use super::metrics::Metrics;
use super::refusal::{Refusal, Server};
use super::stopped;
use super::text::Format;
use super::visitors::{Answer, Room, Visit, Visitors, Watched};
use crate::model::Timestamp;

/// Connections served at once: a scraper, the kubelet, and a person or two. One more takes the place of one that waits
/// idly.
pub const MAX_HTTP_CONNECTIONS: usize = 64;
/// Expositions made or sent at once: each is some 10 MB if the budget of series is used up.
const MAX_EXPOSITIONS: usize = 4;
/// Those that wait for their turn, apart from these; fewer than connections, so that a probe always finds a place.
const MAX_WAITING: usize = 32;
/// How long they wait.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// A client that takes no byte of its answer for so long is closed.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    let mut visitors = Visitors::new(MAX_HTTP_CONNECTIONS);
    let turns = Turns::default();
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
                let room = visitors.room();
                if room != Room::There {
                    shown.metrics.refused_client(Server::Http, Refusal::TooMany);
                }
                if room != Room::None {
                    let visit = Arc::new(Visit::default());
                    let guest = Guest { visit: visit.clone(), turns: turns.clone(), shown: shown.clone() };
                    visitors.take(visit, connections.spawn(connection(stream, guest, stop.clone())));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "http-accept-failed");
                shown.metrics.refused_client(Server::Http, Refusal::AcceptFailed);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ =
        tokio::time::timeout(DRAIN_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

/// Who makes or sends an exposition, and who waits to.
#[derive(Clone)]
struct Turns {
    making: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            making: Arc::new(Semaphore::new(MAX_EXPOSITIONS)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }
}

impl Turns {
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.try_acquire().ok()?;
        tokio::time::timeout(TURN_WITHIN, self.making.clone().acquire_owned()).await.ok()?.ok()
    }
}

/// What a connection's task works with.
#[derive(Clone)]
struct Guest {
    visit: Arc<Visit>,
    turns: Turns,
    shown: Shown,
}

async fn connection(stream: TcpStream, guest: Guest, mut stop: watch::Receiver<bool>) {
    let (visit, metrics) = (guest.visit.clone(), guest.shown.metrics.clone());
    let service = service_fn(move |request| {
        let guest = guest.clone();
        async move {
            let under_way = guest.visit.begin();
            let (response, permit) = answer(&request, &guest).await;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, under_way, permit)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .serve_connection(Watched { stream: TokioIo::new(stream), visit: visit.clone() }, service);
    let mut connection = std::pin::pin!(connection);
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
                return;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                if visit.blocked().is_some_and(|since| since > ANSWER_WITHIN) {
                    return metrics.refused_client(Server::Http, Refusal::TooSlow);
                }
            }
        }
    };
    match result {
        Err(error) if error.is_parse_too_large() => metrics.refused_client(Server::Http, Refusal::TooLarge),
        // A scraper's connection may rest between two scrapes until it is closed.
        Err(error) if error.is_timeout() && (!visit.is_answered() || visit.blocked().is_some()) => {
            metrics.refused_client(Server::Http, Refusal::TooSlow);
        }
        // A connection that breaks off is the peer's affair.
        _ => {}
    }
}

/// The body of the request is never read.
async fn answer<B>(request: &Request<B>, guest: &Guest) -> (Response<Bytes>, Option<OwnedSemaphorePermit>) {
    let path = request.uri().path();
    let response = match path {
        "/metrics" | "/healthz" | "/readyz" if request.method() != Method::GET => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
            response
        }
        "/metrics" => {
            let Some(turn) = guest.turns.take().await else {
                guest.shown.metrics.refused_client(Server::Http, Refusal::TooMany);
                let busy = "others are being told the metrics; ask again later\n";
                return (plain(StatusCode::SERVICE_UNAVAILABLE, busy), None);
            };
            return (exposition(request, guest.shown.metrics.clone()).await, Some(turn));
        }
        "/healthz" if guest.shown.heartbeat.alive(now()) => plain(StatusCode::OK, "ok\n"),
        "/healthz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the pipeline has not moved for 10 s\n"),
        "/readyz" => {
            let missing = guest.shown.readiness.missing();
            if missing.is_empty() {
                plain(StatusCode::OK, "ready\n")
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
            }
        }
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
    };
    (response, None)
}

async fn exposition<B>(request: &Request<B>, metrics: Arc<Metrics>) -> Response<Bytes> {
    let accept: Vec<&str> =
        request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::from_accept(&accept.join(","));
    // A full budget takes tens of milliseconds: not on the threads that drain the ring.
    let body = tokio::task::spawn_blocking(move || match format {
        Format::OpenMetrics => metrics.openmetrics(),
        Format::PrometheusText => metrics.prometheus_text(),
    });
    match body.await {
        Ok(body) => respond(StatusCode::OK, format.content_type(), body),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the exposition could not be made\n"),
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
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
