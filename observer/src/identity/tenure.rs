//! Since when, and until when, a pod can have had its addresses, by what its object says.
//!
//! The API's times are whole seconds, cut off, and of the clock of the pod's node. So each moment is a span in which
//! it lies.

use std::time::Duration;

use super::objects::PodObject;
use crate::model::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

/// A moment that is known to lie between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub earliest: Timestamp,
    pub latest: Timestamp,
}

impl Span {
    pub(super) fn at(moment: Timestamp) -> Self {
        Self { earliest: moment, latest: moment }
    }

    fn new(earliest: Timestamp, latest: Timestamp) -> Self {
        Self { earliest, latest: latest.max(earliest) }
    }
}

/// When the pod got its addresses. The kubelet takes it on (`startTime`), makes its sandbox with its network, tells of
/// it (KEP-3085's condition, at its next look), and starts containers. `None` if the object has no times.
pub(super) fn start(pod: &PodObject, heard: Timestamp) -> Option<Span> {
    let status = &pod.status;
    let earliest = status.start_time.or(pod.metadata.creation_timestamp);
    let sandbox = status.conditions.iter().find(|condition| {
        condition.kind.as_deref() == Some("PodReadyToStartContainers")
            && condition.status.as_deref() == Some("True")
    });
    let sandbox = sandbox.and_then(|condition| condition.last_transition_time);
    let running = status.init_container_statuses.iter().chain(&status.container_statuses);
    let running = running.filter_map(|container| container.state.running.as_ref()?.started_at).min();
    let latest = [sandbox, running].into_iter().flatten().map(|time| time + SECOND).min();
    let earliest = earliest.or(sandbox).or(running)?;
    Some(Span::new(earliest, latest.map_or(heard, |latest| latest.min(heard))))
}

/// When the pod gave its addresses back, for a pod that did. `None` if its object tells nothing: then it was there
/// until its end was heard of. `leaving`: it was heard before that it is to be deleted.
pub(super) fn end(pod: &PodObject, leaving: bool, heard: Timestamp) -> Option<Span> {
    let requested = deletion_requested(pod);
    let ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if let Some(finished) = finished(pod) {
        // The sandbox goes right after the last container, unless that may be started again.
        let last = ended || requested.is_some_and(|requested| finished >= requested);
        return Some(Span::new(finished, if last { heard.min(finished + SECOND) } else { heard }));
    }
    let graceful = leaving || pod.metadata.deletion_grace_period_seconds.is_some_and(|seconds| seconds > 0);
    requested.filter(|_| graceful).map(|requested| Span::new(requested, heard))
}

/// Whether it is to be deleted.
pub(super) fn is_leaving(pod: &PodObject) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn deletion_requested(pod: &PodObject) -> Option<Timestamp> {
    let grace = Duration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    pod.metadata.deletion_timestamp.map(|by| by - grace)
}

/// When its last container ended, if none runs any more.
fn finished(pod: &PodObject) -> Option<Timestamp> {
    let status = &pod.status;
    if status.init_container_statuses.iter().any(|container| container.state.running.is_some()) {
        return None;
    }
    let all = status.container_statuses.iter();
    let all = all.map(|container| container.state.terminated.as_ref()?.finished_at);
    let last = all.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let init = status.init_container_statuses.iter();
    let init = init.filter_map(|container| container.state.terminated.as_ref()?.finished_at).max();
    Some(init.map_or(last, |init| last.max(init)))
}
