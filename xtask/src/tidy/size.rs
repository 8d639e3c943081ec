//! A Rust file holds one idea, which fits in 500 lines.

use super::Problem;
use super::tree::Tree;

const MOST_LINES: usize = 500;

pub fn check(tree: &Tree) -> Vec<Problem> {
    let too_long = |lines: usize| format!("{lines} lines, more than {MOST_LINES}: split it by idea");
    tree.with_extension("rs")
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| Problem::whole(&file.path, too_long(lines)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_above_the_limit_is_one_too_many() {
        let tree = |lines| Tree::of(&[("a.rs", &"\n".repeat(lines)), ("a.md", &"\n".repeat(9999))]);
        assert_eq!(check(&tree(500)), []);
        assert_eq!(check(&tree(501)).len(), 1);
    }
}
