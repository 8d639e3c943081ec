//! Follows one collection of the API: a streamed list, then every change, over and over.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use futures_util::AsyncBufReadExt as _;
use http::Request;
use kube::Client;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::backoff::Backoff;
use super::collection::{Collection, Place};
use super::discovery::{self, Served};
use super::wire::{self, Head, HeadMetadata, Line, List};
use super::{Resource, WatchState, Watches};
use crate::identity::{Metadata, Object};
use crate::model::Timestamp;

/// An API server that has not begun to answer by then is as good as gone.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// A whole list, of a server that cannot stream it.
const LIST_WITHIN: Duration = Duration::from_secs(120);
/// The API server sends a bookmark about every minute: two were missed.
const SILENCE: Duration = Duration::from_secs(150);
/// How long the API server is to let a watch last, in seconds, and how much longer it may be: not all end at once.
const LASTS: u64 = 240;
const LASTS_MORE: u64 = 120;
/// A watch that ends sooner has failed, however politely.
const TOO_SHORT: Duration = Duration::from_secs(1);
/// Before asking again for what was refused.
const REFUSED: Duration = Duration::from_secs(30);
/// The longest before asking again for what the cluster did not have.
const ABSENT: Duration = Duration::from_secs(60);

/// Something that was heard of the cluster.
#[derive(Debug)]
pub struct Heard<C: Collection = Resource> {
    pub at: Timestamp,
    pub resource: C,
    pub change: Change<C::Object>,
}

#[derive(Debug)]
pub enum Change<O = Object> {
    /// All that exist follow.
    Begin,
    /// It is new or has changed.
    Apply(O),
    /// It is gone.
    Delete(O),
    /// All that exist have followed: whatever was not among them is gone.
    End,
    /// It is there, but cannot be read.
    Malformed { object: String, metadata: Box<Metadata>, problem: String },
    /// The first list is complete, or there will be none. Said once.
    Settled,
}

/// Why nothing more is heard.
#[derive(Debug)]
enum Failure {
    /// Nobody listens any more.
    Unheard,
    /// What we last saw is too old for the API server.
    Gone,
    NoStreamedLists,
    Absent,
    Denied(String),
    /// Not now: as of a CRD that was installed this moment.
    Busy(String),
    Lost(String),
}

/// Follows `resource` for ever; `now` is the wall clock. Ends when nobody listens any more.
pub async fn watch<C: Collection>(
    client: Client,
    resource: C,
    watches: Watches<C>,
    heard: mpsc::Sender<Heard<C>>,
    now: fn() -> Timestamp,
) {
    watches.set(resource, WatchState::Starting { since: now() });
    let follower = Follower {
        client,
        resource,
        watches,
        heard,
        now,
        streams_lists: true,
        served: None,
        version: None,
        settled: false,
        last_heard: now(),
        backoff: Backoff::default(),
        absence: Backoff::up_to(ABSENT),
        told: None,
    };
    follower.run().await;
}

struct Follower<C: Collection> {
    client: Client,
    resource: C,
    watches: Watches<C>,
    heard: mpsc::Sender<Heard<C>>,
    now: fn() -> Timestamp,
    /// The API server sends what exists as the beginning of a watch (KEP-3157).
    streams_lists: bool,
    /// Where the collection is, once that is known.
    served: Option<Served>,
    /// Up to where the collection is known.
    version: Option<String>,
    settled: bool,
    last_heard: Timestamp,
    backoff: Backoff,
    absence: Backoff,
    /// What was last complained of, so that it is said once.
    told: Option<String>,
}

impl<C: Collection> Follower<C> {
    async fn run(mut self) {
        loop {
            let outcome = match self.locate().await {
                Ok(()) if self.version.is_none() && !self.streams_lists => self.list().await,
                Ok(()) => self.stream().await,
                Err(failure) => Err(failure),
            };
            let wait = match outcome {
                Ok(()) => continue,
                Err(Failure::Unheard) => return,
                Err(failure) => self.fail(failure).await,
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return,
            }
        }
    }

