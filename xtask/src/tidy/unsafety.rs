//! `unsafe` stays where the kernel is spoken to.

use super::tree::Tree;
use super::{Problem, rust};

const ALLOWED: [&str; 3] = ["observer/src/probe/", "observer-ebpf/", "tests/harness/"];

pub fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in
        tree.with_extension("rs").filter(|file| !ALLOWED.iter().any(|start| file.path.starts_with(start)))
    {
        let code = rust::code(&file.text);
        for (line, _) in rust::words(&code, "unsafe") {
            let message = format!("`unsafe` is only allowed in {}", ALLOWED.join(", "));
            problems.push(Problem::at(&file.path, line, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_outside_its_places_is_found() {
        let text = "#![deny(unsafe_code)]\nfn f() { unsafe { g() } }\n";
        let problems =
            check(&Tree::of(&[("observer/src/decode/mod.rs", text), ("observer/src/probe/maps.rs", text)]));
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].path.as_str(), problems[0].line), ("observer/src/decode/mod.rs", Some(2)));
    }

    #[test]
    fn the_word_in_a_comment_is_no_code() {
        assert_eq!(check(&Tree::of(&[("observer/src/lib.rs", "// unsafe\n/// unsafe\n")])), []);
    }
}
