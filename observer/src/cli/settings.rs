//! What `observer run` works with, after flags, environment and config file have been put together.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use observer_common::Settings;

use super::CliError;
use super::config::{ConfigFile, ConfiguredIssuer, Exemption, GraphSource, LinkEncryption};
use super::filter::principal;
use super::run::{LogLevel, Output, RunArgs, Seccomp};
use crate::sink::{DEFAULT_SERIES_BUDGET, DEFAULT_SOCKET, MIN_SERIES_BUDGET};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9464);
/// Above this an exposition is larger than scrapers take.
const MAX_SERIES_BUDGET: usize = 1_000_000;
/// Less holds no useful request head.
const MIN_CLIENT_ALLOWANCE: u32 = 256;
/// In seconds; as long as Linux tracks a UDP exchange without a stream (net.netfilter.nf_conntrack_udp_timeout).
const DEFAULT_UDP_IDLE: u64 = 30;
/// Ten minutes: clients of the API server renew their watches about as often.
const DEFAULT_TOKEN_UNUSED_AFTER: u64 = 600;
const MAX_TOKEN_UNUSED_AFTER: u64 = 30 * 86_400;
/// An hour: longer than a rollout or a node's drain takes.
const DEFAULT_SERIES_IDLE: u64 = 3_600;
const MAX_SERIES_IDLE: u64 = 365 * 86_400;
/// Some 1.5 MB a second, which container runtimes and log agents keep up with.
const DEFAULT_FLOW_RATE: u32 = 1_000;
const MAX_FLOW_RATE: u32 = 1_000_000;
/// In seconds; beyond it the kernel's table would only fill.
const MAX_UDP_IDLE: u64 = 3600;
/// A metric label should stay one: in characters.
const MAX_REASON: usize = 64;

/// An issuer and where its keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeys {
    pub issuer: String,
    pub keys: KeysAt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    File(PathBuf),
    /// Without `url`: where the issuer's discovery document says.
    Server {
        url: Option<String>,
        ca: Option<PathBuf>,
    },
}

/// What settings were made of: so that they can be made anew when the file changes.
#[derive(Clone, Debug)]
pub struct Source {
    pub args: RunArgs,
    /// The file's, if one is named.
    pub text: Option<String>,
}

impl Source {
    /// # Errors
    /// Usage: a key or value that makes no sense.
    pub fn settings(&self) -> Result<RunSettings, CliError> {
        let name = self.args.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let file = match &self.text {
            None => ConfigFile::default(),
            Some(text) => {
                ConfigFile::parse(text).map_err(|cause| CliError::Usage(format!("{name}: {cause}")))?
            }
        };
        let origin = if self.text.is_some() { format!("{name}: ") } else { String::new() };
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        RunSettings::resolve(self.args.clone(), file, &origin, host)
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    /// Kubernetes objects instead of an API server.
    pub inventory: Option<PathBuf>,
    pub graphs: Vec<PathBuf>,
    /// Whose objects the API server is asked for.
    pub graph_sources: Vec<GraphSource>,
    pub issuers: Vec<IssuerKeys>,
    /// Those that the API server accepts, if they are not to be found out.
    pub api_audiences: Vec<String>,
    pub cluster_cidrs: Vec<IpNet>,
    pub node_name: String,
    /// The cgroup2 directory to observe; found if absent.
    pub cgroup_root: Option<PathBuf>,
    pub listen: SocketAddr,
    pub socket: PathBuf,
    pub output: Output,
    /// Flow records a second that stdout gets at most; zero: all.
    pub flow_rate: u32,
    pub both_ends: bool,
    /// What becomes of system calls that are not expected.
    pub seccomp: Seccomp,
    pub log_level: LogLevel,
    pub exemptions: Vec<Exemption>,
    /// Lower-case names of request headers.
    pub credential_headers: Vec<String>,
    /// What encrypts all links between nodes.
    pub link_encryption: Option<LinkEncryption>,
    /// Samples that `/metrics` may have.
    pub series_budget: usize,
    /// How long an edge whose pods are gone keeps its series; zero: for ever.
    pub series_idle: Duration,
    /// Bytes captured each time a client speaks.
    pub client_allowance: u32,
    /// A UDP conversation this long without a datagram is over.
    pub udp_idle: Duration,
    pub token_unused_after: Duration,
}

impl RunSettings {
    /// Reads the config file, if one is named, and lets the flags win. With the settings comes that file's text.
    ///
    /// # Errors
    /// Usage: a file, key or value that makes no sense.
    pub fn load(args: RunArgs) -> Result<(Self, Source), CliError> {
        let text = args.config.as_deref().map(ConfigFile::read).transpose()?;
        let source = Source { args, text };
        Ok((source.settings()?, source))
    }

