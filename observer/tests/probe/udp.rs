//! UDP conversations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use observer::decode::ClockOffset;
use observer::model::{Direction, Transport};
use observer::probe::Options;
use observer_common::Counter;

use crate::stage::{Cgroup, end};

#[test]
fn a_conversation_opens_with_its_first_datagram_and_counts_the_rest() {
    for (family, host, ip) in [
        ("AF_INET", "127.0.0.1", IpAddr::from(Ipv4Addr::LOCALHOST)),
        ("AF_INET6", "::1", IpAddr::from(Ipv6Addr::LOCALHOST)),
    ] {
        let cgroup = Cgroup::create();
        let mut watch = cgroup.watch();
        let mut script = cgroup.start(&format!(
            "
s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.bind(('{host}', 0))
c = socket.socket(socket.{family}, socket.SOCK_DGRAM); c.bind(('{host}', 0))
for n in (5, 100, 1000): c.sendto(b'q' * n, s.getsockname()[:2])
for n in (5, 100, 1000): s.recv(2000)
for n in (1, 2): s.sendto(b'r' * n, c.getsockname()[:2]); c.recv(2000)
say(port(c), port(s)); hear()
"
        ));
        let [client_port, server_port] = script.ports();
        watch.until("two opens and payloads", |watch| watch.opens.len() == 2 && watch.payloads.len() == 2);
        let client = watch.open_of(client_port, server_port);
        let server = watch.open_of(server_port, client_port);
        assert_eq!((client.transport, server.transport), (Transport::Udp, Transport::Udp));
        assert_eq!((client.local, client.remote), (end(ip, client_port), end(ip, server_port)));
        assert_eq!((server.local, server.remote), (end(ip, server_port), end(ip, client_port)));
        assert_eq!((client.client, server.client), (Some(true), Some(false)));
        assert_eq!(client.cgroup, Some(cgroup.inode()));
        assert_eq!(watch.bytes_of(client.cookie, Direction::Sent), b"qqqqq");
        assert_eq!(watch.bytes_of(server.cookie, Direction::Received), b"qqqqq");
        let (client, server) = (client.cookie, server.cookie);

        assert!(watch.probe.reap_conversations(ClockOffset::default(), |_| false).is_empty());
        let over = watch.probe.reap_conversations(ClockOffset::default(), |_| true);
        let counts =
            |cookie| over.iter().find(|over| over.cookie == cookie).map(|o| (o.bytes_sent, o.bytes_received));
        assert_eq!((counts(client), counts(server)), (Some((1105, 3)), Some((3, 1105))));
        assert_eq!(over.iter().find(|over| over.cookie == client).unwrap().remote, end(ip, server_port));
        assert!(watch.probe.reap_conversations(ClockOffset::default(), |_| true).is_empty());
        script.go();
        script.end();
    }
}

#[test]
fn conversations_beyond_the_table_are_counted() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch_with(&Options { conversations: 4, ..Options::default() });
    let script = cgroup.start(
        "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))
for _ in range(10):
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.sendto(b'x', s.getsockname()); s.recv(1)
",
    );
    script.end();
    watch.drain();
    let lost = watch.probe.counters().unwrap().into_iter().find(|(c, _)| *c == Counter::LostConversations);
    // Each of the ten has two ends.
    assert_eq!(lost.unwrap().1 + watch.opens.len() as u64, 20);
    assert!(watch.opens.len() >= 4);
    assert_eq!(watch.opens.len(), watch.payloads.len());
}
