use std::time::Duration;

use super::super::{Role, Settings, Stage, Table};
use super::{Diary, Heard, at, close, note, open, payload, pod, said, table};
use crate::model::{CloseReason, Cookie, Direction, Open, Payload, Transport, UdpClose};

const SERVER: u64 = 2;

fn server() -> Open {
    open(SERVER, false, pod(3, 8080), pod(2, 47538), (1_000, 2_000))
}

/// A segment that met the listener of the server above.
fn orphan(sequence: u32, bytes: &[u8], milliseconds: u64) -> Payload<'_> {
    Payload {
        cookie: Cookie(50),
        time: at(milliseconds),
        turn: true,
        ends: Some((pod(3, 8080), pod(2, 47538))),
        at_listener: true,
        ..payload(50, Direction::Received, sequence, bytes)
    }
}

fn diary(table: &Table<Diary>, cookie: u64) -> &Diary {
    &table.get(Cookie(cookie)).unwrap().session
}

#[test]
fn bytes_are_told_by_who_said_them_whichever_end_reports() {
    for (client, direction, says_client) in [
        (false, Direction::Received, true),
        (false, Direction::Sent, false),
        (true, Direction::Received, false),
        (true, Direction::Sent, true),
    ] {
        let mut table = table();
        table.open(Open { client: Some(client), start: None, ..server() }, note);
        let mut segment = payload(SERVER, direction, 77, b"x");
        segment.turn = true;
        assert!(table.payload(&segment, note).is_some());
        assert_eq!(*diary(&table, SERVER), [said(says_client, b"x", true)]);
    }
}

#[test]
fn the_two_directions_have_their_own_sequence_numbers() {
    let mut table = table();
    table.open(server(), note);
    table.payload(&payload(SERVER, Direction::Received, 2_000, b"ask"), note);
    table.payload(&payload(SERVER, Direction::Sent, 1_000, b"answer"), note);
    assert_eq!(*diary(&table, SERVER), [said(true, b"ask", false), said(false, b"answer", false)]);
    let flow = table.get(Cookie(SERVER)).unwrap();
    assert_eq!(flow.sequence_after(true, 10), Some((Direction::Received, 2_013)));
    assert_eq!(flow.sequence_after(false, 0), Some((Direction::Sent, 1_006)));
}

#[test]
fn bytes_of_a_socket_that_nobody_opened_are_nobodys() {
    let mut table = table();
    assert!(table.payload(&payload(9, Direction::Sent, 1, b"x"), note).is_none());
    assert!(table.is_empty());
}

#[test]
fn a_cgroup_that_comes_later_is_taken_and_one_that_is_known_stays() {
    let mut table = table();
    table.open(Open { cgroup: None, ..server() }, note);
    for (cgroup, expected) in [(None, None), (Some(5), Some(5)), (Some(6), Some(5))] {
        table.payload(&Payload { cgroup, ..payload(SERVER, Direction::Received, 2_000, b"x") }, note);
        assert_eq!(table.get(Cookie(SERVER)).unwrap().cgroup, expected);
    }
}

#[test]
fn what_is_held_back_is_told_at_the_close() {
    let mut table = table();
    table.open(server(), note);
    table.payload(&payload(SERVER, Direction::Received, 2_005, b"late"), note);
    table.payload(&payload(SERVER, Direction::Sent, 1_001, b"late"), note);
    let flow = table.close(close(&server(), 10), note).unwrap();
    let expected = [
        (true, Heard::Gap(5)),
        said(true, b"late", false),
        (false, Heard::Gap(1)),
        said(false, b"late", false),
    ];
    assert_eq!(flow.session, expected);
    assert_eq!(flow.closed.unwrap().reason, CloseReason::Fin);
    assert!(table.is_empty());
}

