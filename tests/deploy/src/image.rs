//! The image, as `cargo xtask image` wrote it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use observer_integration::Directory;
use serde_json::Value;

/// An unpacked archive.
pub struct Image {
    archive: PathBuf,
    directory: Directory,
    /// The image's configuration: `config`, `rootfs`, ...
    pub config: Value,
}

impl Image {
    /// Unpacks `OBSERVER_IMAGE` as docker's own loader goes about it.
    ///
    /// # Errors
    /// It is not there, or not what it should be.
    pub fn open() -> Result<Self> {
        let archive = std::env::var_os("OBSERVER_IMAGE").map(PathBuf::from);
        let archive =
            archive.context("OBSERVER_IMAGE is not set; run the suite through `cargo xtask test`")?;
        if !archive.is_file() {
            bail!("{} is not there; `cargo xtask image` writes it", archive.display());
        }
        let directory = Directory::new()?;
        unpack(&archive, &directory.path().join("archive"))?;
        let read = |name: &str| -> Result<Value> {
            let path = directory.path().join("archive").join(name);
            serde_json::from_slice(&fs::read(path)?).with_context(|| name.to_owned())
        };
        let manifest = &read("manifest.json")?[0];
        let config = read(manifest["Config"].as_str().context("no Config")?)?;
        let rootfs = directory.path().join("rootfs");
        for layer in manifest["Layers"].as_array().context("no Layers")? {
            unpack(&directory.path().join("archive").join(layer.as_str().context("no layer")?), &rootfs)?;
        }
        Ok(Self { archive, directory, config })
    }

    #[must_use]
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    /// The archive's own files.
    #[must_use]
    pub fn unpacked(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    /// What a container would see as `/`.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    #[must_use]
    pub fn binary(&self) -> PathBuf {
        self.rootfs().join("observer")
    }

    /// The binary, run without a container.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(self.binary())
    }
}

fn unpack(archive: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let tar = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory).status()?;
    ensure!(tar.success(), "tar -xf {}: {tar}", archive.display());
    Ok(())
}
