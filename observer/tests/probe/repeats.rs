//! What a client says again is counted, and everything else is shipped.

use std::thread::sleep;
use std::time::Duration;

use observer::model::{Cookie, Direction, Repeats, Timestamp};

use crate::stage::{Bytes, Cgroup, Script, Watch};

/// `turns(n, request, answer)` on one connection; the first line of its output tells its ports.
const TURNS: &str = r"
c, s = pair(); say(port(c), port(s))
def turns(n, request, answer=b'HTTP/1.1 200 OK\r\n\r\nbody'):
    for _ in range(n):
        c.sendall(request); read(s, len(request)); s.sendall(answer); read(c, len(answer))
A, B = b'GET /a HTTP/1.1\r\n\r\n', b'GET /b HTTP/1.1\r\n\r\n'
";

struct Stage {
    watch: Watch,
    script: Script,
    server: Cookie,
    _cgroup: Cgroup,
}

impl Stage {
    /// Three turns with the request A were said; the kernel is told to count from there.
    fn new(then: &str) -> Self {
        let cgroup = Cgroup::create();
        let mut watch = cgroup.watch();
        let mut script = cgroup.start(&format!("{TURNS}turns(3, A); hear()\n{then}"));
        let [client_port, server_port] = script.ports();
        watch.until("two opens", |watch| watch.opens.len() == 2);
        let server = watch.open_of(server_port, client_port).cookie;
        watch.until("six payloads", |watch| of(watch, server).len() == 6);
        let again: Vec<bool> = of(&watch, server).iter().map(|payload| payload.again).collect();
        assert_eq!(again, [false, false, false, false, true, false], "the first has nothing to compare with");
        Self { watch, script, server, _cgroup: cgroup }
    }

    fn count(&mut self) {
        let after = |direction| {
            let records = of(&self.watch, self.server);
            let last = records.iter().rfind(|payload| payload.direction == direction).unwrap();
            last.sequence.wrapping_add(u32::try_from(last.bytes.len()).unwrap())
        };
        let (received, sent) = (after(Direction::Received), after(Direction::Sent));
        self.watch.probe.count(self.server, received, sent, Timestamp(0));
    }

    /// Lets the script go on to its end; answers what was shipped since.
    fn end(mut self) -> (Watch, Cookie, Vec<Bytes>) {
        let before = of(&self.watch, self.server).len();
        self.script.go();
        self.script.end();
        self.watch.until("two closes", |watch| watch.closes.len() == 2);
        let shipped = of(&self.watch, self.server).split_off(before);
        (self.watch, self.server, shipped)
    }
}

fn of(watch: &Watch, cookie: Cookie) -> Vec<Bytes> {
    watch.payloads.iter().filter(|payload| payload.cookie == cookie).cloned().collect()
}

/// (bytes of requests, answers, whether it is over).
fn told(repeats: Option<Repeats>) -> Option<(u32, u32, bool)> {
    let Repeats { counted, answers, over, .. } = repeats?;
    let (since, client_next, _) = counted?;
    Some((client_next.wrapping_sub(since), answers, over))
}

const A: u32 = "GET /a HTTP/1.1\r\n\r\n".len() as u32;

#[test]
fn repeats_are_counted_without_a_record_until_something_else_is_said() {
    let mut stage = Stage::new("turns(1000, A); turns(1, B); turns(2, A)");
    stage.count();
    let (mut watch, server, shipped) = stage.end();
    let texts: Vec<_> =
        shipped.iter().map(|payload| String::from_utf8_lossy(&payload.bytes).into_owned()).collect();
    assert_eq!(texts.len(), 6, "{texts:?}");
    assert!(texts[0].starts_with("GET /b") && shipped[0].counted, "{texts:?}");
    assert!(shipped[1..].iter().all(|payload| !payload.counted));
    assert_eq!(told(watch.probe.repeats().of(server, Timestamp(1))), Some((1000 * A, 1000, true)));
    assert_eq!(watch.probe.repeats().of(server, Timestamp(1)), None, "its slot is free");
}

#[test]
fn another_status_ends_counting_and_is_shipped() {
    let mut stage = Stage::new("turns(10, A); turns(1, A, b'HTTP/1.1 401 Unauthorized\\r\\n\\r\\n')");
    stage.count();
    let (mut watch, server, shipped) = stage.end();
    assert_eq!(shipped.len(), 1);
    assert!(shipped[0].counted && shipped[0].bytes.starts_with(b"HTTP/1.1 401"));
    assert_eq!(told(watch.probe.repeats().of(server, Timestamp(1))), Some((11 * A, 10, true)));
}

