//! One run: a mode is set up, a load made, and all that can be read of it is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::exposition;
use super::idle::{Held, Idle};
use super::load::Load;
use super::machine;
use super::meter::{ProgramTimes, Programs};
use super::mode::{Mode, Watcher};
use super::output::Work;
use super::stage::Stage;
use crate::scratch::Scratch;

/// After the load, until what the kernel saw is counted: the ring is drained within 40 ms, and an end of a connection
/// waits up to a second for the other.
const SETTLE: Duration = Duration::from_millis(1_500);

#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub mode: Mode,
    pub load: Load,
    pub round: u32,
    /// Whether the kernel took the time of its programs: then nothing else is to be compared.
    pub timed: bool,
    pub work: Work,
    /// What nginx counted.
    pub requests_served: u64,
    pub connections_served: u64,
    /// Processor seconds of the pods: client and server, with what the kernel did for them.
    pub pods_cpu_seconds: f64,
    /// How many processors were busy for others than the pods and the watcher: noise.
    pub others: f64,
    pub watched: Option<Watched>,
    pub counted: Option<Counted>,
    pub programs: Option<Programs>,
    pub map_bytes: Option<u64>,
    pub idle: Option<Idle>,
    /// Requests that a peer told of, which may be fewer than there were.
    pub told: Option<u64>,
}

impl Run {
    /// Processor seconds of the pods and of the watcher, for each unit of work.
    pub fn cpu_per_unit(&self) -> f64 {
        let watcher = self.watched.map_or(0.0, |watched| watched.cpu_seconds);
        (self.pods_cpu_seconds + watcher) / self.work.units
    }
}

/// What a process in user space used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Watched {
    pub cpu_seconds: f64,
    pub rss_anon_at_rest: u64,
    pub rss_anon_peak: u64,
}

/// What the observer's metrics grew by.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    pub requests: u64,
    pub flows: u64,
    pub bytes: u64,
    /// By stage, those that lost anything.
    pub lost: BTreeMap<String, u64>,
}

/// What a run is about.
#[derive(Clone, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub load: Load,
    pub round: u32,
    pub timed: bool,
    pub seconds: u32,
}

impl Plan {
    /// # Errors
    /// If the mode cannot be set up, or the load fails.
    pub fn run(&self, stage: &Stage, scratch: &Scratch, observer: &Path) -> Result<Run> {
        let _times = self.timed.then(ProgramTimes::take).transpose()?;
        let watcher = Watcher::start(&self.mode, stage, scratch, observer)
            .with_context(|| format!("{} does not start", self.mode.name()))?;
        let run = self.measure(&watcher, stage, scratch);
        let stopped = watcher.stop();
        let run = run?;
        stopped?;
        Ok(run)
    }

