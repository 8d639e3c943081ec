//! `observer graph`.

mod check;
mod diff;
mod export;
mod prometheus;

use clap::Subcommand;

use super::output::stdout;
use super::{CliError, examples};
pub use check::CheckArgs;
pub use diff::DiffArgs;
pub use export::ExportArgs;

#[derive(Clone, Debug, Subcommand)]
pub enum GraphCommand {
    /// Tell all that is wrong in declared graphs, and where sources disagree
    #[command(after_help = examples::GRAPH_CHECK)]
    Check(CheckArgs),
    /// Write declarations of what was seen
    #[command(after_help = examples::GRAPH_EXPORT)]
    Export(ExportArgs),
    /// Tell what is declared and was not seen, and what was seen and is not declared
    #[command(after_help = examples::GRAPH_DIFF)]
    Diff(DiffArgs),
}

/// Answers whether something is wrong, differs, or was left out.
pub(super) fn run(command: &GraphCommand) -> Result<bool, CliError> {
    match command {
        GraphCommand::Check(args) => check::run(args, &mut stdout(args.output.color)),
        GraphCommand::Export(args) => export::run(args, &mut stdout(super::Color::Never)),
        GraphCommand::Diff(args) => diff::run(args, &mut stdout(args.output.color)),
    }
}
