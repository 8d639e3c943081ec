//! The archive: an OCI image layout that is a `docker save` archive too, as recent versions of docker write it.
//!
//! Both point at the same blobs, each named by its SHA-256 digest. `index.json` and `oci-layout` are the layout's
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>), `manifest.json` is docker's.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dockerfile::Dockerfile;
use super::layer::entry;
use super::reference::Reference;

pub struct Image<'a> {
    pub description: Dockerfile,
    /// A tar archive, not compressed: registries' clients do that as they push.
    pub layer: Vec<u8>,
    /// RFC 3339.
    pub created: String,
    pub reference: &'a Reference,
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

impl Image<'_> {
    /// Writes it, and gives the digest of its manifest.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self, out: impl Write) -> Result<String> {
        let architecture = architecture()?;
        let config = Blob::json(&self.config(architecture));
        let layer = Blob::new(self.layer);
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        }));
        let mut described = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        described["platform"] = json!({"architecture": architecture, "os": "linux"});
        described["annotations"] = json!({
            "io.containerd.image.name": self.reference.full(),
            "org.opencontainers.image.ref.name": self.reference.tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [self.reference.to_string()],
            "Layers": [layer.path()],
        }]);

        let digest = format!("sha256:{}", manifest.digest);
        let mut files: BTreeMap<String, Vec<u8>> =
            [config, layer, manifest].into_iter().map(|blob| (blob.path(), blob.bytes)).collect();
        files.insert("index.json".to_owned(), index.to_string().into_bytes());
        files.insert("manifest.json".to_owned(), docker.to_string().into_bytes());
        files
            .insert("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes());
        let mut builder = tar::Builder::new(out);
        for directory in ["blobs/", "blobs/sha256/"] {
            entry(&mut builder, directory, tar::EntryType::Directory, 0o755, &[])?;
        }
        for (path, bytes) in &files {
            entry(&mut builder, path, tar::EntryType::Regular, 0o644, bytes)?;
        }
        builder.into_inner().and_then(|mut out| out.flush()).context("cannot end the archive")?;
        Ok(digest)
    }

    fn config(&self, architecture: &str) -> Value {
        let Dockerfile { copies: _, environment, labels, ports, entrypoint, command } = &self.description;
        let ports: BTreeMap<&String, Value> = ports.iter().map(|port| (port, json!({}))).collect();
        let layer = Sha256::digest(&self.layer).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        json!({
            "created": self.created,
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": environment,
                "Labels": labels,
                "ExposedPorts": ports,
                "Entrypoint": entrypoint,
                "Cmd": command,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
            "history": [{"created": self.created, "created_by": "cargo xtask image"}],
        })
    }
}

/// Go's name for this machine's architecture, which images use.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images for {other} are not made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Blob::new(b"abc".to_vec()).digest, abc);
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        let write = || {
            let mut bytes = Vec::new();
            let image = Image {
                description: Dockerfile::parse("FROM scratch\nENV A=b\nENTRYPOINT [\"/x\"]\n").unwrap(),
                layer: b"layer".to_vec(),
                created: "2026-01-01T00:00:00Z".to_owned(),
                reference: &Reference::parse("observer:1").unwrap(),
            };
            image.write(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(write(), write());
    }
}
