//! Debian's Prometheus and its promtool, for the suites in `tests/`.

#![forbid(unsafe_code)]

pub mod dashboard;
mod prometheus;
mod promtool;
pub mod selection;
mod traffic;

pub use prometheus::{Prometheus, Scraped, Series, now, recorded};
pub use promtool::promtool;
pub use traffic::Traffic;

use std::path::PathBuf;

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
