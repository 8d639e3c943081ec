//! What came of all machines: for people, for programs, and as a page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::accelerator::Accelerator;
use super::console::Scenario;
use super::kernel::{Fetched, Kernel};
use super::machine::Outcome;

/// One kernel's.
#[derive(Serialize)]
pub struct Run {
    /// As it is named on the command line.
    pub kernel: &'static str,
    /// As the kernel calls itself; empty if it was not tried.
    pub release: String,
    pub package: String,
    /// `kvm` or `emulation`.
    pub accelerator: &'static str,
    pub seconds: f64,
    pub passed: bool,
    /// Why it could not be fetched, or did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub scenarios: Vec<Scenario>,
    pub doctor: Vec<String>,
}

impl Run {
    pub fn unfetched(kernel: &Kernel, cause: String) -> Self {
        Self {
            kernel: kernel.version,
            release: String::new(),
            package: String::new(),
            accelerator: "",
            seconds: 0.0,
            passed: false,
            cause: Some(cause),
            scenarios: Vec::new(),
            doctor: Vec::new(),
        }
    }

    pub fn of(kernel: &Fetched, accelerator: Accelerator, outcome: Outcome) -> Self {
        let cause = match (outcome.killed, outcome.told.is_complete()) {
            (true, _) => Some("the machine did not end in time"),
            (false, false) => Some("the machine ended before all scenarios had run"),
            (false, true) => None,
        };
        Self {
            kernel: kernel.kernel.version,
            package: kernel.package.clone(),
            accelerator: accelerator.name(),
            seconds: outcome.took.as_secs_f64(),
            passed: outcome.told.passed(),
            cause: cause.map(str::to_owned),
            release: outcome.told.release,
            scenarios: outcome.told.scenarios,
            doctor: outcome.told.doctor,
        }
    }

    fn was_tried(&self) -> bool {
        !self.package.is_empty()
    }

    fn title(&self) -> &str {
        if self.release.is_empty() { self.kernel } else { &self.release }
    }
}

#[derive(Default)]
pub struct Table {
    runs: Vec<Run>,
}

/// The file's shape.
#[derive(Serialize)]
struct File<'a> {
    /// Day of the run, in UTC.
    date: String,
    runs: &'a [Run],
}

impl Table {
    pub fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Scenarios in rows, kernels in columns, seconds in cells.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = |run: &Run| run.title().len().max(10) + 2;
        let _ = write!(text, "{:<28}", "scenario");
        for run in &self.runs {
            let _ = write!(text, "{:>1$}", run.title(), width(run));
        }
        for name in self.scenarios() {
            let _ = write!(text, "\n{name:<28}");
            for run in &self.runs {
                let _ = write!(text, "{:>1$}", cell(run, name), width(run));
            }
        }
        let _ = write!(text, "\n{:<28}", "whole machine");
        for run in &self.runs {
            let whole =
                if run.was_tried() { format!("{:.0} s", run.seconds) } else { "not tried".to_owned() };
            let _ = write!(text, "{whole:>0$}", width(run));
        }
        text.push('\n');
        for run in &self.runs {
            if let Some(cause) = &run.cause {
                let _ = writeln!(text, "{}: {cause}", run.title());
            }
            for line in run.doctor.iter().filter(|line| !is_content(line)) {
                let _ = writeln!(text, "{}: doctor: {line}", run.title());
            }
        }
        text
    }

    fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for scenario in self.runs.iter().flat_map(|run| &run.scenarios) {
            if !names.contains(&scenario.name.as_str()) {
                names.push(&scenario.name);
            }
        }
        names
    }

    /// For other programs, such as the one that writes docs/reliability.md.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = File { date: today(), runs: &self.runs };
        let json = serde_json::to_vec_pretty(&file)?;
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("results: {}", path.display());
        Ok(())
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write_page(&self, path: &Path) -> Result<()> {
        fs::write(path, self.page(&today())).with_context(|| format!("cannot write {}", path.display()))
    }

    fn page(&self, date: &str) -> String {
        let mut page = format!(
            "# Kernels\n\nWritten by `cargo xtask vm-test --write-docs` on {date}: stock kernels of Debian, each booted in QEMU with\n\
             [these scenarios](../tests/vm/src/scenarios.rs) on a simulated node. Cells have the seconds that each took; machines\n\
             that are emulated take some times longer than others.\n\n"
        );
        let tried: Vec<&Run> = self.runs.iter().filter(|run| run.was_tried()).collect();
        let row = |first: &str, cell: &dyn Fn(&Run) -> String| {
            let cells: String = tried.iter().map(|run| format!(" {} |", cell(run))).collect();
            format!("| {first} |{cells}\n")
        };
        page += &row("scenario", &|run| run.release.clone());
        page += &row("---", &|_| "---".to_owned());
        for name in self.scenarios() {
            page += &row(name, &|run| cell(run, name));
        }
        page += &row("whole machine", &|run| format!("{:.0} s, {}", run.seconds, run.accelerator));
        page += "\nWhat `observer doctor` is not content with there:";
        let mut lacks = String::new();
        for run in &tried {
            for line in run.doctor.iter().filter(|line| !is_content(line)) {
                let _ = write!(lacks, "\n- {}: {line}", run.release);
            }
        }
        page += if lacks.is_empty() { " nothing." } else { "\n" };
        page += &lacks;
        for run in self.runs.iter().filter(|run| !run.was_tried()) {
            let _ = write!(page, "\n\n{} could not be fetched.", run.kernel);
        }
        page.push('\n');
        page
    }

    /// # Errors
    /// Something failed, or fewer than `wanted` kernels were tried.
    pub fn verdict(&self, wanted: usize) -> Result<()> {
        let tried: Vec<&Run> = self.runs.iter().filter(|run| run.was_tried()).collect();
        let failed: Vec<&str> = tried.iter().filter(|run| !run.passed).map(|run| run.title()).collect();
        if !failed.is_empty() {
            bail!("not all is well on {}", failed.join(", "));
        }
        if tried.len() < wanted {
            bail!("{} kernels were tried, not {wanted}: the others cannot be fetched", tried.len());
        }
        Ok(())
    }
}

