//! Debian's Prometheus and its promtool, for the suites in `tests/`.

#![forbid(unsafe_code)]

pub mod dashboard;
mod prometheus;
mod promtool;
mod rules;
pub mod selection;
mod traffic;

pub use prometheus::{Prometheus, Scraped, Series, now, recorded};
pub use promtool::promtool;
pub use rules::{RULES, metrics_of, rule_files, rules, yaml};
pub use traffic::Traffic;

use std::path::PathBuf;

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
