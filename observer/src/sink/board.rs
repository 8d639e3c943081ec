//! Where the observing thread pins the rows of `observer posture`, and where others ask for fresh ones; and what is in
//! force there: the declared edges.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::crd::DeclaredEdge;
use crate::model::{PostureRow, Timestamp};

/// The observing thread looks every 50 ms, and answers once a second at most.
const FRESH_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Board {
    wanted: AtomicBool,
    rows: watch::Sender<Arc<Vec<PostureRow>>>,
    declared: Mutex<Arc<[DeclaredEdge]>>,
    since: OnceLock<Timestamp>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            wanted: AtomicBool::new(false),
            rows: watch::Sender::new(Arc::default()),
            declared: Mutex::new(Arc::from([])),
            since: OnceLock::new(),
        }
    }
}

impl Board {
    /// Rows that are made from now on; nothing if they do not come in time.
    pub async fn fresh(&self) -> Option<Arc<Vec<PostureRow>>> {
        let mut rows = self.rows.subscribe();
        self.wanted.store(true, Ordering::Release);
        tokio::time::timeout(FRESH_WITHIN, rows.changed()).await.ok()?.ok()?;
        Some(rows.borrow().clone())
    }

    /// Somebody waits for rows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Takes the wish as heard: whoever wishes from now on gets the rows after these.
    pub fn begin(&self) {
        self.wanted.store(false, Ordering::Release);
    }

    pub fn pin(&self, rows: Vec<PostureRow>) {
        self.rows.send_replace(Arc::new(rows));
    }

    /// These edges are in force now, and no others.
    pub fn declare(&self, edges: Vec<DeclaredEdge>) {
        *self.declared.lock().unwrap_or_else(PoisonError::into_inner) = edges.into();
    }

    #[must_use]
    pub fn declared(&self) -> Arc<[DeclaredEdge]> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Since when the observer looks.
    pub fn begun(&self, at: Timestamp) {
        let _ = self.since.set(at);
    }

    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since.get().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_gets_what_is_pinned_after_the_question() {
        let board = Arc::new(Board::default());
        board.pin(Vec::new());
        assert!(!board.is_wanted());
        let asking = tokio::spawn({
            let board = board.clone();
            async move { board.fresh().await.map(|rows| rows.len()) }
        });
        while !board.is_wanted() {
            tokio::task::yield_now().await;
        }
        board.begin();
        board.pin(Vec::new());
        assert_eq!(asking.await.unwrap(), Some(0));
        assert!(!board.is_wanted());
    }
}
