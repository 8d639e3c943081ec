//! What is to be reached, and what was.

use std::fmt::Write as _;

use super::load::Load;
use super::mode::Mode;
use super::report::{self, mebibytes, spread};
use super::statistics::Spread;
use super::summary::Summary;

/// What `flow_rate`, a setting, keeps from standard output was seen and counted all the same.
const RATE: &str = "flow_rate";

/// The load of what is a goal for each of them.
const ALL: &str = "all";

struct Goal {
    load: &'static str,
    goal: String,
    /// As it was measured, and whether that will do; none if it was not.
    measured: Option<(String, bool)>,
}

/// A row for each goal; next to peers, that about peers alone.
pub fn table(summaries: &[Summary]) -> String {
    let mut text = String::from("| load | goal | measured | met |\n|---|---|---|---|\n");
    let with_peers = summaries.iter().any(|summary| matches!(summary.mode, Mode::Peer(_)));
    let wanted = goals(summaries).into_iter().filter(|goal| (goal.load == ALL) == with_peers);
    for Goal { load, goal, measured } in wanted {
        let (value, met) = measured.map_or_else(
            || ("not measured".to_owned(), "-"),
            |(value, met)| (value, if met { "yes" } else { "**no**" }),
        );
        let _ = writeln!(text, "| {load} | {goal} | {value} | {met} |");
    }
    text
}

fn goals(summaries: &[Summary]) -> Vec<Goal> {
    let of = |load: Load| {
        summaries.iter().find(move |summary| summary.load == load && summary.mode == Mode::Observer)
    };
    let all = || summaries.iter().filter(|summary| summary.mode == Mode::Observer);
    let ratio = |load: Load, base: &str, least: f64, of_summary: fn(&Summary) -> Option<Spread>| Goal {
        load: load.name(),
        goal: format!("throughput at least {least} of {base}"),
        measured: of(load).and_then(of_summary).map(|value| (spread(value), value.median >= least)),
    };
    let to_floor = |summary: &Summary| summary.rate_to_floor;
    let counts = |load: Load, goal: &str| Goal {
        load: load.name(),
        goal: goal.to_owned(),
        measured: of(load).and_then(|summary| {
            let (count, lost) = summary.count.zip(summary.lost.as_ref())?;
            let value = format!(
                "{} of {}, {} of {} runs differ, lost {}",
                count.counted,
                count.served,
                count.wrong,
                count.runs,
                report::lost(lost)
            );
            Some((value, count.wrong == 0 && lost.keys().all(|stage| stage == RATE)))
        }),
    };
    let largest = |of_summary: fn(&Summary) -> Option<u64>, most: u64| {
        all().filter_map(of_summary).max().map(|bytes| (mebibytes(bytes), bytes <= most << 20))
    };
    vec![
        ratio(Load::KeepAlive, "floor", 0.98, to_floor),
        Goal {
            load: Load::KeepAlive.name(),
            goal: "at most 0.4 CPU-s per million requests".to_owned(),
            measured: of(Load::KeepAlive)
                .and_then(|summary| summary.cpu_seconds)
                .map(|value| (spread(value), value.median <= 0.4)),
        },
        counts(Load::KeepAlive, "counted = served, none lost"),
        ratio(Load::Connections, "floor", 0.95, to_floor),
        counts(Load::Connections, "every connection recorded"),
        ratio(Load::H2c, "floor", 0.95, to_floor),
        ratio(Load::Tls, "floor", 0.99, to_floor),
        ratio(Load::Bulk, "none", 0.99, |summary| summary.rate_to_none),
        Goal {
            load: Load::Many.name(),
            goal: "at most 512 B of RssAnon per connection".to_owned(),
            measured: of(Load::Many)
                .and_then(|summary| summary.bytes_per_idle_connection)
                .map(|value| (format!("{:.0} B", value.median), value.median <= 512.0)),
        },
        Goal {
            load: Load::Many.name(),
            goal: "idle connections cost no CPU (less than 1 ms a second)".to_owned(),
            measured: of(Load::Many)
                .and_then(|summary| summary.idle_cpu)
                .map(|value| (format!("{:.1} ms/s", value.median), value.median < 1.0)),
        },
        Goal {
            load: ALL,
            goal: "less CPU per unit of work, pods and watcher together, than every peer".to_owned(),
            measured: against_peers(summaries),
        },
        Goal {
            load: "memory",
            goal: "at most 24 MiB RssAnon at rest".to_owned(),
            measured: largest(|summary| summary.rss_anon_at_rest, 24),
        },
        Goal {
            load: "memory",
            goal: "at most 16 MiB of kernel maps".to_owned(),
            measured: largest(|summary| summary.map_bytes, 16),
        },
    ]
}

