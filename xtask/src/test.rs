//! `cargo xtask test`: unit tests, then the daemon on a real kernel, then against a real API server.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::setup::{self, Purpose};
use crate::stage::Stages;
use crate::{image, manifest, process, reliability, root, ui, workspace};

/// Names the daemon under test.
pub const DAEMON: &str = "OBSERVER_BIN";

/// Integration tests at a time: each has its own simulated node and daemon, and waits more than it computes.
const INTEGRATION_THREADS: &str = "2";

#[derive(Args, Default)]
pub struct Arguments {
    /// Run one part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Let 20,000 pods come and go, not 1,000: takes minutes
    #[arg(long)]
    churn: bool,
    /// Make the pictures in docs/images anew
    #[arg(long)]
    pictures: bool,
    /// Passed on to the test programs: a test's name, `--nocapture`, ...
    #[arg(last = true)]
    rest: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Unit,
    Integration,
    Kubernetes,
    /// Alert rules and dashboards, with a real Prometheus
    Monitoring,
    /// The page of `observer ui`, in Chromium
    Ui,
    /// The image, the chart, and the daemon in a container with the chart's privileges
    Deploy,
}

/// The command itself.
///
/// # Errors
/// If a stage fails; later ones are not run.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let result = stages
        .run("setup", || setup::ensure(Purpose::Test))
        .and_then(|()| run_stages(&mut stages, arguments));
    stages.finish(result)
}

/// The stages after setup, for a longer run to take in.
///
/// # Errors
/// If a stage fails; later ones are not run.
pub fn run_stages(stages: &mut Stages, arguments: &Arguments) -> Result<()> {
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Unit) {
        stages.run("unit tests", || {
            process::run(process::cargo().args(["test", "--no-fail-fast", "--"]).args(&arguments.rest))
        })?;
    }
    if [Part::Integration, Part::Kubernetes, Part::Monitoring, Part::Ui, Part::Deploy].into_iter().any(wanted)
    {
        stages.run("release build", || {
            process::run(process::cargo().args(["build", "--release", "--package", "observer"]))
        })?;
    }
    if wanted(Part::Integration) {
        stages.run("integration tests", || integration(arguments))?;
    }
    if wanted(Part::Kubernetes) {
        stages.run("kubernetes tests", || {
            let mut command = suite(&["observer-kubernetes"], INTEGRATION_THREADS, arguments)?;
            if arguments.churn {
                command.env("OBSERVER_CHURN_PODS", "20000");
            }
            process::run(&mut command)
        })?;
    }
    if wanted(Part::Monitoring) {
        stages.run("monitoring tests", || {
            process::run(&mut suite(&["observer-monitoring"], INTEGRATION_THREADS, arguments)?)
        })?;
    }
    if wanted(Part::Ui) {
        stages.run("page", ui::check)?;
        stages.run("page tests", || page(arguments))?;
    }
    if wanted(Part::Deploy) {
        stages.run("image", || image::run(&image::Arguments::default()))?;
        stages.run("deployment tests", || {
            manifest::check()?;
            process::run(&mut deployment(arguments)?)
        })?;
    }
    Ok(())
}

/// The harness and the daemon on this machine's kernel.
fn integration(arguments: &Arguments) -> Result<()> {
    let table = workspace::conformance_table()?;
    // What an earlier run left would be taken for this one's.
    let _ = std::fs::remove_file(&table);
    let mut command = suite(&["observer-harness", "observer-integration"], INTEGRATION_THREADS, arguments)?;
    let result = process::run(command.env("OBSERVER_CONFORMANCE_TABLE", &table));
    // Told whether all is well or not; not there if other tests were asked for.
    if let Ok(text) = std::fs::read_to_string(&table) {
        print!("\n{text}");
    }
    result
}

/// The page, one test at a time: one of them measures how smoothly it moves.
fn page(arguments: &Arguments) -> Result<()> {
    let mut command = suite(&["observer-map"], "1", arguments)?;
    if arguments.pictures {
        command.env("OBSERVER_PICTURES", "1");
    }
    process::run(&mut command)
}

/// Suites that need the release build: built by the user, run as root.
fn suite(packages: &[&str], threads: &str, arguments: &Arguments) -> Result<Command> {
    let observer = workspace::release_observer()?;
    if !observer.is_file() {
        bail!("{} is missing: run `cargo build --release -p observer` first", observer.display());
    }
    let mut command = process::cargo();
    command
        .args(["test", "--no-fail-fast"])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(["--", "--test-threads", threads])
        .args(&arguments.rest)
        .env(DAEMON, observer)
        .env(reliability::FOLDER_VARIABLE, reliability::folder()?);
    as_root(&mut command, "cargo xtask test")?;
    Ok(command)
}

/// One test program of such a suite.
///
/// # Errors
/// There is no release build, or no root.
pub fn one_suite(package: &str, name: &str) -> Result<Command> {
    let mut command = process::cargo();
    command
        .args(["test", "--no-fail-fast", "--package", package, "--test", name])
        .args(["--", "--test-threads", INTEGRATION_THREADS])
        .env(DAEMON, workspace::release_observer()?)
        .env(reliability::FOLDER_VARIABLE, reliability::folder()?);
    as_root(&mut command, "cargo xtask reliability")?;
    Ok(command)
}

/// The chart and the image: the same.
fn deployment(arguments: &Arguments) -> Result<Command> {
    let mut command = process::cargo();
    command
        .args(["test", "--no-fail-fast", "--package", "observer-deployment"])
        .args(["--", "--test-threads", INTEGRATION_THREADS])
        .args(&arguments.rest)
        .env("OBSERVER_IMAGE", image::archive()?)
        .env(DAEMON, workspace::release_observer()?);
    as_root(&mut command, "cargo xtask test")?;
    Ok(command)
}

/// Makes cargo's command run what it builds as root. `again`: what to type if that is refused.
///
/// # Errors
/// It may not.
pub fn as_root(command: &mut Command, again: &str) -> Result<()> {
    if !root::is_root() {
        // Asked here and now: within cargo's output nobody would see the question.
        let why = "loading kernel programs and creating network namespaces";
        process::run(&mut root::command("true", why, again)?)?;
        command.env(runner_variable()?, "sudo --preserve-env");
    }
    Ok(())
}

/// The variable that makes cargo start this machine's test programs through another one.
fn runner_variable() -> Result<String> {
    let host = workspace::host()?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_variable_is_the_one_that_cargo_documents() {
        // The Cargo book, "Environment variables": CARGO_TARGET_<triple>_RUNNER, upper case, dashes as underscores.
        let variable = runner_variable().unwrap();
        let host = format!("CARGO_TARGET_{}_", std::env::consts::ARCH.to_uppercase());
        assert!(variable.starts_with(&host) && variable.ends_with("_RUNNER"), "{variable}");
        assert!(!variable.contains('-'), "{variable}");
    }
}
