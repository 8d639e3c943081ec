//! The way to the API server: from inside a pod, or by a kubeconfig.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

use super::follow::one_line;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Set in every pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";
const KUBECONFIG: &str = "KUBECONFIG";
/// Where the kubelet puts a pod's own token.
const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A client of the API server, with this process's own identity.
#[derive(Clone)]
pub struct Access {
    pub client: Client,
    /// The API server's address.
    pub url: String,
    /// This process's own.
    pub namespace: String,
    token: OwnToken,
    /// Its credentials come from a program that is started again and again.
    starts_program: bool,
}

#[derive(Clone)]
enum OwnToken {
    File(PathBuf),
    /// Its claims' part only.
    Claims(String),
    None,
}

/// One line, with the way out.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(
        "no API server to ask: this is no pod ({IN_CLUSTER} is not set), and {KUBECONFIG} names no file; set \
         {KUBECONFIG}, or give --inventory FILE"
    )]
    Nowhere,
    #[error("{KUBECONFIG}: {}; name a kubeconfig that works for kubectl, or give --inventory FILE", one_line(.0))]
    Kubeconfig(#[source] Box<KubeconfigError>),
    #[error(
        "the pod's own credentials cannot be used: {}; mount the ServiceAccount's token \
         (automountServiceAccountToken: true), or give --inventory FILE",
        one_line(.0)
    )]
    InCluster(#[source] Box<InClusterError>),
    #[error("the API server at {url} cannot be asked: {}; mend the kubeconfig", one_line(.source))]
    Client { url: String, source: Box<kube::Error> },
    #[error(
        "{KUBECONFIG}: it has a program fetch credentials, which the filter of system calls does not let this process \
         start again; use a kubeconfig with a token or a certificate, or give --seccomp allow"
    )]
    StartsProgram,
}

impl Access {
    /// KUBECONFIG where it is set, as kubectl does; else the pod's own credentials.
    ///
    /// # Errors
    /// Neither is there, or what is there cannot be used. That the API server answers is not tried.
    pub async fn find() -> Result<Self, AccessError> {
        let mut config = if std::env::var_os(KUBECONFIG).is_some_and(|path| !path.is_empty()) {
            Config::from_kubeconfig(&KubeConfigOptions::default())
                .await
                .map_err(|error| AccessError::Kubeconfig(Box::new(error)))?
        } else if std::env::var_os(IN_CLUSTER).is_some() {
            Config::incluster().map_err(|error| AccessError::InCluster(Box::new(error)))?
        } else {
            return Err(AccessError::Nowhere);
        };
        config.connect_timeout = Some(CONNECT_WITHIN);
        // The watches wait by themselves, and say so.
        config.default_retry = false;
        let token = OwnToken::of(&config);
        let starts_program = config.auth_info.exec.is_some() || config.auth_info.auth_provider.is_some();
        let url = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        match Client::try_from(config) {
            Ok(client) => Ok(Self { client, url, namespace, token, starts_program }),
            Err(source) => Err(AccessError::Client { url, source: Box::new(source) }),
        }
    }

    /// # Errors
    /// It starts programs.
    pub fn starts_no_program(&self) -> Result<(), AccessError> {
        if self.starts_program { Err(AccessError::StartsProgram) } else { Ok(()) }
    }

    /// Whether there is anything to find: an API server was meant.
    #[must_use]
    pub fn is_meant() -> bool {
        [KUBECONFIG, IN_CLUSTER]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    }

    /// The claims of this process's own token, in JSON. Its signature never leaves this function.
    #[must_use]
    pub(super) fn own_claims(&self) -> Option<Vec<u8>> {
        match &self.token {
            OwnToken::File(path) => {
                let token = zeroize::Zeroizing::new(std::fs::read(path).ok()?);
                payload(std::str::from_utf8(&token).ok()?.trim())
            }
            OwnToken::Claims(encoded) => decode(encoded),
            OwnToken::None => None,
        }
    }
}

impl OwnToken {
    fn of(config: &Config) -> Self {
        use secrecy::ExposeSecret as _;

        let auth = &config.auth_info;
        if let Some(token) = &auth.token {
            let claims = token.expose_secret().split('.').nth(1).map(str::to_owned);
            return claims.map_or(Self::None, Self::Claims);
        }
        match &auth.token_file {
            Some(path) => Self::File(path.into()),
            None if std::path::Path::new(OWN_TOKEN).is_file() => Self::File(OWN_TOKEN.into()),
            None => Self::None,
        }
    }
}

fn payload(token: &str) -> Option<Vec<u8>> {
    decode(token.split('.').nth(1)?)
}

fn decode(encoded: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()
}
