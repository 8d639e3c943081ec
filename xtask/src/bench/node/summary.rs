//! Many runs of a load in a mode as a few numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::Load;
use super::mode::Mode;
use super::run::Run;
use super::statistics::Spread;

/// Ratios are of two runs in the same round.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub load: Load,
    pub mode: Mode,
    /// In the load's own rate.
    pub rate: Option<Spread>,
    pub rate_to_none: Option<Spread>,
    pub rate_to_floor: Option<Spread>,
    /// Of the pods and the watcher together, for each unit of work.
    pub cpu_to_none: Option<Spread>,
    pub cpu_to_floor: Option<Spread>,
    pub p50_to_none: Option<Spread>,
    pub p99_to_none: Option<Spread>,
    /// Of the process, for each million requests or GB.
    pub cpu_seconds: Option<Spread>,
    /// Of kernel programs, for a packet or call; for a callback; in all for a request, or for each 1,000 bytes.
    pub packet_ns: Option<f64>,
    pub callback_ns: Option<f64>,
    pub unit_ns: Option<f64>,
    pub rss_anon_peak: Option<u64>,
    pub rss_anon_at_rest: Option<u64>,
    pub map_bytes: Option<u64>,
    pub lost: Option<BTreeMap<String, u64>>,
    pub count: Option<Count>,
    pub bytes_per_idle_connection: Option<Spread>,
    /// Processor milliseconds in a second that 10,000 idle connections add.
    pub idle_cpu: Option<Spread>,
}

/// All untimed runs together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Count {
    pub counted: u64,
    pub served: u64,
    /// Runs in which the two differed by more than what was under way at the end.
    pub wrong: u64,
    pub runs: u64,
}

impl Summary {
    /// Of one load in one mode; none if it did not run.
    pub fn of(runs: &[Run], load: Load, mode: &Mode) -> Option<Self> {
        let own = || runs.iter().filter(move |run| run.load == load && run.mode == *mode);
        let plain = || own().filter(|run| !run.timed);
        own().next()?;
        let other = |run: &Run, mode: &Mode| {
            runs.iter().find(|other| {
                other.load == load && other.mode == *mode && other.round == run.round && !other.timed
            })
        };
        let ratio = |base: &Mode, of: fn(&Run) -> Option<f64>| {
            if mode == base {
                return None;
            }
            Spread::of(plain().filter_map(|run| Some(of(run)? / of(other(run, base)?)?)))
        };
        let rate = |run: &Run| Some(run.work.per_second());
        let (_, unit) = load.unit();
        let (_, rate_unit) = load.rate();
        let timed = own().find(|run| run.timed);
        let programs = timed.and_then(|run| run.programs);
        let each =
            |ran: super::meter::Ran| (ran.times > 0).then(|| ran.nanoseconds as f64 / ran.times as f64);
        let per_unit = if load == Load::Bulk { 1e3 } else { 1.0 };
        Some(Self {
            load,
            mode: mode.clone(),
            rate: Spread::of(plain().map(|run| run.work.per_second() / rate_unit)),
            rate_to_none: ratio(&Mode::None, rate),
            rate_to_floor: if *mode == Mode::None { None } else { ratio(&Mode::Floor, rate) },
            cpu_to_none: ratio(&Mode::None, |run| Some(run.cpu_per_unit())),
            cpu_to_floor: if *mode == Mode::None {
                None
            } else {
                ratio(&Mode::Floor, |run| Some(run.cpu_per_unit()))
            },
            p50_to_none: ratio(&Mode::None, |run| run.work.latency.map(|latency| latency.p50)),
            p99_to_none: ratio(&Mode::None, |run| run.work.latency.map(|latency| latency.p99)),
            cpu_seconds: Spread::of(
                plain().filter_map(|run| Some(run.watched?.cpu_seconds / (run.work.units / unit))),
            ),
            packet_ns: programs.and_then(|programs| each(programs.packets)),
            callback_ns: programs.and_then(|programs| each(programs.callbacks)),
            unit_ns: programs.zip(timed).map(|(programs, run)| {
                let all = programs.packets.nanoseconds + programs.callbacks.nanoseconds;
                all as f64 / (run.work.units / per_unit)
            }),
            rss_anon_peak: own().filter_map(|run| Some(run.watched?.rss_anon_peak)).max(),
            rss_anon_at_rest: own().filter_map(|run| Some(run.watched?.rss_anon_at_rest)).max(),
            map_bytes: own().filter_map(|run| run.map_bytes).max(),
            lost: lost(plain()),
            count: Count::of(plain()),
            bytes_per_idle_connection: Spread::of(
                own().filter_map(|run| Some(run.idle?.bytes_per_connection())),
            ),
            idle_cpu: Spread::of(
                own().filter_map(|run| run.idle.map(|idle| (idle.cpu_with - idle.cpu_before) * 1e3)),
            ),
        })
    }
}

