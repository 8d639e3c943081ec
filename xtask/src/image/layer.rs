//! A layer: files in a tar archive, the same bytes for the same files.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

pub struct File {
    /// In the image, absolute.
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// Everything belongs to root and was made in 1970: whoever unpacks the layer needs nothing else to tell.
///
/// # Errors
/// If a path does not fit.
pub fn tar(files: &[File]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut directories = BTreeSet::new();
    for file in files {
        let path = file.path.trim_start_matches('/');
        let mut above: Vec<_> = Path::new(path).ancestors().skip(1).collect();
        above.retain(|directory| !directory.as_os_str().is_empty());
        for directory in above.into_iter().rev().map(|directory| directory.display().to_string()) {
            if directories.insert(directory.clone()) {
                entry(&mut builder, &format!("{directory}/"), tar::EntryType::Directory, 0o755, &[])?;
            }
        }
        entry(&mut builder, path, tar::EntryType::Regular, file.mode, &file.bytes)?;
    }
    builder.into_inner().context("cannot end the archive")
}

/// Adds an entry whose header says nothing that two runs could differ in.
///
/// # Errors
/// If it cannot be written, or the path does not fit.
pub fn entry<W: std::io::Write>(
    builder: &mut tar::Builder<W>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes).with_context(|| format!("cannot archive {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32) -> File {
        File { path: path.to_owned(), mode, bytes: path.as_bytes().to_vec() }
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let files = [file("/observer", 0o755), file("/a/b/c", 0o644), file("/a/d", 0o600)];
        let tar = tar(&files).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            (entry.path().unwrap().display().to_string(), header.mode().unwrap())
        });
        let expected =
            [("observer", 0o755), ("a/", 0o755), ("a/b/", 0o755), ("a/b/c", 0o644), ("a/d", 0o600)];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode)| (path.to_owned(), mode)));
    }
}
