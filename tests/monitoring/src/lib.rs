//! Debian's Prometheus and its promtool, for the suites in `tests/`.

#![forbid(unsafe_code)]

mod promtool;
mod rules;

pub use promtool::promtool;
pub use rules::{RULES, metrics_of, repository, rule_files, rules, yaml};
