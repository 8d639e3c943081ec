//! Stages of a longer run: each is announced, timed, and listed at the end.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The stages run so far. The first one that fails ends the run.
#[derive(Default)]
pub struct Stages {
    done: Vec<Stage>,
}

struct Stage {
    name: &'static str,
    took: Duration,
    passed: bool,
}

impl Stages {
    /// Runs one stage.
    ///
    /// # Errors
    /// The stage's own, with its name.
    pub fn run<T>(&mut self, name: &'static str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let result = stage();
        self.done.push(Stage { name, took: start.elapsed(), passed: result.is_ok() });
        result.with_context(|| format!("stage `{name}`"))
    }

    /// Prints what each stage took, however the run ended, and passes the result on.
    ///
    /// # Errors
    /// The run's own.
    pub fn finish<T>(&self, result: Result<T>) -> Result<T> {
        eprint!("\n{}", self.table());
        result
    }

    fn table(&self) -> String {
        let mut table = String::new();
        let total: Duration = self.done.iter().map(|stage| stage.took).sum();
        for stage in &self.done {
            let outcome = if stage.passed { "ok" } else { "FAILED" };
            let _ = writeln!(table, "{:<24}{:>9}  {outcome}", stage.name, seconds(stage.took));
        }
        let _ = writeln!(table, "{:<24}{:>9}", "total", seconds(total));
        table
    }
}

/// A duration as people read it: `0.4 s`, `12 min 5 s`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        return format!("{} min {} s", whole / 60, whole % 60);
    }
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_is_named_in_the_error_and_in_the_table() {
        let mut stages = Stages::default();
        stages.run("format", || Ok(())).unwrap();
        let result: Result<()> = stages.run("lints", || anyhow::bail!("unused import"));
        let error = result.unwrap_err();
        assert_eq!(format!("{error:#}"), "stage `lints`: unused import");
        let table = stages.table();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("format") && lines[0].ends_with("ok"), "{table}");
        assert!(lines[1].starts_with("lints") && lines[1].ends_with("FAILED"), "{table}");
        assert!(lines[2].starts_with("total"), "{table}");
    }
}
