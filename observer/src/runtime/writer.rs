//! Writes the status of ServiceGraphs, if no other observer of the cluster does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use super::clock;
use super::standing::says_the_same;
use crate::cluster::{Election, Leases, Step};
use crate::graph::ObjectName;

/// What should be written.
pub type Wanted = Vec<(ObjectName, Value)>;

/// Whoever holds the Lease writes at once: others get to look only where that did not happen, and not all together.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_MORE: f64 = 4.0;
/// Before looking again at what somebody else holds, or after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// Until what was written is heard of.
const ECHO: Duration = Duration::from_secs(5);

/// See the module.
pub struct Writer {
    leases: Leases,
    election: Election,
    wanted: watch::Receiver<Wanted>,
    written: HashMap<ObjectName, (Value, Instant)>,
    /// Chance, from 0 to 1, of this process.
    spread: f64,
    told: Option<String>,
}

impl Writer {
    #[must_use]
    pub fn new(leases: Leases, node: &str, wanted: watch::Receiver<Wanted>) -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        let chance = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let election = Election::new(format!("{node}_{chance:016x}"));
        let spread = (chance >> 11) as f64 / (1_u64 << 53) as f64;
        Self { leases, election, wanted, written: HashMap::new(), spread, told: None }
    }

    /// Until nobody wants anything any more.
    pub async fn run(mut self) {
        loop {
            let rest = self.write().await;
            let changed = self.wanted.changed();
            let outcome = match rest {
                None => changed.await,
                Some(wait) => match tokio::time::timeout(wait, changed).await {
                    Ok(outcome) => outcome,
                    Err(_) => Ok(()),
                },
            };
            if outcome.is_err() {
                return;
            }
            if !self.wanted.borrow().is_empty() && !self.election.may_write(Instant::now()) {
                tokio::time::sleep(PATIENCE + Duration::from_secs_f64(self.spread * PATIENCE_MORE)).await;
            }
        }
    }

    /// Writes what is wanted; answers when to try again.
    async fn write(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.written.retain(|_, (_, at)| now.duration_since(*at) < ECHO);
        let mut wanted = self.wanted.borrow_and_update().clone();
        if wanted.is_empty() {
            return None;
        }
        // Until the API server's echo comes, what was written is wanted again, as of a later second.
        wanted.retain(|(name, status)| {
            self.written.get(name).is_none_or(|(written, _)| !says_the_same(written, status))
        });
        for (name, status) in wanted {
            match self.hold().await {
                Ok(true) => {}
                Ok(false) => return Some(AGAIN),
                Err(why) => return Some(self.complain(&why)),
            }
            match self.leases.write_status(&name.namespace, &name.name, &status).await {
                Ok(()) => {
                    tracing::debug!(namespace = %name.namespace, name = %name.name, "status written");
                    self.told = None;
                    self.written.insert(name, (status, Instant::now()));
                }
                Err(why) => return Some(self.complain(&why)),
            }
        }
        Some(ECHO)
    }

    /// Whether the Lease is held, by now.
    async fn hold(&mut self) -> Result<bool, String> {
        let now = Instant::now();
        if self.election.may_write(now) {
            return Ok(true);
        }
        let lease = self.leases.look().await?;
        let Step::Take(previous) = self.election.see(lease, Instant::now()) else { return Ok(false) };
        let asked = Instant::now();
        let taken = self.leases.take(self.election.me(), previous.as_ref(), &clock::rfc3339_micros()).await?;
        self.election.taken(taken, asked);
        Ok(self.election.may_write(Instant::now()))
    }

    fn complain(&mut self, why: &str) -> Duration {
        if self.told.as_deref() != Some(why) {
            tracing::warn!("the status of ServiceGraphs cannot be written: {why}");
            self.told = Some(why.to_owned());
        }
        AGAIN
    }
}