impl Count {
    /// Requests, or connections where those are the load or all that can be seen; nothing where nobody else counts.
    fn of<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<Self> {
        let mut all = None::<Self>;
        for run in runs {
            let (counted, served) = match (&run.counted, run.told) {
                (Some(counted), _) if run.load.has_visible_requests() => {
                    (counted.requests, run.requests_served)
                }
                (Some(counted), _) if run.load == Load::Tls => (counted.flows, run.connections_served),
                (None, Some(told)) => (told, run.requests_served),
                _ => continue,
            };
            let sum = all.get_or_insert_default();
            sum.counted += counted;
            sum.served += served;
            sum.runs += 1;
            sum.wrong += u64::from(counted.abs_diff(served) > run.load.under_way());
        }
        all
    }
}

fn lost<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<BTreeMap<String, u64>> {
    let mut all = None::<BTreeMap<String, u64>>;
    for counted in runs.filter_map(|run| run.counted.as_ref()) {
        let sum = all.get_or_insert_default();
        for (stage, lost) in &counted.lost {
            *sum.entry(stage.clone()).or_default() += lost;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::meter::{Programs, Ran};
    use super::super::run::examples::{observed, run};
    use super::*;

    fn median(spread: Option<Spread>) -> f64 {
        spread.expect("it was measured").median
    }

    #[test]
    fn ratios_are_of_two_runs_in_one_round() {
        let with_rate = |mut run: Run, rate: f64| {
            run.work.units = rate;
            run
        };
        let runs = [
            with_rate(run(Mode::None, 1), 100.0),
            with_rate(observed(1, 90, &[]), 90.0),
            with_rate(run(Mode::None, 2), 1_000.0),
            with_rate(observed(2, 900, &[]), 900.0),
            // Nothing to compare it with.
            with_rate(observed(3, 1, &[]), 1.0),
        ];
        let summary = Summary::of(&runs, Load::KeepAlive, &Mode::Observer).unwrap();
        assert_eq!(summary.rate_to_none, Some(Spread { median: 0.9, low: 0.9, high: 0.9 }));
        assert_eq!(summary.rate_to_floor, None);
        assert_eq!(Summary::of(&runs, Load::KeepAlive, &Mode::None).unwrap().rate_to_none, None);
        assert!(Summary::of(&runs, Load::Tls, &Mode::None).is_none());
    }

    #[test]
    fn processor_time_is_the_pods_and_the_watchers_for_each_request() {
        let runs = [run(Mode::None, 1), observed(1, 1_000, &[])];
        let summary = Summary::of(&runs, Load::KeepAlive, &Mode::Observer).unwrap();
        assert_eq!(median(summary.cpu_to_none), 1.25);
        // A quarter of a second for a thousand.
        assert_eq!(median(summary.cpu_seconds), 250.0);
    }

    #[test]
    fn a_timed_run_tells_of_programs_and_of_nothing_else() {
        let programs = Programs {
            packets: Ran { times: 4_000, nanoseconds: 400_000 },
            callbacks: Ran { times: 100, nanoseconds: 5_000 },
        };
        let timed = Run { timed: true, programs: Some(programs), ..observed(0, 7, &[("decode", 9)]) };
        let runs = [observed(1, 1_000, &[]), timed];
        let summary = Summary::of(&runs, Load::KeepAlive, &Mode::Observer).unwrap();
        assert_eq!((summary.packet_ns, summary.callback_ns), (Some(100.0), Some(50.0)));
        assert_eq!(summary.unit_ns, Some(405.0));
        assert_eq!(summary.lost, Some(BTreeMap::new()));
        assert_eq!(summary.count.map(|count| (count.counted, count.served)), Some((1_000, 1_000)));
    }

    #[test]
    fn a_count_is_wrong_where_more_differs_than_was_under_way() {
        let runs = [observed(1, 1_016, &[]), observed(2, 984, &[]), observed(3, 983, &[])];
        let count = Summary::of(&runs, Load::KeepAlive, &Mode::Observer).unwrap().count.unwrap();
        assert_eq!((count.wrong, count.runs), (1, 3));
    }
}
