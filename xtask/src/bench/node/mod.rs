//! `cargo xtask bench node`: what watching costs a node. Modes take turns within each round, so that whatever else the
//! machine does hits all of them.

mod exposition;
mod goals;
mod idle;
mod load;
mod machine;
mod meter;
mod mode;
mod observer;
mod output;
mod page;
mod peer;
mod report;
mod run;
mod stage;
mod statistics;
mod summary;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::load::Load;
use self::mode::Mode;
use self::peer::Peer;
use self::report::{Failure, Report};
use self::run::Plan;
use self::stage::Stage;
use crate::scratch::Scratch;
use crate::setup::{self, Purpose};
use crate::stage::seconds;
use crate::{process, root, workspace};

#[derive(Args, Clone)]
pub struct Arguments {
    /// How long each load runs
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=40))]
    seconds: u32,
    /// How often each mode gets its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// These loads alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOAD")]
    load: Vec<Load>,
    /// These modes: none, floor, observer, tcpdump, tshark. Ratios need `none` and `floor` among them
    #[arg(long, value_parser = Mode::parse, value_delimiter = ',', value_name = "MODE", default_value = "none,floor,observer")]
    mode: Vec<Mode>,
    /// Another program that watches, started by the shell in the node's network namespace
    #[arg(long, value_parser = Peer::parse, value_name = "NAME=COMMAND")]
    peer: Vec<Peer>,
    /// Leave out the runs in which the kernel takes the time of its programs
    #[arg(long)]
    no_times: bool,
    /// Another build of the daemon than this tree's
    #[arg(long, value_name = "FILE")]
    observer: Option<PathBuf>,
    /// Where all numbers go
    #[arg(long, value_name = "FILE", default_value = "target/bench/node.json")]
    output: PathBuf,
    /// A page to write the tables into, such as docs/performance.md: between its marks for `node`, or for `peers` if
    /// there are any
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Everything is set up and built: what a benchmark that has become root is told
    #[arg(long, hide = true)]
    prepared: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            arguments: Arguments,
        }
        Alone::parse_from(["node"]).arguments
    }
}

impl Arguments {
    fn loads(&self) -> Vec<Load> {
        if self.load.is_empty() { Load::ALL.to_vec() } else { self.load.clone() }
    }

    fn observer(&self) -> Result<PathBuf> {
        self.observer.clone().map_or_else(workspace::release_observer, Ok)
    }
}

/// The command itself.
///
/// # Errors
/// If it cannot be set up, or a run of our own modes fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.prepared {
        setup::ensure(Purpose::Bench)?;
        if arguments.observer.is_none() {
            eprintln!("building the observer: minutes the first time, seconds later");
            process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
        }
    }
    if root::is_root() { measure(arguments) } else { become_root() }
}

/// Goes on as root, in this process's place, with the same arguments.
fn become_root() -> Result<()> {
    let why = "the benchmark loads kernel programs and makes network namespaces, which";
    let mut command = root::command("env", why, "cargo xtask bench node")?;
    for name in ["PATH", "TERM", "CARGO_MANIFEST_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            let mut pair = std::ffi::OsString::from(format!("{name}="));
            pair.push(value);
            command.arg(pair);
        }
    }
    command.arg(std::env::current_exe().context("cannot find this program")?);
    command.args(["bench", "node", "--prepared"]);
    let mut words = std::env::args_os().skip(1).peekable();
    words.next_if(|word| word == "bench");
    words.next_if(|word| word == "node");
    command.args(words);
    Err(command.exec()).context("sudo does not start")
}

fn measure(arguments: &Arguments) -> Result<()> {
    // The daemon, the servers and the kernel's settings do not outlive a run that Ctrl-C cuts off.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("handle signals")?;
    }
    let observer = arguments.observer()?;
    let plans = plans(arguments);
    let with_peers = plans.iter().any(|plan| matches!(plan.mode, Mode::Peer(_)));
    let section = if with_peers { "peers" } else { "node" };
    let page = arguments.page.as_ref().map(|page| workspace::top().join(page));
    if let Some(page) = &page {
        page::check(page, section)?;
    }
    let scratch = Scratch::new("bench")?;
    let stage = Stage::set(&scratch)?;
    let start = Instant::now();
    let mut report = Report::new(arguments.seconds, arguments.pairs);
    for (index, plan) in plans.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            bail!("stopped before the {}th of {} runs", index + 1, plans.len());
        }
        if report.failures.iter().any(|failure| failure.mode == plan.mode) {
            continue;
        }
        let round = if plan.timed { "timed".to_owned() } else { format!("round {}", plan.round) };
        eprint!(
            "[{:>3}/{}] {:<26} {:<9} {:<9}",
            index + 1,
            plans.len(),
            plan.load.name(),
            round,
            plan.mode.name()
        );
        match plan.run(&stage, &scratch, &observer) {
            Ok(run) => {
                eprintln!("{}", report::line(&run));
                report.runs.push(run);
            }
            // What other programs can do here is a result, too.
            Err(error) if matches!(plan.mode, Mode::Peer(_)) => {
                eprintln!("{error:#}");
                report.failures.push(Failure { mode: plan.mode.clone(), error: format!("{error:#}") });
            }
            Err(error) => return Err(error),
        }
    }
    report.machine.look_again();
    let output = workspace::top().join(&arguments.output);
    if let Some(directory) = output.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::write(&output, report.json()?).with_context(|| format!("write {}", output.display()))?;
    print!("\n{}", report.markdown());
    if let Some(page) = &page {
        page::write(page, section, &report.markdown())?;
    }
    eprintln!("\nall numbers: {} ({})", output.display(), seconds(start.elapsed()));
    stage.node.shut_down()
}

/// Every other round goes through the modes backwards: what drifts favours none.
fn plans(arguments: &Arguments) -> Vec<Plan> {
    let peers = arguments.peer.iter().cloned().map(Mode::Peer);
    let modes: Vec<Mode> = arguments.mode.iter().cloned().chain(peers).collect();
    let mut plans = Vec::new();
    for load in arguments.loads() {
        let plan = |mode: &Mode, round, timed| Plan {
            mode: mode.clone(),
            load,
            round,
            timed,
            seconds: arguments.seconds,
        };
        for round in 1..=arguments.pairs {
            let mut turn: Vec<_> = modes.iter().map(|mode| plan(mode, round, false)).collect();
            if round % 2 == 0 {
                turn.reverse();
            }
            plans.extend(turn);
        }
        if !arguments.no_times {
            let with_programs = modes.iter().filter(|mode| matches!(mode, Mode::Floor | Mode::Observer));
            plans.extend(with_programs.map(|mode| plan(mode, 0, true)));
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_take_turns_and_change_their_order() {
        let arguments = Arguments {
            pairs: 2,
            load: vec![Load::Tls],
            mode: vec![Mode::None, Mode::Observer],
            ..Arguments::default()
        };
        let turns: Vec<_> =
            plans(&arguments).into_iter().map(|plan| (plan.round, plan.mode, plan.timed)).collect();
        let expected = [
            (1, Mode::None, false),
            (1, Mode::Observer, false),
            (2, Mode::Observer, false),
            (2, Mode::None, false),
            (0, Mode::Observer, true),
        ];
        assert_eq!(turns, expected);
    }
}
