//! The unix socket behind `observer flows`, `findings`, `edges`, `posture` and `graph`. The protocol is in [`super::query`].

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Board;
use super::feed::{Entry, Feed, line};
use super::metrics::Metrics;
use super::query::{
    Filter, FlowsRequest, Hello, MAX_REQUEST, NOT_A_REQUEST, Notice, PROTOCOL_VERSION, Request,
};
use super::refusal::{Refusal, Server};
use super::socket::{BoundSocket, may_ask, own_uid};
use super::stopped;

/// Clients served at once; one more is told so.
pub const MAX_CLIENTS: usize = 32;
/// A client that takes longer for its one request line is closed.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// A client that does not read an answer for so long is closed. A follower may pause: it loses records instead.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// After a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Records sent if the client does not say how many.
const DEFAULT_LAST: usize = 20;

/// Serves until `stop` says true; the socket's file goes with it.
pub async fn serve(
    socket: BoundSocket,
    (feed, board): (Arc<Feed>, Arc<Board>),
    metrics: Arc<Metrics>,
    version: &'static str,
    mut stop: watch::Receiver<bool>,
) {
    let own = match own_uid() {
        Ok(own) => own,
        Err(error) => {
            tracing::error!(%error, "api-own-uid-unknown");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            accepted = socket.listener.accept() => accepted,
        };
        // Takes the finished ones out of the set.
        while clients.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid(), own)) => {
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    refuse(stream, version);
                    metrics.refused_client(Server::Socket, Refusal::TooMany);
                    continue;
                };
                let (feed, board, metrics) = (feed.clone(), board.clone(), metrics.clone());
                clients.spawn(async move {
                    let result = client(stream, (&feed, &board), &metrics, version).await;
                    // A client that breaks off is its own affair.
                    if result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                        metrics.refused_client(Server::Socket, Refusal::TooSlow);
                    }
                    drop(slot);
                });
            }
            Ok(_) => tracing::warn!("api-peer-refused"),
            Err(error) => {
                tracing::debug!(%error, "api-accept-failed");
                metrics.refused_client(Server::Socket, Refusal::AcceptFailed);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Never waits: two short lines fit into an empty socket.
fn refuse(stream: UnixStream, version: &'static str) {
    let text =
        format!("{}{}", hello(version), line(&Notice::Error("too many clients at once; try again".into())));
    let _ = stream.try_write(text.as_bytes());
}

fn hello(version: &'static str) -> Arc<str> {
    line(&Hello { protocol: PROTOCOL_VERSION, version: version.into() })
}

async fn client(
    stream: UnixStream,
    (feed, board): (&Feed, &Board),
    metrics: &Metrics,
    version: &'static str,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    write.write_all(hello(version).as_bytes()).await?;
    match tokio::time::timeout(REQUEST_WITHIN, read_request(&mut read, metrics)).await?? {
        Ok(Request::Flows(request)) => flows(&request, read, write, feed, metrics).await,
        Ok(Request::Findings(request)) => {
            let strange = request.filter.strange_to_findings();
            if !strange.is_empty() {
                return refuse_keys(write, "findings", &strange).await;
            }
            let found = feed.store().findings(&request.filter);
            answer(write, found.iter().map(line)).await
        }
        Ok(Request::Edges(request)) => {
            let strange = request.filter.strange_to_edges();
            if !strange.is_empty() {
                return refuse_keys(write, "edges", &strange).await;
            }
            let found = feed.store().edges(&request.filter);
            answer(write, found.iter().map(line)).await
        }
        Ok(Request::Observed(request)) => {
            let strange = request.filter.strange_to_edges();
            if !strange.is_empty() {
                return refuse_keys(write, "edges", &strange).await;
            }
            let found = feed.store().observed(&request.filter);
            answer(write, found.iter().map(line)).await
        }
        Ok(Request::Declared) => answer(write, board.declared().iter().map(line)).await,
        Ok(Request::Coverage) => {
            let coverage = super::coverage::read(&metrics.prometheus_text(), board.since());
            answer(write, std::iter::once(line(&coverage))).await
        }
        Ok(Request::Posture(request)) => match board.fresh().await {
            Some(rows) => {
                let wanted = rows.iter().filter(|row| {
                    let namespace = request.namespace.as_deref();
                    namespace.is_none() || row.namespace.is_none() || row.namespace.as_deref() == namespace
                });
                answer(write, wanted.map(line)).await
            }
            None => {
                let busy = Notice::Error("it has no time for this now; try again".into());
                write.write_all(line(&busy).as_bytes()).await
            }
        },
        Err(complaint) => write.write_all(line(&Notice::Error(complaint)).as_bytes()).await,
    }
}

/// A filter that is left aside in silence would make the answer a lie.
async fn refuse_keys(mut write: OwnedWriteHalf, what: &str, keys: &[&str]) -> io::Result<()> {
    let why = format!("{what} cannot be chosen by {}; leave it out", keys.join(", "));
    write.write_all(line(&Notice::Error(why.into())).as_bytes()).await
}

async fn read_request(
    read: &mut BufReader<OwnedReadHalf>,
    metrics: &Metrics,
) -> io::Result<Result<Request, Cow<'static, str>>> {
    let mut request = Vec::new();
    read.take(MAX_REQUEST).read_until(b'\n', &mut request).await?;
    if request.last() != Some(&b'\n') {
        if request.len() as u64 == MAX_REQUEST {
            metrics.refused_client(Server::Socket, Refusal::TooLarge);
        }
        return Ok(Err("the request is longer than 64 KiB or has no end".into()));
    }
    Ok(serde_json::from_slice(&request).map_err(|error| format!("{NOT_A_REQUEST}{error}").into()))
}

