//! `observer completion`.

use std::io::Write;

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::output::{Ended, Printer};
use super::{Cli, CliError};

#[derive(Args, Clone, Debug)]
pub struct CompletionArgs {
    /// The shell to complete in
    #[arg(value_name = "SHELL")]
    pub shell: CompletedShell,
}

/// Those whose scripts are tested with the shell itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run<W: Write>(args: &CompletionArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let shell = match args.shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(), "observer", &mut script);
    let script = String::from_utf8_lossy(&script);
    Ended::or_error(out.print(&script).and_then(|()| out.flush()))
}

/// The command line without what is not for people.
fn shown() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("observer")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments().cloned())
        .subcommands(shown)
}
