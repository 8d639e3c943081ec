//! The rule files of `deploy/prometheus`, and their tests.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::repository;

/// From the repository's root.
pub const RULES: &str = "deploy/prometheus";
const TEST: &str = "_test.yaml";

/// What lies in [`RULES`], from the repository's root: the rule files, and the files of their tests.
///
/// # Errors
/// It cannot be listed.
pub fn rule_files() -> Result<(Vec<String>, Vec<String>)> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(repository(RULES))? {
        paths.push(format!("{RULES}/{}", entry?.file_name().to_string_lossy()));
    }
    paths.sort();
    let (tests, rules) = paths.into_iter().partition(|path| path.ends_with(TEST));
    Ok((rules, tests))
}

/// A YAML file of the repository.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub fn yaml(path: &str) -> Result<Value> {
    let text = fs::read_to_string(repository(path)).with_context(|| path.to_owned())?;
    serde_saphyr::from_str(&text).with_context(|| path.to_owned())
}

/// The rules of all rule files.
///
/// # Errors
/// They cannot be read.
pub fn rules() -> Result<Vec<Value>> {
    let mut rules = Vec::new();
    for path in rule_files()?.0 {
        for group in yaml(&path)?["groups"].as_array().with_context(|| format!("{path}: no groups"))? {
            rules.extend(group["rules"].as_array().with_context(|| format!("{path}: no rules"))?.clone());
        }
    }
    Ok(rules)
}

/// The names of the metrics in an expression: Observer's own, `up`, and all with a colon, which are recorded ones.
#[must_use]
pub fn metrics_of(expression: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, part) in expression.split('"').enumerate() {
        // Every second part is the value of a label.
        if at % 2 == 1 {
            continue;
        }
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
        let words = part.split(|character| !is_of_name(character));
        names.extend(words.filter(|word| {
            word.starts_with("observer_") || *word == "up" || word.trim_matches(':').contains(':')
        }));
    }
    // `[1h:5m]` is a subquery's range and step.
    names.retain(|name| !name.starts_with(|character: char| character.is_ascii_digit()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_functions_labels_and_ranges() {
        let expression = "sum by (cluster, node) (rate(observer_a_total{kind=\"observer_b\"}[5m])) > 0.5 \
                          and up == 0 unless round(sum_over_time(edge:c:sum5m{x=~\"a:b\"}[1h:5m])) offset 5m";
        assert_eq!(metrics_of(expression), BTreeSet::from(["edge:c:sum5m", "observer_a_total", "up"]));
    }
}
