//! HTTP/1 on a bounded number of connections; what is answered is somebody else's affair.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::stopped;

/// A client that takes longer to send its request's head is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The longest request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// How long a stopping server waits for answers that are under way.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// After a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` says true, then lets answers under way end. Connections beyond `most` are closed at once.
pub async fn serve<A, F>(listener: TcpListener, most: usize, answer: A, mut stop: watch::Receiver<bool>)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(most));
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
                    let (answer, stop) = (answer.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, answer, stop).await;
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

async fn connection<A, F>(stream: TcpStream, answer: A, mut stop: watch::Receiver<bool>)
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
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

/// A line for people.
pub fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

/// Of this content type.
pub fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
