//! A module is named after what it is about.

use std::path::Path;

use super::Problem;
use super::tree::Tree;

const EMPTY_NAMES: [&str; 8] =
    ["common", "helper", "helpers", "manager", "misc", "util", "utilities", "utils"];

pub fn check(tree: &Tree) -> Vec<Problem> {
    tree.with_extension("rs")
        .filter_map(|file| {
            let modules = Path::new(&file.path).with_extension("");
            let named = modules.iter().find(|part| EMPTY_NAMES.iter().any(|name| part == name))?;
            let message = format!("a module named `{}` could hold anything: name its idea", named.display());
            Some(Problem::whole(&file.path, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_need_names_that_say_something() {
        let bad = ["a/src/utils.rs", "a/src/helpers/mod.rs", "tests/common/mod.rs", "manager.rs"];
        for path in bad {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        let good = ["observer-common/src/lib.rs", "src/utilisation.rs", "utils.md"];
        assert_eq!(check(&Tree::of(&good.map(|path| (path, "")))), []);
    }
}
