//! The commands that people type, with a real daemon: each example of `--help` as it stands there, completion in real
//! shells, and what the filters choose.

#[path = "cli/shells.rs"]
mod shells;
#[path = "cli/stage.rs"]
mod stage;

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stage::{COMMANDS, Stage};

/// The commands after `$` below "Examples:" in a command's help.
fn examples(stage: &Stage, command: &str) -> Result<Vec<String>> {
    let help = stage.run(&format!("observer {command} --help"))?;
    ensure!(help.status.code() == Some(0), "{command} --help: {help:?}");
    let help = String::from_utf8(help.stdout)?;
    let (_, examples) = help.split_once("\nExamples:\n").with_context(|| format!("no examples:\n{help}"))?;
    let examples: Vec<String> =
        examples.lines().filter_map(|line| line.trim().strip_prefix("$ ")).map(str::to_owned).collect();
    ensure!(!examples.is_empty(), "{help}");
    Ok(examples)
}

fn told(example: &str, output: &Output) -> String {
    format!(
        "`{example}`: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// One stage for all: it takes seconds, and nothing here changes it.
#[test]
fn the_commands_do_what_their_help_says() -> Result<()> {
    let stage = Stage::new()?;
    filters_choose_among_the_records_that_the_daemon_wrote(&stage).context("filters")?;
    edges_by_status_are_those_whose_flows_had_it_and_the_totals_are_their_sum(&stage).context("edges")?;
    the_commands_that_confirm_a_finding_show_it(&stage).context("explain")?;
    colour_comes_on_a_terminal_and_by_the_flag_alone(&stage).context("colour")?;
    errors_are_one_line_and_tell_usage_from_failure(&stage).context("errors")?;
    shells::completion_works_in_bash_and_fish_and_its_scripts_are_taken_by_zsh(&stage)
        .context("completion")?;
    every_example_of_help_works_as_it_stands_there(&stage).context("examples")
}

fn every_example_of_help_works_as_it_stands_there(stage: &Stage) -> Result<()> {
    for command in COMMANDS {
        for example in examples(stage, command)? {
            // Those that go on for ever are ended by timeout(1), which says so with 124.
            let endless = ["run", "ui"].contains(&command) || example.contains("--follow");
            let output = if endless { stage.run_for(&example, 2)? } else { stage.run(&example)? };
            let wanted = match (endless, command) {
                (true, _) => 124,
                // Something is wrong on this stage, and these say so by their exit code.
                (_, "posture" | "graph export" | "graph diff") => 1,
                _ => 0,
            };
            ensure!(output.status.code() == Some(wanted), "not {wanted}: {}", told(&example, &output));
            // Whatever is asked for is there: an example that shows nothing explains nothing.
            let says_nothing = output.stdout.is_empty() && !example.contains('>') && !example.contains("<(");
            // A check without anything to tell has no lines for programs.
            let says_nothing = says_nothing && !example.starts_with("observer graph check");
            ensure!(!says_nothing || endless, "{}", told(&example, &output));
        }
    }
    Ok(())
}

fn the_commands_that_confirm_a_finding_show_it(stage: &Stage) -> Result<()> {
    let mut shown = 0;
    for kind in ["unencrypted", "unauthenticated", "unexpected", "credential-in-cleartext", "invalid-token"] {
        let text = String::from_utf8(stage.run(&format!("observer explain {kind}"))?.stdout)?;
        for command in text.lines().filter(|line| line.starts_with("  observer ")) {
            let output = stage.run(command.trim())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(
                text.contains("shop/payments") || command.contains("posture"),
                "{}",
                told(command, &output)
            );
            ensure!(!command.contains("--finding") || text.contains(kind), "{}", told(command, &output));
            shown += 1;
        }
    }
    ensure!(shown >= 9, "{shown} commands");
    Ok(())
}

fn json(stage: &Stage, command: &str) -> Result<Vec<Value>> {
    let output = stage.run(&format!("{command} -o json"))?;
    ensure!(output.status.success(), "{}", told(command, &output));
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn filters_choose_among_the_records_that_the_daemon_wrote(stage: &Stage) -> Result<()> {
    type Choice = fn(&Value) -> bool;
    let records = stage.records()?;
    let all = json(stage, "observer flows --last 1000")?;
    ensure!(all == records, "flows differs from stdout: {} and {} records", all.len(), records.len());
    let filters: &[(&str, Choice)] = &[
        ("--from shop/", |r| r["client"]["namespace"] == "shop"),
        ("--from shop/* --to shop/", |r| {
            r["client"]["namespace"] == "shop" && r["server"]["namespace"] == "shop"
        }),
        ("--from shop/orders,elsewhere/default", |r| {
            ["shop/orders", "elsewhere/default"]
                .iter()
                .any(|principal| r["client"]["principal"] == *principal)
        }),
        ("--encryption plaintext", |r| r["encryption"]["status"] == "plaintext"),
        ("--encryption tls --encryption unknown", |r| {
            r["encryption"]["status"] == "tls" || r["encryption"]["status"] == "unknown"
        }),
        ("--authentication none", |r| r["requests"]["none"].as_u64().is_some_and(|none| none > 0)),
        ("--declaration unexpected", |r| r["declaration"]["status"] == "unexpected"),
        ("--protocol tls,unknown", |r| r["protocol"] == "tls" || r["protocol"] == "unknown"),
        ("--transport udp", |r| r["transport"] == "udp"),
        ("--port 8443", |r| r["server"]["port"] == 8443),
        ("--pod elsewhere/", |r| r["client"]["namespace"] == "elsewhere"),
        ("--finding unexpected,invalid-token", |r| {
            let findings = r["findings"].to_string();
            findings.contains("\"unexpected\"") || findings.contains("\"invalid-token\"")
        }),
        ("--finding unexpected --port 8080 --protocol http/1.1", |r| {
            r["findings"].to_string().contains("\"unexpected\"")
                && r["server"]["port"] == 8080
                && r["protocol"] == "http/1.1"
        }),
    ];
    for (arguments, choice) in filters {
        let wanted: Vec<&Value> = records.iter().filter(|record| choice(record)).collect();
        ensure!(!wanted.is_empty() && wanted.len() < records.len(), "{arguments} chooses nothing, or all");
        let found = json(stage, &format!("observer flows --last 1000 {arguments}"))?;
        ensure!(
            found.iter().collect::<Vec<_>>() == wanted,
            "{arguments}: {} found, {} wanted",
            found.len(),
            wanted.len()
        );
    }
    Ok(())
}

fn edges_by_status_are_those_whose_flows_had_it_and_the_totals_are_their_sum(stage: &Stage) -> Result<()> {
    let records = stage.records()?;
    for (flag, key) in [("encryption", "plaintext"), ("encryption", "tls"), ("declaration", "unexpected")] {
        let edges = json(stage, &format!("observer edges --{flag} {key}"))?;
        ensure!(!edges.is_empty(), "{flag} {key}");
        for edge in &edges {
            let had = |record: &Value| {
                record[flag]["status"] == key
                    && record["client"]["principal"] == edge["client"]["principal"]
                    && record["server"]["principal"] == edge["server"]["principal"]
            };
            ensure!(records.iter().any(had), "{flag} {key}: {edge:#}");
        }
    }
    let edges = json(stage, "observer edges")?;
    let sum =
        |keys: [&str; 2]| -> u64 { edges.iter().filter_map(|edge| edge[keys[0]][keys[1]].as_u64()).sum() };
    let text = String::from_utf8(stage.run("observer edges")?.stdout)?;
    let (plaintext, tls, mtls) =
        (sum(["encryption", "plaintext"]), sum(["encryption", "tls"]), sum(["encryption", "mtls"]));
    let line = format!("encrypted      {} of {} flows", tls + mtls, plaintext + tls + mtls);
    ensure!(text.contains(&line), "{line} is not in\n{text}");
    ensure!(text.contains(&format!("\n{} edges, ", edges.len())), "{text}");
    Ok(())
}

fn colour_comes_on_a_terminal_and_by_the_flag_alone(stage: &Stage) -> Result<()> {
    let coloured = |command: &str| -> Result<bool> {
        let output = stage.run(command)?;
        ensure!(output.status.success() && !output.stdout.is_empty(), "{}", told(command, &output));
        Ok(output.stdout.contains(&0x1b))
    };
    ensure!(!coloured("observer flows")?, "a pipe");
    ensure!(coloured("observer flows --color always")?, "--color always");
    // script(1) gives its command a terminal.
    let on_terminal = |before: &str, flags: &str| {
        format!("script --quiet --return --command '{before} observer flows {flags}' /dev/null")
    };
    ensure!(coloured(&on_terminal("", ""))?, "a terminal");
    ensure!(!coloured(&on_terminal("NO_COLOR=1", ""))?, "NO_COLOR");
    ensure!(!coloured(&on_terminal("", "--color never"))?, "--color never");
    ensure!(coloured(&on_terminal("NO_COLOR=1", "--color always"))?, "the flag wins");
    ensure!(!coloured(&on_terminal("", "-o json"))?, "JSON");
    Ok(())
}

fn errors_are_one_line_and_tell_usage_from_failure(stage: &Stage) -> Result<()> {
    for (command, code, says) in [
        ("observer flows --finding boredom", 2, "default-service-account"),
        ("observer flows --protocol gopher", 2, "http/1.1"),
        ("observer flows --follow --until 5m", 2, "--until"),
        ("observer findings --encryption tls", 2, "--encryption"),
        ("observer explain boredom", 2, "attached-mid-stream"),
        ("observer completion tcsh", 2, "fish"),
        ("observer flows --socket /nowhere", 1, "/nowhere"),
    ] {
        let output = stage.run(command)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code), "not {code}: {}", told(command, &output));
        ensure!(said.lines().count() == 1 && said.contains(says), "{}", told(command, &output));
        ensure!(output.stdout.is_empty(), "{}", told(command, &output));
    }
    Ok(())
}
