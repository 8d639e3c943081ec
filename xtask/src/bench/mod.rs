//! `cargo xtask bench`: measurements on a release build. What they print is for docs/performance.md.

mod graph;
mod identity;
mod node;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::setup::{self, Purpose};
use crate::stage::Stages;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Subcommand)]
enum Bench {
    /// What the observer costs a node under third-party load, in turns with nothing and with empty programs
    Node(node::Arguments),
    /// Compiling and evaluating declared edges and policies at the size of a large cluster
    Graph,
    /// Memory and look-ups of the identity index at the size of the largest clusters
    Identity,
}

/// The command itself; without a name it runs all.
///
/// # Errors
/// If a measurement cannot be made, or exceeds a bound that does not depend on the machine.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let result = match &arguments.bench {
        // Its progress and tables are its own, and it may go on as root in this process's place.
        Some(Bench::Node(arguments)) => return node::run(arguments),
        Some(Bench::Graph) => part(&mut stages, "graph", graph::run),
        Some(Bench::Identity) => part(&mut stages, "identity", identity::run),
        None => part(&mut stages, "graph", graph::run)
            .and_then(|()| part(&mut stages, "identity", identity::run))
            .and_then(|()| stages.run("node", || node::run(&node::Arguments::default()))),
    };
    stages.finish(result)
}

fn part(stages: &mut Stages, name: &'static str, bench: fn() -> Result<()>) -> Result<()> {
    stages.run("setup", || setup::ensure(Purpose::Build)).and_then(|()| stages.run(name, bench))
}
