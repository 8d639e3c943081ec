//! How many instructions the observing thread takes for single events: the same on a busy machine. Runs under valgrind;
//! `cargo xtask bench instructions` does it, and numbers the cases as `cases::NAMES` has them.
#![expect(unused_qualifications, reason = "what the macros make has them")]

mod cases;

use std::hint::black_box;

use cases::Case;
use gungraun::{library_benchmark, library_benchmark_group, main};

#[library_benchmark(setup = cases::ready)]
#[benches::of(iter = cases::NAMES)]
fn event(mut case: Case) -> Case {
    black_box(&mut case)();
    case
}

library_benchmark_group!(name = events, benchmarks = event);
main!(library_benchmark_groups = events);
