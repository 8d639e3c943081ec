//! Opens and closes: endpoints, reasons, bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread::sleep;
use std::time::Duration;

use observer::model::{CloseReason, Direction};
use observer::probe::Options;
use observer_common::Counter;

use crate::stage::{Cgroup, Watch, end};

#[test]
fn a_client_whose_server_is_on_this_node_keeps_silent_from_its_first_byte_on() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch_with(&Options::default());
    let mut script = cgroup.start(
        "
c, s = pair(); say(port(c), port(s))
c.sendall(b'hello'); read(s, 5); s.sendall(b'world'); read(c, 5); c.close(); s.close()
d, t = pair('::1', socket.AF_INET6); say(port(d), port(t))
t.sendall(b'220 ready'); read(d, 9); d.sendall(b'quit'); read(t, 4); t.close(); d.close()
",
    );
    let [client_port, server_port] = script.ports();
    let [other_client, other_server] = script.ports();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    sleep(Duration::from_millis(100));
    watch.drain();
    assert_eq!((watch.opens.len(), watch.closes.len(), watch.payloads.len()), (4, 2, 4));
    for (server, client, said) in
        [(server_port, client_port, b"hello".as_slice()), (other_server, other_client, b"quit")]
    {
        let cookie = watch.open_of(server, client).cookie;
        assert_eq!(watch.bytes_of(cookie, Direction::Received), said);
        assert_eq!(watch.close_of(server, client).cookie, cookie);
    }
}

#[test]
fn a_client_whose_server_is_not_watched_ships() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch_with(&Options::default());
    // The listener, and with it the server's end, stays in the cgroup in which it was made.
    let mut script = cgroup.start_outside(
        "
l = listen(); enter()
c = connect(l); s, _ = l.accept(); say(port(c), port(s))
c.sendall(b'hello'); read(s, 5); s.sendall(b'world'); read(c, 5); c.close(); s.close()
",
    );
    let [client_port, server_port] = script.ports();
    script.end();
    watch.until("a close", |watch| watch.closes.len() == 1);
    let cookie = watch.open_of(client_port, server_port).cookie;
    assert_eq!(watch.bytes_of(cookie, Direction::Sent), b"hello");
    assert_eq!(watch.bytes_of(cookie, Direction::Received), b"world");
}

#[test]
fn both_ends_of_a_connection_tell_their_addresses_role_and_cgroup() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(
        "
for host, family in (('127.0.0.1', socket.AF_INET), ('::1', socket.AF_INET6)):
    c, s = pair(host, family); say(port(c), port(s))
l = listen('::', socket.AF_INET6); c = connect(l, '127.0.0.1'); say(port(c), port(l))
",
    );
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    // The last is an IPv4 client of a dual-stack listener.
    let connections = [v4, v6, v4].map(|ip| (ip, script.ports::<2>()));
    script.end();
    watch.until("six opens", |watch| watch.opens.len() == 6);
    for (ip, [client_port, server_port]) in connections {
        let client = watch.open_of(client_port, server_port);
        let server = watch.open_of(server_port, client_port);
        assert_eq!((client.local, client.remote), (end(ip, client_port), end(ip, server_port)));
        assert_eq!((server.local, server.remote), (end(ip, server_port), end(ip, client_port)));
        assert_eq!((client.client, server.client), (Some(true), Some(false)));
        assert_eq!((client.midstream, server.midstream), (false, false));
        assert_eq!(client.cgroup, Some(cgroup.inode()));
        assert_eq!(client.start, server.start.map(|(sent, received)| (received, sent)));
        assert!(client.start.is_some());
    }
}

