//! What README.md and the pages below `docs` tell people to type. Tests run it: all of it, as it stands there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// One command of a `console` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The page, from the repository's root.
    pub page: String,
    /// Without its prompt.
    pub command: String,
    /// What the page shows as its answer, or some lines of it. Where there are none, it exits with 0.
    pub answer: Vec<String>,
}

impl Typed {
    /// The words after `beginning`, if the command begins so.
    #[must_use]
    pub fn after(&self, beginning: &str) -> Option<Vec<&str>> {
        Some(self.command.strip_prefix(beginning)?.split_whitespace().collect())
    }

    /// Whether what it said has the answer's lines, in their order.
    #[must_use]
    pub fn is_answered_by(&self, said: &str) -> bool {
        let mut said = said.lines().map(str::trim);
        self.answer.iter().all(|wanted| said.any(|line| line == wanted.trim()))
    }
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md, then the pages below `docs`, by name: from the repository's root.
///
/// # Errors
/// They cannot be listed.
pub fn pages() -> Result<Vec<String>> {
    let mut pages = Vec::new();
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(repository().join(&folder)).with_context(|| folder.clone())? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages.insert(0, "README.md".to_owned());
    Ok(pages)
}

/// A file of the repository.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

/// The fenced blocks of one language.
#[must_use]
pub fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if fence == language {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

/// All commands of a page, in their order.
///
/// # Errors
/// The page cannot be read, or a block begins with something else than a command.
pub fn commands_of(page: &str) -> Result<Vec<Typed>> {
    let mut commands: Vec<Typed> = Vec::new();
    for block in blocks(&read(page)?, "console") {
        ensure!(block.starts_with("$ "), "{page}: a console block begins without a prompt: {block}");
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push(Typed {
                    page: page.to_owned(),
                    command: command.to_owned(),
                    answer: Vec::new(),
                }),
                None => commands.iter_mut().last().context(page.to_owned())?.answer.push(line.to_owned()),
            }
        }
    }
    Ok(commands)
}

/// All commands of all pages.
///
/// # Errors
/// As [`commands_of`].
pub fn commands() -> Result<Vec<Typed>> {
    let commands = pages()?.iter().map(|page| commands_of(page)).collect::<Result<Vec<_>>>()?;
    Ok(commands.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_some_of_the_lines_in_their_order() {
        let answer = ["yes", "no"].map(str::to_owned).to_vec();
        let typed = Typed { page: String::new(), command: String::new(), answer };
        assert!(typed.is_answered_by("first\n yes\nthen\nno\n"));
        assert!(!typed.is_answered_by("no\nyes\n"));
        assert!(!typed.is_answered_by("yes, no\n"));
    }
}
