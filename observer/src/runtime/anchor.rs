//! Whether the directory that the kernel programs are attached to is still there: they go with it, without a word.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::sink::health::{Blocker, Readiness};

pub struct Anchor {
    path: PathBuf,
    /// Another directory may have the name later.
    inode: u64,
    readiness: Readiness,
    gone: Option<Blocker>,
}

impl Anchor {
    /// # Errors
    /// As stat(2).
    pub fn new(path: &Path, readiness: Readiness) -> io::Result<Self> {
        let inode = std::fs::metadata(path)?.ino();
        Ok(Self { path: path.to_owned(), inode, readiness, gone: None })
    }

    /// `true` once, when it is found to have gone. Ready is over then.
    pub fn has_just_gone(&mut self) -> bool {
        if self.gone.is_some() || self.is_there() {
            return false;
        }
        self.gone = Some(self.readiness.block("cgroup"));
        true
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_there(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(found) => found.ino() == self.inode,
            // What cannot be looked at for another reason may well be there.
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_goes_is_told_once_and_another_of_its_name_is_not_it() {
        let path = std::env::temp_dir().join(format!("observer-anchor-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let readiness = Readiness::default();
        let mut anchor = Anchor::new(&path, readiness.clone()).unwrap();
        assert!(!anchor.has_just_gone() && readiness.missing().is_empty());
        let elsewhere = path.with_extension("moved");
        std::fs::rename(&path, &elsewhere).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(anchor.has_just_gone() && !anchor.has_just_gone());
        assert_eq!(readiness.missing(), ["cgroup"]);
        std::fs::remove_dir(&path).unwrap();
        std::fs::remove_dir(&elsewhere).unwrap();
    }
}
