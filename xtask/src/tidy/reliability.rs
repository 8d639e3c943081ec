//! Each test that proves something of reliability has its row in docs/reliability.md, each row its test, and each test
//! of a fault proves something.

use super::Problem;
use super::tree::Tree;
use crate::reliability::{PAGE, PROVEN};

pub fn check(tree: &Tree) -> Vec<Problem> {
    let page = tree.get(PAGE).map(|file| file.text.as_str()).unwrap_or_default();
    let mut problems = Vec::new();
    let mut proven = Vec::new();
    for file in tree.with_extension("rs").filter(|file| is_test_file(&file.path)) {
        for (name, line, proves) in tests(&file.text) {
            let link = format!("[`{name}`](../{})", file.path);
            if proves && !page.contains(&link) {
                let message = format!("`{name}` has no row in {PAGE}: `cargo xtask reliability` writes it");
                problems.push(Problem::at(&file.path, line, message));
            } else if !proves && file.path.contains("/faults") {
                problems.push(Problem::at(&file.path, line, format!("`{name}` ends without `{PROVEN}...)`")));
            }
            if proves {
                proven.push(link);
            }
        }
    }
    for (index, line) in page.lines().enumerate() {
        let link = line.strip_prefix('|').and_then(|row| row.rsplit('|').nth(1)).map(str::trim);
        if let Some(link) = link.filter(|link| link.contains("](../tests/"))
            && !proven.iter().any(|known| known == link)
        {
            problems.push(Problem::at(
                PAGE,
                index + 1,
                format!("there is no test {link} that proves this row"),
            ));
        }
    }
    problems
}

fn is_test_file(path: &str) -> bool {
    path.strip_prefix("tests/").is_some_and(|rest| rest.contains("/tests/"))
}

/// The tests of a file: name, line, and whether it proves something.
fn tests(text: &str) -> Vec<(&str, usize, bool)> {
    let mut tests: Vec<(&str, usize, bool)> = Vec::new();
    let mut marked = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
            marked = false;
            tests.push((rest.split('(').next().unwrap_or(rest), index + 1, false));
        } else if line.trim_start().starts_with(PROVEN)
            && let Some(last) = tests.last_mut()
        {
            last.2 = true;
        }
    }
    tests
}

#[cfg(test)]
mod tests_of_it {
    use super::*;

    const TEST: &str = "#[test]\nfn it_holds() -> R {\n    proven!(Fault, \"x\", \"y\");\n}\n";

    #[test]
    fn a_test_without_a_row_and_a_row_without_a_test_are_found() {
        let path = "tests/a/tests/faults/b.rs";
        let row = |name: &str| format!("| x | y | [`{name}`](../{path}) |\n");
        let good = Tree::of(&[(path, TEST), (PAGE, &row("it_holds"))]);
        assert_eq!(check(&good), []);
        let missing = check(&Tree::of(&[(path, TEST), (PAGE, "")]));
        assert!(missing.len() == 1 && missing[0].message.contains("has no row"), "{missing:?}");
        let gone = check(&Tree::of(&[(path, TEST), (PAGE, &(row("it_holds") + &row("it_held")))]));
        assert!(gone.len() == 1 && gone[0].message.contains("no test"), "{gone:?}");
        let silent = check(&Tree::of(&[(path, "#[test]\nfn it_is() {\n}\n"), (PAGE, "")]));
        assert!(silent.len() == 1 && silent[0].message.contains("ends without"), "{silent:?}");
    }
}
