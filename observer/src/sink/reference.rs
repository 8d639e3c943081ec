//! docs/metrics.md, from the table that the exposition is made of.

use std::fmt::Write as _;

use super::families::{EDGE, Family, Label, Metric, Values};

const INTRODUCTION: &str = "\
# Metrics

`observer run` serves these on `--listen`, at `/metrics`: in OpenMetrics 1.0, or in the Prometheus text format for who asks
for that. There are no exemplars: they would name requests. No label holds an address, a pod's name, a path or a token.

Each metric below says what it means that it is 0, or that a series of it is not there. Either is only as good as
the coverage beside it: what was lost, cut off or not resolved is counted in metrics of its own, and what was not seen is
`unknown`, never absent.

## How many series there are

An exposition has at most `series_budget` samples (50,000 unless set), those of all families together. Nine tenths of that
are for edges to appear in; the last tenth is for what edges that are there already get new. What finds no room is counted
under `_overflow` in all of its edge's labels, so that sums stay right, and `observer_series_overflow_total` counts it.

An edge gives its series back once it had no flow for `series_idle` seconds (3,600 unless set; 0: never) and a pod's end of it
is gone: no pod runs as that ServiceAccount any more. Edges without a pod's end go by time alone. An edge whose pods are
still there stays, however quiet, and so does one with an open flow. One that comes back starts at zero, as after a restart:
`rate()` and `increase()` take that for a counter reset. ServiceAccounts that have no pod between two runs, such as those of
some CronJobs, want a longer `series_idle`. A pair of `observer_exempted_total` goes after the same time once no setting has
its reason any more.

";

/// The whole page.
#[must_use]
pub fn metrics_page() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("## The labels of an edge\n\nMetrics *by edge* have these eight, in this order.\n\n");
    labels(&mut page, &EDGE);
    page.push_str("\n## The metrics\n");
    for metric in Metric::ALL {
        family(&mut page, &metric.family());
    }
    page
}

fn family(page: &mut String, family: &Family) {
    let unit = family.unit.map_or_else(String::new, |unit| format!(", in {}", unit.as_str()));
    let edge = if family.edge { ", by edge" } else { "" };
    // Writing to a String cannot fail.
    let _ = write!(page, "\n### `{}`\n\n", family.sample_name());
    let _ = write!(page, "A {}{unit}{edge}. {}.\n\n", family.kind.as_str(), family.help);
    if !family.labels.is_empty() {
        labels(page, family.labels);
        page.push('\n');
    }
    let _ = writeln!(page, "{}", family.zero);
    let beside: Vec<String> =
        family.beside.iter().map(|metric| format!("`{}`", metric.family().sample_name())).collect();
    if !beside.is_empty() {
        let _ = writeln!(page, "\nBeside it: {}.", beside.join(", "));
    }
}

/// A table of them, and below it what those words mean that do not tell themselves.
fn labels(page: &mut String, labels: &[Label]) {
    page.push_str("| label | values |\n|---|---|\n");
    let mut meanings = String::new();
    for Label { name, values } in labels {
        let values = match values {
            Values::Text(text) => (*text).to_owned(),
            Values::Words(words) => {
                let words = words();
                for (word, meaning) in words.iter().filter(|(_, meaning)| !meaning.is_empty()) {
                    let _ = writeln!(meanings, "- `{word}`: {meaning}");
                }
                words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
        };
        let _ = writeln!(page, "| `{name}` | {values} |");
    }
    if !meanings.is_empty() {
        let _ = write!(page, "\n{meanings}");
    }
}
