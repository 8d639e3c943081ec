//! Issuers' keys: fetched beside the observing thread, handed over when they have changed, fetched anew when a token
//! names a key that nobody knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::clock;
use crate::cluster::{KeySource, Keys, Loaded};
use crate::model::Timestamp;
use crate::token::{Issuer, KeySet, Verifier};

/// Between two fetches of one issuer's keys because of a token: an unknown key id is quickly made up.
const LEAST_BETWEEN: Duration = Duration::from_secs(60);
/// Keys that were withdrawn are not known for longer.
const MOST_BETWEEN: Duration = Duration::from_secs(15 * 60);
/// The first waits after a failure, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// What has changed of the source at `slot`.
pub struct Update {
    slot: usize,
    issuer: Issuer,
    api_audiences: Vec<Arc<str>>,
    /// How far this machine's clock and the API server's differ, where that matters.
    skew: Option<Duration>,
}

/// The observing thread's end.
pub struct Trust {
    updates: Receiver<Update>,
    /// One for each source; the first is the cluster's own.
    slots: Vec<Slot>,
    /// Set by the user: then nothing that is found counts.
    audiences_are_set: bool,
    api_audiences: Vec<Arc<str>>,
}

struct Slot {
    issuer: Option<Issuer>,
    wanted: Sender<()>,
}

impl Trust {
    /// Starts to look after `sources`, of which `known` is what was read of them already.
    #[must_use]
    pub fn start(
        sources: Vec<(KeySource, Option<(Keys, Issuer)>)>,
        api_audiences: Vec<Arc<str>>,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let (send, updates) = channel(16);
        let mut slots = Vec::new();
        for (slot, (source, known)) in sources.into_iter().enumerate() {
            let (wanted, asked) = channel(1);
            let (keys, issuer) = known.unzip();
            // Tokens of an issuer whose keys have not come yet are unverified, and nobody foreign's.
            let issuer = issuer.or_else(|| named(&source));
            slots.push(Slot { issuer, wanted });
            runtime.spawn(look_after(slot, source, keys, send.clone(), asked));
        }
        let audiences_are_set = !api_audiences.is_empty();
        Self { updates, slots, audiences_are_set, api_audiences }
    }

    /// Gives the verifier what is new, and asks for what it lacks.
    pub fn keep_up(&mut self, verifier: &mut Verifier) {
        while let Ok(Update { slot, issuer, api_audiences, skew }) = self.updates.try_recv() {
            if let Some(skew) = skew {
                verifier.set_skew(skew);
            }
            let url = issuer.url.clone();
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.issuer = Some(issuer);
            }
            if !api_audiences.is_empty() && !self.audiences_are_set {
                self.api_audiences = api_audiences;
            }
            verifier.trust(self.issuers(), self.api_audiences.clone(), &url);
        }
        for url in verifier.take_wanted() {
            for slot in &self.slots {
                if slot.issuer.as_ref().is_some_and(|issuer| issuer.url == url) {
                    // Full: it is asked for already.
                    let _ = slot.wanted.try_send(());
                }
            }
        }
    }

    /// In the order of their sources. The first stands for the cluster's own also while that is not known: then it is
    /// nobody's.
    #[must_use]
    pub fn issuers(&self) -> Vec<Issuer> {
        let known = self.slots.iter().filter_map(|slot| slot.issuer.clone());
        match self.slots.first() {
            Some(Slot { issuer: None, .. }) if self.slots.len() > 1 => {
                std::iter::once(Issuer { url: "".into(), keys: KeySet::default() }).chain(known).collect()
            }
            _ => known.collect(),
        }
    }
}

fn named(source: &KeySource) -> Option<Issuer> {
    match source {
        KeySource::ApiServer(_) => None,
        KeySource::File { issuer, .. } | KeySource::Address { issuer, .. } => {
            Some(Issuer { url: issuer.as_str().into(), keys: KeySet::default() })
        }
    }
}

/// Clocks differ by less, or else it matters; a Date has whole seconds.
const SKEW_IGNORED: Duration = Duration::from_secs(5);

/// How far two clocks differ; zero if that does not matter.
fn skew(theirs: Timestamp, ours: Timestamp) -> Duration {
    let differs = theirs.since(ours).max(ours.since(theirs));
    if differs < SKEW_IGNORED { Duration::ZERO } else { differs }
}

