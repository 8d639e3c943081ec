//! Who of several observers writes: whoever holds a Lease that was renewed lately. Sans-IO; it is only sought while there
//! is something to write, so that a quiet cluster hears nothing of it.

use std::time::{Duration, Instant};

use super::lease::Lease;

/// Without a renewal for so long, a Lease is anybody's. Counted from when its last change was seen here, so that
/// clocks need not agree.
const LASTS: Duration = Duration::from_secs(15);
/// The holder trusts its own Lease for less than others respect it.
const TRUSTED: Duration = Duration::from_secs(10);

/// One observer's view.
#[derive(Debug)]
pub struct Election {
    me: String,
    /// The Lease as last seen, and since when it is like that.
    seen: Option<(Lease, Instant)>,
    /// Held since its last renewal.
    renewed: Option<Instant>,
}

/// What to do about a Lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Take it, in place of this.
    Take(Option<Lease>),
    /// Somebody else's.
    Wait,
}

impl Election {
    #[must_use]
    pub const fn new(me: String) -> Self {
        Self { me, seen: None, renewed: None }
    }

    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Whether this one may write now.
    #[must_use]
    pub fn may_write(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) < TRUSTED)
    }

    /// This is the Lease now.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) -> Step {
        let Some(lease) = lease else { return Step::Take(None) };
        let since = match &self.seen {
            Some((known, since)) if known.version == lease.version => *since,
            _ => now,
        };
        let free = lease.holder.is_empty() || lease.holder == self.me;
        let over = now.duration_since(since) >= LASTS;
        self.seen = Some((lease.clone(), since));
        if free || over { Step::Take(Some(lease)) } else { Step::Wait }
    }

    /// What taking it came to. `asked`: when it was asked for.
    pub fn taken(&mut self, lease: Option<Lease>, asked: Instant) {
        self.renewed = lease.as_ref().filter(|lease| lease.holder == self.me).map(|_| asked);
        if let Some(lease) = lease {
            self.seen = Some((lease, asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        Lease::new(holder, version)
    }

    #[test]
    fn a_lease_that_is_nobodys_is_taken_and_trusted_for_less_than_it_lasts() {
        let start = Instant::now();
        let mut election = Election::new("a".into());
        assert!(!election.may_write(start));
        assert_eq!(election.see(None, start), Step::Take(None));
        election.taken(Some(lease("a", "1")), start);
        assert!(election.may_write(start + TRUSTED - Duration::from_millis(1)));
        assert!(!election.may_write(start + TRUSTED));
        // Its own it may renew at any time.
        assert_eq!(election.see(Some(lease("a", "1")), start + 9 * LASTS), Step::Take(Some(lease("a", "1"))));
    }

    #[test]
    fn somebody_elses_is_taken_only_once_it_was_not_renewed_for_its_time() {
        let start = Instant::now();
        let mut election = Election::new("b".into());
        assert_eq!(election.see(Some(lease("a", "1")), start), Step::Wait);
        let renewed = start + LASTS - Duration::from_secs(1);
        assert_eq!(election.see(Some(lease("a", "2")), renewed), Step::Wait);
        assert_eq!(election.see(Some(lease("a", "2")), start + LASTS), Step::Wait);
        assert_eq!(election.see(Some(lease("a", "2")), renewed + LASTS), Step::Take(Some(lease("a", "2"))));
        // Somebody was quicker.
        election.taken(None, renewed + LASTS);
        assert!(!election.may_write(renewed + LASTS));
    }
}
