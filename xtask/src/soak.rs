//! `cargo xtask soak`: the daemon under mixed load, churn and faults for as long as one likes. By hand; its result goes
//! into docs/reliability.md with `cargo xtask reliability --page-only`.

use std::fs;

use anyhow::{Result, ensure};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{process, reliability, test, workspace};

#[derive(Args)]
pub struct Arguments {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// The command itself.
///
/// # Errors
/// Something grows, or the run breaks off.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.minutes >= 1.0, "less than a minute says nothing: choose --minutes 10");
    setup::ensure(Purpose::Test)?;
    let folder = reliability::folder()?;
    fs::create_dir_all(&folder)?;
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--package", "observer-integration", "--bin", "soak", "--"]);
    command.arg(arguments.minutes.to_string()).arg(folder.join(reliability::SOAK));
    // Another build of the daemon, if somebody names one.
    if std::env::var_os(test::DAEMON).is_none() {
        process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
        command.env(test::DAEMON, workspace::release_observer()?);
    }
    test::as_root(&mut command, "cargo xtask soak")?;
    process::run(&mut command)
}
