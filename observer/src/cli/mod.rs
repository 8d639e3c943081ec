//! Stage `cli`: the command line, the config file, and the commands that ask a running daemon.

mod changes;
mod client;
mod config;
pub mod doctor;
mod edges;
mod explain;
mod filter;
mod findings;
mod flows;
mod output;
mod parse;
mod posture;
mod run;
mod settings;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::probe::CANARY_COMMAND;
pub use changes::{Changes, LIVE_KEYS};
pub use config::{ConfigFile, Exemption, LinkEncryption};
pub use doctor::DoctorArgs;
pub use edges::EdgesArgs;
pub use explain::explain;
pub use filter::FilterArgs;
pub use findings::FindingsArgs;
pub use flows::FlowsArgs;
pub use output::Format;
pub use parse::{one_line, with_causes};
pub use posture::PostureArgs;
pub use run::{LogLevel, Output, RunArgs};
pub use settings::{IssuerKeys, KeysAt, RunSettings, Source};

/// Shows which service calls which, as whom, encrypted or not, with which credential, declared or not.
#[derive(Clone, Debug, Parser)]
#[command(name = "observer", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Observe this node
    Run(Box<RunArgs>),
    /// Show flow records of the observer that runs on this node
    Flows(FlowsArgs),
    /// Show findings, summed up by edge and kind
    Findings(FindingsArgs),
    /// Show who called whom, and how
    Edges(EdgesArgs),
    /// Show which ServiceAccounts are weaker than need be, and what seen tokens allow
    Posture(PostureArgs),
    /// Check what this kernel allows, and say what is degraded
    Doctor(DoctorArgs),
    /// Make the self-test's connection from inside a cgroup
    #[command(hide = true, name = CANARY_COMMAND)]
    Canary(CanaryArgs),
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
    flows::run(args, &mut output::stdout())
}

/// `findings`.
///
/// # Errors
/// As [`run_flows`].
pub fn run_findings(args: &FindingsArgs) -> Result<(), CliError> {
    findings::run(args, &mut output::stdout())
}

/// `edges`.
///
/// # Errors
/// As [`run_flows`].
pub fn run_edges(args: &EdgesArgs) -> Result<(), CliError> {
    edges::run(args, &mut output::stdout())
}

/// `posture`. Answers whether anything was found.
///
/// # Errors
/// As [`run_flows`].
pub fn run_posture(args: &PostureArgs) -> Result<bool, CliError> {
    posture::run(args, &mut output::stdout())
}

#[cfg(test)]
mod tests;