fn cell(run: &Run, name: &str) -> String {
    match run.scenarios.iter().find(|scenario| scenario.name == name) {
        Some(scenario) if scenario.passed => format!("{:.1} s", scenario.seconds),
        Some(_) => "FAILED".to_owned(),
        None => "-".to_owned(),
    }
}

/// `name ok detail`.
fn is_content(check: &str) -> bool {
    check.split(' ').nth(1) == Some("ok")
}

fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &'static str, scenarios: &[(&str, bool)]) -> Run {
        let scenario = |&(name, passed): &(&str, bool)| Scenario {
            name: name.into(),
            passed,
            seconds: 1.25,
            cause: String::new(),
        };
        let passed = scenarios.iter().all(|(_, passed)| *passed);
        Run {
            kernel,
            release: format!("{kernel}.0-cloud"),
            package: "linux-image".to_owned(),
            accelerator: "kvm",
            seconds: 20.4,
            passed,
            cause: None,
            scenarios: scenarios.iter().map(scenario).collect(),
            doctor: vec!["kernel ok 5.10".to_owned(), "jit degraded off".to_owned()],
        }
    }

    #[test]
    fn a_suite_that_cannot_be_fetched_is_told_and_no_failure_as_long_as_enough_others_ran() {
        let mut table = Table::default();
        table.add(run("5.10", &[("tls", true)]));
        table.add(Run::unfetched(&Kernel { version: "6.1", suite: "bookworm" }, "404 Not Found".to_owned()));
        table.add(run("6.12", &[("tls", true), ("udp", true)]));
        assert!(table.verdict(2).is_ok());
        assert_eq!(
            table.verdict(3).unwrap_err().to_string(),
            "2 kernels were tried, not 3: the others cannot be fetched"
        );
        assert!(table.text().contains("6.1: 404 Not Found"), "{}", table.text());
    }

    #[test]
    fn a_failed_scenario_is_seen_in_table_page_and_verdict() {
        let mut table = Table::default();
        table.add(run("5.10", &[("tls", false)]));
        table.add(run("6.12", &[("tls", true), ("udp", true)]));
        assert_eq!(table.verdict(2).unwrap_err().to_string(), "not all is well on 5.10.0-cloud");
        let page = table.page("2026-11-26");
        assert!(page.contains("| tls | FAILED | 1.2 s |\n| udp | - | 1.2 s |"), "{page}");
        assert!(page.contains("- 5.10.0-cloud: jit degraded off"), "{page}");
        assert!(table.text().lines().nth(1).unwrap().ends_with("1.2 s"), "{}", table.text());
    }
}
