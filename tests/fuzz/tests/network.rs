//! From the ring's payloads to the verdict: any segmentation, duplication or bounded reordering of a connection reads
//! as the connection does.

use std::net::{IpAddr, Ipv4Addr};

use observer::conntrack::{self, Settings, Table};
use observer::model::{Close, CloseReason, Cookie, Direction, Endpoint, Open, Payload, Timestamp, Transport};
use observer::protocol::{self, Piece};
use observer_fuzz::script::Step;
use observer_fuzz::seeds::{self, Spoken};
use observer_fuzz::talk::{self, Setup};
use observer_fuzz::witness::{Notes, Told};
use proptest::prelude::*;

const COOKIE: Cookie = Cookie(1);

#[derive(Default)]
struct Session {
    protocol: protocol::Session,
    notes: Notes,
}

fn hear(session: &mut Session, client: bool, piece: conntrack::Piece<'_>) {
    let piece = match piece {
        conntrack::Piece::Bytes { bytes, turn } => Piece::Bytes { bytes, turn },
        conntrack::Piece::Gap { len } => Piece::Gap { len },
    };
    session.protocol.push(client, piece, &protocol::Settings::default(), &mut session.notes);
}

/// How the network treats one segment.
#[derive(Clone, Debug)]
struct Fate {
    length: usize,
    /// So many segments overtake it.
    delay: usize,
    /// It is sent again, with so many bytes of what came before it, so many segments later.
    again: Option<(usize, usize)>,
}

/// Never more delayed than what is held back for.
fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let again = prop::option::weighted(0.2, (0usize..50, 0usize..8));
    let fate =
        (1usize..700, 0usize..5, again).prop_map(|(length, delay, again)| Fate { length, delay, again });
    prop::collection::vec(fate, 1..40)
}

/// A connection as the server's end sees it, through the table of flows.
fn travels(spoken: &Spoken, fates: &[Fate], starts: [u32; 2]) -> Vec<Told> {
    let mut table: Table<Session> = Table::new(Settings::default());
    let end = |last, port| Endpoint { ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port };
    let (local, remote) = (end(1, 8080), end(2, 40_000));
    let open = Open {
        cookie: COOKIE,
        time: Timestamp(0),
        transport: Transport::Tcp,
        local,
        remote,
        cgroup: None,
        client: Some(false),
        midstream: false,
        start: Some((starts[0], starts[1])),
    };
    table.open(open, hear);
    let mut fates = fates.iter().cycle();
    let mut sent = [0usize; 2];
    for run in spoken.chunk_by(|before, after| before.0 == after.0) {
        let client = run[0].0;
        let said: Vec<u8> = run.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let already = sent[usize::from(client)];
        for (n, (from, to)) in arrivals(said.len(), &mut fates).into_iter().enumerate() {
            let payload = Payload {
                cookie: COOKIE,
                time: Timestamp(0),
                transport: Transport::Tcp,
                direction: if client { Direction::Received } else { Direction::Sent },
                cgroup: None,
                sequence: starts[usize::from(client)].wrapping_add(u32::try_from(already + from).unwrap()),
                bytes: &said[from..to],
                left_out: 0,
                turn: n == 0,
                walked: false,
                lossy: false,
                loopback: false,
                again: false,
                counted: false,
                ends: None,
                at_listener: false,
            };
            table.payload(&payload, hear);
        }
        sent[usize::from(client)] += said.len();
    }
    let close = Close {
        cookie: COOKIE,
        time: Timestamp(1),
        opened: Timestamp(0),
        local,
        remote,
        cgroup: None,
        client: Some(false),
        established: true,
        bytes_sent: sent[0] as u64,
        bytes_received: sent[1] as u64,
        reason: CloseReason::Fin,
    };
    let mut flow = table.close(close, hear).unwrap();
    flow.session.protocol.finish(&mut flow.session.notes);
    flow.session.notes.told
}

