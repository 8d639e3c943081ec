//! The tables and the numbers behind them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;

use super::goals;
use super::load::Load;
use super::machine::Machine;
use super::mode::Mode;
use super::run::Run;
use super::statistics::Spread;
use super::summary::Summary;

/// All runs, and what they come to.
#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub seconds: u32,
    pub pairs: u32,
    pub runs: Vec<Run>,
    pub failures: Vec<Failure>,
}

/// A peer that does not run here.
#[derive(Serialize)]
pub struct Failure {
    pub mode: Mode,
    pub error: String,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    report: &'a Report,
    summaries: Vec<Summary>,
}

impl Report {
    pub fn new(seconds: u32, pairs: u32) -> Self {
        Self { machine: Machine::look(), seconds, pairs, runs: Vec::new(), failures: Vec::new() }
    }

    /// # Errors
    /// None that are known of.
    pub fn json(&self) -> Result<String> {
        let written = Written { report: self, summaries: self.summaries() };
        serde_json::to_string_pretty(&written).context("write the numbers")
    }

    fn noise(&self) -> String {
        let spread = Spread::of(self.runs.iter().map(|run| run.others));
        spread.map_or_else(String::new, |others| {
            format!(
                "Others kept {:.2} processors busy meanwhile ({:.2} to {:.2}).",
                others.median, others.low, others.high
            )
        })
    }

    fn summaries(&self) -> Vec<Summary> {
        // In the order in which they had their first turns.
        let mut pairs: Vec<(Load, &Mode)> = Vec::new();
        for run in &self.runs {
            if !pairs.contains(&(run.load, &run.mode)) {
                pairs.push((run.load, &run.mode));
            }
        }
        pairs.into_iter().filter_map(|(load, mode)| Summary::of(&self.runs, load, mode)).collect()
    }

    pub fn markdown(&self) -> String {
        let summaries = self.summaries();
        let failures = self.failures.iter().fold(String::new(), |text, failure| {
            format!("{text}\n{} was not measured: {}\n", failure.mode.name(), failure.error)
        });
        format!(
            "{} {} Rounds: {}, runs of {} s; medians, and the quartiles in parentheses.\n\n{}\n{}{failures}\n{}",
            self.machine.sentence(),
            self.noise(),
            self.pairs,
            self.seconds,
            traffic(&summaries),
            watchers(&summaries),
            goals::table(&summaries)
        )
    }
}

/// What the traffic pays.
fn traffic(summaries: &[Summary]) -> String {
    let mut text = String::from(
        "| load | mode | rate | rate to none | rate to floor | CPU to none | CPU to floor | p50 to none | p99 to none |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for summary in summaries {
        let (unit, _) = summary.load.rate();
        let rate = summary.rate.map_or_else(dash, |rate| format!("{} {unit}", number(rate.median)));
        let _ = write!(text, "| {} | {} | {rate} |", summary.load.name(), summary.mode.name());
        for ratio in [
            summary.rate_to_none,
            summary.rate_to_floor,
            summary.cpu_to_none,
            summary.cpu_to_floor,
            summary.p50_to_none,
            summary.p99_to_none,
        ] {
            let _ = write!(text, " {} |", ratio.map_or_else(dash, spread));
        }
        text.push('\n');
    }
    text
}

/// What the watcher itself uses and tells.
fn watchers(summaries: &[Summary]) -> String {
    let mut text = String::from(
        "| load | mode | CPU-s | kernel ns | RssAnon at most | maps | lost | counted of served |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for summary in summaries.iter().filter(|summary| summary.mode != Mode::None) {
        let (unit, _) = summary.load.unit();
        let cpu = summary.cpu_seconds.map_or_else(dash, |cpu| format!("{} a {unit}", spread(cpu)));
        let count = summary.count.map_or_else(dash, |count| format!("{} of {}", count.counted, count.served));
        let _ = writeln!(
            text,
            "| {} | {} | {cpu} | {} | {} | {} | {} | {count} |",
            summary.load.name(),
            summary.mode.name(),
            kernel(summary),
            summary.rss_anon_peak.map_or_else(dash, mebibytes),
            summary.map_bytes.map_or_else(dash, mebibytes),
            summary.lost.as_ref().map_or_else(dash, lost),
        );
    }
    text
}

/// A packet, a callback, and all for a request.
fn kernel(summary: &Summary) -> String {
    let part = |nanoseconds: Option<f64>| nanoseconds.map_or_else(dash, |value| format!("{value:.0}"));
    match summary.unit_ns {
        None => dash(),
        Some(_) => {
            format!("{} / {} / {}", part(summary.packet_ns), part(summary.callback_ns), part(summary.unit_ns))
        }
    }
}

/// One run, for people who wait.
pub fn line(run: &Run) -> String {
    let (unit, scale) = run.load.rate();
    let mut text = format!("{:>10} {unit}", number(run.work.per_second() / scale));
    if let Some(latency) = run.work.latency {
        let _ = write!(text, "  p50 {:.0} us, p99 {:.0} us", latency.p50, latency.p99);
    }
    if let Some(watched) = run.watched {
        let (unit, scale) = run.load.unit();
        let _ = write!(
            text,
            "  {:.3} CPU-s/{unit}, {} peak",
            watched.cpu_seconds / (run.work.units / scale),
            mebibytes(watched.rss_anon_peak)
        );
    }
    if let Some(told) = run.told {
        let _ = write!(text, "  told {told} of {}", run.requests_served);
    }
    if let Some(counted) = &run.counted {
        if run.load.has_visible_requests() {
            let _ = write!(text, "  counted {} of {}", counted.requests, run.requests_served);
        }
        let _ = write!(text, "  {} flows, lost {}", counted.flows, lost(&counted.lost));
    }
    if run.work.failed > 0 {
        let _ = write!(text, "  {} FAILED", run.work.failed);
    }
    text
}

/// `0`, or what each stage lost.
pub fn lost(lost: &BTreeMap<String, u64>) -> String {
    if lost.is_empty() {
        return "0".to_owned();
    }
    let stages: Vec<_> = lost.iter().map(|(stage, lost)| format!("{lost} ({stage})")).collect();
    stages.join(", ")
}

fn dash() -> String {
    "-".to_owned()
}

/// The median and the quartiles: `0.987 (0.981..0.990)`.
pub fn spread(spread: Spread) -> String {
    format!("{:.3} ({:.3}..{:.3})", spread.median, spread.low, spread.high)
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        let whole = (value.round() as u64).to_string();
        let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        return groups.join(",");
    }
    format!("{value:.2}")
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
