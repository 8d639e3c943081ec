//! `cargo xtask ui`: observer/ui/bundle.js, the script of the page that `observer ui` serves, of its sources. It is
//! committed, so that building the observer needs neither node nor npm.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{process, workspace};

const BUNDLE: &str = "observer/ui/bundle.js";
/// Whose types are checked: the page, and the scripts that test it.
const PAGE: &str = "observer/ui";
const TESTS: &str = "tests/map";

#[derive(Args)]
pub struct Arguments {
    /// Write nothing; fail if the file is not what the sources make
    #[arg(long)]
    check: bool,
}

/// The command itself.
///
/// # Errors
/// If the types do not hold, or the file differs.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Purpose::Page)?;
    types(PAGE)?;
    let made = make()?;
    if arguments.check {
        return compare(&made);
    }
    std::fs::write(workspace::top().join(BUNDLE), made).with_context(|| format!("cannot write {BUNDLE}"))
}

/// Whether types hold, and the file is what the sources make.
///
/// # Errors
/// It is not.
pub fn check() -> Result<()> {
    types(PAGE)?;
    types(TESTS)?;
    compare(&make()?)
}

fn types(folder: &str) -> Result<()> {
    let compiler = workspace::top().join(PAGE).join("node_modules/typescript/bin/tsc");
    process::run(process::command("node").arg(compiler).args(["--noEmit", "--project", folder]))
}

fn make() -> Result<String> {
    let directory = workspace::top().join("target/ui");
    std::fs::create_dir_all(&directory)?;
    let bundle = directory.join("bundle.js");
    process::run(process::command("node").arg(format!("{PAGE}/build.mjs")).arg(&bundle))?;
    std::fs::read_to_string(&bundle).with_context(|| bundle.display().to_string())
}

fn compare(made: &str) -> Result<()> {
    if std::fs::read_to_string(workspace::top().join(BUNDLE)).unwrap_or_default() != made {
        bail!("{BUNDLE} is not what {PAGE}/src makes; run `cargo xtask ui`");
    }
    Ok(())
}