/// Fetches keys for as long as anybody wants to know.
async fn look_after(
    slot: usize,
    source: KeySource,
    mut known: Option<Keys>,
    updates: Sender<Update>,
    mut wanted: Receiver<()>,
) {
    let mut fresh = known.is_some();
    let mut known_skew = Duration::ZERO;
    let mut retry = RETRY;
    let mut told = None;
    let mut answered: Option<Instant> = None;
    loop {
        // What was read at start needs no second reading at once.
        let loaded = if std::mem::take(&mut fresh) { Ok(None) } else { source.load().await.map(Some) };
        let failure = match loaded {
            Ok(None) => None,
            Ok(Some(Loaded { keys, clock: theirs })) => {
                let skew = theirs.map(|theirs| skew(theirs, clock::now()));
                let drifted = skew.is_some_and(|skew| skew.abs_diff(known_skew) >= SKEW_IGNORED);
                if drifted {
                    known_skew = skew.unwrap_or_default();
                    let seconds = known_skew.as_secs();
                    tracing::warn!(
                        seconds,
                        "this machine's clock and the API server's differ: set them by NTP"
                    );
                }
                match parse(&keys) {
                    Ok(_) if !drifted && known.as_ref() == Some(&keys) => None,
                    Ok((issuer, api_audiences)) => {
                        tracing::info!(issuer = %issuer.url, keys = issuer.keys.len(), "keys of an issuer");
                        known = Some(keys);
                        if updates.send(Update { slot, issuer, api_audiences, skew }).await.is_err() {
                            return;
                        }
                        None
                    }
                    Err(why) => Some(why),
                }
            }
            Err(why) => Some(why),
        };
        let most = match failure {
            None => {
                (told, retry) = (None, RETRY);
                MOST_BETWEEN
            }
            Some(why) => {
                if told.as_ref() != Some(&why) {
                    tracing::warn!(
                        issuer = source.name(),
                        "keys cannot be had: {why}; tokens of it stay unverified"
                    );
                    told = Some(why);
                }
                retry = (retry * 2).min(RETRY_MOST);
                retry
            }
        };
        tokio::select! {
            () = tokio::time::sleep(most) => {}
            asks = wanted.recv() => {
                if asks.is_none() {
                    return;
                }
                if let Some(before) = answered {
                    tokio::time::sleep(LEAST_BETWEEN.saturating_sub(before.elapsed())).await;
                }
                answered = Some(Instant::now());
                // What was asked for meanwhile is answered by the same fetch.
                let _ = wanted.try_recv();
            }
        }
    }
}

/// # Errors
/// It is no key set: one line.
pub fn parse(keys: &Keys) -> Result<(Issuer, Vec<Arc<str>>), String> {
    let set = KeySet::from_jwks(&keys.jwks).map_err(|error| error.to_string())?;
    if set.is_empty() || set.skipped() > 0 {
        let (usable, skipped) = (set.len(), set.skipped());
        tracing::warn!(issuer = keys.issuer, usable, skipped, "keys that cannot verify a token");
    }
    let issuer = Issuer { url: keys.issuer.as_str().into(), keys: set };
    Ok((issuer, keys.api_audiences.iter().map(|audience| audience.as_str().into()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(jwks: &str) -> Keys {
        Keys { issuer: "https://a".to_owned(), jwks: jwks.as_bytes().to_vec(), api_audiences: Vec::new() }
    }

    #[test]
    fn garbage_is_no_key_set_and_is_not_quoted() {
        for garbage in ["", "<html>hunter2</html>", "{\"hunter2\": 1}", "\u{0}"] {
            let error = parse(&keys(garbage)).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn clocks_differ_only_by_more_than_a_few_seconds() {
        let (early, late) = (Timestamp::from_seconds(1_000), Timestamp::from_seconds(1_300));
        assert_eq!(skew(early, late), Duration::from_secs(300));
        assert_eq!(skew(late, early), Duration::from_secs(300));
        assert_eq!(skew(early, Timestamp::from_seconds(1_003)), Duration::ZERO);
    }

    #[test]
    fn the_clusters_place_is_kept_while_its_keys_are_not_known() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let file = |name: &str| KeySource::File { issuer: name.to_owned(), path: "/nowhere".into() };
        let read = |name: &str| {
            let keys = Keys { issuer: name.to_owned(), ..keys("{\"keys\":[]}") };
            let (issuer, _) = parse(&keys).unwrap();
            Some((keys, issuer))
        };
        let sources = vec![(file("https://cluster"), None), (file("https://sso"), read("https://sso"))];
        let mut trust = Trust::start(sources, Vec::new(), runtime.handle());
        let urls = |trust: &Trust| -> Vec<String> {
            trust.issuers().into_iter().map(|issuer| issuer.url.to_string()).collect()
        };
        assert_eq!(urls(&trust), ["https://cluster", "https://sso"], "who was named is nobody foreign");
        // The API server's own has no name before it was asked.
        trust.slots[0].issuer = None;
        assert_eq!(
            urls(&trust),
            ["", "https://sso"],
            "a legacy token is tried against the cluster's own keys or none"
        );
    }
}
