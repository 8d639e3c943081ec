//! Documents and scripts name only xtask commands that exist.

use super::Problem;
use super::tree::{File, Tree};

/// May name what is gone.
const HISTORY: &str = "CHANGELOG.md";
const COMMAND: &str = "cargo xtask ";

pub fn check(tree: &Tree, known: &[String]) -> Vec<Problem> {
    let documents = tree.with_extension("md").filter(|file| file.path != HISTORY);
    let scripts = tree.files().iter().filter(|file| file.path.starts_with(".ci/"));
    documents.chain(scripts).flat_map(|file| check_file(file, known)).collect()
}

fn check_file(file: &File, known: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (at, _) in line.match_indices(COMMAND) {
            let rest = &line[at + COMMAND.len()..];
            let end = rest.find(|character: char| !(character.is_ascii_lowercase() || character == '-'));
            let name = &rest[..end.unwrap_or(rest.len())];
            // An option, or a placeholder such as <COMMAND>.
            if name.is_empty() || name.starts_with('-') {
                continue;
            }
            if !known.iter().any(|known| known == name) {
                let message = format!("there is no `{COMMAND}{name}`; there are: {}", known.join(", "));
                problems.push(Problem::at(&file.path, index + 1, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)]), &["test".to_owned(), "vm-test".to_owned()]).len()
    }

    #[test]
    fn a_command_that_is_not_there_is_found_in_documents_and_scripts() {
        assert_eq!(problems("README.md", "```sh\ncargo xtask tests\n```\n"), 1);
        assert_eq!(problems("docs/a.md", "Run `cargo xtask bench`, then `cargo xtask test`."), 1);
        assert_eq!(problems(".ci/run", "exec cargo xtask all\n"), 1);
    }

    #[test]
    fn commands_that_are_there_options_and_placeholders_pass() {
        assert_eq!(problems("README.md", "`cargo xtask test --only unit`, `cargo xtask vm-test`"), 0);
        assert_eq!(problems("README.md", "`cargo xtask --help`, `cargo xtask <COMMAND>`"), 0);
        assert_eq!(problems("CHANGELOG.md", "`cargo xtask gone` is gone"), 0);
    }
}
