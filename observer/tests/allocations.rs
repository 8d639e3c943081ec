//! What a request costs in memory. A program of its own, for its allocations to be the pipeline's alone.

mod pipeline;

use pipeline::{Connection, Root, pipeline};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_request_on_a_known_connection_allocates_nothing() {
    let root = Root::new("allocations");
    let mut pipeline = pipeline(&root.0);
    let mut connection = Connection::open(&mut pipeline, 1);
    let requests = |bearer: &str| -> Vec<String> {
        let request = |n| format!("GET /items/{n} HTTP/1.1\r\nHost: orders\r\n{bearer}\r\n");
        (0..2_000).map(request).collect()
    };
    let bare = requests("");
    // Tokens that are no JWT, and JWTs, cost the same once they are known.
    let opaque = requests("Authorization: Bearer abcdefghijklmnop\r\n");
    for requests in [&bare, &opaque] {
        connection.talk(&requests[..100]);
        let profiler = dhat::Profiler::builder().testing().build();
        connection.talk(&requests[100..]);
        let blocks = dhat::HeapStats::get().total_blocks;
        drop(profiler);
        // The test runner has a thread of its own.
        assert!(blocks < 19, "{blocks} allocations of 1,900 requests");
    }
}