    fn measure(&self, watcher: &Watcher, stage: &Stage, scratch: &Scratch) -> Result<Run> {
        let (meter, programs) = (watcher.meter(), watcher.programs());
        let rest = meter.map(|meter| meter.rss_anon());
        let held = match self.load {
            Load::Many => Some(Held::open(stage, meter)?),
            _ => None,
        };
        let counted_before = watcher.daemon().map(|daemon| daemon.metrics()).transpose()?;
        let ran_before = programs.map(|meter| meter.kernel().1);
        let served_before = stage.served()?;
        let cpu_before = meter.map(|meter| meter.cpu()).transpose()?;

        let pods_before = stage.pods_cpu()?;
        let (busy_before, start) = (machine::busy(), Instant::now());

        let work = || self.load.run(stage, scratch, self.seconds);
        let (work, peak) = match meter {
            Some(meter) => meter.peak_while(work),
            None => (work(), 0),
        };
        let work = work.with_context(|| format!("{} under {}", self.load.name(), self.mode.name()))?;
        let pods_after = stage.pods_cpu()?;
        let (busy, took) = (machine::busy() - busy_before, start.elapsed().as_secs_f64());
        let watched = meter.and_then(|meter| meter.cpu().ok()).zip(cpu_before);
        let watched = watched.map_or(0.0, |(after, before)| after - before);
        let others = (busy - (pods_after - pods_before) - watched).max(0.0) / took;
        if meter.is_some() {
            thread::sleep(SETTLE);
        }

        let told = watcher.told(self.load);
        let cpu_after = meter.map(|meter| meter.cpu()).transpose()?;
        let kernel = programs.map(|meter| meter.kernel());
        let served = stage.served()?;
        let idle = held.and_then(Held::release);
        let counted = match (watcher.daemon(), counted_before) {
            (Some(daemon), Some(before)) => Some(Counted::between(&before, &daemon.metrics()?)),
            _ => None,
        };
        let watched = match (cpu_before, cpu_after, rest) {
            (Some(before), Some(after), Some(rss_anon_at_rest)) => {
                Some(Watched { cpu_seconds: after - before, rss_anon_at_rest, rss_anon_peak: peak })
            }
            _ => None,
        };
        Ok(Run {
            mode: self.mode.clone(),
            load: self.load,
            round: self.round,
            timed: self.timed,
            work,
            // The second question is not yet answered in the first answer.
            requests_served: served.requests - served_before.requests - 1,
            connections_served: served.connections - served_before.connections - 1,
            pods_cpu_seconds: pods_after - pods_before,
            others,
            watched,
            counted,
            programs: kernel
                .zip(ran_before)
                .filter(|_| self.timed)
                .map(|((_, after), before)| after - before),
            map_bytes: kernel.map(|(bytes, _)| bytes),
            idle,
            told,
        })
    }
}

impl Counted {
    fn between(before: &str, after: &str) -> Self {
        let grown = |metric| (exposition::sum(after, metric) - exposition::sum(before, metric)) as u64;
        let stages = |text| exposition::by_label(text, "observer_lost_events_total");
        let earlier = stages(before);
        let lost = stages(after).into_iter().map(|(stage, lost)| {
            let grown = lost - earlier.get(&stage).copied().unwrap_or_default();
            (stage, grown as u64)
        });
        Self {
            requests: grown("observer_requests_total"),
            flows: grown("observer_flows_total"),
            bytes: grown("observer_bytes_total"),
            lost: lost.filter(|(_, lost)| *lost > 0).collect(),
        }
    }
}

#[cfg(test)]
pub mod examples {
    use super::*;

    /// A run of load a with 1,000 requests in a second.
    pub fn run(mode: Mode, round: u32) -> Run {
        let work = Work { units: 1_000.0, seconds: 1.0, latency: None, failed: 0 };
        Run {
            mode,
            load: Load::KeepAlive,
            round,
            timed: false,
            work,
            requests_served: 1_000,
            connections_served: 16,
            pods_cpu_seconds: 1.0,
            others: 0.0,
            watched: None,
            counted: None,
            programs: None,
            map_bytes: None,
            idle: None,
            told: None,
        }
    }

    /// The same under the observer, which counted so many requests.
    pub fn observed(round: u32, requests: u64, lost: &[(&str, u64)]) -> Run {
        let lost = lost.iter().map(|(stage, lost)| ((*stage).to_owned(), *lost)).collect();
        Run {
            watched: Some(Watched { cpu_seconds: 0.25, rss_anon_at_rest: 1 << 20, rss_anon_peak: 2 << 20 }),
            counted: Some(Counted { requests, flows: 16, bytes: 0, lost }),
            map_bytes: Some(3 << 20),
            ..run(Mode::Observer, round)
        }
    }

    #[test]
    fn what_the_metrics_grew_by_is_counted_and_only_stages_that_lost_are_named() {
        let text = |requests: u32, kernel: u32| {
            format!(
                "observer_requests_total{{authentication=\"none\"}} {requests}\n\
                 observer_lost_events_total{{stage=\"kernel_payload\"}} {kernel}\n\
                 observer_lost_events_total{{stage=\"decode\"}} 4\n"
            )
        };
        let counted = Counted::between(&text(7, 0), &text(12, 3));
        assert_eq!(counted.requests, 5);
        assert_eq!(counted.lost, [("kernel_payload".to_owned(), 3)].into());
    }
}
