//! The flags of `observer run`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

/// What stdout carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A JSON object a line
    #[default]
    Json,
    /// A table for people
    Text,
    /// Nothing
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// As a directive of `tracing`'s filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What becomes of system calls that a running daemon never makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// They fail
    #[default]
    Refuse,
    /// They end the daemon
    Kill,
    /// They are made
    Allow,
}

/// Each has a key of the same name in the config file, with `_` for `-`. A flag wins over the file; a repeatable
/// flag replaces the file's whole list.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct RunArgs {
    /// Settings in YAML; every flag has a key. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubernetes objects as `kubectl get -o yaml` prints them, instead of an API server
    #[arg(long, value_name = "FILE|DIR")]
    pub inventory: Option<PathBuf>,
    /// Declared edges; repeatable
    #[arg(long, value_name = "FILE|DIR")]
    pub graph: Vec<PathBuf>,
    /// An issuer whose tokens are verified; repeatable, each with its --jwks
    #[arg(long, value_name = "URL")]
    pub issuer: Vec<String>,
    /// The keys of the issuer at the same place; repeatable
    #[arg(long, value_name = "FILE")]
    pub jwks: Vec<PathBuf>,
    /// An audience that the API server accepts; repeatable [default: the first issuer]
    #[arg(long, value_name = "AUD")]
    pub api_audience: Vec<String>,
    /// Addresses of pods, nodes and Services; repeatable
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub cluster_cidr: Vec<IpNet>,
    /// This node's name in the cluster [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// The cgroup2 directory to observe [default: found]
    #[arg(long, value_name = "DIR")]
    pub cgroup_root: Option<PathBuf>,
    /// Address of /metrics, /healthz and /readyz [default: 0.0.0.0:9464]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The unix socket that the other commands ask [default: /run/observer/observer.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Flow records on stdout [default: json]
    #[arg(long, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// Flow records a second that stdout gets at most, bursts apart; 0: all [default: 1000]
    #[arg(long, value_name = "RECORDS")]
    pub flow_rate: Option<u32>,
    /// Also show the client's end of flows towards pods of other nodes; they are never counted
    #[arg(long)]
    pub both_ends: bool,
    /// What becomes of system calls that a running daemon never makes [default: refuse]
    #[arg(long, value_name = "MODE")]
    pub seccomp: Option<Seccomp>,
    /// What the log on stderr tells [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
}
