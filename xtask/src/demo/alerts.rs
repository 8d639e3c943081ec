//! Debian's Prometheus beside the daemon, with the rules of `deploy/prometheus`: who would be told of what, in their words.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::cast::{Call, actors};
use super::daemon::free_address;
use crate::scratch::Scratch;
use crate::{process, workspace};

const RULES: &str = "deploy/prometheus";
const TESTS: &str = "_test.yaml";
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// A scrape, the recording rules, the alerts.
const FIRE_DEADLINE: Duration = Duration::from_secs(15);
/// Kinds of which one flow is enough for an alert. Of the others the demo plays too few.
const FROM_ONE_FLOW: [&str; 4] =
    ["api-audience-token", "credential-in-cleartext", "identity-mismatch", "legacy-token"];

/// A running Prometheus. Dropping it kills it.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: std::path::PathBuf,
}

/// One that fires.
#[derive(Debug, Deserialize)]
pub struct Alert {
    labels: Labels,
    annotations: Annotations,
    state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    alertname: String,
    severity: String,
    kind: String,
    client_namespace: String,
    client_service_account: String,
    server_namespace: String,
    server_service_account: String,
    /// Of an alert about a ServiceAccount rather than a call.
    namespace: String,
    service_account: String,
}

#[derive(Debug, Deserialize)]
struct Annotations {
    summary: String,
}

impl Prometheus {
    /// Starts it; it asks the daemon at `target` every second. The rules are the cluster's, but evaluated every second and
    /// without the time that an alert has to last before it fires.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub fn start(target: SocketAddr, scratch: &Scratch) -> Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(workspace::top().join(RULES)).context(RULES)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(TESTS) {
                files.push(scratch.write(&name, &hurried(&std::fs::read_to_string(&path)?))?);
            }
        }
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": files,
            "scrape_configs": [{"job_name": "observer", "static_configs": [{"targets": [target.to_string()]}]}],
        });
        let (address, log) = (free_address()?, scratch.file("prometheus.log"));
        // Even a SIGKILL of this process must not leave it behind.
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "TERM", "prometheus", "--log.level=warn"]);
        command.arg(flag("--config.file", &scratch.write("prometheus.json", &config.to_string())?));
        command.arg(flag("--storage.tsdb.path", &scratch.file("prometheus")));
        command.arg(format!("--web.listen-address={address}")).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let child = command.spawn().context("setpriv, which starts prometheus, does not start")?;
        let mut prometheus = Self { child, address, log };
        prometheus.wait_ready()?;
        Ok(prometheus)
    }

    /// Where a browser finds its alerts.
    pub fn page(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// What fires, once everything that has to fire does; or whatever fires when time is up.
    ///
    /// # Errors
    /// It does not answer.
    pub fn firing(&self, played: &[(&'static Call, u64)]) -> Result<Vec<Alert>> {
        let deadline = Instant::now() + FIRE_DEADLINE;
        loop {
            let alerts = self.alerts()?;
            if problems(&alerts, played).is_empty() || Instant::now() > deadline {
                return Ok(alerts);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn alerts(&self) -> Result<Vec<Alert>> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            alerts: Vec<Alert>,
        }
        let answer = self.get("/api/v1/alerts").context("prometheus does not answer")?;
        let answer: Answer = serde_json::from_str(&answer).context("prometheus answers something else")?;
        let mut alerts = answer.data.alerts;
        alerts.retain(|alert| alert.state == "firing");
        alerts.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(alerts)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        while self.get("/-/ready").is_none() {
            let ended = self.child.try_wait().context("wait for prometheus")?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("prometheus does not get ready: {}", log.trim());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.address);
        process::output(process::command("curl").args([
            "-q",
            "-sf",
            "--noproxy",
            "*",
            "--max-time",
            "5",
            &url,
        ]))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alert {
    /// Worst first: as it happens, in the order of the alphabet.
    fn order(&self) -> (&str, &str, &str) {
        (&self.labels.severity, &self.labels.alertname, &self.annotations.summary)
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let summary: Vec<&str> = self.annotations.summary.split_whitespace().collect();
        format!("{}, {}: {}", self.labels.severity, self.labels.alertname, summary.join(" "))
    }

    fn client(&self) -> String {
        format!("{}/{}", self.labels.client_namespace, self.labels.client_service_account)
    }

    fn server(&self) -> String {
        format!("{}/{}", self.labels.server_namespace, self.labels.server_service_account)
    }

    fn is_of(&self, call: &Call, kind: &str) -> bool {
        self.labels.kind == kind && self.client() == call.client && self.server() == call.server
    }
}

/// What differs from what was played, a sentence each: an alert that is not there, that names neither end, or that nothing
/// was done for.
pub fn problems(alerts: &[Alert], played: &[(&'static Call, u64)]) -> Vec<String> {
    let mut problems = BTreeSet::new();
    for (call, _) in played {
        for kind in call.findings.iter().filter(|kind| FROM_ONE_FLOW.contains(kind)) {
            let Some(alert) = alerts.iter().find(|alert| alert.is_of(call, kind)) else {
                problems.insert(format!("{} -> {}: no alert of {kind}", call.client, call.server));
                continue;
            };
            let said = alert.sentence();
            if !said.contains(&alert.client()) || !said.contains(&alert.server()) {
                problems.insert(format!("an alert does not name both ends: {said}"));
            }
        }
    }
    for alert in alerts {
        let has = |call: &Call| call.findings.iter().any(|kind| alert.is_of(call, kind));
        let account = format!("{}/{}", alert.labels.namespace, alert.labels.service_account);
        if !played.iter().any(|(call, _)| has(call)) && !actors().any(|actor| actor.principal == account) {
            problems.insert(format!("an alert of nothing that was played: {}", alert.sentence()));
        }
    }
    problems.into_iter().collect()
}

/// The rules without their patience.
fn hurried(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let key = line.trim_start();
        let indent = &line[..line.len() - key.len()];
        match key.split_once(": ") {
            Some((key @ ("interval" | "for"), _)) => {
                format!("{indent}{key}: {}\n", if key == "for" { "0s" } else { "1s" })
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

fn flag(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_lose_their_patience_and_nothing_else() {
        let rules = "groups:\n  - name: a\n    interval: 30s\n    rules:\n      - alert: B\n        expr: c{for: x} > 0\n        for: 5m\n";
        let expected = "groups:\n  - name: a\n    interval: 1s\n    rules:\n      - alert: B\n        expr: c{for: x} > 0\n        for: 0s\n";
        assert_eq!(hurried(rules), expected);
    }

    #[test]
    fn an_alert_of_nothing_that_was_played_is_a_problem() {
        let alert: Alert = serde_json::from_value(serde_json::json!({
            "labels": {"alertname": "A", "severity": "critical", "kind": "legacy-token"},
            "annotations": {"summary": "x\n y"}, "state": "firing"
        }))
        .unwrap();
        assert_eq!(problems(&[alert], &[]), ["an alert of nothing that was played: critical, A: x y"]);
        let played: Vec<_> = super::super::cast::CALLS.iter().map(|call| (call, 1)).collect();
        assert!(!problems(&[], &played).is_empty());
    }
}