    /// `origin` goes before a complaint about the file's own keys; `host` gives the host's name.
    fn resolve(
        args: RunArgs,
        file: ConfigFile,
        origin: &str,
        host: impl FnOnce() -> String,
    ) -> Result<Self, CliError> {
        let in_file = |complaint: String| CliError::Usage(format!("{origin}{complaint}"));
        for (n, exemption) in file.exemptions.iter().enumerate() {
            check_exemption(exemption)
                .map_err(|why| in_file(format!("exemptions, entry {}: {why}", n + 1)))?;
        }
        let credential_headers = file
            .credential_headers
            .iter()
            .map(|name| header_name(name))
            .collect::<Result<_, _>>()
            .map_err(in_file)?;
        let series_budget = file.series_budget.unwrap_or(DEFAULT_SERIES_BUDGET);
        between("series_budget", series_budget, MIN_SERIES_BUDGET, MAX_SERIES_BUDGET).map_err(in_file)?;
        let series_idle = file.series_idle.unwrap_or(DEFAULT_SERIES_IDLE);
        between("series_idle", series_idle, 0, MAX_SERIES_IDLE).map_err(in_file)?;
        if let Some(rate) = file.flow_rate {
            between("flow_rate", rate, 0, MAX_FLOW_RATE).map_err(in_file)?;
        }
        if let Some(rate) = args.flow_rate {
            between("--flow-rate", rate, 0, MAX_FLOW_RATE).map_err(CliError::Usage)?;
        }
        let client_allowance = file.client_allowance.unwrap_or(Settings::DEFAULT_CLIENT_ALLOWANCE);
        between("client_allowance", client_allowance, MIN_CLIENT_ALLOWANCE, Settings::MAX_ALLOWANCE)
            .map_err(in_file)?;
        let udp_idle = file.udp_idle.unwrap_or(DEFAULT_UDP_IDLE);
        between("udp_idle", udp_idle, 1, MAX_UDP_IDLE).map_err(in_file)?;
        let unused = file.token_unused_after.unwrap_or(DEFAULT_TOKEN_UNUSED_AFTER);
        between("token_unused_after", unused, 1, MAX_TOKEN_UNUSED_AFTER).map_err(in_file)?;

        // The pair is one setting: half of it from here and half from there would match by accident.
        let (issuer, jwks) = if args.issuer.is_empty() && args.jwks.is_empty() {
            (file.issuer, file.jwks)
        } else {
            (args.issuer, args.jwks)
        };
        let mut issuers = pair(issuer, jwks)?;
        for configured in file.issuers {
            let keys =
                configured_issuer(configured, &issuers).map_err(|why| in_file(format!("issuers: {why}")))?;
            issuers.push(keys);
        }
        let node_name = args
            .node_name
            .filter(|name| !name.is_empty())
            .or(file.node_name)
            .unwrap_or_else(|| host().trim().to_owned());
        if node_name.is_empty() {
            return Err(CliError::Usage("this node has no name; give one with --node-name NAME".into()));
        }
        Ok(Self {
            inventory: args.inventory.or(file.inventory),
            graphs: either(args.graph, file.graph),
            graph_sources: file.graph_sources.unwrap_or_else(|| GraphSource::ALL.to_vec()),
            issuers,
            api_audiences: either(args.api_audience, file.api_audience),
            cluster_cidrs: either(args.cluster_cidr, file.cluster_cidr).iter().map(IpNet::trunc).collect(),
            node_name,
            cgroup_root: args.cgroup_root.or(file.cgroup_root),
            listen: args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            socket: args.socket.or(file.socket).unwrap_or_else(|| DEFAULT_SOCKET.into()),
            output: args.output.or(file.output).unwrap_or_default(),
            flow_rate: args.flow_rate.or(file.flow_rate).unwrap_or(DEFAULT_FLOW_RATE),
            both_ends: args.both_ends || file.both_ends,
            seccomp: args.seccomp.or(file.seccomp).unwrap_or_default(),
            log_level: args.log_level.or(file.log_level).unwrap_or_default(),
            exemptions: file.exemptions,
            credential_headers,
            link_encryption: file.link_encryption,
            series_budget,
            series_idle: Duration::from_secs(series_idle),
            client_allowance,
            udp_idle: Duration::from_secs(udp_idle),
            token_unused_after: Duration::from_secs(unused),
        })
    }
}

fn either<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

fn pair(issuers: Vec<String>, jwks: Vec<PathBuf>) -> Result<Vec<IssuerKeys>, CliError> {
    if issuers.len() != jwks.len() {
        return Err(CliError::Usage(format!(
            "{} times --issuer and {} times --jwks; give each --issuer URL its --jwks FILE",
            issuers.len(),
            jwks.len()
        )));
    }
    for (n, issuer) in issuers.iter().enumerate() {
        if issuer.is_empty() || issuer.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(CliError::Usage(format!(
                "--issuer {issuer:?} is no issuer; give the token's `iss` claim"
            )));
        }
        if issuers[..n].contains(issuer) {
            return Err(CliError::Usage(format!(
                "--issuer {issuer} is there twice; put all its keys into one --jwks FILE"
            )));
        }
    }
    let keys = jwks.into_iter().map(KeysAt::File);
    Ok(issuers.into_iter().zip(keys).map(|(issuer, keys)| IssuerKeys { issuer, keys }).collect())
}

