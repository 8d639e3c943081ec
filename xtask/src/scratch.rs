//! A private directory for keys, tokens and configuration, removed at the end.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory. Nobody but its owner can look into it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it for `what`, such as `demo`, and removes what killed ones have left.
    ///
    /// # Errors
    /// If it cannot be made, or is there already and so may be somebody else's.
    pub fn new(what: &str) -> Result<Self> {
        Self::new_in(&std::env::temp_dir(), what)
    }

    fn new_in(parent: &Path, what: &str) -> Result<Self> {
        let prefix = prefix(what);
        sweep(parent, &prefix);
        let path = parent.join(format!("{prefix}{}", std::process::id()));
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

/// The process's id follows.
fn prefix(what: &str) -> String {
    format!("observer-{what}-")
}

/// Removes this user's directories of processes that are gone. One that cannot be removed is left alone.
fn sweep(parent: &Path, prefix: &str) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<u32>().ok()) else {
            continue;
        };
        // Of the entry itself, not of what a link leads to.
        let ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        let gone = pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists();
        if ours && gone {
            let _ = fs::remove_dir_all(entry.path());
        }
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
    use crate::tempdir;

    #[test]
    fn it_is_its_owners_alone_and_goes_with_its_handle() {
        let parent = tempdir::Dir::new();
        let scratch = Scratch::new_in(parent.path(), "demo").unwrap();
        let file = scratch.write("secret", "x").unwrap();
        for path in [scratch.path(), &file] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_demo_left_goes_and_a_running_ones_stays() {
        let parent = tempdir::Dir::new();
        let directory = |pid: u32| parent.path().join(format!("{}{pid}", prefix("demo")));
        // Linux gives no process an id above 2^22 (proc_sys_kernel(5), pid_max); process 1 always runs.
        let (dead, alive) = (directory(4_194_305), directory(1));
        for path in [&dead, &alive, &directory(std::process::id())] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("curl-1"), "x").unwrap();
        }
        let scratch = Scratch::new_in(parent.path(), "demo").unwrap();
        assert!(!dead.exists() && alive.exists());
        assert!(!scratch.file("curl-1").exists());
    }
}