#[test]
fn byte_counts_are_what_was_written_however_the_connection_was_closed() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    // Where the client's FIN is dropped at first, both cross each other: the client passes through CLOSING.
    let mut script = cgroup.start_alone(
        "nft add table inet t; nft add chain inet t out '{ type filter hook output priority 0; }'",
        "
def exchange(up, down):
    c, s = pair()
    t = threading.Thread(target=lambda: c.sendall(b'x' * up)); t.start()
    read(s, up); t.join()
    t = threading.Thread(target=lambda: s.sendall(b'y' * down)); t.start()
    read(c, down); t.join()
    time.sleep(0.1)
    say(port(c), port(s))
    return c, s
c, s = exchange(300000, 7); c.close(); read_all(s); s.close()
c, s = exchange(1, 100000); s.close(); read_all(c); c.close()
c, s = exchange(10, 20)
os.system('nft add rule inet t out tcp sport %d tcp flags \\& fin == fin drop' % port(c))
c.shutdown(socket.SHUT_WR); time.sleep(0.05); s.close(); time.sleep(0.05)
assert c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 11
os.system('nft flush chain inet t out'); read_all(c); c.close()
c, s = exchange(11, 21); c.shutdown(socket.SHUT_WR); read_all(s); s.sendall(b'z' * 5000); s.close(); read_all(c); c.close()
c, s = exchange(0, 0); c.close(); read_all(s); s.close()
time.sleep(1)
",
    );
    let expected = [(300_000, 7), (1, 100_000), (10, 20), (11, 5021), (0, 0)];
    let connections = expected.map(|bytes| (bytes, script.ports::<2>()));
    script.end();
    watch.until("ten closes", |watch| watch.closes.len() == 10);
    for ((up, down), [client_port, server_port]) in connections {
        let client = watch.close_of(client_port, server_port);
        let server = watch.close_of(server_port, client_port);
        assert_eq!((client.bytes_sent, client.bytes_received), (up, down), "client of {up}, {down}");
        assert_eq!((server.bytes_sent, server.bytes_received), (down, up), "server of {up}, {down}");
        assert_eq!((client.reason, server.reason), (CloseReason::Fin, CloseReason::Fin), "{up}, {down}");
        assert!(client.established && server.established && client.opened <= client.time);
    }
}

#[test]
fn a_reset_is_told_by_the_end_that_received_it_and_bytes_still_count() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(
        "
c, s = pair(); say(port(c), port(s)); c.sendall(b'x' * 9); read(s, 9); s.sendall(b'y' * 4); read(c, 4); reset(c)
time.sleep(0.1); s.close()
c, s = pair(); say(port(c), port(s)); c.sendall(b'x' * 9); read(s, 9); s.sendall(b'y' * 4); read(c, 4); reset(s)
time.sleep(0.1); c.close()
# The answer after a half-close, cut off.
c, s = pair(); say(port(c), port(s)); c.sendall(b'x' * 9); read(s, 9); c.shutdown(socket.SHUT_WR); read_all(s)
time.sleep(0.1); s.sendall(b'y' * 4); read(c, 4); time.sleep(0.1); reset(s); time.sleep(0.1); c.close()
",
    );
    let connections = [0, 1, 2].map(|_| script.ports::<2>());
    script.end();
    watch.until("six closes", |watch| watch.closes.len() == 6);
    let resets = [
        (CloseReason::Aborted, CloseReason::Reset),
        (CloseReason::Reset, CloseReason::Aborted),
        (CloseReason::Reset, CloseReason::Aborted),
    ];
    for ([client_port, server_port], reasons) in connections.into_iter().zip(resets) {
        let client = watch.close_of(client_port, server_port);
        let server = watch.close_of(server_port, client_port);
        assert_eq!((client.reason, server.reason), reasons);
        assert_eq!((client.bytes_sent, client.bytes_received), (9, 4), "client {reasons:?}");
        assert_eq!((server.bytes_sent, server.bytes_received), (4, 9), "server {reasons:?}");
    }
}

