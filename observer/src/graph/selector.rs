//! Kubernetes label selectors (metav1.LabelSelector).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

/// Which objects are meant, by their labels. An empty one means all (metav1.LabelSelector).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Selector {
    #[serde(default)]
    pub match_labels: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    pub match_expressions: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expression {
    pub key: Arc<str>,
    pub operator: Operator,
    #[serde(default)]
    pub values: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// `label` gives the value of a key.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.match_labels.iter().all(|(key, value)| label(key) == Some(&**value))
            && self.match_expressions.iter().all(|expression| expression.matches(label(&expression.key)))
    }

    /// As [`Selector::matches`], for whom the first of `match_labels` holds already.
    pub fn matches_further<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.match_labels.iter().skip(1).all(|(key, value)| label(key) == Some(&**value))
            && self.match_expressions.iter().all(|expression| expression.matches(label(&expression.key)))
    }

    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// What is wrong with it, by the rules of the API server: only two of the operators take values.
    pub fn check(&self) -> Result<(), String> {
        for expression in &self.match_expressions {
            let takes_values = matches!(expression.operator, Operator::In | Operator::NotIn);
            if takes_values == expression.values.is_empty() {
                let (key, operator) = (&expression.key, expression.operator);
                let way_out = if takes_values { "give it values" } else { "leave `values` out" };
                return Err(format!("the expression of {key}: {operator:?}: {way_out}"));
            }
        }
        Ok(())
    }
}

impl Expression {
    /// An object without the key is not in any list, so `NotIn` holds (kubernetes.io, "Labels and Selectors").
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|one| **one == *value));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_mean_what_the_documentation_says() {
        // kubernetes.io, "Labels and Selectors": `environment in (production, qa)`, `tier notin (frontend, backend)`,
        // `partition`, `!partition`; notin also selects objects without the key.
        let selector = |key: &str, operator: &str, values: &[&str]| -> Selector {
            serde_json::from_value(
                json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
            )
            .unwrap()
        };
        let of = |labels: &'static [(&str, &str)]| {
            move |key: &str| labels.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
        };
        let (production, tier) = (of(&[("environment", "production")]), of(&[("tier", "frontend")]));
        assert!(selector("environment", "In", &["production", "qa"]).matches(&production));
        assert!(!selector("environment", "In", &["production", "qa"]).matches(&tier));
        assert!(!selector("tier", "NotIn", &["frontend", "backend"]).matches(&tier));
        assert!(selector("tier", "NotIn", &["frontend", "backend"]).matches(&production));
        assert!(!selector("partition", "Exists", &[]).matches(&production));
        assert!(selector("partition", "DoesNotExist", &[]).matches(&production));
        assert!(Selector::default().matches(&production));
        assert!(selector("a", "In", &[]).check().is_err());
        assert!(selector("a", "Exists", &["b"]).check().is_err());
        assert!(selector("a", "Exists", &[]).check().is_ok());
    }
}
