//! Who had an address, whatever order the news comes in. Times are seconds; the API's are whole ones, cut off.

use std::time::Duration;

use serde_json::{Value, json};

use crate::identity::builders::{at, ip, mk_index, mk_pod, rfc3339};
use crate::identity::{Index, Object, ObjectKind};
use crate::model::{Identity, Timestamp};

const ADDRESS: &str = "10.244.0.2";

/// The moment `seconds` after the tests' zero.
fn moment(seconds: f64) -> Timestamp {
    at(0) + Duration::from_secs_f64(seconds)
}

/// What is heard of a pod at [`ADDRESS`], in the order of its life.
struct Life(Value, &'static str);

impl Life {
    fn of(name: &'static str) -> Self {
        Self(json!({}), name)
    }

    fn with(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.0;
        for key in pointer.split('.') {
            place = &mut place[key];
        }
        *place = value;
        self
    }

    fn started(self, seconds: u64) -> Self {
        self.with("status.startTime", rfc3339(seconds).into())
    }

    fn networked(self, seconds: u64) -> Self {
        let condition = json!({"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": rfc3339(seconds)});
        self.with("status.conditions", json!([condition]))
    }

    fn running(self, seconds: u64) -> Self {
        self.with(
            "status.containerStatuses",
            json!([{"state": {"running": {"startedAt": rfc3339(seconds)}}}]),
        )
    }

    fn finished(self, seconds: u64) -> Self {
        self.with(
            "status.containerStatuses",
            json!([{"state": {"terminated": {"finishedAt": rfc3339(seconds)}}}]),
        )
    }

    /// Deletion was asked for at `seconds`, and the pod has `grace` to go.
    fn leaving(self, seconds: u64, grace: u64) -> Self {
        self.with("metadata.deletionTimestamp", rfc3339(seconds + grace).into())
            .with("metadata.deletionGracePeriodSeconds", grace.into())
    }

    fn phase(self, phase: &str) -> Self {
        self.with("status.phase", phase.into())
    }

    fn object(&self) -> Object {
        mk_pod(self.1, ADDRESS, self.0.clone())
    }
}

enum News {
    Applied(f64, Life),
    Deleted(f64, Life),
    /// A list without any pod.
    Vanished(f64),
}
use News::{Applied, Deleted, Vanished};

fn index(news: &[News]) -> Index {
    let mut index = mk_index();
    for one in news {
        match one {
            Applied(heard, life) => index.apply(&life.object(), moment(*heard)).unwrap(),
            Deleted(heard, life) => index.delete(&life.object(), moment(*heard)),
            Vanished(heard) => {
                index.begin_list(ObjectKind::Pod);
                index.end_list(ObjectKind::Pod, moment(*heard));
            }
        }
    }
    index
}

fn holder(index: &Index, seconds: f64) -> String {
    match index.by_address(ip(ADDRESS), moment(seconds)) {
        Identity::Pod(pod) => pod.name.to_string(),
        Identity::Unknown(reason) => reason.trim_end_matches("-pod-at-address").to_owned(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn expect(news: &[News], expected: &[(f64, &str)]) {
    let index = index(news);
    for (seconds, name) in expected {
        assert_eq!(holder(&index, *seconds), *name, "at {seconds}");
    }
}

fn a() -> Life {
    Life::of("a").started(10)
}

fn b() -> Life {
    Life::of("b")
}

const CONTESTED: &str = "address-contested";

#[test]
fn an_address_used_again_within_100_ms_of_a_deletion_changes_hands_at_the_deletion() {
    // By force: nothing told of its end before. The new pod's own time is cut off to the second before.
    let deleted = || a().leaving(50, 0);
    // What was going on while the news was on its way may be either's.
    let early = [(49.9, "a"), (50.5, "a"), (50.6, CONTESTED), (50.64, "b"), (50.7, "b"), (51.5, "b")];
    expect(&[Applied(12.0, a()), Deleted(50.62, deleted()), Applied(50.7, b().started(50))], &early);
    let networked = || b().started(50).networked(50);
    expect(&[Applied(12.0, a()), Deleted(50.62, deleted()), Applied(50.7, networked())], &early);
}

#[test]
fn when_the_deletion_comes_after_the_new_pod_the_times_of_both_decide() {
    // The kubelet's way: told to stop at 40, the last container gone at 45, deleted from the API at 52.
    let gone = || a().leaving(40, 30).finished(45);
    let news =
        |first: News, second: News| [Applied(12.0, a()), Applied(40.1, a().leaving(40, 30)), first, second];
    let expected = [(44.9, "a"), (46.5, "no"), (49.9, "no"), (50.0, "b"), (50.3, "b"), (60.0, "b")];
    let new = || b().started(50).networked(50);
    expect(&news(Applied(51.3, new()), Deleted(52.0, gone())), &expected);
    expect(&news(Deleted(52.0, gone()), Applied(52.3, new())), &expected);
}

#[test]
fn between_a_start_and_an_end_that_may_be_in_any_order_nobody_is_blamed() {
    // Both in the second 50, and the end was heard later.
    let new = || b().started(50).networked(50);
    let gone = || a().leaving(40, 30).finished(50);
    let news =
        [Applied(12.0, a()), Applied(40.1, a().leaving(40, 30)), Applied(51.3, new()), Deleted(52.0, gone())];
    expect(&news, &[(49.9, "a"), (50.0, CONTESTED), (50.9, CONTESTED), (51.0, "b"), (60.0, "b")]);
}

#[test]
fn a_new_pod_is_believed_before_the_old_ones_deletion_is_heard() {
    let news = || vec![Applied(12.0, a()), Applied(52.0, b().started(50).networked(50))];
    let expected = [(49.9, "a"), (50.5, CONTESTED), (51.0, "b"), (90.0, "b")];
    expect(&news(), &expected);
    // Nor does a deletion that is heard late take it away from the new one, or give it to the old one.
    let mut late = news();
    late.push(Deleted(80.0, a()));
    expect(&late, &expected);
}

#[test]
fn containers_tell_by_when_a_pod_had_its_network() {
    // Without the condition (before 1.29) there is only the start of the pod, and of its containers.
    let news = [Applied(12.0, a()), Applied(90.0, b().started(50).running(54))];
    expect(&news, &[(49.9, "a"), (50.0, CONTESTED), (54.9, CONTESTED), (55.0, "b")]);
}

#[test]
fn a_pod_that_waited_for_its_address_follows_the_one_that_had_it() {
    let waited = || b().started(40).networked(60);
    let gone = || a().leaving(45, 30).finished(50);
    let news = [
        Applied(12.0, a()),
        Applied(45.1, a().leaving(45, 30)),
        Deleted(52.0, gone()),
        Applied(61.5, waited()),
    ];
    // From 50 on it can have been the new one's: the old one's last process ended in that second.
    expect(&news, &[(39.0, "a"), (49.9, "a"), (50.5, CONTESTED), (51.0, "b"), (61.0, "b")]);
}

#[test]
fn a_pod_that_is_to_be_deleted_has_its_address_until_it_is_gone() {
    let leaving = || a().leaving(40, 30);
    expect(&[Applied(12.0, a()), Applied(40.1, leaving())], &[(45.0, "a"), (75.0, "a")]);
    let news = [Applied(12.0, a()), Applied(40.1, leaving()), Deleted(60.0, leaving())];
    expect(&news, &[(59.9, "a"), (60.0, "no")]);
}

#[test]
fn a_pod_that_ended_leaves_its_address_with_its_last_container() {
    let ended = |phase: &str| a().phase(phase).finished(20);
    for phase in ["Succeeded", "Failed"] {
        // kubernetes#92697: its object keeps the address for as long as it exists.
        let news = [Applied(12.0, a()), Applied(22.0, ended(phase)), Applied(70.0, ended(phase))];
        expect(&news, &[(19.9, "a"), (20.5, "a"), (21.0, "no"), (70.0, "no")]);
        let news = [
            Applied(12.0, a()),
            Applied(22.0, ended(phase)),
            Applied(31.0, b().started(30)),
            Deleted(40.0, ended(phase)),
        ];
        expect(&news, &[(19.9, "a"), (25.0, "no"), (30.0, "b"), (45.0, "b")]);
    }
}

#[test]
fn a_job_that_was_over_before_it_was_heard_of_is_found_at_its_time() {
    let job = || a().phase("Succeeded").finished(11);
    expect(&[Applied(12.5, job())], &[(9.9, "no"), (10.5, "a"), (11.9, "a"), (12.0, "no")]);
    // Of one that ended long ago nobody asks any more, and without its times it is nobody.
    expect(&[Applied(500.0, job())], &[(10.5, "no")]);
    expect(&[Applied(12.5, a().phase("Failed"))], &[(10.5, "no")]);
}

#[test]
fn a_pod_that_vanished_while_nobody_watched_gives_way_from_when_the_new_one_can_have_started() {
    let news = [Applied(12.0, a()), Vanished(80.0), Applied(81.0, b().started(50).networked(52))];
    expect(&news, &[(49.9, "a"), (50.0, CONTESTED), (52.9, CONTESTED), (53.0, "b")]);
}

#[test]
fn arrival_decides_where_objects_tell_no_times() {
    let without = |name| Life::of(name);
    let news = [Applied(12.0, without("a")), Deleted(50.0, without("a")), Applied(55.0, without("b"))];
    expect(&news, &[(1.0, "a"), (49.9, "a"), (52.0, "no"), (55.0, "b")]);
    expect(&[Applied(12.0, without("a")), Applied(55.0, without("b"))], &[(54.9, "a"), (55.0, "b")]);
}

#[test]
fn two_pods_that_nothing_tells_apart_leave_an_address_unknown_until_one_is_gone() {
    let same = |name| Life::of(name).started(10).networked(12);
    let mut news = vec![Applied(20.0, same("a")), Applied(20.0, same("b"))];
    expect(&news, &[(9.9, "no"), (15.0, CONTESTED), (100.0, CONTESTED)]);
    news.push(Deleted(60.0, same("a")));
    expect(&news, &[(61.0, "b")]);
}

#[test]
fn a_sandbox_made_anew_at_the_same_address_is_no_change() {
    let news = [Applied(12.0, a().networked(11)), Applied(80.0, a().networked(79))];
    expect(&news, &[(15.0, "a"), (78.0, "a"), (90.0, "a")]);
}
