//! `cargo xtask ci`: everything that has to be green, in one run. `.ci/run` calls nothing else.

use anyhow::{Context, Result};

use crate::setup::{self, Purpose};
use crate::stage::Stages;
use crate::{demo, process, test, tidy, vm};

/// The command itself. `commands` are the subcommands there are, for tidy.
///
/// # Errors
/// If a stage fails; later ones are not run.
pub fn run(commands: &[String]) -> Result<()> {
    let mut stages = Stages::default();
    let result = run_stages(&mut stages, commands);
    stages.finish(result)
}

fn run_stages(stages: &mut Stages, commands: &[String]) -> Result<()> {
    stages.run("setup", || setup::ensure(Purpose::All))?;
    stages.run("format", || process::run(process::cargo().args(["fmt", "--all", "--check"])))?;
    stages.run("lints", || {
        let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        process::run(process::cargo().args(arguments))
    })?;
    stages.run("dependencies", dependencies)?;
    stages.run("tidy", || tidy::run(commands))?;
    test::run_stages(stages, &test::Arguments::default())?;
    stages.run("kernels", vm::as_stage)?;
    stages.run("demo", demo::as_stage)
}

/// Licences, bans and origins always; known vulnerabilities where their database is at hand: it is a git repository
/// that CI may not be able to fetch.
fn dependencies() -> Result<()> {
    let deny = || process::command("cargo-deny");
    process::run(deny().args(["--locked", "check", "bans", "licenses", "sources"]))?;
    let databases = cargo_home()?.join("advisory-dbs");
    if std::fs::read_dir(&databases).is_ok_and(|mut entries| entries.next().is_some()) {
        return process::run(deny().args(["--frozen", "check", "advisories"]));
    }
    eprintln!(
        "advisories: NOT checked, no database in {}; `cargo deny fetch db` gets it",
        databases.display()
    );
    Ok(())
}

fn cargo_home() -> Result<std::path::PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(Into::into)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}
