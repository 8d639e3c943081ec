//! How long the observing thread takes for single events. `cargo xtask bench events` runs it.

mod cases;

fn main() {
    divan::main();
}

#[divan::bench(args = cases::NAMES)]
fn event(bencher: divan::Bencher<'_, '_>, name: &str) {
    let case = cases::ready(name);
    bencher.bench_local(case);
}
