//! `kubectl observer doctor`: what each node's kernel allows its observer.

use std::io::{self, Write};

use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::asking::do_for_all;
use super::conversation::Reach;
use super::{Observers, Target};
use crate::cli::doctor::{DoctorArgs, DoctorOutput};
use crate::cli::{CliError, one_line};

/// The longest report, in bytes.
const MAX_REPORT: u64 = 1024 * 1024;

impl Observers {
    /// Runs `observer doctor` beside each observer. Answers whether one of them cannot do its job.
    ///
    /// # Errors
    /// No node answered.
    pub fn doctor(&self, args: &DoctorArgs) -> Result<bool, CliError> {
        let mut command = ["observer", "doctor", "--output", "json"].map(str::to_owned).to_vec();
        if let Some(root) = &args.cgroup_root {
            command.extend(["--cgroup-root".to_owned(), root.display().to_string()]);
        }
        let (mut reports, mut first_cause) = (Vec::new(), None);
        let examine = |target| examine(&*self.reach, target, &command);
        self.runtime.block_on(do_for_all(&self.targets, self.limits, examine, |node, report| match report {
            Ok(report) => reports.push((node.to_owned(), report)),
            Err(why) => {
                first_cause.get_or_insert_with(|| format!("{node}: {why}"));
                self.note_silent(node, &why);
            }
        }));
        if reports.is_empty() {
            return Err(self.nobody(first_cause.unwrap_or_default()));
        }
        reports.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut out = io::stdout().lock();
        // Whoever closed the pipe does not want the rest; the exit code still tells.
        let _ = match args.output {
            DoctorOutput::Json => json(&reports, &mut out),
            DoctorOutput::Table => table(&reports, &mut out),
        };
        Ok(reports.iter().any(|(_, report)| report["verdict"] == "missing"))
    }
}

async fn examine<R: Reach>(reach: &R, target: &Target, command: &[String]) -> Result<Value, String> {
    let channel = reach.open(target, command).await?;
    let mut said = Vec::new();
    let read = channel.output.take(MAX_REPORT).read_to_end(&mut said).await;
    read.map_err(|error| format!("its report cannot be read: {error}"))?;
    match serde_json::from_slice(&said) {
        Ok(report) => Ok(report),
        Err(_) if said.is_empty() => Err(channel.complaint.await),
        Err(error) => Err(format!("its report cannot be read: {error}; use the same version for both")),
    }
}

/// A report a line, with its node.
fn json(reports: &[(String, Value)], out: &mut impl Write) -> io::Result<()> {
    for (node, report) in reports {
        let mut report = report.clone();
        report["node"] = node.as_str().into();
        writeln!(out, "{report}")?;
    }
    Ok(())
}

/// What is not well, by node; of a node that is well, one line.
fn table(reports: &[(String, Value)], out: &mut impl Write) -> io::Result<()> {
    let width = reports.iter().map(|(node, _)| node.len()).max().unwrap_or_default().max(4) + 2;
    let text = |value: &Value| one_line(value.as_str().unwrap_or("-"));
    writeln!(out, "{:<width$}{:<20}{:<10}DETAIL", "NODE", "CHECK", "STATE")?;
    for (node, report) in reports {
        let checks = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
        writeln!(
            out,
            "{node:<width$}{:<20}{:<10}{} checks",
            "verdict",
            text(&report["verdict"]),
            checks.len()
        )?;
        for check in checks.iter().filter(|check| check["state"] != "ok") {
            writeln!(
                out,
                "{node:<width$}{:<20}{:<10}{}",
                text(&check["name"]),
                text(&check["state"]),
                text(&check["detail"])
            )?;
            for (key, word) in [("cost", "costs"), ("remedy", "way out")] {
                if let Some(said) = check[key].as_str() {
                    writeln!(out, "{:1$}{word}: {2}", "", width + 30, one_line(said))?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_node_has_its_verdict_and_what_is_not_well_there() {
        let well = json!({"checks": [{"name": "kernel", "state": "ok", "detail": "6.1.0"}], "verdict": "ok"});
        let unwell = json!({"checks": [
            {"name": "kernel", "state": "ok", "detail": "6.1.0"},
            {"name": "jit", "state": "degraded", "detail": "off", "cost": "slow", "remedy": "switch it on"},
        ], "verdict": "degraded"});
        let mut text = Vec::new();
        table(&[("node-a".into(), well), ("b".into(), unwell)], &mut text).unwrap();
        let expected = "\
NODE    CHECK               STATE     DETAIL
node-a  verdict             ok        1 checks
b       verdict             degraded  2 checks
b       jit                 degraded  off
                                      costs: slow
                                      way out: switch it on
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