#[test]
fn attempts_that_fail_are_refused_timed_out_or_aborted() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    // The neighbour's link address is nobody's, so nobody answers. 192.0.2.0/24 is for documentation (RFC 5737).
    let mut script = cgroup.start_alone(
        "ip link add hole type veth peer name hole-end; ip addr add 192.0.2.1/24 dev hole
        ip link set hole up; ip link set hole-end up
        ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 nud permanent dev hole",
        "
for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    c = socket.socket(family); c.bind((host, 0)); say(port(c)); c.connect_ex((host, 9)); c.close()
c = socket.socket(); c.bind(('192.0.2.1', 0)); c.setblocking(False); say(port(c)); c.connect_ex(('192.0.2.2', 80))
time.sleep(0.1); c.close()
c = socket.socket(); c.bind(('192.0.2.1', 0)); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1); say(port(c))
c.connect_ex(('192.0.2.2', 80)); c.close()
",
    );
    let attempts = [
        (CloseReason::Refused, 9),
        (CloseReason::Refused, 9),
        (CloseReason::Aborted, 80),
        (CloseReason::Timeout, 80),
    ]
    .map(|attempt| (attempt, script.ports::<1>()));
    script.end();
    watch.until("four closes", |watch| watch.closes.len() == 4);
    for ((reason, remote), [local]) in attempts {
        let close = watch.close_of(local, remote);
        assert_eq!((close.reason, close.client, close.established), (reason, Some(true), false));
        assert_eq!((close.bytes_sent, close.bytes_received), (0, 0), "{reason:?}");
        assert_eq!(close.cgroup, Some(cgroup.inode()), "{reason:?}");
    }
    assert!(watch.opens.is_empty());
}

#[test]
fn a_socket_that_connects_again_starts_afresh() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(
        "
l = listen(); address = l.getsockname(); l.close()
c = socket.socket(); assert c.connect_ex(address)
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(address); l.listen()
c.connect(address); s, _ = l.accept(); say(port(c), port(l)); c.sendall(b'first'); read(s, 5); hear()
# connect(2): AF_UNSPEC dissolves the association.
c.send(b'.'); read(s, 1); ctypes.CDLL(None).connect(c.fileno(), bytes(16), 16); s.close()
c.connect(address); s, _ = l.accept()
c.sendall(b'second!'); read(s, 7); c.close(); read_all(s); s.close()
",
    );
    let [client_port, server_port] = script.ports();
    watch.until("two payloads", |watch| watch.payloads.len() == 2);
    let cookie = watch.open_of(client_port, server_port).cookie;
    // Mutes the connection that is about to end, not the next one.
    watch.probe.control().stop(cookie);
    script.go();
    script.end();
    watch.until("five closes", |watch| watch.closes.len() == 5);
    let closes: Vec<_> = watch
        .closes
        .iter()
        .filter(|close| close.cookie == cookie)
        .map(|close| (close.reason, close.bytes_sent))
        .collect();
    let expected = [(CloseReason::Refused, 0), (CloseReason::Aborted, 6), (CloseReason::Fin, 7)];
    assert_eq!(closes, expected);
    assert_eq!(watch.bytes_of(cookie, Direction::Sent), b"firstsecond!");
    assert!(watch.payloads.iter().filter(|payload| payload.cookie == cookie).all(|payload| payload.turn));
}

