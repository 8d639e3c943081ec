//! What a connection costs in memory that has talked and is kept. A program of its own, for its memory to be the
//! pipeline's alone.

mod pipeline;

use pipeline::{Connection, Root, now, pipeline};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CONNECTIONS: u32 = 10_000;

#[test]
fn a_connection_at_rest_keeps_less_than_1600_bytes() {
    let root = Root::new("resting");
    let mut pipeline = pipeline(&root.0);
    let request = ["GET / HTTP/1.1\r\nHost: orders\r\n\r\n".to_owned()];
    let mut talk = |from: u32, to: u32| {
        for number in from..to {
            Connection::open(&mut pipeline, number).talk(&request);
        }
        pipeline.tick(now() + Duration::from_secs(2));
    };
    let builder = dhat::Profiler::builder();
    let profiler = match std::env::var("DHAT_FILE") {
        Ok(file) => builder.file_name(file).build(),
        Err(_) => builder.testing().build(),
    };
    // The store of the last records is full by then.
    talk(0, 5_000);
    let before = dhat::HeapStats::get().curr_bytes;
    talk(5_000, 5_000 + CONNECTIONS);
    let each = (dhat::HeapStats::get().curr_bytes - before) / CONNECTIONS as usize;
    eprintln!("{each} bytes a connection");
    drop(profiler);
    assert!(each < 1600, "{each} bytes a connection");
}
