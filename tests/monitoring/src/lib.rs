//! Debian's Prometheus and its promtool, for the suites in `tests/`.

#![forbid(unsafe_code)]

mod promtool;
mod rules;

pub use promtool::promtool;
pub use rules::{RULES, metrics_of, rule_files, rules, yaml};

use std::path::PathBuf;

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