fn configured_issuer(configured: ConfiguredIssuer, others: &[IssuerKeys]) -> Result<IssuerKeys, String> {
    let ConfiguredIssuer { issuer, jwks, jwks_url, ca } = configured;
    if issuer.is_empty() || issuer.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{issuer:?} is no issuer; give the token's `iss` claim"));
    }
    if others.iter().any(|other| other.issuer == issuer) {
        return Err(format!("{issuer} is there twice; give it once"));
    }
    let keys = match (jwks, jwks_url) {
        (Some(_), Some(_)) => return Err(format!("{issuer} has jwks and jwks_url; keep one")),
        (Some(_), None) if ca.is_some() => {
            return Err(format!("{issuer} has jwks, a file, and ca; remove ca"));
        }
        (Some(file), None) => KeysAt::File(file),
        (None, url) => KeysAt::Server { url, ca },
    };
    if let KeysAt::Server { url, .. } = &keys {
        let address = url.as_ref().unwrap_or(&issuer);
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(format!("{issuer}: {address} is no address of a server; set jwks or jwks_url"));
        }
    }
    Ok(IssuerKeys { issuer, keys })
}

fn between<T: PartialOrd + std::fmt::Display>(key: &str, value: T, least: T, most: T) -> Result<(), String> {
    if value < least || value > most {
        return Err(format!("{key} is {value}; choose {least} to {most}"));
    }
    Ok(())
}

/// A field name (RFC 9110 section 5.1), in lower case.
fn header_name(name: &str) -> Result<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(format!("credential_headers: {name:?} is no header's name; write it like x-api-key"));
    }
    Ok(name.to_ascii_lowercase())
}

fn check_exemption(exemption: &Exemption) -> Result<(), String> {
    let Exemption { kind, client, server, path_prefix, until: _, reason } = exemption;
    if kind.is_none() && client.is_none() && server.is_none() && path_prefix.is_none() {
        return Err("it would exempt everything; give it a kind, client, server or path_prefix".into());
    }
    for (key, value) in [("client", client), ("server", server)] {
        if let Some(value) = value {
            principal(value).map_err(|why| format!("{key} {value:?}: {why}"))?;
        }
    }
    if path_prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
        return Err("path_prefix must begin with /".into());
    }
    let length = reason.chars().count();
    if length == 0 || length > MAX_REASON || reason.contains(char::is_control) {
        return Err(format!(
            "reason must have 1 to {MAX_REASON} printable characters: it is a metric's label"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