#[test]
fn a_hole_becomes_a_gap_at_a_tick_after_200_ms() {
    let mut table = table();
    table.open(server(), note);
    table.payload(&payload(SERVER, Direction::Received, 2_005, b"late"), note);
    table.tick(at(200), note);
    assert!(diary(&table, SERVER).is_empty());
    table.tick(at(201), note);
    assert_eq!(*diary(&table, SERVER), [(true, Heard::Gap(5)), said(true, b"late", false)]);
}

#[test]
fn a_refused_attempt_is_a_flow_of_the_client() {
    let mut table = table();
    let attempt = open(9, true, pod(2, 47538), pod(3, 81), (0, 0));
    for reason in [CloseReason::Refused, CloseReason::Timeout, CloseReason::Aborted] {
        let mut end = close(&attempt, 5);
        (end.established, end.reason) = (false, reason);
        let flow = table.close(end, note).unwrap();
        assert_eq!((flow.role, flow.stage), (Role::Client, Stage::Reporting));
        assert_eq!(flow.ends(), (pod(2, 47538), pod(3, 81)));
        assert_eq!(flow.closed.unwrap().reason, reason);
        assert!(table.is_empty());
    }
}

#[test]
fn the_close_of_a_muted_end_or_of_a_half_open_one_is_none() {
    let mut table = table();
    for (client, established) in
        [(Some(true), true), (Some(false), true), (Some(false), false), (None, false)]
    {
        let mut end = close(&server(), 5);
        (end.client, end.established) = (client, established);
        assert!(table.close(end, note).is_none(), "{client:?} {established}");
    }
}

#[test]
fn a_flow_that_is_told_twice_goes_on() {
    let mut table = table();
    let old = Open { midstream: true, start: None, ..server() };
    table.open(old.clone(), note);
    table.payload(&payload(SERVER, Direction::Received, 5, b"one"), note);
    table.open(old, note);
    assert_eq!(*diary(&table, SERVER), [said(true, b"one", false)]);
    assert_eq!((table.len(), table.refused()), (1, 0));
}

#[test]
fn segments_that_met_the_listener_are_the_childs_first() {
    let mut table = table();
    assert!(table.payload(&orphan(2_000, b"GET ", 0), note).is_none());
    table.payload(&orphan(2_004, b"/ HTTP", 0), note);
    assert!(table.is_empty());
    table.open(server(), note);
    table.payload(&payload(SERVER, Direction::Received, 2_010, b"/1.1"), note);
    let expected = [said(true, b"GET ", true), said(true, b"/ HTTP", false), said(true, b"/1.1", false)];
    assert_eq!(*diary(&table, SERVER), expected);
}

#[test]
fn segments_that_met_the_listener_out_of_order_are_put_in_order() {
    let mut table = table();
    table.payload(&orphan(2_004, b"/ HTTP", 0), note);
    table.payload(&orphan(2_000, b"GET ", 0), note);
    table.open(server(), note);
    assert_eq!(*diary(&table, SERVER), [said(true, b"GET ", true), said(true, b"/ HTTP", false)]);
}

#[test]
fn the_listeners_segments_go_to_no_other_connection_and_no_later_one() {
    let mut table = table();
    table.payload(&orphan(2_000, b"GET ", 0), note);
    table.open(Open { remote: pod(2, 47539), cookie: Cookie(3), ..server() }, note);
    assert!(diary(&table, 3).is_empty());
    // Of an earlier connection between the same ports: its numbers lie elsewhere.
    table.payload(&orphan(900_000, b"old", 0), note);
    table.payload(&orphan(1_999, b"old", 0), note);
    table.tick(at(999), note);
    table.open(server(), note);
    assert_eq!(*diary(&table, SERVER), [said(true, b"GET ", true)]);
    table.tick(at(5_000), note);
    assert_eq!(diary(&table, SERVER).len(), 1);

    let mut table = super::table();
    table.payload(&orphan(2_000, b"GET ", 0), note);
    table.tick(at(1_000), note);
    table.open(server(), note);
    assert!(diary(&table, SERVER).is_empty());
}

