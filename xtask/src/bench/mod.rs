//! `cargo xtask bench`: measurements on a release build. What they print is a table for docs/benchmarks.md.

mod graph;
mod identity;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::setup::{self, Purpose};
use crate::stage::Stages;

#[derive(Args)]
pub struct Arguments {
    /// What to measure
    #[arg(value_enum, required = true)]
    benches: Vec<Bench>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Compiling and evaluating declared edges and policies at the size of a large cluster
    Graph,
    /// Memory and look-ups of the identity index at the size of the largest clusters
    Identity,
}

/// The command itself.
///
/// # Errors
/// If a measurement cannot be made, or exceeds a bound that does not depend on the machine.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let result = stages.run("setup", || setup::ensure(Purpose::Build)).and_then(|()| {
        arguments.benches.iter().try_for_each(|bench| match bench {
            Bench::Graph => stages.run("graph", graph::run),
            Bench::Identity => stages.run("identity", identity::run),
        })
    });
    stages.finish(result)
}
