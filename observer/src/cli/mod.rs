//! Stage `cli`: the command line, the config file, and the commands that ask a running daemon.

mod bridge;
mod changes;
mod client;
mod cluster;
mod completion;
mod config;
pub mod doctor;
mod edge_totals;
mod edges;
mod examples;
mod explain;
mod filter;
mod findings;
mod flows;
mod graph;
pub mod meanings;
mod output;
mod parse;
mod posture;
mod reference;
mod run;
mod settings;
mod ui;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::probe::CANARY_COMMAND;
pub use bridge::BridgeArgs;
pub use changes::{Changes, LIVE_KEYS};
pub use client::SocketArgs;
pub use cluster::{ClusterArgs, Observers};
pub use completion::{CompletedShell, CompletionArgs};
pub use config::{ConfigFile, Exemption, GraphSource, LinkEncryption};
pub use doctor::DoctorArgs;
pub use edges::{EdgesArgs, Sort};
pub use explain::ExplainArgs;
pub use filter::{FilterArgs, FlowFilterArgs, StatusArgs};
pub use findings::FindingsArgs;
pub use flows::FlowsArgs;
pub use graph::{CheckArgs, DiffArgs, ExportArgs, GraphCommand};
pub use output::{Color, Format, OutputArgs};
pub use parse::{one_line, with_causes};
pub use posture::PostureArgs;
pub use reference::configuration_page;
pub use run::{LogLevel, Output, RunArgs, Seccomp};
pub use settings::{IssuerKeys, KeysAt, RunSettings, Source};
pub use ui::{Listen, UiArgs};

/// Shows which service calls which, as whom, encrypted or not, with which credential, declared or not.
#[derive(Clone, Debug, Parser)]
#[command(name = "observer", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Those that the command asks, instead of the one on this node.
    #[arg(skip)]
    pub cluster: Option<Arc<Observers>>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Observe this node
    #[command(after_help = examples::RUN)]
    Run(Box<RunArgs>),
    /// Show flow records of the observer that runs on this node
    #[command(after_help = examples::FLOWS)]
    Flows(FlowsArgs),
    /// Show findings, summed up by edge and kind
    #[command(after_help = examples::FINDINGS)]
    Findings(FindingsArgs),
    /// Show who called whom, and how
    #[command(after_help = examples::EDGES)]
    Edges(EdgesArgs),
    /// Show which ServiceAccounts are weaker than need be, and what seen tokens allow
    #[command(after_help = examples::POSTURE)]
    Posture(PostureArgs),
    /// Check declared graphs, hold them against what was seen, or make them of it
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Show a map of who calls whom in a browser, live
    #[command(after_help = examples::UI)]
    Ui(UiArgs),
    /// Check what this kernel allows, and say what is degraded
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Tell what a finding, a status or a reason means, why it matters and what to do
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Print a script with which a shell completes this program's arguments
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Make the self-test's connection from inside a cgroup
    #[command(hide = true, name = CANARY_COMMAND)]
    Canary(CanaryArgs),
    /// Pass stdin on to the observer's socket, and its answer to stdout
    #[command(hide = true, name = "socket")]
    Bridge(BridgeArgs),
}

impl Command {
    /// Whom it asks.
    fn socket(&mut self) -> Option<&mut SocketArgs> {
        match self {
            Self::Flows(args) => Some(&mut args.socket),
            Self::Findings(args) => Some(&mut args.socket),
            Self::Edges(args) => Some(&mut args.socket),
            Self::Posture(args) => Some(&mut args.socket),
            Self::Graph(GraphCommand::Export(args)) => Some(&mut args.socket),
            Self::Graph(GraphCommand::Diff(args)) => Some(&mut args.socket),
            Self::Ui(args) => Some(&mut args.socket),
            _ => None,
        }
    }

    /// Whether it has a question to an observer.
    fn asks(&mut self) -> bool {
        self.socket().is_some() || matches!(self, Self::Doctor(_))
    }
}

#[derive(Args, Clone, Debug)]
pub struct CanaryArgs {
    #[arg(long, value_name = "DIR")]
    pub cgroup: std::path::PathBuf,
}

/// Why a command could not do its work: one line that names the cause and the way out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// 2 for usage, as clap has it; 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

/// `flows`.
///
/// # Errors
/// No daemon answers, or it went away.
pub fn run_flows(args: &FlowsArgs) -> Result<(), CliError> {
    flows::run(args, &mut output::stdout(args.output.color))
}

/// `findings`.
///
/// # Errors
/// As [`run_flows`].
pub fn run_findings(args: &FindingsArgs) -> Result<(), CliError> {
    findings::run(args, &mut output::stdout(args.output.color))
}

/// `edges`.
///
/// # Errors
/// As [`run_flows`].
pub fn run_edges(args: &EdgesArgs) -> Result<(), CliError> {
    edges::run(args, &mut output::stdout(args.output.color))
}

/// `posture`. Answers whether anything was found.
///
/// # Errors
/// As [`run_flows`].
pub fn run_posture(args: &PostureArgs) -> Result<bool, CliError> {
    posture::run(args, &mut output::stdout(args.output.color))
}

/// `graph`. Answers whether something is wrong, differs, or was left out.
///
/// # Errors
/// Files cannot be used, or as [`run_flows`].
pub fn run_graph(command: &GraphCommand) -> Result<bool, CliError> {
    graph::run(command)
}

/// `ui`. Returns when the process is told to end.
///
/// # Errors
/// As [`run_flows`], or the address cannot be had.
pub fn run_ui(args: &UiArgs) -> Result<(), CliError> {
    ui::run(args)
}

/// `socket`.
///
/// # Errors
/// As [`run_flows`].
pub fn run_bridge(args: &BridgeArgs) -> Result<(), CliError> {
    bridge::run(args)
}

/// `explain`.
///
/// # Errors
/// stdout takes nothing more.
pub fn run_explain(args: &ExplainArgs) -> Result<(), CliError> {
    explain::run(args, &mut output::stdout(args.color))
}

/// `completion`.
///
/// # Errors
/// As [`run_explain`].
pub fn run_completion(args: &CompletionArgs) -> Result<(), CliError> {
    completion::run(args, &mut output::stdout(Color::Never))
}

#[cfg(test)]
mod tests;
