use super::super::Session;
use super::super::buffer::Buffer;

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