/// The segments of one side's turn in the order of their arrival. Its first stays first: a turn is known by it.
fn arrivals<'a>(total: usize, fates: &mut impl Iterator<Item = &'a Fate>) -> Vec<(usize, usize)> {
    let mut segments = Vec::new();
    let (mut position, mut n) = (0, 0);
    while position < total {
        let Some(Fate { length, delay, again }) = fates.next() else { break };
        let end = total.min(position + length);
        segments.push((if n == 0 { 0 } else { n + delay }, position, end));
        if let Some((overlap, later)) = again {
            segments.push((n + delay + 1 + later, position - position.min(*overlap), end));
        }
        (position, n) = (end, n + 1);
    }
    segments.sort_by_key(|(when, ..)| *when);
    segments.into_iter().map(|(_, from, to)| (from, to)).collect()
}

fn whole(spoken: &Spoken) -> Vec<Told> {
    let say = |(client, bytes): &(bool, Vec<u8>)| Step::Bytes {
        client: *client,
        bytes: bytes.clone(),
        turn: false,
    };
    let steps: Vec<Step> = spoken.iter().map(say).collect();
    talk::play_any_way(&steps, &Setup { settings: protocol::Settings::default(), midstream: false }).told
}

/// The captures that start so, behind a prelude.
fn connections(start: &str, prelude: &[(bool, &str)]) -> Vec<(String, Spoken)> {
    let prelude: Spoken = prelude.iter().map(|(client, text)| (*client, text.as_bytes().to_vec())).collect();
    let captures = seeds::captures(start).unwrap();
    assert!(!captures.is_empty(), "{start}");
    captures.into_iter().map(|(name, spoken)| (name, [prelude.clone(), spoken].concat())).collect()
}

fn check(connections: &[(String, Spoken)], fates: &[Fate], starts: [u32; 2]) -> Result<(), TestCaseError> {
    for (name, spoken) in connections {
        prop_assert_eq!(travels(spoken, fates, starts), whole(spoken), "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn http1_reads_the_same_through_any_network(fates in fates(), starts: [u32; 2]) {
        check(&connections("http_", &[]), &fates, starts)?;
    }

    #[test]
    fn http2_reads_the_same_through_any_network(fates in fates(), starts: [u32; 2]) {
        check(&connections("http2_", &[]), &fates, starts)?;
    }

    #[test]
    fn tls_reads_the_same_through_any_network(fates in fates(), starts: [u32; 2]) {
        check(&connections("tls", &[]), &fates, starts)?;
    }

    #[test]
    fn proxy_headers_read_the_same_through_any_network(fates in fates(), starts: [u32; 2]) {
        check(&connections("proxy_", &[]), &fates, starts)?;
        check(&connections("tls13_mtls", &[(true, "PROXY TCP4 10.0.0.9 10.0.0.1 1 2\r\n")]), &fates, starts)?;
    }

    #[test]
    fn upgrades_read_the_same_through_any_network(fates in fates(), starts: [u32; 2]) {
        let smtp = [
            (false, "220 mail ESMTP\r\n"), (true, "EHLO a\r\n"), (false, "250-mail\r\n250 STARTTLS\r\n"),
            (true, "STARTTLS\r\n"), (false, "220 go\r\n"),
        ];
        let connect = [(true, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), (false, "HTTP/1.1 200 OK\r\n\r\n")];
        let postgres = [(true, "\0\0\0\x08\x04\u{d2}\x16\x2f"), (false, "S")];
        let mut dialogues = connections("tls12_mtls", &smtp);
        dialogues.extend(connections("tls13", &connect));
        let mut asked = connections("tls13", &postgres);
        for (_, spoken) in &mut asked {
            spoken[0].1 = b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec();
        }
        dialogues.extend(asked);
        let websocket = "GET /a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: Bearer one\r\n\r\n";
        let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        dialogues.extend(connections("http_nginx_pipelined", &[(true, websocket), (false, switching)]));
        check(&dialogues, &fates, starts)?;
    }
}