#[test]
fn a_client_that_does_not_wait_for_its_answer_is_shipped() {
    let mut stage = Stage::new("turns(5, A); c.sendall(A); read(s, len(A)); c.sendall(A); read(s, len(A))");
    stage.count();
    let (mut watch, server, shipped) = stage.end();
    assert_eq!(shipped.len(), 1);
    assert!(shipped[0].counted && shipped[0].direction == Direction::Received);
    assert_eq!(told(watch.probe.repeats().of(server, Timestamp(1))), Some((6 * A, 5, true)));
}

#[test]
fn what_came_before_the_word_to_count_is_shipped_and_what_differs_refuses_it() {
    let mut stage = Stage::new("turns(1, B); hear(); turns(3, A)");
    let [received, sent] = [Direction::Received, Direction::Sent].map(|direction| {
        let records = of(&stage.watch, stage.server);
        let last = records.iter().rfind(|payload| payload.direction == direction).unwrap();
        last.sequence.wrapping_add(u32::try_from(last.bytes.len()).unwrap())
    });
    stage.script.go();
    let server = stage.server;
    stage.watch.until("eight payloads", |watch| of(watch, server).len() == 8);
    // The request that this means is not the last any more.
    stage.watch.probe.count(server, received, sent, Timestamp(0));
    let (mut watch, server, shipped) = stage.end();
    assert_eq!(shipped.len(), 6, "all of it is shipped");
    assert!(shipped.iter().all(|payload| !payload.counted));
    let last = watch.probe.repeats().of(server, Timestamp(1)).unwrap();
    assert!(last.over && last.counted.is_none());
}

#[test]
fn who_is_recalled_ships_the_next_request_and_can_be_told_again() {
    let mut stage = Stage::new("turns(7, A); say(1); hear(); turns(3, A); say(2); hear(); turns(4, A)");
    stage.count();
    stage.script.go();
    let [_] = stage.script.numbers();
    stage.watch.drain();
    assert_eq!(of(&stage.watch, stage.server).len(), 6);
    let live = stage.watch.probe.repeats().all(Timestamp(1));
    assert_eq!(live.len(), 1);
    assert_eq!(told(Some(live[0])), Some((7 * A, 7, false)));
    assert_eq!(stage.watch.probe.repeats().all(Timestamp(2)), [], "nothing new");
    stage.watch.probe.repeats().recall();
    stage.script.go();
    let [_] = stage.script.numbers();
    sleep(Duration::from_millis(20));
    stage.watch.drain();
    let shipped = of(&stage.watch, stage.server).split_off(6);
    assert_eq!(shipped.len(), 6, "three requests and their answers");
    assert!(shipped[0].counted && shipped[0].again);
    assert_eq!(told(stage.watch.probe.repeats().of(stage.server, Timestamp(3))), Some((7 * A, 7, true)));
    stage.count();
    let (mut watch, server, shipped) = stage.end();
    assert_eq!(shipped.len(), 0);
    assert_eq!(told(watch.probe.repeats().of(server, Timestamp(4))), Some((4 * A, 4, false)));
}

#[test]
fn a_request_longer_than_the_buffer_is_never_counted() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let long = "A = b'GET / HTTP/1.1\\r\\nX: ' + b'x' * 3000 + b'\\r\\n\\r\\n'";
    let mut script = cgroup.start(&format!("{TURNS}{long}\nturns(4, A)"));
    let [client_port, server_port] = script.ports();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    let server = watch.open_of(server_port, client_port).cookie;
    assert!(of(&watch, server).iter().all(|payload| !payload.again));
}

#[test]
fn the_slot_of_a_connection_that_nobody_knows_any_more_is_taken_back() {
    let mut stage = Stage::new("turns(5, A); say(1); hear(); turns(2, A)");
    stage.count();
    stage.script.go();
    let [_] = stage.script.numbers();
    let server = stage.server;
    assert_eq!(told(stage.watch.probe.repeats().of(server, Timestamp(1))), Some((5 * A, 5, false)));
    stage.watch.probe.repeats().retain(|cookie| cookie == server, Timestamp(2));
    assert!(stage.watch.probe.repeats().of(server, Timestamp(3)).is_some());
    stage.watch.probe.repeats().retain(|_| false, Timestamp(4));
    assert_eq!(stage.watch.probe.repeats().of(server, Timestamp(5)), None);
    // What it says is shipped again.
    let (_, _, shipped) = stage.end();
    assert_eq!(shipped.len(), 4);
    assert!(shipped[0].counted);
}
