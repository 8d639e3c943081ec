//! Only starts things; wiring lives in `runtime`.

use std::process::ExitCode;

use observer::cli::{self, Cli, CliError, Command, RunSettings};
use observer::{probe, runtime};

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return fail(&error),
    };
    let result = match cli.command {
        Command::Run(args) => RunSettings::load(*args).and_then(|(settings, source)| {
            runtime::run(&settings, source)
                .map_err(|error| CliError::Failed(cli::with_causes(error.as_ref())))
        }),
        Command::Flows(args) => cli::run_flows(&args),
        Command::Findings(args) => cli::run_findings(&args),
        Command::Edges(args) => cli::run_edges(&args),
        Command::Posture(args) => match cli::run_posture(&args) {
            Ok(true) => return ExitCode::FAILURE,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        },
        Command::Graph(command) => match cli::run_graph(&command) {
            Ok(true) => return ExitCode::FAILURE,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        },
        Command::Ui(args) => cli::run_ui(&args),
        Command::Explain(args) => cli::run_explain(&args),
        Command::Completion(args) => cli::run_completion(&args),
        Command::Doctor(args) => return cli::doctor::run(&args),
        Command::Canary(args) => return probe::canary_main(&args.cgroup),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &CliError) -> ExitCode {
    eprintln!("observer: {}", cli::one_line(&error.to_string()));
    error.exit_code()
}
