//! The rules of `deploy/prometheus`: promtool takes them, every alert can fire, and says whom it is about and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::{Daemon, Directory, release_binary};
use observer_monitoring::{metrics_of, promtool, repository, rule_files, rules, yaml};
use serde_json::Value;

const RUNBOOKS: &str = "docs/runbooks";
/// Before an alert's name in `runbook_url`; a value of the chart replaces it.
const RUNBOOK_URL: &str = "https://github.com/observer-dev/observer/blob/main/docs/runbooks/";
/// Explains the others.
const INDEX: &str = "README.md";
const IN_A_POD: &str = "kubectl --namespace observer exec daemonset/observer -- observer ";

/// The kinds of findings (design: `observer_findings_total`).
const KINDS: [&str; 10] = [
    "unencrypted",
    "unauthenticated",
    "unexpected",
    "credential-in-cleartext",
    "identity-mismatch",
    "invalid-token",
    "wrong-audience",
    "api-audience-token",
    "legacy-token",
    "default-service-account",
];

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key}: {value}"))
}

/// The rules that are alerts, by name.
fn alerts() -> Result<BTreeMap<String, Value>> {
    let rules = rules()?;
    let mut alerts = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.get("alert").is_some()) {
        let before = alerts.insert(text(rule, "alert")?.to_owned(), rule.clone());
        ensure!(before.is_none(), "twice: {rule}");
    }
    ensure!(!alerts.is_empty(), "no alerts");
    Ok(alerts)
}

#[test]
fn promtool_takes_every_rule_file() -> Result<()> {
    for path in rule_files()?.0 {
        let said = promtool(&["check", "rules", "--lint-fatal", &path], "")?;
        ensure!(said.contains("SUCCESS"), "{said}");
    }
    Ok(())
}

#[test]
fn the_tests_beside_the_rules_pass() -> Result<()> {
    let (rules, tests) = rule_files()?;
    for path in rules {
        let test = path.replace(".yaml", "_test.yaml");
        ensure!(tests.contains(&test), "{test} is not there");
        promtool(&["test", "rules", &test], "")?;
    }
    Ok(())
}

#[test]
fn every_alert_is_shown_firing_with_all_its_words_and_not_firing() -> Result<()> {
    let mut shown: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for path in rule_files()?.1 {
        for test in yaml(&path)?["tests"].as_array().context("no tests")? {
            for case in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = text(case, "alertname")?;
                let expected = case["exp_alerts"].as_array().with_context(|| format!("{path}: {case}"))?;
                for alert in expected {
                    let words = &alert["exp_annotations"];
                    for key in ["summary", "description", "runbook_url"] {
                        ensure!(!text(words, key)?.is_empty(), "{path}: {case}");
                    }
                }
                shown.entry(name.to_owned()).or_default().insert(!expected.is_empty());
            }
        }
    }
    let alerts = alerts()?;
    for name in alerts.keys() {
        let both = shown.get(name).is_some_and(|shown| shown.len() == 2);
        ensure!(both, "{name} is not shown both firing and not firing: {:?}", shown.get(name));
    }
    ensure!(
        shown.keys().all(|name| alerts.contains_key(name)),
        "a test of an alert that is not there: {shown:?}"
    );
    Ok(())
}

#[test]
fn every_kind_of_finding_has_an_alert_that_names_both_ends_and_the_port() -> Result<()> {
    let alerts = alerts()?;
    for kind in KINDS {
        let of_kind = format!("edge:observer_findings:increase5m{{kind=\"{kind}\"}}");
        let mut found = 0;
        for alert in alerts.values() {
            if !text(alert, "expr")?.contains(&of_kind) {
                continue;
            }
            found += 1;
            let description = text(&alert["annotations"], "description")?;
            for label in [
                "client_namespace",
                "client_service_account",
                "client_kind",
                "server_namespace",
                "server_service_account",
                "server_kind",
                "server_port",
                "transport",
            ] {
                ensure!(
                    description.contains(&format!("$labels.{label} ")),
                    "{kind}: no {label}: {description}"
                );
            }
            ensure!(description.contains("$value | humanize"), "{kind}: {description}");
        }
        ensure!(found > 0, "no alert about {kind}");
    }
    Ok(())
}

