//! The command line of `kubectl observer`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use super::super::Cli;

/// As kubectl finds a plugin: `kubectl observer` starts `kubectl-observer`.
const PLUGIN: &str = "kubectl-observer";
/// What asks an observer, and what explains its answers.
const COMMANDS: [&str; 8] = ["flows", "findings", "edges", "posture", "graph", "ui", "doctor", "explain"];
const HEADING: &str = "Which observers to ask";

/// Which cluster's observers are asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct ClusterArgs {
    /// The namespace that the observer is installed in
    #[arg(long, global = true, value_name = "NS", default_value = "observer")]
    pub observer_namespace: String,
    /// The labels of its pods
    #[arg(long, global = true, value_name = "LABELS", default_value = "app.kubernetes.io/name=observer")]
    pub selector: String,
    /// Of these nodes only; repeatable, or with commas between
    #[arg(long, global = true, value_name = "NAME", value_delimiter = ',')]
    pub node: Vec<String>,
    /// A context of the kubeconfig [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A node that takes longer did not answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub request_timeout: u64,
}

/// Whether this process was started as kubectl's plugin.
#[must_use]
pub fn is_plugin(started_as: Option<&OsStr>) -> bool {
    started_as.map(Path::new).and_then(Path::file_name).is_some_and(|name| name == PLUGIN)
}

/// The commands that make sense for a cluster, with the flags that say which.
pub(in super::super) fn plugin_command() -> Command {
    let all = Cli::command();
    let kept = all.get_subcommands().filter(|command| COMMANDS.contains(&command.get_name())).cloned();
    let command = Command::new(PLUGIN)
        .bin_name("kubectl observer")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(kept);
    ClusterArgs::augment_args(command)
        .about("Asks the observers of all nodes through the API server, and shows one answer")
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn the_file_name_alone_makes_it_a_plugin() {
        for name in ["kubectl-observer", "/usr/local/bin/kubectl-observer", "./kubectl-observer"] {
            assert!(is_plugin(Some(OsStr::new(name))), "{name}");
        }
        for name in ["observer", "/kubectl-observer/observer", "kubectl-observer-old", ""] {
            assert!(!is_plugin(Some(OsStr::new(name))), "{name}");
        }
        assert!(!is_plugin(None));
    }

    #[test]
    fn the_flags_that_say_which_cluster_stand_anywhere_and_run_is_no_command() {
        plugin_command().debug_assert();
        let parse = |arguments: &[&str]| plugin_command().try_get_matches_from(arguments);
        let matches = parse(&[
            "kubectl-observer",
            "findings",
            "-n",
            "shop",
            "--node",
            "a,b",
            "--observer-namespace",
            "x",
        ])
        .unwrap();
        let args = ClusterArgs::from_arg_matches(&matches).unwrap();
        assert_eq!(
            (args.node.as_slice(), args.observer_namespace.as_str()),
            (&["a".into(), "b".into()][..], "x")
        );
        assert!(Cli::from_arg_matches(&matches).is_ok());
        assert!(parse(&["kubectl-observer", "--node", "a", "graph", "diff"]).is_ok());
        for command in ["run", "completion", "canary", "socket"] {
            assert!(parse(&["kubectl-observer", command]).is_err(), "{command}");
        }
    }
}
