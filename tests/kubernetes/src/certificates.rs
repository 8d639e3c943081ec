//! The cluster's certificate authority and keys, made by the openssl command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use observer_integration::Directory;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Signs certificates that only its own clients trust.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    own: Pair,
}

impl Authority {
    /// # Errors
    /// openssl fails.
    pub fn new(directory: &Path) -> Result<Self> {
        let own = pair(directory, "ca");
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "2", "-subj", "/CN=test-ca", "-addext", "basicConstraints=critical,CA:TRUE"]);
        command.args(["-addext", "keyUsage=critical,keyCertSign"]);
        command.arg("-out").arg(&own.certificate).arg("-keyout").arg(&own.key);
        run(&mut command)?;
        Ok(Self { directory: directory.to_owned(), own })
    }

    pub fn certificate(&self) -> &Path {
        &self.own.certificate
    }

    /// A certificate for `subject`, such as `/O=system:masters/CN=admin`, with subjectAltNames as openssl writes them.
    ///
    /// # Errors
    /// openssl fails.
    pub fn sign(&self, name: &str, subject: &str, names: &str) -> Result<Pair> {
        let made = pair(&self.directory, name);
        let request = self.directory.join(format!("{name}.csr"));
        let extensions = self.directory.join(format!("{name}.ext"));
        std::fs::write(
            &extensions,
            format!(
                "subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n"
            ),
        )?;
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-subj", subject, "-out"]).arg(&request).arg("-keyout").arg(&made.key);
        run(&mut command)?;
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        command.arg("-CA").arg(&self.own.certificate).arg("-CAkey").arg(&self.own.key);
        command.arg("-extfile").arg(&extensions).arg("-out").arg(&made.certificate);
        run(&mut command)?;
        Ok(made)
    }
}

/// A key for ServiceAccount tokens: the private one, and the public one beside it.
///
/// # Errors
/// openssl fails.
pub fn signing_key(directory: &Directory, name: &str) -> Result<Pair> {
    let made = Pair {
        certificate: directory.path().join(format!("{name}.pub")),
        key: directory.path().join(format!("{name}.key")),
    };
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(&made.key);
    run(&mut command)?;
    let mut command = Command::new("openssl");
    command.args(["pkey", "-pubout", "-in"]).arg(&made.key).arg("-out").arg(&made.certificate);
    run(&mut command)?;
    Ok(made)
}

fn pair(directory: &Path, name: &str) -> Pair {
    Pair { certificate: directory.join(format!("{name}.crt")), key: directory.join(format!("{name}.key")) }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("openssl does not start")?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
