//! An issuer of ServiceAccount tokens. The openssl command makes its keys and signatures: none of the code under test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use observer_harness::Pod;
use serde_json::{Value, json};

use crate::Directory;

const KEY_ID: &str = "test-key";

/// What a token claims besides its owner.
#[derive(Clone)]
pub struct Claims {
    pub audiences: Vec<String>,
    /// Seconds from now; negative: it has expired.
    pub expires_in: i64,
}

/// See the module.
pub struct TokenIssuer {
    pub url: String,
    directory: Directory,
}

impl TokenIssuer {
    /// # Errors
    /// openssl fails.
    pub fn new(url: &str) -> Result<Self> {
        let directory = Directory::new()?;
        let issuer = Self { url: url.to_owned(), directory };
        let key = issuer.key();
        openssl(
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path(&key)?],
            b"",
        )?;
        let modulus = openssl(&["rsa", "-in", path(&key)?, "-noout", "-modulus"], b"")?;
        let modulus = String::from_utf8(modulus)?;
        let hex = modulus.trim().strip_prefix("Modulus=").context("openssl rsa -modulus")?;
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
        let n = base64url(&bytes.collect::<Result<Vec<u8>, _>>()?);
        let jwks = json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "n": n, "e": "AQAB"}]});
        issuer.directory.write("jwks.json", jwks.to_string())?;
        Ok(issuer)
    }

    #[must_use]
    pub fn jwks(&self) -> PathBuf {
        self.directory.path().join("jwks.json")
    }

    /// `--issuer URL --jwks FILE`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        vec!["--issuer".into(), self.url.clone(), "--jwks".into(), self.jwks().display().to_string()]
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// A token as the TokenRequest API makes it for `pod`.
    ///
    /// # Errors
    /// openssl fails.
    pub fn bound(&self, pod: &Pod, claims: &Claims) -> Result<String> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let account = format!("system:serviceaccount:{}:{}", pod.namespace, pod.service_account);
        self.sign(&json!({
            "aud": claims.audiences,
            "exp": now + claims.expires_in,
            "iat": now + claims.expires_in.min(0) - 3600,
            "nbf": now + claims.expires_in.min(0) - 3600,
            "iss": self.url,
            "jti": "5ed4cd9c-2cf6-4f5a-8f5e-000000000000",
            "sub": account,
            "kubernetes.io": {
                "namespace": pod.namespace,
                "node": {"name": "n1", "uid": "8cde4d2a-0000-4000-8000-000000000001"},
                "pod": {"name": pod.name, "uid": pod.uid},
                "serviceaccount": {"name": pod.service_account, "uid": "8cde4d2a-0000-4000-8000-000000000002"},
            },
        }))
    }

    /// A token as the token controller used to put it into a Secret.
    ///
    /// # Errors
    /// openssl fails.
    pub fn legacy(&self, pod: &Pod) -> Result<String> {
        let account = format!("system:serviceaccount:{}:{}", pod.namespace, pod.service_account);
        self.sign(&json!({
            "iss": "kubernetes/serviceaccount",
            "kubernetes.io/serviceaccount/namespace": pod.namespace,
            "kubernetes.io/serviceaccount/secret.name": format!("{}-token-x7k2p", pod.service_account),
            "kubernetes.io/serviceaccount/service-account.name": pod.service_account,
            "kubernetes.io/serviceaccount/service-account.uid": "8cde4d2a-0000-4000-8000-000000000002",
            "sub": account,
        }))
    }

    /// Signs claims with RS256 (RFC 7515 section 3.1).
    ///
    /// # Errors
    /// openssl fails.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({"alg": "RS256", "kid": KEY_ID});
        let text = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = openssl(&["dgst", "-sha256", "-sign", path(&self.key())?], text.as_bytes())?;
        Ok(format!("{text}.{}", base64url(&signature)))
    }

    /// A file for `curl -H @FILE`, so that no token stands on a command line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn header_file(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.directory.write(name, format!("Authorization: Bearer {token}\n"))
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn openssl(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("openssl")?;
    child.stdin.take().context("stdin")?.write_all(input)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// RFC 4648 section 5, without padding.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
