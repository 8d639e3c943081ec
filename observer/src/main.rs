//! Only starts things; wiring lives in `runtime`.

use std::process::ExitCode;

use clap::Parser as _;
use observer::cli::{self, Cli, CliError, Command, RunSettings};
use observer::{probe, runtime};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => RunSettings::load(*args).and_then(|settings| {
            runtime::run(&settings).map_err(|error| CliError::Failed(format!("{error:#}")))
        }),
        Command::Flows(args) => cli::run_flows(&args),
        Command::Findings(args) => cli::run_findings(&args),
        Command::Edges(args) => cli::run_edges(&args),
        Command::Doctor(args) => return cli::doctor::run(&args),
        Command::Canary(args) => return probe::canary_main(&args.cgroup),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observer: {error}");
            error.exit_code()
        }
    }
}
