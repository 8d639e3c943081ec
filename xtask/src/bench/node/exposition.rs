//! Numbers out of `/metrics`.

use std::collections::BTreeMap;

/// What the samples of one metric have together.
pub fn sum(text: &str, metric: &str) -> f64 {
    text.lines().filter_map(|line| value(line, metric)).sum()
}

/// The samples of one metric by its only label.
pub fn by_label(text: &str, metric: &str) -> BTreeMap<String, f64> {
    let label = |line: &str| line.split('"').nth(1).map(str::to_owned);
    text.lines().filter_map(|line| Some((label(line)?, value(line, metric)?))).collect()
}

fn value(line: &str, metric: &str) -> Option<f64> {
    let rest = line.strip_prefix(metric)?;
    let value = match rest.strip_prefix('{') {
        // Labels hold no space here: they are names, numbers and words.
        Some(labels) => labels.rsplit_once("} ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    value.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_added_and_of_others_left_out() {
        let text = "# TYPE a counter\na_total{x=\"1\"} 3\na_total{x=\"2\",y=\"z\"} 4 1520879607.789\n\
                    a_total_more 9\nb_total 5\n# EOF\n";
        assert_eq!(sum(text, "a_total"), 7.0);
        assert_eq!(sum(text, "b_total"), 5.0);
        assert_eq!(sum(text, "c_total"), 0.0);
        assert_eq!(by_label(text, "a_total"), [("1".to_owned(), 3.0), ("2".to_owned(), 4.0)].into());
    }
}
