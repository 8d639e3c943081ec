//! Records are built byte by byte, as `observer-common` documents them, and not with its structs.

use std::net::IpAddr;

use super::*;

const CLOCK: ClockOffset = ClockOffset(1_000_000);
const V4_LOCAL: &str = "::ffff:10.244.0.2";
const V4_REMOTE: &str = "::ffff:10.96.0.10";

/// kind, flags, len, cookie, time, cgroup: 32 bytes.
fn header(kind: u16, flags: u16, len: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(len.to_ne_bytes());
    bytes.extend(0x1122_3344_5566_7788u64.to_ne_bytes());
    bytes.extend(5_000u64.to_ne_bytes());
    bytes.extend(4711u64.to_ne_bytes());
    assert_eq!(bytes.len(), 32);
    bytes
}

/// Addresses in network order, ports in host order, four bytes of padding: 40 bytes.
fn tuple(local: &str, remote: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut bytes = Vec::new();
    bytes.extend(ip(local));
    bytes.extend(ip(remote));
    bytes.extend(47538u16.to_ne_bytes());
    bytes.extend(8080u16.to_ne_bytes());
    bytes.extend([0xee; 4]);
    assert_eq!(bytes.len(), 40);
    bytes
}

fn tcp_open(flags: u16) -> Vec<u8> {
    let starts = [0xdead_beefu32.to_ne_bytes(), 0x0bad_cafeu32.to_ne_bytes()].concat();
    [header(1, flags, 0), tuple(V4_LOCAL, V4_REMOTE), starts].concat()
}

fn tcp_close(flags: u16, old_state: u8) -> Vec<u8> {
    let counts = [3_000u64.to_ne_bytes(), 111u64.to_ne_bytes(), 222u64.to_ne_bytes()].concat();
    [header(2, flags, 0), tuple(V4_LOCAL, V4_REMOTE), counts, vec![old_state], vec![0xee; 7]].concat()
}

/// A chunk is longer than its payload.
fn data(kind: u16, flags: u16, payload: &[u8], room: usize) -> Vec<u8> {
    let numbers = [0xffff_fff0u32.to_ne_bytes(), 77u32.to_ne_bytes()].concat();
    let rest = vec![0xee; room - payload.len()];
    [header(kind, flags, payload.len() as u32), tuple(V4_LOCAL, V4_REMOTE), numbers, payload.to_vec(), rest]
        .concat()
}

fn udp_open(flags: u16) -> Vec<u8> {
    [header(4, flags, 0), tuple(V4_LOCAL, V4_REMOTE)].concat()
}

fn endpoint(ip: &str, port: u16) -> Endpoint {
    Endpoint { ip: ip.parse().unwrap(), port }
}

fn open_of(record: &[u8]) -> Open {
    match event(record, CLOCK).unwrap() {
        Event::Open(open) => open,
        other => panic!("{other:?}"),
    }
}

fn close_of(record: &[u8]) -> Close {
    match event(record, CLOCK).unwrap() {
        Event::Close(close) => close,
        other => panic!("{other:?}"),
    }
}

