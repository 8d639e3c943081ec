//! `cargo xtask tidy`: rules that the compiler does not know. Every check reports all it finds, in one go.

mod cargo_config;
mod commands;
mod links;
mod modules;
mod names;
mod reliability;
mod rust;
mod size;
mod tree;
mod unsafety;
mod workplace;

use std::fmt;

use anyhow::{Result, bail};

use self::tree::Tree;
use crate::workspace;

/// Something that breaks a rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    /// Counted from 1; absent where the whole file is meant.
    line: Option<usize>,
    message: String,
}

impl Problem {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }

    fn whole(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

/// The command itself. `commands` are xtask's own subcommands.
///
/// # Errors
/// If any rule is broken; each case is printed before.
pub fn run(commands: &[String]) -> Result<()> {
    let tree = Tree::read(&workspace::top())?;
    let problems = check(&tree, commands);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} to mend", problems.len());
    }
    eprintln!("tidy: {} files, nothing to mend", tree.files().len());
    Ok(())
}

fn check(tree: &Tree, commands: &[String]) -> Vec<Problem> {
    let mut problems = modules::check(tree);
    problems.extend(size::check(tree));
    problems.extend(names::check(tree));
    problems.extend(unsafety::check(tree));
    problems.extend(workplace::check(tree));
    problems.extend(commands::check(tree, commands));
    problems.extend(cargo_config::check(tree));
    problems.extend(links::check(tree));
    problems.extend(reliability::check(tree));
    problems
}
