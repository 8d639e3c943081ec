//! The repository speaks of the product: nothing of the machine that it was written on.

use super::Problem;
use super::tree::{File, Tree};

/// Directories of a developer's machine. Put together here, so that this file passes its own check.
const DIRECTORIES: [&str; 2] = [concat!("/", "work/"), concat!("/", "farm/")];
/// What sends a package manager to another host than everybody else's.
const REGISTRIES: [&str; 6] = [
    concat!("--extra-index", "-url"),
    concat!("--index", "-url"),
    concat!("GO", "PROXY="),
    concat!("PIP_INDEX", "_URL"),
    concat!("npm_config", "_registry"),
    concat!("replace", "-with"),
];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub fn check(tree: &Tree) -> Vec<Problem> {
    tree.files().iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Problem> {
    let is_lock = file.path.ends_with("Cargo.lock");
    let mut problems = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut report = |message| problems.push(Problem::at(&file.path, index + 1, message));
        if let Some(found) = DIRECTORIES.iter().find(|directory| names_directory(line, directory)) {
            report(format!("`{found}` is a directory of one machine"));
        }
        if let Some(found) = REGISTRIES.iter().find(|word| line.contains(**word)) {
            report(format!("`{found}` ties the project to one registry host"));
        }
        let source = line.strip_prefix("source = \"").and_then(|rest| rest.strip_suffix('"'));
        if let Some(source) = source.filter(|source| is_lock && *source != CRATES_IO) {
            report(format!("a crate from `{source}`, not from crates.io"));
        }
    }
    problems
}

/// Whether the line names that absolute path, as against a longer one or a URL that holds the same words.
fn names_directory(line: &str, directory: &str) -> bool {
    let goes_on = |character: char| character.is_alphanumeric() || "._-/}~*".contains(character);
    line.match_indices(directory).any(|(at, _)| !line[..at].ends_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_developers_directory_is_found() {
        for directory in DIRECTORIES {
            let text = format!("first\nlet path = \"{directory}target\";\n");
            let problems = check(&Tree::of(&[("a.rs", &text)]));
            assert_eq!(problems.len(), 1, "{text}");
            assert_eq!(problems[0].line, Some(2));
        }
    }

    #[test]
    fn a_longer_path_and_an_address_are_not() {
        let work = DIRECTORIES[0];
        for text in
            [format!("tests{work}x"), format!("https://example.org{work}x"), format!("${{DIR}}{work}x")]
        {
            assert_eq!(check(&Tree::of(&[("a.md", &text)])), [], "{text}");
        }
    }

    #[test]
    fn a_registry_of_ones_own_is_found() {
        let option = format!("pip install {} http://10.0.0.1:8080 x", REGISTRIES[1]);
        assert_eq!(check(&Tree::of(&[("Dockerfile", &option)])).len(), 1);
        let lock = format!("source = \"{CRATES_IO}\"\nsource = \"registry+http://10.0.0.1/index\"\n");
        let problems = check(&Tree::of(&[("Cargo.lock", &lock)]));
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [Some(2)]);
    }
}
