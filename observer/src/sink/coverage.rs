//! What was lost or not told, of the metrics that say so.

use std::collections::BTreeMap;

use super::query::CoverageView;
use crate::model::Timestamp;

/// `exposition` is in the text format, where a counter's sample ends with its value.
pub(super) fn read(exposition: &str, since: Timestamp) -> CoverageView {
    let mut coverage = CoverageView { since, ..CoverageView::default() };
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let Some(count) = value.parse::<u64>().ok().filter(|count| *count > 0) else { continue };
        let table: &mut BTreeMap<String, u64> = match name {
            "observer_lost_events_total" => &mut coverage.lost_events,
            "observer_unresolved_flows_total" => &mut coverage.unresolved_flows,
            "observer_truncated_payloads_total" => {
                coverage.truncated_payloads += count;
                continue;
            }
            _ => continue,
        };
        // The only label: its values are words of this program.
        let word = labels.split('"').nth(1).unwrap_or_default();
        *table.entry(word.to_owned()).or_default() += count;
    }
    coverage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture::metrics;

    #[test]
    fn what_the_metrics_count_as_lost_or_unresolved_is_told() {
        let metrics = metrics();
        metrics.lost("store", 3);
        metrics.unresolved("no-pod");
        metrics.unresolved("no-pod");
        metrics.truncated(1);
        let coverage = read(&metrics.prometheus_text(), Timestamp::from_seconds(7));
        assert_eq!(coverage.lost_events.get("store"), Some(&3), "{coverage:?}");
        assert_eq!(coverage.lost_events.len(), 1, "zeroes are nothing to tell: {coverage:?}");
        assert_eq!(coverage.unresolved_flows.get("no-pod"), Some(&2));
        assert_eq!((coverage.truncated_payloads, coverage.since.seconds()), (1, 7));
    }
}
