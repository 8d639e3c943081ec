//! What is chosen at the top of a dashboard, and what Grafana makes of a query with it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use crate::dashboard::{Dashboard, Variable};
use crate::prometheus::{Prometheus, percent};

/// An hour: what the dashboards show unless told otherwise.
const RANGE: u32 = 3600;
/// Grafana's default for Prometheus (`scrapeInterval`), and the step that an hour then has.
pub const STEP: u32 = 15;

/// The chosen value of each variable; `None`: all.
pub type Chosen = BTreeMap<String, Option<String>>;

/// A dashboard's time range and variables.
pub struct Selection {
    pub to: f64,
    values: BTreeMap<String, Choice>,
}

struct Choice {
    value: Option<String>,
    all: Option<String>,
}

impl Selection {
    /// Runs the queries of all variables, each with what is chosen for those before it. What `chosen` does not name is
    /// all.
    ///
    /// # Errors
    /// A query fails or has no answer, or has not what is chosen.
    pub fn new(prometheus: &Prometheus, dashboard: &Dashboard, to: f64, chosen: &Chosen) -> Result<Self> {
        let mut selection = Self { to, values: BTreeMap::new() };
        for variable in dashboard.variables()? {
            let query = selection.expand(variable.query)?;
            let what = format!("{}, variable {}: {query}", dashboard.file, variable.name);
            let mut options = selection.options(prometheus, &variable, &query).context(what.clone())?;
            options.sort();
            // An end that is no pod has no namespace to choose from.
            let is_left_empty = chosen.get(variable.name).is_some_and(|value| value.as_deref() == Some(""));
            ensure!(!options.is_empty() || is_left_empty, "{what}: no value");
            let all = variable.all.map(str::to_owned);
            let value = match chosen.get(variable.name) {
                Some(Some(value)) => {
                    ensure!(
                        value.is_empty() || options.contains(value),
                        "{what}: no {value:?} in {options:?}"
                    );
                    Some(value.clone())
                }
                _ if all.is_some() => None,
                _ => options.first().cloned(),
            };
            selection.values.insert(variable.name.to_owned(), Choice { value, all });
        }
        if let Some(name) = chosen.keys().find(|name| !selection.values.contains_key(*name)) {
            bail!("{} has no variable {name}", dashboard.file);
        }
        Ok(selection)
    }

    #[must_use]
    pub fn from(&self) -> f64 {
        self.to - f64::from(RANGE)
    }

    fn options(&self, prometheus: &Prometheus, variable: &Variable<'_>, query: &str) -> Result<Vec<String>> {
        let function = |name: &str| query.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(arguments) = function("label_values") {
            ensure!(variable.regex.is_empty(), "a regex on label_values");
            let (selector, label) = match arguments.rsplit_once(", ") {
                Some((selector, label)) => (Some(selector), label),
                None => (None, arguments),
            };
            prometheus.label_values(selector, label, self.from(), self.to)
        } else if let Some(expression) = function("query_result") {
            let label = variable.regex.strip_prefix('/').and_then(|rest| rest.strip_suffix("=\"([^\"]+)\"/"));
            let label = label.context("a regex that is not /LABEL=\"([^\"]+)\"/")?;
            let series = prometheus.query(expression, self.to)?;
            Ok(series.iter().filter_map(|series| series.labels.get(label)).cloned().collect())
        } else {
            bail!("neither label_values(...) nor query_result(...)")
        }
    }

    /// Puts the values of Grafana's own and of this dashboard's variables in their places.
    ///
    /// # Errors
    /// There is no such variable.
    pub fn expand(&self, text: &str) -> Result<String> {
        replace(text, |name, format| match name {
            "__range" => Ok(format!("{RANGE}s")),
            "__range_s" => Ok(RANGE.to_string()),
            "__interval" => Ok(format!("{STEP}s")),
            // Four scrapes, at least: Grafana's documentation of its Prometheus data source.
            "__rate_interval" => Ok(format!("{}s", 4 * STEP)),
            _ => {
                let choice = self.values.get(name).with_context(|| format!("no variable {name}"))?;
                match (format, &choice.value) {
                    ("" | "regex", Some(value)) => Ok(escape(value)),
                    ("" | "regex", None) => choice.all.clone().context("nothing is chosen"),
                    ("raw", Some(value)) => Ok(value.clone()),
                    ("queryparam", value) => {
                        Ok(format!("var-{name}={}", percent(value.as_deref().unwrap_or("$__all"))))
                    }
                    (format, _) => bail!("${{{name}:{format}}}: this test does not know that format"),
                }
            }
        })
        .with_context(|| text.to_owned())
    }

    /// Follows a link of a row to another dashboard: its uid, and what is chosen there.
    ///
    /// # Errors
    /// A variable or a field of it is not there.
    pub fn follow(&self, url: &str, row: &BTreeMap<String, String>) -> Result<(String, Chosen)> {
        let url = replace(url, |name, format| match name.strip_prefix("__data.fields.") {
            Some(field) => Ok(percent(row.get(field).map_or("", String::as_str))),
            None if name == "__url_time_range" => Ok("from=now-1h&to=now".into()),
            None if name == "datasource" => Ok("var-datasource=default".into()),
            None if format == "queryparam" => self.expand(&format!("${{{name}:queryparam}}")),
            None => bail!("no variable {name}"),
        })?;
        let (uid, parameters) = url
            .strip_prefix("/d/")
            .and_then(|rest| rest.split_once('?'))
            .with_context(|| format!("no link to a dashboard: {url}"))?;
        let mut chosen = Chosen::new();
        for parameter in parameters.split('&') {
            let (name, value) = parameter.split_once('=').with_context(|| url.clone())?;
            match name.strip_prefix("var-") {
                Some("datasource") | None => {}
                Some(name) => {
                    let value = (value != "%24__all").then(|| value.replace("%2F", "/"));
                    chosen.insert(name.to_owned(), value);
                }
            }
        }
        Ok((uid.to_owned(), chosen))
    }
}

/// `$name`, `${name}` and `${name:format}`.
fn replace(text: &str, value: impl Fn(&str, &str) -> Result<String>) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(braced) = rest.strip_prefix('{') {
            let (inside, after) = braced.split_once('}').context("a ${ without its }")?;
            let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
            out.push_str(&value(name, format)?);
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        // `$1` is label_replace's.
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push('$');
        } else {
            out.push_str(&value(name, "")?);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// As Grafana writes a value into a regular expression in a PromQL string.
fn escape(value: &str) -> String {
    let special = |c| if r"\^$*+?.()|[]{}'".contains(c) { format!(r"\\{c}") } else { String::from(c) };
    value.chars().map(special).collect()
}
