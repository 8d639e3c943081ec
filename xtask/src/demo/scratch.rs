//! A private directory for keys, tokens and configuration, removed at the end.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory. Nobody but its owner can look into it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    /// If it cannot be made, or is there already and so may be somebody else's.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("observer-demo-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that only its owner can read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.file(name);
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
        opened
            .and_then(|mut opened| opened.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left: {error}", self.0.display());
        }
    }
}

/// For programs' arguments.
///
/// # Errors
/// If it is not UTF-8.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_its_owners_alone_and_goes_with_its_handle() {
        let scratch = Scratch::new().unwrap();
        let file = scratch.write("secret", "x").unwrap();
        for path in [scratch.path(), &file] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
