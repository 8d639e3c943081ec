//! `observer doctor`: what this kernel and this process allow, what is degraded, what that costs, and the way out.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cluster;
use crate::memory::{self, Swap};
use crate::probe::{self, Check, FeatureState};

#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Check this cgroup v2 directory instead of the one that is found
    #[arg(long, value_name = "DIR")]
    pub cgroup_root: Option<PathBuf>,
    /// How to print the checks
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DoctorOutput,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoctorOutput {
    #[default]
    Table,
    Json,
}

#[derive(Serialize)]
struct Report<'a> {
    checks: Vec<Line<'a>>,
    verdict: FeatureState,
}

/// `cost` and `remedy` are absent where all is well.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    state: FeatureState,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

/// Loads and attaches the kernel programs for a moment, and prints what came of it. 1 if the main job cannot be done.
#[must_use]
pub fn run(args: &DoctorArgs) -> ExitCode {
    let checks = probe::examine(args.cgroup_root.as_deref());
    let cluster = ask_cluster();
    let report = Report::of(&checks, &cluster);
    let mut out = io::stdout().lock();
    // Whoever closed the pipe does not want the rest; the exit code still tells.
    let _ = match args.output {
        DoctorOutput::Table => table(&report, &mut out),
        DoctorOutput::Json => json(&report, &mut out),
    };
    if report.verdict == FeatureState::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the API server says, if the environment names one.
fn ask_cluster() -> Vec<cluster::Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(cluster::check())).unwrap_or_default()
}

impl<'a> Report<'a> {
    fn of(checks: &'a [Check], cluster: &'a [cluster::Finding]) -> Self {
        let line = |check: &'a Check| {
            let unwell = check.state != FeatureState::Ok;
            Line {
                name: check.feature.name,
                state: check.state,
                detail: &check.detail,
                cost: unwell.then_some(check.feature.cost),
                remedy: unwell.then_some(check.remedy),
            }
        };
        // Traffic is observed without the cluster's help, too.
        let told = |finding: &'a cluster::Finding| Line {
            name: finding.name,
            state: if finding.lack.is_some() { FeatureState::Degraded } else { FeatureState::Ok },
            detail: &finding.detail,
            cost: finding.lack.as_ref().map(|lack| lack.cost),
            remedy: finding.lack.as_ref().map(|lack| lack.remedy.as_str()),
        };
        let told: Vec<Line<'a>> =
            std::iter::once(memory(memory::swap())).chain(cluster.iter().map(told)).collect();
        let worst = told.iter().map(|line| line.state).max().unwrap_or(FeatureState::Ok);
        let verdict = probe::verdict(checks).max(worst);
        Self { checks: checks.iter().map(line).chain(told).collect(), verdict }
    }
}

/// Credentials pass through it.
fn memory(swap: Swap) -> Line<'static> {
    let name = "memory";
    let ok = |detail| Line { name, state: FeatureState::Ok, detail, cost: None, remedy: None };
    match swap {
        Swap::Locked => ok("locked by `observer run`: never swapped out, never dumped"),
        Swap::Nowhere => ok("never dumped; not locked, but this node has no swap"),
        Swap::Possible => Line {
            state: FeatureState::Degraded,
            cost: Some("credentials that are being read may be written to the node's swap"),
            remedy: Some("give CAP_SYS_RESOURCE or an unlimited RLIMIT_MEMLOCK, or turn swap off"),
            ..ok("cannot be locked, and this node swaps")
        },
    }
}

fn json(report: &Report<'_>, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

fn table(report: &Report<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:<20}{:<10}DETAIL", "CHECK", "STATE")?;
    for line in &report.checks {
        writeln!(out, "{:<20}{:<10}{}", line.name, line.state, line.detail)?;
        if let Some(cost) = line.cost {
            writeln!(out, "{:30}costs: {cost}", "")?;
        }
        if let Some(remedy) = line.remedy {
            writeln!(out, "{:30}way out: {remedy}", "")?;
        }
    }
    let summary = match report.verdict {
        FeatureState::Ok => "everything works here",
        FeatureState::Degraded => "observes, with the losses named above",
        FeatureState::Missing => "cannot observe here",
    };
    writeln!(out, "\nverdict: {} ({summary})", report.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report<'static> {
        let line = |name, state, detail, cost, remedy| Line { name, state, detail, cost, remedy };
        Report {
            checks: vec![
                line("kernel", FeatureState::Ok, "6.1.0", None, None),
                line("jit", FeatureState::Degraded, "off", Some("slow"), Some("switch it on")),
            ],
            verdict: FeatureState::Degraded,
        }
    }

    #[test]
    fn what_is_not_ok_says_what_it_costs_and_the_way_out() {
        let mut text = Vec::new();
        table(&report(), &mut text).unwrap();
        let expected = "\
CHECK               STATE     DETAIL
kernel              ok        6.1.0
jit                 degraded  off
                              costs: slow
                              way out: switch it on

verdict: degraded (observes, with the losses named above)
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn the_json_report_has_checks_and_a_verdict() {
        let mut text = Vec::new();
        json(&report(), &mut text).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "checks": [
                    {"name": "kernel", "state": "ok", "detail": "6.1.0"},
                    {"name": "jit", "state": "degraded", "detail": "off", "cost": "slow", "remedy": "switch it on"},
                ],
                "verdict": "degraded",
            })
        );
    }
}
