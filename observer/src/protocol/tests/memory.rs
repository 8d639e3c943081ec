use super::super::Session;
use super::super::buffer::{Buffer, MOST_KEPT_BY_ALL, crowded_out, kept_by_all};
use super::{Talk, Told};

#[test]
fn a_session_at_rest_is_a_few_words() {
    assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
}

#[test]
fn a_buffer_is_a_queue_of_bytes() {
    let mut buffer = Buffer::default();
    buffer.extend(b"abc");
    buffer.extend(b"defg");
    buffer.consume(2);
    assert_eq!((buffer.bytes(), buffer.len()), (&b"cdefg"[..], 5));
    buffer.consume(100);
    assert!(buffer.is_empty());
    buffer.extend(b"h");
    assert_eq!(buffer.bytes(), b"h");
    buffer.clear();
    assert!(buffer.is_empty());
}

#[test]
fn half_heads_of_all_flows_together_are_bounded_and_counted_and_whole_ones_are_read_all_the_while() {
    const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let half = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Half: {}", "h".repeat(9_000));
    let mut talks = Vec::new();
    for _ in 0..6_000 {
        let mut talk = Talk::default();
        talk.client(&half);
        // What is given up is what has just come.
        assert!(kept_by_all() <= MOST_KEPT_BY_ALL, "{}", kept_by_all());
        talks.push(talk);
    }
    assert!(crowded_out() > 1_000, "{}", crowded_out());
    let mut other = Talk::default();
    other.client(WHOLE);
    assert_eq!(other.requests().len(), 1, "{:?}", other.told);
    let crowded = talks.last_mut().unwrap();
    assert!(crowded.told.contains(&Told::Malformed("buffers-full")), "{:?}", crowded.told);
    crowded.server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").client(WHOLE);
    assert!(crowded.told.iter().any(|told| matches!(told, Told::Request { path: Some(_), .. })));
    drop((talks, other));
    assert_eq!(kept_by_all(), 0);
}
