//! The command line read, and what to say if that fails: one line, like every other error.

use clap::error::ErrorKind;
use clap::{FromArgMatches as _, Parser as _};

use super::cluster::{ClusterArgs, Observers, is_plugin, plugin_command};
use super::{Cli, CliError};

impl Cli {
    /// Reads this process's command line. Ends the process where help or the version is asked for.
    ///
    /// # Errors
    /// Usage, in one line; as kubectl's plugin also that there are no observers to ask.
    pub fn read() -> Result<Self, CliError> {
        if !is_plugin(std::env::args_os().next().as_deref()) {
            return Self::try_parse().map_err(|error| refused(&error));
        }
        let matches = plugin_command().try_get_matches().map_err(|error| refused(&error))?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| refused(&error))?;
        let args = ClusterArgs::from_arg_matches(&matches).map_err(|error| refused(&error))?;
        if cli.command.asks() {
            let observers = Observers::find(&args)?;
            if let Some(socket) = cli.command.socket() {
                socket.cluster = Some(observers.clone());
            }
            cli.cluster = Some(observers);
        }
        Ok(cli)
    }
}

fn refused(error: &clap::Error) -> CliError {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => CliError::Usage(complaint(&error.to_string())),
    }
}

/// clap writes its message, tips, the usage and a pointer to --help as paragraphs.
fn complaint(text: &str) -> String {
    let text = text.trim().trim_start_matches("error: ");
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Usage:")).collect();
    let mut complaint = String::new();
    for line in lines {
        match complaint.chars().last() {
            None => {}
            // A list of missing arguments follows.
            Some(':') => complaint.push(' '),
            Some(_) => complaint.push_str("; "),
        }
        complaint.push_str(line.strip_prefix("For more information, ").unwrap_or(line));
    }
    complaint.trim_end_matches('.').to_owned()
}

/// An error on one line, whatever it quotes: kernel logs and YAML snippets have many. Of a long one, its start and its
/// end, where the verifier says what it did not like.
#[must_use]
pub fn one_line(text: &str) -> String {
    const FIRST: usize = 2;
    const LAST: usize = 3;
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > FIRST + LAST {
        lines.splice(FIRST..lines.len() - LAST, ["..."]);
    }
    lines.join("; ")
}

/// An error and its causes, each said once: many errors quote their cause already.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_line_with_the_way_out() {
        for arguments in [
            vec!["observer", "run", "--nonsense"],
            vec!["observer", "findings", "--finding", "boredom"],
            vec!["observer", "flows", "--last", "many"],
            vec!["observer", "nonsense"],
        ] {
            let text = complaint(&Cli::try_parse_from(&arguments).unwrap_err().to_string());
            assert!(!text.contains('\n') && !text.starts_with("error"), "{text}");
            assert!(
                text.contains(arguments[arguments.len() - 1]) && text.ends_with("try '--help'"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_cause_that_the_error_quotes_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("a.yaml: {0}; name another")]
        struct Quoting(#[source] std::io::Error);
        let cause = || std::io::Error::other("gone");
        assert_eq!(with_causes(&Quoting(cause())), "a.yaml: gone; name another");
        let silent = anyhow::Error::from(Quoting(cause())).context("--graph a.yaml");
        assert_eq!(with_causes(silent.as_ref()), "--graph a.yaml: a.yaml: gone; name another");
    }

    #[test]
    fn a_long_error_keeps_its_start_and_its_end() {
        let log: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let line = one_line(&log.join("\n"));
        assert_eq!(line, "line 0; line 1; ...; line 997; line 998; line 999");
        assert_eq!(one_line("one\n\n two"), "one; two");
    }
}
