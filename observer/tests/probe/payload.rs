//! Bytes of connections: how many are shipped, when, and under whose name.

use std::net::Ipv4Addr;

use observer::model::Direction;

use crate::stage::{Cgroup, end};

/// 40 KiB in which every position shows.
const LONG_WRITE: &str = "data = b''.join(b'%07d ' % n for n in range(5120))";

fn long_write() -> Vec<u8> {
    (0..5120).flat_map(|number| format!("{number:07} ").into_bytes()).collect()
}

#[test]
fn a_long_write_is_shipped_up_to_the_allowance_and_the_rest_is_told() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(&format!(
        "
{LONG_WRITE}
c, s = pair(); say(port(c), port(s))
c.sendall(data); read(s, len(data)); s.sendall(b'ok'); read(c, 2)
c.sendall(b'next'); read(s, 4)
"
    ));
    let [client_port, server_port] = script.ports();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    let expected = long_write();
    for (open, direction) in [
        (watch.open_of(server_port, client_port), Direction::Received),
        (watch.open_of(client_port, server_port), Direction::Sent),
    ] {
        let (sent, received) = open.start.unwrap();
        let start = if direction == Direction::Sent { sent } else { received };
        let records: Vec<_> = watch
            .payloads
            .iter()
            .filter(|payload| payload.cookie == open.cookie && payload.direction == direction)
            .collect();
        let (last, first_turn) = records.split_last().unwrap();
        // The design's allowance: up to 16 KiB whenever the client speaks after the server has spoken.
        assert_eq!(first_turn.iter().map(|record| record.bytes.len()).sum::<usize>(), 16 * 1024);
        for record in first_turn {
            let at = record.sequence.wrapping_sub(start) as usize;
            assert_eq!(record.bytes, expected[at..at + record.bytes.len()], "at {at}");
        }
        let turns: Vec<bool> = first_turn.iter().map(|record| record.turn).collect();
        assert!(turns[0] && !turns[1..].contains(&true), "{turns:?}");
        let (cut, whole) = first_turn.split_last().unwrap();
        assert!(whole.iter().all(|record| record.left_out == 0));
        assert!(cut.left_out > 0 && cut.left_out as usize <= expected.len() - 16 * 1024);
        assert_eq!((last.bytes.as_slice(), last.turn), (b"next".as_slice(), true));
        assert_eq!(last.sequence.wrapping_sub(start) as usize, expected.len());
    }
}

#[test]
fn a_stopped_socket_ships_nothing_more_and_still_tells_its_end() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(
        "
c, s = pair(); say(port(c), port(s))
c.sendall(b'one'); read(s, 3); s.sendall(b'two'); read(c, 3); hear()
for _ in range(3): c.sendall(b'three'); read(s, 5); s.sendall(b'four'); read(c, 4)
reset(c); time.sleep(0.1); s.close()
",
    );
    let [client_port, server_port] = script.ports();
    watch.until("four payloads", |watch| watch.payloads.len() == 4);
    let server = watch.open_of(server_port, client_port).cookie;
    let client = watch.open_of(client_port, server_port).cookie;
    watch.probe.control().stop(server);
    script.go();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    assert_eq!(watch.bytes_of(server, Direction::Received), b"one");
    assert_eq!(watch.bytes_of(server, Direction::Sent), b"two");
    assert_eq!(watch.bytes_of(client, Direction::Sent), b"onethreethreethree");
    let close = watch.close_of(server_port, client_port);
    assert_eq!((close.reason, close.bytes_received), (observer::model::CloseReason::Reset, 18));
}

#[test]
fn a_socket_told_to_resume_leaves_out_what_comes_before() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start(&format!(
        "
{LONG_WRITE}
c, s = pair(); say(port(c), port(s))
c.sendall(b'head'); read(s, 4); hear()
for at in range(0, len(data), 1000): c.sendall(data[at:at + 1000]); read(s, len(data[at:at + 1000]))
"
    ));
    let [client_port, server_port] = script.ports();
    watch.until("two payloads", |watch| watch.payloads.len() == 2);
    let server = watch.open_of(server_port, client_port).clone();
    let (_, start) = server.start.unwrap();
    let expected = long_write();
    let skip = 30_500;
    watch.probe.control().resume_at(server.cookie, Direction::Received, start.wrapping_add(4 + skip));
    script.go();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    let after: Vec<_> = watch
        .payloads
        .iter()
        .filter(|payload| payload.cookie == server.cookie && payload.bytes != b"head")
        .collect();
    assert_eq!(after[0].sequence, start.wrapping_add(4 + skip));
    assert!(after[0].turn);
    let bytes: Vec<u8> = after.iter().flat_map(|payload| payload.bytes.clone()).collect();
    assert_eq!(bytes, expected[skip as usize..]);
}