    /// Takes note of a failure; says how long to wait, or that nobody listens any more.
    async fn fail(&mut self, failure: Failure) -> Option<Duration> {
        let resource = self.resource.name();
        let (state, settled, wait, complaint) = match failure {
            Failure::Unheard => return None,
            Failure::Gone => {
                self.version = None;
                tracing::debug!(resource, "the API server has forgotten what was last seen: listing anew");
                return Some(self.wait());
            }
            Failure::NoStreamedLists => {
                self.streams_lists = false;
                tracing::info!(resource, "the API server does not stream lists: asking for whole ones");
                return Some(Duration::ZERO);
            }
            Failure::Absent => {
                if self.version.take().is_some() && self.say_none().await.is_err() {
                    return None;
                }
                self.served = None;
                let wait = self.absence.next(random());
                (WatchState::Absent, true, wait, "the cluster has none".to_owned())
            }
            Failure::Denied(why) => (WatchState::Denied, true, REFUSED, why),
            Failure::Busy(why) => {
                tracing::debug!(resource, "not now: {why}");
                self.watches.set(self.resource, WatchState::Down { since: self.last_heard });
                return Some(self.wait());
            }
            Failure::Lost(why) => (WatchState::Down { since: self.last_heard }, false, self.wait(), why),
        };
        let expected = match state {
            WatchState::Absent => self.resource.is_optional(),
            WatchState::Denied => self.resource.may_be_refused(),
            _ => false,
        };
        self.watches.set(self.resource, state);
        if self.told.as_deref() != Some(complaint.as_str()) {
            if expected {
                tracing::debug!(resource, "not watched: {complaint}");
            } else {
                tracing::warn!(resource, "not watched: {complaint}");
            }
            self.told = Some(complaint);
        }
        if settled && self.settle().await.is_err() {
            return None;
        }
        Some(wait)
    }

    fn wait(&mut self) -> Duration {
        self.backoff.next(random())
    }

    /// Finds out where the collection is.
    async fn locate(&mut self) -> Result<(), Failure> {
        if self.served.is_some() {
            return Ok(());
        }
        let served = match self.resource.place() {
            Place::At(path) => Some(Served { path, api_version: String::new() }),
            Place::Served { group, plural } => {
                let finding = discovery::find(&self.client, group, plural);
                let found =
                    tokio::time::timeout(OPEN_WITHIN, finding).await.map_err(|_| silent(OPEN_WITHIN))?;
                found.map_err(|error| classify(&error))?
            }
        };
        self.served = served;
        if self.served.is_some() { Ok(()) } else { Err(Failure::Absent) }
    }

    fn path(&self) -> &str {
        self.served.as_ref().map_or("", |served| &served.path)
    }