fn udp(client: bool, local_port: u16, remote_port: u16) -> Open {
    Open {
        transport: Transport::Udp,
        client: Some(client),
        local: pod(2, local_port),
        remote: pod(3, remote_port),
        start: None,
        ..open(4, client, pod(2, 1), pod(3, 1), (0, 0))
    }
}

#[test]
fn the_first_sender_is_the_client_unless_it_answers_from_a_well_known_port() {
    let table_of_rules = [
        // first sender is local, local port, remote port, role of the local end
        (true, 40_000, 53, Role::Client),
        (false, 53, 40_000, Role::Server),
        // A reply was seen first.
        (true, 53, 40_000, Role::Server),
        (false, 40_000, 53, Role::Client),
        // Neither or both are well known: who spoke first.
        (true, 40_000, 50_000, Role::Client),
        (false, 40_000, 50_000, Role::Server),
        (true, 123, 123, Role::Client),
        (true, 53, 5_353, Role::Client),
        (true, 1_024, 40_000, Role::Client),
        (true, 1_023, 32_768, Role::Server),
        (true, 1_023, 32_767, Role::Client),
    ];
    for (first, local, remote, role) in table_of_rules {
        let mut table = table();
        table.open(udp(first, local, remote), note);
        let flow = table.iter_mut().next().unwrap();
        assert_eq!(flow.role, role, "{first} {local} {remote}");
        assert_eq!(flow.stage, Stage::Reporting);
    }
}

#[test]
fn one_udp_socket_has_a_flow_for_each_peer_that_ends_with_its_counts() {
    let mut table = table();
    let conversation = udp(false, 53, 40_000);
    table.open(conversation.clone(), note);
    table.open(Open { remote: pod(4, 40_000), ..conversation.clone() }, note);
    assert_eq!(table.len(), 2);
    let datagram = Payload {
        transport: Transport::Udp,
        ends: Some((conversation.local, conversation.remote)),
        ..payload(4, Direction::Received, 0, b"query")
    };
    assert_eq!(table.payload(&datagram, note).unwrap().session, [said(true, b"query", true)]);
    let mut end = UdpClose {
        cookie: Cookie(4),
        remote: conversation.remote,
        last: at(500),
        bytes_sent: 10,
        bytes_received: 20,
    };
    let closed = table.close_udp(&end).unwrap().closed.unwrap();
    assert_eq!((closed.bytes_sent, closed.bytes_received, closed.time), (10, 20, at(500)));
    assert!(table.close_udp(&end).is_none());
    end.remote = pod(9, 1);
    assert!(table.close_udp(&end).is_none());
    assert_eq!(table.len(), 1);
}

#[test]
fn a_full_table_refuses_and_counts_and_takes_again_when_there_is_room() {
    let mut table: Table<Diary> = Table::new(Settings { max_flows: 3, twin_wait: Duration::from_secs(1) });
    table.open(udp(true, 40_000, 53), note);
    for cookie in 10..15 {
        table.open(Open { cookie: Cookie(cookie), ..server() }, note);
    }
    assert_eq!((table.len(), table.refused()), (3, 3));
    assert!(table.remove(Cookie(10)).is_some());
    table.open(Open { cookie: Cookie(20), ..server() }, note);
    assert_eq!((table.len(), table.refused()), (3, 3));
}

#[test]
fn a_nearly_full_table_makes_room_by_ending_the_flows_that_were_silent_for_longest() {
    let mut table: Table<Diary> = Table::new(Settings { max_flows: 16, twin_wait: Duration::from_secs(1) });
    for cookie in 1..15 {
        table.open(Open { cookie: Cookie(cookie), time: at(cookie), ..server() }, note);
    }
    assert!(table.make_room().is_empty(), "there is room enough");
    table.open(Open { cookie: Cookie(15), time: at(15), ..server() }, note);
    let ended: Vec<u64> = table.make_room().iter().map(|flow| flow.cookie.0).collect();
    assert_eq!(ended, [1, 2], "an eighth of the bound, oldest first");
    assert_eq!((table.len(), table.refused()), (13, 2));
}