fn payload_of(record: &[u8]) -> Payload<'_> {
    match event(record, CLOCK).unwrap() {
        Event::Payload(payload) => payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tcp_open_tells_who_opened_what_and_when() {
    let record = tcp_open(1);
    let open = open_of(&record);
    assert_eq!(open.cookie, Cookie(0x1122_3344_5566_7788));
    assert_eq!(open.time, Timestamp(1_005_000));
    assert_eq!(open.transport, Transport::Tcp);
    assert_eq!(open.local, endpoint("10.244.0.2", 47538));
    assert_eq!(open.remote, endpoint("10.96.0.10", 8080));
    assert_eq!(open.cgroup, Some(4711));
    assert_eq!(open.start, Some((0xdead_beef, 0x0bad_cafe)));
    assert!(!open.midstream);
}

#[test]
fn who_opened_a_tcp_connection_is_known_only_from_exactly_one_flag() {
    for (flags, client) in [(0, None), (1, Some(true)), (2, Some(false)), (3, None)] {
        assert_eq!(open_of(&tcp_open(flags)).client, client, "{flags:#b}");
        assert_eq!(close_of(&tcp_close(flags, 6)).client, client, "{flags:#b}");
    }
}

#[test]
fn a_connection_first_seen_midstream_has_no_start() {
    let open = open_of(&tcp_open(0b110));
    assert!(open.midstream);
    assert_eq!(open.start, None);
    assert_eq!(open.client, Some(false));
}

#[test]
fn a_tcp_close_tells_bytes_and_how_long_it_was_open() {
    let record = tcp_close(2, 6);
    let close = close_of(&record);
    assert_eq!(close.cookie, Cookie(0x1122_3344_5566_7788));
    assert_eq!((close.time, close.opened), (Timestamp(1_005_000), Timestamp(1_003_000)));
    assert_eq!((close.bytes_sent, close.bytes_received), (111, 222));
    assert_eq!((close.local, close.remote), (endpoint("10.244.0.2", 47538), endpoint("10.96.0.10", 8080)));
    assert_eq!(close.cgroup, Some(4711));
    assert_eq!(close.client, Some(false));
    assert!(close.established);
}

#[test]
fn the_state_left_and_what_arrived_tell_how_a_connection_closed() {
    use CloseReason::{Aborted, Fin, Refused, Reset, Timeout};
    const RESET: u16 = 1 << 6;
    const TIMED_OUT: u16 = 1 << 7;
    // States as include/net/tcp_states.h numbers them.
    let (established, syn_sent, syn_recv, fin_wait1, fin_wait2, time_wait) = (1, 2, 3, 4, 5, 6);
    let (close_wait, last_ack, closing) = (8, 9, 11);
    let table = [
        (syn_sent, 0, Aborted, false),
        (syn_sent, RESET, Refused, false),
        (syn_sent, TIMED_OUT, Timeout, false),
        (syn_sent, TIMED_OUT | RESET, Timeout, false),
        (syn_recv, 0, Aborted, false),
        (syn_recv, RESET, Reset, false),
        (established, 0, Aborted, true),
        (established, RESET, Reset, true),
        (established, TIMED_OUT, Timeout, true),
        (fin_wait1, 0, Aborted, true),
        (fin_wait1, RESET, Reset, true),
        (fin_wait1, TIMED_OUT, Timeout, true),
        (fin_wait2, 0, Fin, true),
        (fin_wait2, RESET, Reset, true),
        (time_wait, 0, Fin, true),
        (close_wait, 0, Aborted, true),
        (close_wait, RESET, Reset, true),
        (last_ack, 0, Fin, true),
        (last_ack, RESET, Reset, true),
        (last_ack, TIMED_OUT, Timeout, true),
        (closing, 0, Fin, true),
        (closing, RESET, Reset, true),
    ];
    for (state, flags, reason, was_established) in table {
        let record = tcp_close(flags | 1, state);
        let close = close_of(&record);
        assert_eq!(close.reason, reason, "state {state}, flags {flags:#x}");
        assert_eq!(close.established, was_established, "state {state}");
    }
}

#[test]
fn payload_is_what_the_header_counts_and_no_more() {
    let record = data(3, 0, b"GET / HTTP/1.1\r\n", 176);
    let payload = payload_of(&record);
    assert_eq!(payload.bytes, b"GET / HTTP/1.1\r\n");
    assert_eq!((payload.sequence, payload.left_out), (0xffff_fff0, 77));
    assert_eq!((payload.cookie, payload.time), (Cookie(0x1122_3344_5566_7788), Timestamp(1_005_000)));
    assert_eq!((payload.transport, payload.direction), (Transport::Tcp, Direction::Received));
    assert_eq!((payload.turn, payload.lossy, payload.at_listener), (false, false, false));
    assert_eq!(payload.cgroup, Some(4711));
}

#[test]
fn each_flag_of_a_payload_says_one_thing() {
    let of = |flags| {
        let record = data(3, flags, b"x", 176);
        let payload = payload_of(&record);
        (payload.direction, payload.turn, payload.at_listener, payload.lossy)
    };
    assert_eq!(of(1 << 3), (Direction::Sent, false, false, false));
    assert_eq!(of(1 << 4), (Direction::Received, true, false, false));
    assert_eq!(of(1 << 5), (Direction::Received, false, true, false));
    assert_eq!(of(1 << 8), (Direction::Received, false, false, true));
    assert_eq!(of(0b1111 | 1 << 6 | 1 << 7), (Direction::Sent, false, false, false));
}

#[test]
fn addresses_of_a_payload_are_told_only_where_the_kernel_fills_them_in() {
    let ends = Some((endpoint("10.244.0.2", 47538), endpoint("10.96.0.10", 8080)));
    assert_eq!(payload_of(&data(3, 0, b"x", 176)).ends, None);
    assert_eq!(payload_of(&data(3, 1 << 5, b"x", 176)).ends, ends);
    assert_eq!(payload_of(&data(5, 0, b"x", 176)).ends, ends);
    assert_eq!(payload_of(&data(5, 0, b"x", 176)).transport, Transport::Udp);
}

#[test]
fn the_first_sender_opens_a_udp_conversation() {
    for (flags, client) in [(1 << 3, Some(true)), (0, Some(false))] {
        let open = open_of(&udp_open(flags));
        assert_eq!((open.transport, open.client, open.start), (Transport::Udp, client, None));
        assert_eq!(open.remote, endpoint("10.96.0.10", 8080));
    }
}

#[test]
fn ipv4_mapped_addresses_become_ipv4_and_ipv6_stays() {
    let record = [header(4, 0, 0), tuple("fd00::2", "::ffff:192.0.2.1")].concat();
    let open = open_of(&record);
    assert_eq!(open.local.ip, "fd00::2".parse::<IpAddr>().unwrap());
    assert_eq!(open.remote.ip, "192.0.2.1".parse::<IpAddr>().unwrap());
    let record = [header(4, 0, 0), tuple("::1", "::")].concat();
    assert_eq!(open_of(&record).local.ip, "::1".parse::<IpAddr>().unwrap());
}

#[test]
fn a_cgroup_that_is_not_known_yet_is_none() {
    let mut record = udp_open(0);
    record[24..32].fill(0);
    assert_eq!(open_of(&record).cgroup, None);
}

#[test]
fn every_prefix_of_a_record_is_an_error() {
    let records = [
        tcp_open(1),
        tcp_open(0b110),
        tcp_close(1, 6),
        data(3, 0, b"bytes", 5),
        data(5, 0, b"b", 1),
        udp_open(8),
    ];
    for record in records {
        assert!(event(&record, CLOCK).is_ok());
        for end in 0..record.len() {
            assert!(event(&record[..end], CLOCK).is_err(), "{end} of {}", record.len());
        }
        // The ring rounds records up.
        assert!(event(&[&record[..], &[0; 8]].concat(), CLOCK).is_ok());
    }
}

#[test]
fn a_lying_length_is_told_with_what_was_there() {
    for claimed in [177, 4096, u32::MAX] {
        let mut record = data(3, 0, b"bytes", 176);
        record[4..8].copy_from_slice(&claimed.to_ne_bytes());
        assert_eq!(event(&record, CLOCK).unwrap_err(), DecodeError::LyingLength { claimed, present: 176 });
    }
}

#[test]
fn an_unknown_kind_is_an_error_of_that_name() {
    for kind in [0, 6, 0x0100, u16::MAX] {
        let record = [header(kind, 0, 0), vec![0; 100]].concat();
        assert_eq!(event(&record, CLOCK).unwrap_err(), DecodeError::UnknownKind(kind));
    }
}

#[test]
fn a_clock_beyond_its_range_stays_at_its_end() {
    assert_eq!(ClockOffset(u64::MAX).wall(5), Timestamp(u64::MAX));
}

#[test]
fn a_payload_shows_how_many_bytes_it_has_and_none_of_them() {
    let record = data(3, 0, b"Authorization: Bearer hunter2", 176);
    let event = event(&record, CLOCK).unwrap();
    let shown = format!("{event:?} {event:#?}");
    assert!(!shown.contains("hunter2") && !shown.contains("Bearer"));
    // Nor as a list of numbers.
    assert!(!shown.contains("104, 117"), "{shown}");
    assert!(shown.contains("29"));
}

/// cookie, remote address, remote port, padding; cgroup, first, last, bytes sent and received, datagrams, local end.
fn entry() -> (Vec<u8>, Vec<u8>) {
    let remote = "::ffff:10.96.0.10".parse::<Ipv6Addr>().unwrap().octets();
    let key = [&42u64.to_ne_bytes()[..], &remote, &53u16.to_ne_bytes(), &[0; 6]].concat();
    let numbers = [4711u64, 1_000, 9_000, 64, 512, 1, 2];
    let mut value: Vec<u8> = numbers.into_iter().flat_map(u64::to_ne_bytes).collect();
    value.extend([0; 24]);
    assert_eq!((key.len(), value.len()), (32, 80));
    (key, value)
}

#[test]
fn a_conversation_of_the_table_becomes_a_close() {
    let (key, value) = entry();
    let close = UdpClose::from(conversation(&key, &value, CLOCK).unwrap());
    assert_eq!((close.cookie, close.remote), (Cookie(42), endpoint("10.96.0.10", 53)));
    assert_eq!((close.last, close.bytes_sent, close.bytes_received), (Timestamp(1_009_000), 64, 512));
}

#[test]
fn an_entry_that_ends_too_early_is_an_error() {
    let (key, value) = entry();
    for end in 0..26 {
        assert!(conversation(&key[..end], &value, CLOCK).is_err(), "key of {end}");
    }
    for end in 0..40 {
        assert!(conversation(&key, &value[..end], CLOCK).is_err(), "value of {end}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(mut record in proptest::collection::vec(proptest::num::u8::ANY, 0..300), kind in 0u16..8) {
        if let Some(start) = record.get_mut(..2) {
            start.copy_from_slice(&kind.to_ne_bytes());
        }
        let _ = event(&record, CLOCK);
        let _ = conversation(&record, &record, CLOCK);
    }
}
