//! What a machine tells of its scenarios.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    pub name: String,
    pub passed: bool,
    pub seconds: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// All that was told so far.
#[derive(Debug, Default)]
pub struct Told {
    pub release: String,
    pub scenarios: Vec<Scenario>,
    /// `observer doctor`'s checks: name, state and detail, and what a lack costs.
    pub doctor: Vec<String>,
    expected: Option<usize>,
}

impl Told {
    /// Whether a person wants to see this line as it comes.
    pub fn is_result(line: &str) -> bool {
        line.starts_with("ok ") || line.starts_with("not ok ")
    }

    pub fn hear(&mut self, line: &str) {
        if let Some(scenario) = scenario(line) {
            self.scenarios.push(scenario);
        } else if let Some(count) = line.strip_prefix("1..") {
            self.expected = count.trim().parse().ok();
        } else if let Some(release) = line.strip_prefix("# kernel ") {
            release.clone_into(&mut self.release);
        } else if let Some(check) = line.strip_prefix("# doctor ") {
            self.doctor.push(check.to_owned());
        } else if let (Some(cause), Some(last)) = (line.strip_prefix("# "), self.scenarios.last_mut())
            && !last.passed
        {
            // The rest is in the log.
            if last.cause.is_empty() {
                cause.clone_into(&mut last.cause);
            }
            eprintln!("      {cause}");
        }
    }

    /// Whether the machine came to its end.
    pub fn is_complete(&self) -> bool {
        self.expected == Some(self.scenarios.len()) && !self.scenarios.is_empty()
    }

    pub fn passed(&self) -> bool {
        self.is_complete() && self.scenarios.iter().all(|scenario| scenario.passed)
    }
}

/// `ok 3 - name # 1.2 s` or `not ok 3 - name # 1.2 s`.
fn scenario(line: &str) -> Option<Scenario> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (name, seconds) = rest.split_once(" - ")?.1.rsplit_once(" # ")?;
    let seconds = seconds.strip_suffix(" s")?.parse().ok()?;
    Some(Scenario { name: name.to_owned(), passed, seconds, cause: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Told {
        let mut told = Told::default();
        lines.iter().for_each(|line| told.hear(line));
        told
    }

    #[test]
    fn a_machine_that_stops_in_the_middle_has_not_passed() {
        let lines =
            ["# kernel 5.10.0-32-cloud-amd64", "ok 1 - doctor # 0.8 s", "ok 2 - http/2 # 1.5 s", "1..2"];
        let whole = told(&lines);
        assert!(whole.passed());
        assert_eq!(whole.release, "5.10.0-32-cloud-amd64");
        assert_eq!((whole.scenarios[1].name.as_str(), whole.scenarios[1].seconds), ("http/2", 1.5));
        assert!(!told(&lines[..3]).passed());
        assert!(!told(&[]).passed());
    }

    #[test]
    fn a_failed_scenario_has_its_cause() {
        let told = told(&["not ok 1 - tls # 10.0 s", "# no record: final", "# more", "1..1"]);
        assert!(told.is_complete() && !told.passed());
        assert_eq!(told.scenarios[0].cause, "no record: final");
    }
}