#[test]
fn every_alert_has_a_severity_a_summary_and_a_runbook_of_its_own() -> Result<()> {
    let alerts = alerts()?;
    for (name, alert) in &alerts {
        ensure!(name.starts_with("Observer"), "{name}");
        let severity = text(&alert["labels"], "severity")?;
        ensure!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let summary = text(&alert["annotations"], "summary")?;
        ensure!(!summary.is_empty() && !summary.ends_with('.'), "{name}: {summary}");
        ensure!(text(&alert["annotations"], "description")?.ends_with('.'), "{name}");
        let url = text(&alert["annotations"], "runbook_url")?;
        ensure!(url == format!("{RUNBOOK_URL}{name}.md"), "{name}: {url}");
        let path = repository(RUNBOOKS).join(format!("{name}.md"));
        let runbook = fs::read_to_string(&path).with_context(|| format!("{name} has no runbook"))?;
        ensure!(
            runbook.starts_with(&format!("# {name}\n\nSeverity: {severity}.\n")),
            "{name}: its runbook's head"
        );
        for part in ["What it means", "Why it matters", "How to confirm it", "How to fix it", "When it fires"]
        {
            ensure!(runbook.contains(&format!("\n## {part}\n")), "{name}: no `{part}`");
        }
    }
    let values = yaml("deploy/helm/values.yaml")?;
    let base = text(&values["metrics"]["prometheusRule"], "runbookUrl")?;
    ensure!(format!("{base}/") == RUNBOOK_URL, "the chart's default is {base}");
    let index = fs::read_to_string(repository(RUNBOOKS).join(INDEX))?;
    for entry in fs::read_dir(repository(RUNBOOKS))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if file != INDEX {
            let name = file.trim_end_matches(".md");
            ensure!(alerts.contains_key(name), "{file} is of no alert");
            ensure!(index.contains(&format!("]({file})")), "{file} is not in {INDEX}");
        }
    }
    Ok(())
}

/// A daemon that asks an API server which is not there: its metrics about watches are there nevertheless.
fn daemon(node: &SimNode) -> Result<Daemon> {
    let directory = Directory::new()?;
    let kubeconfig = directory.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: none\n\
         contexts: [{name: none, context: {cluster: none, user: none}}]\n\
         clusters: [{name: none, cluster: {server: 'http://127.0.0.1:1'}}]\n\
         users: [{name: none, user: {}}]\n",
    )?;
    Daemon::builder().kubeconfig(&kubeconfig).unready().start(node)
}

#[test]
fn every_metric_in_a_rule_is_one_that_the_daemon_has_or_a_rule_records() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = daemon(&node)?;
    let mut known = BTreeSet::from(["up".to_owned()]);
    let deadline = Instant::now() + Duration::from_secs(10);
    // A family without a sample is not written: these come a little after the start.
    while !["observer_watch_up", "observer_probe_info"].iter().all(|name| known.contains(*name)) {
        ensure!(Instant::now() < deadline, "the daemon does not watch: {known:?}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(100));
        let answer = daemon.get_as("/metrics", "text/plain")?;
        let names = answer.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        known.extend(names.map(str::to_owned));
    }
    // Posture is told once it is known, which this API server never lets happen.
    known.insert("observer_posture_findings".to_owned());
    let rules = rules()?;
    for rule in rules.iter().filter(|rule| rule.get("record").is_some()) {
        known.insert(text(rule, "record")?.to_owned());
    }
    for rule in &rules {
        let names = metrics_of(text(rule, "expr")?);
        ensure!(!names.is_empty(), "no metric: {rule}");
        for name in names {
            ensure!(known.contains(name), "there is no {name}: {rule}");
        }
    }
    Ok(())
}

/// The commands of the runbooks' `sh` blocks.
fn commands() -> Result<BTreeSet<String>> {
    let mut commands = BTreeSet::new();
    for entry in fs::read_dir(repository(RUNBOOKS))? {
        let runbook = fs::read_to_string(entry?.path())?;
        let mut inside = false;
        for line in runbook.lines() {
            match line {
                "```sh" => inside = true,
                "```" => inside = false,
                _ if inside => {
                    let command =
                        line.strip_prefix(IN_A_POD).with_context(|| format!("nobody runs `{line}`"))?;
                    commands.insert(command.to_owned());
                }
                _ => {}
            }
        }
    }
    ensure!(commands.len() > KINDS.len(), "{commands:?}");
    Ok(commands)
}

#[test]
fn a_daemon_answers_the_commands_of_the_runbooks() -> Result<()> {
    let node = SimNode::builder().start()?;
    node.pod("shop", "orders").start()?;
    let daemon = Daemon::start(&node)?;
    for command in commands()? {
        let words: Vec<&str> = command.split_whitespace().collect();
        let output = match words.as_slice() {
            // It asks the kernel, not the daemon.
            ["doctor"] => Command::new(release_binary()?).arg("doctor").output()?,
            words => daemon.ask(words)?,
        };
        // 1: something was found. 2 would be a command that it does not know.
        ensure!(matches!(output.status.code(), Some(0 | 1)), "observer {command}: {output:?}");
    }
    Ok(())
}
