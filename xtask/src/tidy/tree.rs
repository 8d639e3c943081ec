//! The repository's text files, in memory, so that each check is a function of them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process;

#[derive(Default)]
pub struct Tree {
    files: Vec<File>,
    /// Files and the directories above them, binary ones too: what a link may point to.
    paths: BTreeSet<String>,
}

pub struct File {
    /// From the top, with `/`.
    pub path: String,
    pub text: String,
}

impl Tree {
    /// Reads what git tracks or would track.
    ///
    /// # Errors
    /// If this is no git repository, or a file cannot be read.
    pub fn read(top: &Path) -> Result<Self> {
        let mut git = process::command("git");
        // In CI the directory may belong to another user than the one who runs this.
        git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let list =
            process::output(git.current_dir(top)).context("`git ls-files` failed: is git installed?")?;
        let mut tree = Self::default();
        for path in list.split_terminator('\0') {
            let file = top.join(path);
            // Deleted but not committed yet, or a link: nothing to read.
            if !file.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {path}"))?;
            tree.add(path, String::from_utf8(bytes).ok());
        }
        Ok(tree)
    }

    fn add(&mut self, path: &str, text: Option<String>) {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        self.paths.extend(ends.map(|end| path[..end].to_owned()));
        if let Some(text) = text {
            self.files.push(File { path: path.to_owned(), text });
        }
    }

    pub fn files(&self) -> &[File] {
        &self.files
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files whose names end in `.extension`.
    pub fn with_extension(&self, extension: &'static str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| Path::new(&file.path).extension().is_some_and(|found| found == extension))
    }

    /// Whether a file or a directory of that name is there.
    pub fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// A tree of a test's own.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path, Some((*text).to_owned()));
        }
        tree
    }
}
