//! Where issuers' keys come from: the API server, an address of their own, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use http::{Request, Uri};
use kube::{Client, Config};
use serde::Deserialize;

use super::access::Access;
use super::follow::one_line;
use crate::model::Timestamp;

/// 1,000 keys of RSA 2048 take 450 kB; whatever is longer is no key set.
const MAX_BYTES: u64 = 1 << 20;
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// OpenID Connect Discovery 1.0 section 4.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where the API server has its keys, whatever `jwks_uri` says: that may be an address for those outside.
const API_KEYS: &str = "/openid/v1/jwks";

/// Where keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// Of the cluster's own ServiceAccounts.
    ApiServer(Access),
    File {
        issuer: String,
        path: PathBuf,
    },
    /// `None`: where the issuer's discovery document says.
    Address {
        issuer: String,
        keys: Option<String>,
        ca: Option<PathBuf>,
    },
}

/// An issuer and its key set as it was served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub issuer: String,
    pub jwks: Vec<u8>,
    /// What the API server asks of a token's audience; empty for other issuers.
    pub api_audiences: Vec<String>,
}

/// Keys, and what its clock said who served them.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub keys: Keys,
    /// Of the API server only: it signs the times that are judged.
    pub clock: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Option<String>,
}

/// The claims of our own token: it is good for the API server.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnClaims {
    iss: Option<String>,
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl KeySource {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::ApiServer(_) => "the API server",
            Self::File { issuer, .. } | Self::Address { issuer, .. } => issuer,
        }
    }

    /// # Errors
    /// One line, with the way out.
    pub async fn load(&self) -> Result<Loaded, String> {
        if let Self::ApiServer(access) = self {
            return of_api_server(access).await;
        }
        let keys = self.load_keys().await?;
        Ok(Loaded { keys, clock: None })
    }

    async fn load_keys(&self) -> Result<Keys, String> {
        match self {
            Self::ApiServer(access) => Ok(of_api_server(access).await?.keys),
            Self::File { issuer, path } => {
                let jwks = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Keys { issuer: issuer.clone(), jwks, api_audiences: Vec::new() })
            }
            Self::Address { issuer, keys, ca } => {
                let jwks = of_address(issuer, keys.as_deref(), ca.as_deref()).await?;
                Ok(Keys { issuer: issuer.clone(), jwks, api_audiences: Vec::new() })
            }
        }
    }
}

async fn of_api_server(access: &Access) -> Result<Loaded, String> {
    let document = get(&access.client, DISCOVERY).await?;
    let Discovery { issuer, .. } = discovery(&document)?;
    let jwks = get(&access.client, API_KEYS).await?;
    let own = access.own_claims().and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let keys = Keys { api_audiences: api_audiences(&issuer, own), issuer, jwks };
    Ok(Loaded { keys, clock: clock(&access.client).await })
}

/// The time by the API server's clock (RFC 9110 section 6.6.1), to the second.
async fn clock(client: &Client) -> Option<Timestamp> {
    let request = Request::get(DISCOVERY).body(kube::client::Body::empty()).ok()?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.send(request)).await.ok()?.ok()?;
    date(answer.headers().get("date")?.to_str().ok()?)
}

fn date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_seconds(u64::try_from(zoned.as_second()).ok()?))
}

/// The issuer itself, which is the API server's default, and what our own token is for, if it is the API server's own:
/// the kubelet asks for it without an audience, so it has all that the API server takes.
fn api_audiences(issuer: &str, own: OwnClaims) -> Vec<String> {
    let mut audiences = vec![issuer.to_owned()];
    if own.iss.as_deref() == Some(issuer) {
        let own = match own.aud {
            Audiences::One(audience) => vec![audience],
            Audiences::Several(audiences) => audiences,
        };
        audiences.extend(own.into_iter().filter(|audience| audience != issuer));
    }
    audiences
}

async fn of_address(issuer: &str, keys: Option<&str>, ca: Option<&Path>) -> Result<Vec<u8>, String> {
    let uri = match keys {
        Some(keys) => keys.to_owned(),
        None => {
            let at = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
            let document = get_from(&at, ca).await?;
            let Discovery { issuer: named, jwks_uri } = discovery(&document)?;
            if named != issuer {
                return Err(format!("{at} speaks for another issuer; set `issuer` to what its tokens name"));
            }
            jwks_uri.ok_or_else(|| format!("{at} has no jwks_uri; set `jwks_url`"))?
        }
    };
    get_from(&uri, ca).await
}

fn discovery(document: &[u8]) -> Result<Discovery, String> {
    serde_json::from_slice(document).map_err(|error| {
        format!("no OpenID discovery document (line {}, column {})", error.line(), error.column())
    })
}

/// A GET of any server's, which gets no credentials of ours.
async fn get_from(uri: &str, ca: Option<&Path>) -> Result<Vec<u8>, String> {
    let parsed: Uri = uri.parse().map_err(|error| format!("{uri}: {error}"))?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        return Err(format!("{uri}: no absolute address; write it like https://issuer.example/keys"));
    };
    let origin = format!("{scheme}://{authority}").parse().map_err(|error| format!("{uri}: {error}"))?;
    let mut config = Config::new(origin);
    config.default_retry = false;
    if let Some(ca) = ca {
        std::fs::metadata(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        config.root_cert_file = Some(ca.to_owned());
    }
    let client = Client::try_from(config).map_err(|error| one_line(&error))?;
    get(&client, parsed.path_and_query().map_or("/", |path| path.as_str())).await
}

async fn get(client: &Client, path: &str) -> Result<Vec<u8>, String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let answering = async {
        let stream = client.request_stream(request).await.map_err(|error| refusal(path, &error))?;
        let mut bytes = Vec::new();
        stream.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(|error| one_line(&error))?;
        Ok(bytes)
    };
    let bytes: Result<Vec<u8>, String> = tokio::time::timeout(ANSWER_WITHIN, answering)
        .await
        .unwrap_or_else(|_| Err(format!("{path}: no answer within {} s", ANSWER_WITHIN.as_secs())));
    let bytes = bytes?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{path}: more than {MAX_BYTES} bytes are no key set"));
    }
    Ok(bytes)
}

fn refusal(path: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "{path} is refused (403): bind the ClusterRole system:service-account-issuer-discovery to this ServiceAccount"
        ),
        kube::Error::Api(status) => format!("{path}: {} ({})", status.message, status.code),
        error => format!("{path}: {}", one_line(error)),
    }
}

#[cfg(test)]
#[path = "issuers_tests.rs"]
mod tests;