/// All lines, then the end.
async fn answer(write: OwnedWriteHalf, lines: impl Iterator<Item = Arc<str>>) -> io::Result<()> {
    let mut write = BufWriter::new(write);
    let mut sent = 0;
    for line in lines {
        within(write.write_all(line.as_bytes())).await?;
        sent += 1;
    }
    within(write.write_all(line(&Notice::End(sent)).as_bytes())).await?;
    within(write.flush()).await
}

async fn within(writing: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(ANSWER_WITHIN, writing).await?
}

async fn flows(
    request: &FlowsRequest,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    feed: &Feed,
    metrics: &Metrics,
) -> io::Result<()> {
    let last = request.last.unwrap_or(if request.follow { 0 } else { DEFAULT_LAST });
    if !request.follow {
        let kept = feed.store().last(last, &request.filter);
        return answer(write, kept.iter().map(|record| line(&**record))).await;
    }
    let (kept, entries) = feed.follow(last, &request.filter);
    let mut write = BufWriter::new(write);
    tokio::select! {
        result = async {
            for record in kept {
                write.write_all(line(&*record).as_bytes()).await?;
            }
            write.flush().await?;
            follow(&request.filter, entries, &mut write, metrics).await
        } => result,
        // A follower says nothing more: its end of file is all that can be read.
        () = gone(read) => Ok(()),
    }
}

/// Sends what comes until the client goes. Flushes whenever there is nothing more to add.
async fn follow(
    filter: &Filter,
    mut entries: Receiver<Arc<Entry>>,
    write: &mut BufWriter<OwnedWriteHalf>,
    metrics: &Metrics,
) -> io::Result<()> {
    loop {
        let next = match entries.try_recv() {
            Err(TryRecvError::Empty) => {
                write.flush().await?;
                entries.recv().await
            }
            Err(TryRecvError::Lagged(n)) => Err(RecvError::Lagged(n)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Ok(entry) => Ok(entry),
        };
        match next {
            Ok(entry) if filter.matches(&entry.record) => write.write_all(entry.line().as_bytes()).await?,
            Ok(_) => {}
            Err(RecvError::Lagged(n)) => {
                metrics.lost("api", n);
                write.write_all(line(&Notice::Dropped(n)).as_bytes()).await?;
            }
            Err(RecvError::Closed) => return write.flush().await,
        }
    }
}

async fn gone(mut read: BufReader<OwnedReadHalf>) {
    let mut rest = [0; 256];
    while read.read(&mut rest).await.is_ok_and(|n| n > 0) {}
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
