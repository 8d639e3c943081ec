//! The config file.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::CliError;
use super::run::{LogLevel, Output, Seccomp};
use crate::model::{FindingKind, Timestamp};

/// The longest config file, in bytes.
const MAX_CONFIG: u64 = 1024 * 1024;

/// Findings that nobody wants to hear of: those that meet everything that is set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// The kind of finding; absent: any.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub kind: Option<FindingKind>,
    /// The client's principal: `namespace/service-account`, `node`, `external` or `unknown`; absent: any.
    #[serde(default)]
    pub client: Option<String>,
    /// The server's principal; absent: any.
    #[serde(default)]
    pub server: Option<String>,
    /// Only for requests whose path begins so.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// Not after this moment, in RFC 3339; absent: for ever.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// A word or two: the label `reason` of `exempted_total`.
    pub reason: String,
}

/// An issuer of tokens besides the cluster's own, and where its keys are: in a file, at an address, or where its
/// discovery document says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredIssuer {
    /// The `iss` claim of its tokens; for JWT-SVIDs the trust domain, such as `spiffe://example.org`.
    pub issuer: String,
    /// A file with its keys.
    #[serde(default)]
    pub jwks: Option<PathBuf>,
    /// Where its keys are served.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// The certificates that its server's is signed by, in PEM; the system's if absent.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// What the operator says of the links between nodes. WireGuard need not be said: its keys are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkEncryption {
    Ipsec,
}

/// A kind of source of declared edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphSource {
    Servicegraph,
    Networkpolicy,
    Cilium,
    Istio,
    Linkerd,
}

impl GraphSource {
    pub const ALL: [Self; 5] =
        [Self::Servicegraph, Self::Networkpolicy, Self::Cilium, Self::Istio, Self::Linkerd];
}

/// The keys of the file: those of the flags, and settings that are too long for a flag.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    pub inventory: Option<PathBuf>,
    pub graph: Vec<PathBuf>,
    /// Whose objects the API server is asked for; all of them if absent.
    pub graph_sources: Option<Vec<GraphSource>>,
    pub issuer: Vec<String>,
    pub jwks: Vec<PathBuf>,
    /// Issuers whose keys are not, or not only, in a file.
    pub issuers: Vec<ConfiguredIssuer>,
    pub api_audience: Vec<String>,
    #[schemars(with = "Vec<String>")]
    pub cluster_cidr: Vec<IpNet>,
    pub node_name: Option<String>,
    pub cgroup_root: Option<PathBuf>,
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
    pub output: Option<Output>,
    /// Flow records a second that stdout gets at most, bursts apart; 0: all.
    pub flow_rate: Option<u32>,
    pub both_ends: bool,
    /// What becomes of system calls that a running daemon never makes.
    pub seccomp: Option<Seccomp>,
    pub log_level: Option<LogLevel>,
    /// Findings that nobody wants to hear of; each is counted in `observer_exempted_total`.
    pub exemptions: Vec<Exemption>,
    /// Request headers besides Authorization that hold credentials.
    pub credential_headers: Vec<String>,
    /// What encrypts all links between nodes, where nothing in the cluster's objects tells.
    pub link_encryption: Option<LinkEncryption>,
    /// Samples that `/metrics` may have.
    pub series_budget: Option<usize>,
    /// Seconds without a flow after which an edge whose pods are gone gives its series back; 0: never.
    pub series_idle: Option<u64>,
    /// Bytes captured each time a client speaks.
    pub client_allowance: Option<u32>,
    /// Seconds without a datagram after which a UDP conversation is over.
    pub udp_idle: Option<u64>,
    /// Seconds after which a token that was never used towards the API server is called unused.
    pub token_unused_after: Option<u64>,
}

impl ConfigFile {
    /// The file's text, as [`ConfigFile::parse`] takes it.
    ///
    /// # Errors
    /// The file is missing, too long, or no text: one line that names it.
    pub fn read(path: &Path) -> Result<String, CliError> {
        let file = path.display();
        let unreadable = |cause: std::io::Error| {
            CliError::Usage(format!(
                "cannot read the config file {file}: {cause}; name another with --config FILE"
            ))
        };
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(path).map_err(unreadable)?;
        opened.take(MAX_CONFIG + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_CONFIG {
            return Err(CliError::Usage(format!(
                "the config file {file} is longer than 1 MiB; make it shorter"
            )));
        }
        String::from_utf8(bytes)
            .map_err(|_| CliError::Usage(format!("the config file {file} is not UTF-8; write it as YAML")))
    }

    /// # Errors
    /// One line that names the key, its line and the way out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed: Result<Option<Self>, _> = serde_saphyr::from_str(text);
        parsed.map(Option::unwrap_or_default).map_err(|error| complaint(&error, text))
    }
}

fn complaint(error: &serde_saphyr::Error, file: &str) -> String {
    let error = error.without_snippet();
    let line = error.location().map_or_else(String::new, |at| format!("line {}: ", at.line()));
    if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
        return format!("{line}unknown key {field:?}; there are {}", expected.join(", "));
    }
    let text = error.to_string();
    let text: Vec<&str> = text.split_whitespace().collect();
    let key = error.location().and_then(|at| key_in(file, at.line())).unwrap_or_default();
    format!("{line}{key}{}; correct it or remove the key", text.join(" "))
}

/// The key that a line of the file begins with, for the message that a value is wrong.
fn key_in(file: &str, line: u64) -> Option<String> {
    let line = file.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
    let (key, _) = line.trim_start_matches([' ', '-']).split_once(':')?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then(|| format!("{key}: "))
}
