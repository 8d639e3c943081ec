//! Debian's Prometheus and its promtool, for the suites in `tests/`.

#![forbid(unsafe_code)]

mod promtool;

pub use promtool::promtool;