    /// Follows on from the version known, or from the beginning, as long as the API server lets it.
    async fn stream(&mut self) -> Result<(), Failure> {
        let mut complete = self.version.is_some();
        let uri = self.watch_uri();
        let opening = self.client.request_stream(get(&uri)?);
        let stream = tokio::time::timeout(OPEN_WITHIN, opening).await.map_err(|_| silent(OPEN_WITHIN))?;
        let mut stream = stream.map_err(|error| match classify(&error) {
            // A parameter that it does not know, or that is switched off.
            Failure::Lost(_) if !complete && matches!(code(&error), Some(400 | 422)) => {
                Failure::NoStreamedLists
            }
            failure => failure,
        })?;
        let opened = Instant::now();
        if complete {
            self.up();
        } else {
            self.say(Change::Begin).await?;
        }
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match tokio::time::timeout(SILENCE, stream.read_until(b'\n', &mut bytes)).await {
                Err(_) if complete => return Ok(()),
                Err(_) => return Err(Failure::NoStreamedLists),
                Ok(Err(error)) => return Err(Failure::Lost(one_line(&error))),
                Ok(Ok(0)) if complete && opened.elapsed() >= TOO_SHORT => return Ok(()),
                Ok(Ok(0)) => return Err(Failure::Lost("the API server ended the watch at once".to_owned())),
                Ok(Ok(_)) => {}
            }
            self.last_heard = (self.now)();
            match wire::line(&bytes) {
                Ok(Line::Applied(object)) => {
                    let version = self.apply(object).await?;
                    // While the list is not complete, objects come in any order of versions.
                    if complete && version.is_some() {
                        self.version = version;
                    }
                }
                Ok(Line::Deleted(object)) => {
                    let head = Head::read(object);
                    // What it was called is enough, and all that is left of a malformed one.
                    self.say(Change::Delete(self.resource.named(&head))).await?;
                    if complete && head.resource_version.is_some() {
                        self.version = head.resource_version;
                    }
                }
                Ok(Line::Bookmark { version, complete: last }) => {
                    if last && !complete {
                        complete = true;
                        self.say(Change::End).await?;
                        self.settle().await?;
                        self.up();
                    }
                    if complete {
                        self.version = Some(version);
                    }
                }
                Ok(Line::Error { code: 410, .. }) => return Err(Failure::Gone),
                Ok(Line::Error { code, message }) => {
                    return Err(Failure::Lost(format!("{message} ({code})")));
                }
                Ok(Line::Other) => {}
                Err(error) => self.say_malformed(&HeadMetadata::default(), error.to_string()).await?,
            }
        }
    }

    /// Asks for all that exist in one answer.
    async fn list(&mut self) -> Result<(), Failure> {
        // Any version will do: that spares etcd the question.
        let uri = format!("{}?resourceVersion=0", self.path());
        let asking = self.client.request_text(get(&uri)?);
        let text = tokio::time::timeout(LIST_WITHIN, asking).await.map_err(|_| silent(LIST_WITHIN))?;
        let text = text.map_err(|error| classify(&error))?;
        let list: List<'_> =
            serde_json::from_str(&text).map_err(|error| Failure::Lost(format!("no list: {error}")))?;
        let Some(version) = list.metadata.resource_version else {
            return Err(Failure::Lost("a list without metadata.resourceVersion".to_owned()));
        };
        self.last_heard = (self.now)();
        self.say(Change::Begin).await?;
        for object in list.items.unwrap_or_default() {
            self.apply(object).await?;
        }
        self.say(Change::End).await?;
        self.settle().await?;
        self.version = Some(version);
        Ok(())
    }

    fn watch_uri(&self) -> String {
        let lasts = LASTS + (random() * LASTS_MORE as f64) as u64;
        let common = format!("{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={lasts}", self.path());
        match &self.version {
            Some(version) => format!("{common}&resourceVersion={version}"),
            None => {
                format!("{common}&resourceVersion=0&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
            }
        }
    }

    /// Passes an object on; answers its version.
    async fn apply(&self, object: &RawValue) -> Result<Option<String>, Failure> {
        let head = Head::read(object);
        let api_version = self.served.as_ref().map_or("", |served| &served.api_version);
        match self.resource.read(api_version, object.get()) {
            Ok(object) => self.say(Change::Apply(object)).await?,
            Err(problem) => self.say_malformed(&head, problem).await?,
        }
        Ok(head.resource_version)
    }

    async fn say_malformed(&self, head: &HeadMetadata, problem: String) -> Result<(), Failure> {
        let object = head.called(self.resource.kind());
        self.say(Change::Malformed { object, metadata: Box::new(head.metadata()), problem }).await
    }

    /// What there was is gone, and what it is a kind of.
    async fn say_none(&self) -> Result<(), Failure> {
        self.say(Change::Begin).await?;
        self.say(Change::End).await
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.settled, true) {
            self.say(Change::Settled).await?;
        }
        Ok(())
    }

    fn up(&mut self) {
        self.backoff.reset();
        self.absence.reset();
        self.watches.set(self.resource, WatchState::Up);
        if self.told.take().is_some() {
            tracing::info!(resource = self.resource.name(), "watched again");
        }
    }

    /// Waits while the listener has enough to do: then the API server waits too.
    async fn say(&self, change: Change<C::Object>) -> Result<(), Failure> {
        let heard = Heard { at: (self.now)(), resource: self.resource, change };
        self.heard.send(heard).await.map_err(|_| Failure::Unheard)
    }
}

fn get(uri: &str) -> Result<Request<Vec<u8>>, Failure> {
    Request::get(uri).body(Vec::new()).map_err(|error| Failure::Lost(error.to_string()))
}

fn silent(after: Duration) -> Failure {
    Failure::Lost(format!("the API server did not answer within {} s", after.as_secs()))
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn classify(error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => match status.code {
            410 => Failure::Gone,
            404 => Failure::Absent,
            403 => Failure::Denied(status.message.clone()),
            429 => Failure::Busy(status.message.clone()),
            401 => Failure::Lost(
                "the API server does not take these credentials (401): renew the token or the kubeconfig"
                    .to_owned(),
            ),
            code => Failure::Lost(format!("{} ({code})", status.message)),
        },
        error => Failure::Lost(one_line(error)),
    }
}

/// An error with its causes, the innermost of which says what happened.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// From 0 to 1. Only to spread things: any source of chance is good enough.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