/// The loads where a peer needs less.
fn against_peers(summaries: &[Summary]) -> Option<(String, bool)> {
    let mut compared = 0;
    let mut worse = Vec::new();
    for peer in summaries.iter().filter(|summary| matches!(summary.mode, Mode::Peer(_))) {
        let own = summaries.iter().find(|own| own.load == peer.load && own.mode == Mode::Observer);
        if let Some((own, other)) = own.and_then(|own| own.cpu_to_none.zip(peer.cpu_to_none)) {
            compared += 1;
            if own.median >= other.median {
                worse.push(format!("{} ({})", peer.mode.name(), peer.load.name()));
            }
        }
    }
    let met = worse.is_empty();
    let worse = if met { "in all".to_owned() } else { format!("not so: {}", worse.join("; ")) };
    (compared > 0).then(|| (format!("{compared} comparisons, {worse}"), met))
}

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
    use super::super::run::Run;
    use super::super::run::examples::{observed, run};
    use super::*;

    fn row(runs: &[Run], goal: &str) -> String {
        let mut summaries = Vec::new();
        for mode in [Mode::None, Mode::Floor, Mode::Observer, Mode::Peer(Peer::tcpdump())] {
            summaries.extend(Summary::of(runs, Load::KeepAlive, &mode));
        }
        let table = table(&summaries);
        table.lines().find(|line| line.contains(goal)).expect("the goal has a row").to_owned()
    }

    #[test]
    fn a_goal_is_met_by_the_median_and_only_where_it_was_measured() {
        let at = |rate: f64| {
            let mut observed = observed(1, 1_000, &[]);
            observed.work.units = rate;
            [run(Mode::Floor, 1), observed]
        };
        let goal = "throughput at least 0.98 of floor";
        assert!(row(&at(980.0), goal).ends_with("| yes |"));
        assert!(row(&at(979.0), goal).ends_with("| **no** |"));
        assert!(row(&[run(Mode::Floor, 1)], goal).ends_with("| not measured | - |"));
    }

    #[test]
    fn what_was_lost_or_counted_wrong_misses_the_goal_and_what_a_setting_left_out_does_not() {
        let goal = "counted = served";
        assert!(row(&[observed(1, 1_000, &[("flow_rate", 5)])], goal).ends_with("| yes |"));
        assert!(row(&[observed(1, 1_000, &[("kernel_payload", 1)])], goal).ends_with("| **no** |"));
        assert!(row(&[observed(1, 900, &[])], goal).ends_with("| **no** |"));
    }

    #[test]
    fn a_peer_that_needs_less_is_named() {
        let peer = |cpu: f64| Run { pods_cpu_seconds: cpu, ..run(Mode::Peer(Peer::tcpdump()), 1) };
        let goal = "than every peer";
        assert!(row(&[run(Mode::None, 1), observed(1, 1_000, &[]), peer(1.3)], goal).ends_with("| yes |"));
        let cheaper = row(&[run(Mode::None, 1), observed(1, 1_000, &[]), peer(1.1)], goal);
        assert!(cheaper.contains("not so: tcpdump (a, keep-alive)"), "{cheaper}");
    }
}