#[test]
fn a_connection_older_than_the_programs_is_told_when_it_speaks() {
    for (host, family) in [("127.0.0.1", "AF_INET"), ("::1", "AF_INET6")] {
        let cgroup = Cgroup::create();
        let mut script = cgroup.start(&format!(
            "
l = listen('{host}', socket.{family})
# Sequence numbers start anywhere: with eight connections, in both halves of their range.
pairs = [(connect(l), l.accept()[0]) for _ in range(8)]
for c, s in pairs: say(port(c), port(s))
hear()
for c, s in pairs: c.sendall(b'late'); read(s, 4); s.sendall(b'answer'); read(c, 6)
hear()
# The last bytes and the FIN in one segment.
for c, s in pairs: c.send(b'bye', socket.MSG_MORE); c.shutdown(socket.SHUT_WR); read_all(s); s.close(); read_all(c)
"
        ));
        let pairs = [(); 8].map(|()| script.ports::<2>());
        let mut watch = cgroup.watch();
        script.go();
        watch.until("four payloads of each", |watch| watch.payloads.len() == 32);
        let ip = host.parse::<IpAddr>().unwrap();
        for [client_port, server_port] in pairs {
            let client = watch.open_of(client_port, server_port);
            let server = watch.open_of(server_port, client_port);
            assert_eq!((client.local, client.remote), (end(ip, client_port), end(ip, server_port)));
            assert_eq!((server.local, server.remote), (end(ip, server_port), end(ip, client_port)));
            assert_eq!((client.midstream, client.client, client.start), (true, Some(true), None));
            assert_eq!((server.midstream, server.client, server.start), (true, Some(false), None));
            assert_eq!(watch.bytes_of(server.cookie, Direction::Received), b"late");
            assert_eq!(watch.bytes_of(client.cookie, Direction::Received), b"answer");
        }
        assert_eq!(watch.opens.len(), 16);
        script.go();
        script.end();
        watch.drain();
        for [client_port, server_port] in pairs {
            let server = watch.close_of(server_port, client_port);
            assert_eq!(watch.close_of(client_port, server_port).reason, CloseReason::Fin);
            assert_eq!(server.reason, CloseReason::Fin);
            assert_eq!(watch.bytes_of(server.cookie, Direction::Received), b"latebye");
        }
        assert_eq!(watch.closes.len(), 16);
    }
}

#[test]
fn what_finds_the_ring_full_is_counted() {
    let cgroup = Cgroup::create();
    // One page: a ring holds no more than some thirty records.
    let mut watch = cgroup.watch_with(&Options { ring_bytes: 4096, ..Options::default() });
    let script = cgroup.start("for _ in range(100): c, s = pair(); c.close(); s.close()");
    script.end();
    watch.drain();
    let counters = watch.probe.counters().unwrap();
    let lost = counters.iter().find(|(counter, _)| *counter == Counter::LostConnections).unwrap().1;
    // Two ends, each with an open and a close.
    assert_eq!(lost + (watch.opens.len() + watch.closes.len()) as u64, 400);
    assert!(lost > 0);
}

#[test]
fn a_ring_that_fills_up_keeps_connections_and_their_first_bytes_and_samples_the_rest() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch_with(&Options { ring_bytes: 128 << 10, ..Options::default() });
    let mut script = cgroup.start(
        "
c, s = pair()
say(port(c), port(s))
def turns(n):
    for i in range(n): c.sendall(b'%08d' % i); read(s, 8); s.sendall(b'%08d' % i); read(c, 8); time.sleep(0.0002)
turns(500); hear()
for _ in range(40): d, t = pair(); d.sendall(b'hello'); read(t, 5); d.close(); t.close()
turns(100); say(0); hear()
turns(10)
",
    );
    let [client_port, server_port] = script.ports();
    script.go();
    let [_] = script.numbers();
    watch.drain();
    let lost = |watch: &Watch, of| {
        watch.probe.counters().unwrap().iter().find(|(counter, _)| *counter == of).unwrap().1
    };
    let server = watch.open_of(server_port, client_port).cookie;
    let of_server = |watch: &Watch| watch.payloads.iter().filter(|payload| payload.cookie == server).count();
    let sampled = lost(&watch, Counter::SampledPayloads);
    assert_eq!(of_server(&watch) as u64 + sampled, 1200, "each is there or counted");
    // Half of the ring, and of the rest what fell into an eighth of the time: by far not all, and more than nothing.
    let half = (64 << 10) / 264;
    assert!((half..half + 600).contains(&of_server(&watch)), "{} of 1200", of_server(&watch));
    assert_eq!((watch.opens.len(), watch.closes.len()), (2 + 2 * 40, 40));
    assert_eq!(watch.payloads.iter().filter(|payload| payload.bytes == b"hello").count(), 40);
    assert_eq!(lost(&watch, Counter::LostConnections) + lost(&watch, Counter::LostPayloads), 0);
    // As soon as there is room again.
    let before = of_server(&watch);
    script.go();
    script.end();
    watch.drain();
    assert_eq!(of_server(&watch) - before, 20);
    assert!(watch.payloads.iter().filter(|payload| payload.cookie == server).nth(before).unwrap().lossy);
}
