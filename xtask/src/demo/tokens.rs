//! The demo's own token issuer, with `openssl` as its hand: claims and signatures as an API server makes them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::cast::ISSUER;
use crate::process;
use crate::scratch::utf8;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A key that signs tokens.
pub struct Key {
    file: PathBuf,
    /// What tokens name the key by.
    pub id: String,
}

/// Whom a token is for.
pub struct Subject<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub pod: &'a str,
    pub pod_uid: &'a str,
    pub node: &'a str,
}

/// When a token is good.
#[derive(Clone, Copy)]
pub enum Life {
    /// From now on for a day.
    Current,
    /// It ended an hour ago.
    Past,
}

impl Key {
    /// Makes a key in `directory`, which has to be private.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn new(directory: &Path, name: &str) -> Result<Self> {
        let file = directory.join(format!("{name}.pem"));
        let path = utf8(&file)?;
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path], b"")?;
        // As the API server names its keys: the hash of the public half.
        let public = openssl(&["pkey", "-in", path, "-pubout", "-outform", "DER"], b"")?;
        let id = URL_SAFE_NO_PAD.encode(openssl(&["dgst", "-sha256", "-binary"], &public)?);
        Ok(Self { file, id })
    }

    /// The public half as a JSON Web Key Set (RFC 7517 section 5).
    ///
    /// # Errors
    /// If openssl fails.
    pub fn jwks(&self) -> Result<String> {
        let answer = openssl(&["rsa", "-in", utf8(&self.file)?, "-noout", "-modulus"], b"")?;
        let answer = String::from_utf8_lossy(&answer);
        let modulus = answer.trim().strip_prefix("Modulus=").and_then(bytes_of_hex);
        let modulus = URL_SAFE_NO_PAD.encode(modulus.context("openssl tells no modulus")?);
        // genpkey's public exponent is 65537.
        let key =
            json!({"use": "sig", "kty": "RSA", "alg": "RS256", "kid": self.id, "n": modulus, "e": "AQAB"});
        Ok(json!({ "keys": [key] }).to_string())
    }

    /// A token with these claims, signed by this key, that names the key `id`.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn sign(&self, id: &str, claims: &Value) -> Result<String> {
        let header = json!({"alg": "RS256", "kid": id});
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", text(&header), text(claims));
        let signature =
            openssl(&["dgst", "-sha256", "-sign", utf8(&self.file)?, "-binary"], input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Claims of a token that the TokenRequest API makes for a pod.
pub fn bound(subject: &Subject<'_>, audience: &str, life: Life) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (issued, expires) = match life {
        Life::Current => (now, now + DAY),
        Life::Past => (now.saturating_sub(2 * HOUR), now.saturating_sub(HOUR)),
    };
    json!({
        "aud": [audience],
        "exp": expires.as_secs(),
        "iat": issued.as_secs(),
        "iss": ISSUER,
        "jti": uid(&[subject.pod_uid, audience, "token"]),
        "kubernetes.io": {
            "namespace": subject.namespace,
            "node": {"name": subject.node, "uid": uid(&[subject.node])},
            "pod": {"name": subject.pod, "uid": subject.pod_uid},
            "serviceaccount": {
                "name": subject.service_account,
                "uid": uid(&[subject.namespace, subject.service_account]),
            },
        },
        "nbf": issued.as_secs(),
        "sub": subject.name(),
    })
}

/// Claims of a token from a Secret, as clusters made them for every ServiceAccount before 1.24.
pub fn legacy(subject: &Subject<'_>) -> Value {
    json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": subject.namespace,
        "kubernetes.io/serviceaccount/secret.name": format!("{}-token-7k2xq", subject.service_account),
        "kubernetes.io/serviceaccount/service-account.name": subject.service_account,
        "kubernetes.io/serviceaccount/service-account.uid": uid(&[subject.namespace, subject.service_account]),
        "sub": subject.name(),
    })
}

impl Subject<'_> {
    fn name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }
}

/// Something with the form of an object's uid, always the same for the same words.
fn uid(words: &[&str]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, words).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (hash(0), hash(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// Runs openssl with `input` on its stdin, where no list of processes shows it.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = process::command("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("openssl does not start: `cargo xtask setup` installs it")?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input)
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error).context("write to openssl");
    }
    let output = child.wait_with_output().context("wait for openssl")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`openssl {}` failed: {}", arguments.first().unwrap_or(&""), stderr.trim());
    }
    Ok(output.stdout)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tempdir;

    #[test]
    fn the_public_half_verifies_what_the_key_signed_and_no_other_key_does() {
        let directory = tempdir::Dir::new();
        let key = Key::new(directory.path(), "issuer").unwrap();
        let token = key.sign(&key.id, &json!({"sub": "x"})).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature_file = directory.path().join("signature");
        std::fs::write(&signature_file, URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let verify = |key: &Key| {
            let (file, signature) = (utf8(&key.file).unwrap(), utf8(&signature_file).unwrap());
            openssl(&["dgst", "-sha256", "-prverify", file, "-signature", signature], input.as_bytes())
                .is_ok()
        };
        assert!(verify(&key));
        assert!(!verify(&Key::new(directory.path(), "other").unwrap()));
        let jwks: Value = serde_json::from_str(&key.jwks().unwrap()).unwrap();
        assert_eq!(jwks["keys"][0]["kid"], key.id.as_str());
        // 2048 bits in base64url without padding (RFC 7518 section 6.3.1.1).
        assert_eq!(jwks["keys"][0]["n"].as_str().unwrap().len(), 342);
    }
}
