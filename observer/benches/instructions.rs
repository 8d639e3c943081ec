//! How many instructions the observing thread takes for single events: the same on a busy machine. Runs under valgrind;
//! `cargo xtask bench instructions` does it.

mod cases;

use std::hint::black_box;

use cases::Case;
use gungraun::{library_benchmark, library_benchmark_group, main};

#[library_benchmark(setup = cases::ready)]
#[benches::of(args = ["decode", "http1_request", "http1_request_with_token", "http2_request", "tls_client_hello", "token_seen_before", "token_new_rs256", "token_new_es256"])]
fn event(mut case: Case) -> Case {
    black_box(&mut case)();
    case
}

library_benchmark_group!(name = events, benchmarks = event);
main!(library_benchmark_groups = events);
