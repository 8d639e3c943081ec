//! `cargo xtask bench`: measurements on a release build. What they print is for docs/performance.md.

mod node;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::process;
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
    /// How long the observing thread takes for single events
    Events,
    /// How many instructions these take, which a busy machine does not change: under valgrind
    Instructions,
    /// Compiling and evaluating declared edges and policies at the size of a large cluster
    Graph,
    /// Memory and look-ups of the identity index at the size of the largest clusters
    Identity,
}

/// The benchmarks of single functions, by their names in `observer/benches`.
const PARTS: [&str; 4] = ["events", "instructions", "graph", "identity"];

/// The command itself; without a name it runs all.
///
/// # Errors
/// If a measurement cannot be made, or exceeds a bound that does not depend on the machine.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let result = match &arguments.bench {
        // Its progress and tables are its own, and it may go on as root in this process's place.
        Some(Bench::Node(arguments)) => return node::run(arguments),
        Some(Bench::Events) => part(&mut stages, "events"),
        Some(Bench::Instructions) => part(&mut stages, "instructions"),
        Some(Bench::Graph) => part(&mut stages, "graph"),
        Some(Bench::Identity) => part(&mut stages, "identity"),
        None => PARTS
            .iter()
            .try_for_each(|name| part(&mut stages, name))
            .and_then(|()| stages.run("node", || node::run(&node::Arguments::default()))),
    };
    stages.finish(result)
}

fn part(stages: &mut Stages, name: &'static str) -> Result<()> {
    let purpose = if name == "instructions" { Purpose::Instructions } else { Purpose::Build };
    stages.run("setup", || setup::ensure(purpose))?;
    stages.run(name, || {
        process::run(process::cargo().args(["bench", "--package", "observer", "--bench", name]))
    })
}
