//! The two ends of one connection, and which of them speaks.

use super::super::{Role, Stage};
use super::{Heard, at, close, note, open, payload, pod, said, table};
use crate::model::{CloseReason, Cookie, Direction};

const CLIENT: u64 = 1;
const SERVER: u64 = 2;

#[test]
fn two_ends_in_sight_are_one_flow_that_the_server_reports() {
    let mut table = table();
    let (caller, callee) = (pod(2, 47538), pod(3, 8080));
    assert_eq!(table.open(open(CLIENT, true, caller, callee, (100, 200)), note), None);
    assert_eq!(table.open(open(SERVER, false, callee, caller, (200, 100)), note), Some(Cookie(CLIENT)));
    assert_eq!(table.len(), 1);
    let flow = table.get(Cookie(SERVER)).unwrap();
    assert_eq!((flow.role, flow.stage), (Role::Server, Stage::Reporting));
    assert_eq!(flow.ends(), (caller, callee));
    let twin = flow.twin.as_ref().unwrap();
    assert_eq!((twin.cookie, twin.cgroup, twin.dialled), (Cookie(CLIENT), Some(100), callee));
    // The client's end is gone: nothing of it is due, and its close says nothing.
    assert!(table.tick(at(5_000), note).is_empty());
    let end = open(CLIENT, true, caller, callee, (100, 200));
    assert!(table.close(close(&end, 10), note).is_none());
    assert_eq!(table.len(), 1);
}

#[test]
fn address_translation_does_not_part_the_ends() {
    let mut table = table();
    let (service, node) = (pod(99, 80), pod(1, 33_000));
    table.open(open(CLIENT, true, pod(2, 47538), service, (u32::MAX, 7)), note);
    assert_eq!(
        table.open(open(SERVER, false, pod(3, 8080), node, (7, u32::MAX)), note),
        Some(Cookie(CLIENT))
    );
    let flow = table.get(Cookie(SERVER)).unwrap();
    assert_eq!(flow.ends(), (node, pod(3, 8080)));
    assert_eq!(flow.twin.as_ref().unwrap().dialled, service);
}

#[test]
fn ends_of_different_connections_are_not_joined() {
    for start in [(100, 200), (200, 101), (201, 100), (0, 0)] {
        let mut table = table();
        table.open(open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200)), note);
        assert_eq!(
            table.open(open(SERVER, false, pod(3, 8080), pod(2, 47538), start), note),
            None,
            "{start:?}"
        );
        assert_eq!(table.len(), 2);
        assert!(table.get(Cookie(SERVER)).unwrap().twin.is_none());
    }
}

#[test]
fn a_clients_end_waits_one_second_and_is_told_once() {
    let mut table = table();
    table.open(open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200)), note);
    assert!(table.tick(at(0), note).is_empty());
    assert!(table.tick(at(999), note).is_empty());
    assert_eq!(table.tick(at(1_000), note), [Cookie(CLIENT)]);
    assert!(table.tick(at(2_000), note).is_empty());
    assert!(table.keep(Cookie(CLIENT)).is_none(), "it is not over");
    assert_eq!(table.get(Cookie(CLIENT)).unwrap().stage, Stage::Reporting);
    let end = open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200));
    assert!(table.close(close(&end, 3_000), note).is_some());
    assert!(table.is_empty());
}

#[test]
fn a_clients_end_that_closed_before_its_deadline_is_told_whole_after_it() {
    let mut table = table();
    let end = open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200));
    table.open(end.clone(), note);
    table.payload(&payload(CLIENT, Direction::Sent, 100, b"GET"), note);
    assert!(table.close(close(&end, 500), note).is_none());
    assert!(table.tick(at(999), note).is_empty());
    assert_eq!(table.tick(at(1_000), note), [Cookie(CLIENT)]);
    let flow = table.keep(Cookie(CLIENT)).unwrap();
    assert_eq!(flow.closed.unwrap().reason, CloseReason::Fin);
    // The close counts two bytes of the server that were never captured.
    assert_eq!(flow.session, [said(true, b"GET", false), (false, Heard::Gap(2))]);
    assert!(table.is_empty());
}

#[test]
fn a_clients_end_that_is_forgotten_leaves_nothing() {
    let mut table = table();
    let end = open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200));
    table.open(end.clone(), note);
    assert_eq!(table.tick(at(1_000), note), [Cookie(CLIENT)]);
    assert!(table.remove(Cookie(CLIENT)).is_some());
    assert!(table.is_empty());
    // Too late to be joined, and its close is nobody's.
    assert_eq!(table.open(open(SERVER, false, pod(3, 8080), pod(2, 47538), (200, 100)), note), None);
    assert!(table.close(close(&end, 1_500), note).is_none());
}

#[test]
fn a_kept_end_is_not_joined_any_more() {
    let mut table = table();
    table.open(open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200)), note);
    table.tick(at(1_000), note);
    table.keep(Cookie(CLIENT));
    assert_eq!(table.open(open(SERVER, false, pod(3, 8080), pod(2, 47538), (200, 100)), note), None);
    assert_eq!(table.len(), 2);
}

#[test]
fn of_two_connections_with_the_same_numbers_the_later_is_still_joined_when_the_earlier_is_kept() {
    let mut table = table();
    table.open(open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200)), note);
    table.open(open(7, true, pod(2, 47539), pod(3, 8080), (100, 200)), note);
    table.keep(Cookie(CLIENT));
    assert_eq!(
        table.open(open(SERVER, false, pod(3, 8080), pod(2, 47539), (200, 100)), note),
        Some(Cookie(7))
    );
}

#[test]
fn a_servers_end_needs_no_deadline() {
    let mut table = table();
    let end = open(SERVER, false, pod(3, 8080), pod(2, 47538), (200, 100));
    table.open(end.clone(), note);
    assert!(table.tick(at(5_000), note).is_empty());
    assert!(table.close(close(&end, 6_000), note).is_some());
}

#[test]
fn segments_held_back_when_an_end_is_kept_are_not_forgotten() {
    let mut table = table();
    table.open(open(CLIENT, true, pod(2, 47538), pod(3, 8080), (100, 200)), note);
    let mut late = payload(CLIENT, Direction::Sent, 110, b"late");
    late.time = at(950);
    table.payload(&late, note);
    assert_eq!(table.tick(at(1_000), note), [Cookie(CLIENT)]);
    table.keep(Cookie(CLIENT));
    table.tick(at(1_150), note);
    let diary = &table.get(Cookie(CLIENT)).unwrap().session;
    assert_eq!(*diary, [(true, Heard::Gap(10)), said(true, b"late", false)]);
}
