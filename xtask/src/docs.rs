//! `cargo xtask docs`: the pages in docs/ that are made from the code. What checks them also writes them.

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::setup::{self, Purpose};

/// Tells the test to write.
const WRITE: &str = "OBSERVER_WRITE_DOCS";

#[derive(Args)]
pub struct Arguments {
    /// Write nothing; fail if a page is not what the code says
    #[arg(long)]
    check: bool,
}

/// The command itself.
///
/// # Errors
/// If the code does not build, or a page cannot be written or differs.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let mut command = process::cargo();
    command.args(["test", "--quiet", "--package", "observer", "--test", "generated_docs"]);
    if !arguments.check {
        command.env(WRITE, "1");
    }
    process::run(&mut command)
}