#[test]
fn data_that_comes_with_the_handshake_is_told_at_the_listener() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    // ip-sysctl.rst, tcp_fastopen: client and server, without asking for a cookie.
    let mut script = cgroup.start_alone(
        "echo 519 > /proc/sys/net/ipv4/tcp_fastopen",
        "
l = listen(); l.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
c = socket.socket(); c.sendto(b'in the syn', socket.MSG_FASTOPEN, l.getsockname()); s, _ = l.accept()
say(port(c), port(s)); read(s, 10); c.sendall(b' and on'); read(s, 7)
l = listen(); l.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
c = connect(l); time.sleep(0.1); c.sendall(b'deferred'); s, _ = l.accept()
say(port(c), port(s)); read(s, 8); c.sendall(b' and on'); read(s, 7)
",
    );
    let connections =
        [b"in the syn".as_slice(), b"deferred".as_slice()].map(|bytes| (bytes, script.ports::<2>()));
    script.end();
    watch.until("four closes", |watch| watch.closes.len() == 4);
    for (first, [client_port, server_port]) in connections {
        let server = watch.open_of(server_port, client_port);
        let client = watch.open_of(client_port, server_port);
        assert_eq!(client.start, server.start.map(|(sent, received)| (received, sent)), "{first:?}");
        let ip = Ipv4Addr::LOCALHOST;
        let ends = Some((end(ip, server_port), end(ip, client_port)));
        let at_listener: Vec<_> =
            watch.payloads.iter().filter(|payload| payload.at_listener && payload.ends == ends).collect();
        assert_eq!(at_listener.len(), 1);
        assert_eq!(at_listener[0].bytes, first);
        assert_ne!(at_listener[0].cookie, server.cookie);
        // Its sequence number files it in front of what the connection's own socket received.
        assert_eq!(at_listener[0].sequence, server.start.unwrap().1);
        assert_eq!(watch.bytes_of(server.cookie, Direction::Received), b" and on");
        let close = watch.close_of(server_port, client_port);
        assert_eq!(close.bytes_received as usize, first.len() + 7);
        let close = watch.close_of(client_port, server_port);
        assert_eq!(close.bytes_sent as usize, first.len() + 7);
    }
}

#[test]
fn bytes_that_stay_in_their_network_namespace_say_so_at_both_ends() {
    for (host, family) in [("127.0.0.1", "AF_INET"), ("::1", "AF_INET6")] {
        let cgroup = Cgroup::create();
        let mut watch = cgroup.watch();
        let mut script = cgroup.start(&format!(
            "
c, s = pair('{host}', socket.{family}); say(port(c), port(s))
c.sendall(b'one'); read(s, 3); s.sendall(b'two'); read(c, 3)
"
        ));
        let _ports: [u16; 2] = script.ports();
        script.end();
        watch.until("two closes", |watch| watch.closes.len() == 2);
        assert_eq!(watch.payloads.len(), 4);
        assert!(watch.payloads.iter().all(|payload| payload.loopback), "{host}");
    }
}

/// Two network namespaces, a cable between them.
#[test]
fn bytes_that_come_over_a_cable_say_nothing_of_loopback() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = cgroup.start_alone(
        "
unshare --net sleep 60 & other=$!
while [ \"$(readlink /proc/$other/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.01; done
ip link add cable type veth peer name cable netns $other
ip address add 192.0.2.1/24 dev cable; ip link set cable up
nsenter --net=/proc/$other/ns/net sh -c 'ip address add 192.0.2.2/24 dev cable; ip link set cable up'
export OTHER=$other
",
        "
import os, signal, subprocess
l = listen('192.0.2.1'); say(l.getsockname()[1])
other = os.environ['OTHER']
talk = 'import socket, sys; c = socket.create_connection((\"192.0.2.1\", int(sys.argv[1]))); c.sendall(b\"one\"); c.recv(3)'
client = subprocess.Popen(['nsenter', '--net=/proc/' + other + '/ns/net', sys.executable, '-c', talk, str(port(l))])
s, _ = l.accept(); read(s, 3); s.sendall(b'two'); client.wait(); s.close()
os.kill(int(other), signal.SIGKILL)
",
    );
    let _port: [u16; 1] = script.ports();
    script.end();
    watch.until("two closes", |watch| watch.closes.len() == 2);
    assert_eq!(watch.payloads.len(), 4);
    assert!(watch.payloads.iter().all(|payload| !payload.loopback));
}
