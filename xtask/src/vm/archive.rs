//! The format of an initramfs: a cpio archive of the kind "newc" (the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::path::Path;

/// Types and permissions as of inode(7).
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that grows. Directories above a file are made by themselves.
#[derive(Clone, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    paths: BTreeSet<String>,
}

impl Archive {
    /// Adds a file that everybody may read and execute; one that is there already stays.
    pub fn file(&mut self, path: &Path, content: &[u8]) {
        let path = path.to_string_lossy();
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            self.directory(&path[..end]);
        }
        if self.paths.insert(path.to_owned()) {
            self.entry(path, PROGRAM, content);
        }
    }

    pub fn directory(&mut self, path: &str) {
        if self.paths.insert(path.to_owned()) {
            self.entry(path, DIRECTORY, &[]);
        }
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.paths.contains(path.to_string_lossy().trim_start_matches('/'))
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        // Inodes tell hard links apart, which there are none of.
        let inode = self.paths.len();
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let name_size = name.len() + 1;
        // Magic, ino, mode, uid, gid, nlink, mtime, filesize, four numbers of devices, namesize, check.
        let header = format!(
            "070701{inode:08X}{mode:08X}{zero}{zero}{links:08X}{zero}{size:08X}{zero}{zero}{zero}{zero}{name_size:08X}{zero}",
            zero = "00000000",
            size = content.len(),
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::tempdir;

    #[test]
    fn busybox_unpacks_it() {
        let mut archive = Archive::default();
        archive.file(Path::new("/init"), b"#!/bin/sh\n");
        archive.file(Path::new("/usr/lib/a.so"), &[7; 4097]);
        archive.file(Path::new("/usr/lib/a.so"), b"again");
        archive.directory("proc");
        let directory = tempdir::Dir::new();
        let mut cpio = Command::new("busybox");
        cpio.args(["cpio", "-i", "-d"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = cpio.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        assert!(child.wait().unwrap().success());
        let read = |path: &str| std::fs::read(directory.path().join(path)).unwrap();
        assert_eq!(read("init"), b"#!/bin/sh\n");
        assert_eq!(read("usr/lib/a.so"), [7; 4097]);
        assert!(directory.path().join("proc").is_dir());
    }
}
