//! Inputs from files, run as they are.

use std::io;
use std::path::{Path, PathBuf};

/// Where the corpora lie, one directory for each target.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Where inputs lie that were crashes once.
pub fn regressions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

/// A file's, or those of all files in a directory; by name.
///
/// # Errors
/// If they cannot be read.
pub fn inputs(path: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
    } else {
        paths.push(path.to_owned());
    }
    paths.into_iter().map(|path| std::fs::read(&path).map(|input| (path, input))).collect()
}
