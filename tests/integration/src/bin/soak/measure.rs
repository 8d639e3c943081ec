//! What the daemon holds, and whether it grows: the mean of the run's last third against that of its first.

use std::fmt::{self, Write as _};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_integration::Daemon;
use serde_json::{Value, json};

use crate::trouble::Troubles;

/// At the start tables fill up, which is no leak.
const WARM_UP: f64 = 0.1;

/// A quantity, how much of it may come to it in proportion, and how much in any case.
struct Quantity {
    name: &'static str,
    of: fn(&Sample) -> f64,
    part: f64,
    slack: f64,
}

const QUANTITIES: [Quantity; 4] = [
    Quantity { name: "memory (RssAnon), KiB", of: |sample| sample.memory, part: 0.1, slack: 2_048.0 },
    Quantity { name: "file descriptors", of: |sample| sample.files, part: 0.1, slack: 4.0 },
    Quantity { name: "kernel maps, KiB", of: |sample| sample.maps, part: 0.1, slack: 256.0 },
    Quantity { name: "series", of: |sample| sample.series, part: 0.05, slack: 10.0 },
];

/// One look.
pub struct Sample {
    at: Duration,
    memory: f64,
    files: f64,
    maps: f64,
    series: f64,
    flows: f64,
}

impl Sample {
    pub fn take(daemon: &Daemon, at: Duration) -> Result<Self> {
        let pid = daemon.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
        let exposition = daemon.get_as("/metrics", "text/plain")?;
        ensure!(exposition.starts_with("HTTP/1.1 200"), "no metrics now");
        let series = exposition.lines().filter(|line| line.starts_with("observer_"));
        let flows = exposition.lines().find_map(|line| line.strip_prefix("observer_open_flows "));
        let mut maps = 0.0;
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // proc_pid_fdinfo(5). A descriptor may be closed in between.
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            if text.contains("map_id:") {
                let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:")).unwrap_or("0");
                maps += bytes.trim().parse::<f64>()? / 1024.0;
            }
        }
        Ok(Self {
            at,
            memory: memory.trim().trim_end_matches(" kB").parse()?,
            files: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64,
            maps,
            series: series.count() as f64,
            flows: flows.context("observer_open_flows")?.parse()?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} KiB of memory, {} files, {:.0} KiB of maps, {} series, {} flows",
            self.memory, self.files, self.maps, self.series, self.flows
        )
    }
}

struct Row {
    name: &'static str,
    first: f64,
    last: f64,
    most: f64,
    allowed: f64,
}

pub struct Summary {
    rows: Vec<Row>,
    told: Vec<(String, String)>,
    length: Duration,
}

impl Summary {
    pub fn of(
        samples: &[Sample],
        daemon: &Daemon,
        downloads: u64,
        troubles: &Troubles,
        length: Duration,
    ) -> Result<Self> {
        let end = samples.last().context("no sample")?.at.as_secs_f64();
        let begin = end * WARM_UP;
        let third = (end - begin) / 3.0;
        let mean = |of: fn(&Sample) -> f64, from: f64, to: f64| -> Result<f64> {
            let within = |sample: &&Sample| (from..=to).contains(&sample.at.as_secs_f64());
            let values: Vec<f64> = samples.iter().filter(within).map(of).collect();
            ensure!(!values.is_empty(), "no sample between {from:.0} s and {to:.0} s");
            Ok(values.iter().sum::<f64>() / values.len() as f64)
        };
        let mut rows = Vec::new();
        for quantity in &QUANTITIES {
            let first = mean(quantity.of, begin, begin + third)?;
            rows.push(Row {
                name: quantity.name,
                first,
                last: mean(quantity.of, end - third, end)?,
                most: samples.iter().map(quantity.of).fold(0.0, f64::max),
                allowed: (first * quantity.part).max(quantity.slack),
            });
        }
        let metric = |name: &str| daemon.metric(name, &[]);
        let most = samples.iter().map(|sample| sample.flows).fold(0.0, f64::max);
        let faults: Vec<String> = troubles.iter().map(|(name, times)| format!("{name}: {times}")).collect();
        let told = vec![
            ("downloads, each the same byte for byte".to_owned(), downloads.to_string()),
            // As many as the load makes of them: nothing to judge.
            ("open flows at most".to_owned(), format!("{most:.0}")),
            ("flows counted".to_owned(), format!("{:.0}", metric("observer_flows_total")?)),
            ("requests counted".to_owned(), format!("{:.0}", metric("observer_requests_total")?)),
            ("lost events, all stages".to_owned(), format!("{:.0}", metric("observer_lost_events_total")?)),
            ("clients turned away".to_owned(), format!("{:.0}", metric("observer_refused_clients_total")?)),
            ("faults".to_owned(), faults.join("; ")),
        ];
        Ok(Self { rows, told, length })
    }

    pub fn is_flat(&self) -> bool {
        self.rows.iter().all(Row::is_flat)
    }

    pub fn text(&self) -> String {
        let mut text =
            format!("{:<24}{:>12}{:>12}{:>12}{:>12}\n", "", "first third", "last third", "may grow", "most");
        for row in &self.rows {
            let verdict = if row.is_flat() { "" } else { "  GROWS" };
            let Row { name, first, last, most, allowed } = row;
            let _ = writeln!(text, "{name:<24}{first:>12.0}{last:>12.0}{allowed:>12.0}{most:>12.0}{verdict}");
        }
        for (name, value) in &self.told {
            let _ = writeln!(text, "{name}: {value}");
        }
        text
    }

    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name, "first": row.first.round(), "last": row.last.round(),
                    "allowed": row.allowed.round(), "most": row.most.round(), "flat": row.is_flat(),
                })
            })
            .collect();
        let told: Vec<Value> = self.told.iter().map(|(name, value)| json!([name, value])).collect();
        json!({"seconds": self.length.as_secs(), "rows": rows, "told": told, "flat": self.is_flat()})
    }
}

impl Row {
    fn is_flat(&self) -> bool {
        self.last - self.first <= self.allowed
    }
}
