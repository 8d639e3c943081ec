//! Who holds a connection to the metrics server: when all places are taken, whoever has waited longest with nothing under
//! way makes room, so that nobody can keep the kubelet out by sitting there.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// An answer is handed on in pieces of so many bytes, so that one that is not read is noticed.
const PIECE: usize = 64 * 1024;

/// One connection, as both its task and the table know it.
#[derive(Debug, Default)]
pub struct Visit {
    answering: AtomicBool,
    answered: AtomicBool,
    /// Since when it takes no more bytes.
    blocked: Mutex<Option<Instant>>,
}

impl Visit {
    /// An answer is under way until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.answering.store(true, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// It has had an answer.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// For how long it has taken no bytes, though there are some for it.
    pub fn blocked(&self) -> Option<Duration> {
        let since = *self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }

    fn written<T>(&self, result: Poll<T>) -> Poll<T> {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Poll::Ready(_) => *blocked = None,
            Poll::Pending => {
                blocked.get_or_insert_with(Instant::now);
            }
        }
        result
    }
}

/// See [`Visit::begin`].
#[derive(Debug)]
pub struct UnderWay(Arc<Visit>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answered.store(true, Ordering::Relaxed);
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// A connection's bytes, watched for whether they are taken.
pub struct Watched<T> {
    pub stream: T,
    pub visit: Arc<Visit>,
}

impl<T: Read + Unpin> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.visit.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.visit.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What came of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    There,
    /// Somebody else had to go.
    Made,
    None,
}

/// See the module.
#[derive(Debug)]
pub struct Visitors {
    places: usize,
    held: VecDeque<(Arc<Visit>, AbortHandle)>,
}

impl Visitors {
    pub fn new(places: usize) -> Self {
        Self { places, held: VecDeque::with_capacity(places) }
    }

    /// Looks for a place for one more.
    pub fn room(&mut self) -> Room {
        self.held.retain(|(_, task)| !task.is_finished());
        if self.held.len() < self.places {
            return Room::There;
        }
        let idle = self.held.iter().position(|(visit, _)| !visit.is_answering());
        let Some((_, task)) = idle.and_then(|idle| self.held.remove(idle)) else { return Room::None };
        task.abort();
        Room::Made
    }

    pub fn take(&mut self, visit: Arc<Visit>, task: AbortHandle) {
        self.held.push_back((visit, task));
    }
}

/// An answer's body, which knows whether it is on its way still.
#[derive(Debug)]
pub struct Answer {
    rest: Bytes,
    _under_way: UnderWay,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub fn new(body: Bytes, under_way: UnderWay, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { rest: body, _under_way: under_way, _permit: permit }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sitting() -> AbortHandle {
        tokio::spawn(std::future::pending::<()>()).abort_handle()
    }

    #[tokio::test]
    async fn the_longest_idle_one_makes_room_and_whoever_is_answered_stays() {
        let mut visitors = Visitors::new(2);
        let (first, second) = (Arc::new(Visit::default()), Arc::new(Visit::default()));
        let (first_task, second_task) = (sitting(), sitting());
        visitors.take(first.clone(), first_task.clone());
        visitors.take(second.clone(), second_task.clone());
        let under_way = first.begin();
        assert_eq!(visitors.room(), Room::Made);
        tokio::task::yield_now().await;
        assert!(second_task.is_finished() && !first_task.is_finished());
        let third = Arc::new(Visit::default());
        visitors.take(third.clone(), sitting());
        let also_under_way = third.begin();
        assert_eq!(visitors.room(), Room::None);
        drop(under_way);
        assert_eq!(visitors.room(), Room::Made);
        drop(also_under_way);
        tokio::task::yield_now().await;
        assert!(first_task.is_finished());
    }

    #[tokio::test]
    async fn an_answer_is_under_way_until_its_last_piece_is_taken() {
        let visit = Arc::new(Visit::default());
        let mut answer = Answer::new(vec![b'x'; PIECE + 1].into(), visit.begin(), None);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for left in [1, 0] {
            assert!(Pin::new(&mut answer).poll_frame(&mut context).is_ready());
            assert_eq!(answer.size_hint().exact(), Some(left));
        }
        assert!(answer.is_end_stream() && visit.is_answering() && !visit.is_answered());
        drop(answer);
        assert!(!visit.is_answering() && visit.is_answered());
    }
}
