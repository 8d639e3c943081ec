//! Requests that the kernel counts.

use super::*;
use crate::model::{AuthenticationStatus, Repeats};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
const LENGTH: u32 = REQUEST.len() as u32;
const ANSWER_LENGTH: u32 = ANSWER.len() as u32;

impl Scene {
    /// A segment of the client's or the server's, with the kernel's remark on it.
    fn says(&mut self, direction: Direction, sequence: u32, bytes: &[u8], again: bool, counted: bool) {
        self.pipeline.event(Event::Payload(Payload {
            cookie: Cookie(1),
            time: at(1),
            transport: Transport::Tcp,
            direction,
            cgroup: Some(self.cgroup),
            sequence,
            bytes,
            left_out: 0,
            turn: true,
            walked: false,
            lossy: false,
            loopback: false,
            again,
            counted,
            ends: None,
            at_listener: false,
        }));
    }

    /// `turns` turns are said, the last of them once more by the kernel's word.
    fn repeats(&mut self, turns: u32) -> (u32, u32) {
        self.open(false);
        for turn in 0..turns {
            let again = turn + 1 == turns && turn > 0;
            self.says(Direction::Received, 2_000 + turn * LENGTH, REQUEST, again, false);
            self.says(Direction::Sent, 1_000 + turn * ANSWER_LENGTH, ANSWER, false, false);
        }
        (2_000 + turns * LENGTH, 1_000 + turns * ANSWER_LENGTH)
    }

    fn counted(&mut self, counted: (u32, u32, u32), answers: u32, over: bool) {
        let repeats = Repeats { cookie: Cookie(1), time: at(20), counted: Some(counted), answers, over };
        self.pipeline.event(Event::Repeats(repeats));
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.pipeline.next_command()).collect()
    }

    fn last_requests(&self) -> (u64, u64, u64, u64) {
        let requests = self.records().last().unwrap().requests.unwrap();
        (requests.total, requests.none, requests.unknown, requests.rejected)
    }
}

#[test]
fn a_request_that_came_twice_and_was_answered_is_worth_counting_once_said() {
    let mut scene = Scene::new("worth", Duration::ZERO);
    scene.repeats(1);
    assert_eq!(scene.commands(), []);
    let mut scene = Scene::new("worth2", Duration::ZERO);
    let (received, sent) = scene.repeats(2);
    assert_eq!(scene.commands(), [Command::Count { cookie: Cookie(1), received, sent }]);
}

#[test]
fn half_a_request_and_two_in_one_segment_are_not_counted() {
    for said in [&REQUEST[..20], &REQUEST.repeat(2)] {
        let mut scene = Scene::new("not-worth", Duration::ZERO);
        scene.open(false);
        scene.says(Direction::Received, 2_000, said, true, false);
        scene.says(Direction::Sent, 1_000, ANSWER, false, false);
        assert_eq!(scene.commands(), []);
    }
}

#[test]
fn what_was_counted_counts_as_what_was_read_last_and_what_follows_is_read() {
    let mut scene = Scene::new("counted", Duration::ZERO);
    let (received, sent) = scene.repeats(2);
    scene.counted((received, received + 5 * LENGTH, sent + 5 * 70), 5, false);
    // Once more, and nothing is counted twice.
    scene.counted((received, received + 5 * LENGTH, sent + 5 * 70), 5, false);
    scene.counted((received, received + 9 * LENGTH, sent + 8 * 70), 8, true);
    let (received, sent) = (received + 9 * LENGTH, sent + 8 * 70);
    // The ninth was answered otherwise, and the tenth is another.
    scene.says(Direction::Sent, sent, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, true);
    scene.says(Direction::Received, received, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false, false);
    scene.pipeline.tick(at(50));
    scene.close(100);
    assert_eq!(scene.last_requests(), (12, 12, 0, 2 + 8));
    let record = scene.records().last().unwrap().clone();
    let last = record.last_request.clone().unwrap();
    assert_eq!((last.method.as_deref(), last.status), (Some("POST"), Some(200)));
    assert_eq!(record.authentication.as_ref().unwrap().status, AuthenticationStatus::None);
}

#[test]
fn what_is_counted_waits_for_bytes_that_are_still_on_their_way() {
    let mut scene = Scene::new("ahead", Duration::ZERO);
    let (received, sent) = scene.repeats(2);
    // The kernel began to count one request later than what was read so far.
    scene.counted((received + LENGTH, received + 4 * LENGTH, sent), 3, false);
    scene.says(Direction::Received, received, REQUEST, true, false);
    scene.counted((received + LENGTH, received + 4 * LENGTH, sent + ANSWER_LENGTH), 3, false);
    scene.close(100);
    assert_eq!(scene.last_requests(), (6, 6, 0, 5));
}

#[test]
fn requests_that_were_lost_before_the_counted_ones_are_unknown() {
    let mut scene = Scene::new("lost", Duration::ZERO);
    let (received, sent) = scene.repeats(2);
    scene.counted((received + 3 * LENGTH, received + 5 * LENGTH, sent), 2, true);
    scene.close(100);
    let (total, none, unknown, _) = scene.last_requests();
    assert_eq!((total, none), (total, 2));
    assert!(unknown >= 1, "{unknown}");
}

#[test]
fn a_connection_whose_counting_ended_is_told_to_count_again() {
    let mut scene = Scene::new("again", Duration::ZERO);
    let (received, sent) = scene.repeats(2);
    assert_eq!(scene.commands().len(), 1);
    scene.says(Direction::Received, received, REQUEST, true, false);
    scene.says(Direction::Sent, sent, ANSWER, false, false);
    assert_eq!(scene.commands(), [], "it was told");
    let (received, sent) = (received + LENGTH, sent + ANSWER_LENGTH);
    scene.pipeline.event(Event::Repeats(Repeats {
        cookie: Cookie(1),
        time: at(30),
        counted: None,
        answers: 0,
        over: true,
    }));
    scene.says(Direction::Received, received, REQUEST, true, false);
    scene.says(Direction::Sent, sent, ANSWER, false, false);
    let (received, sent) = (received + LENGTH, sent + ANSWER_LENGTH);
    assert_eq!(scene.commands(), [Command::Count { cookie: Cookie(1), received, sent }]);
}
