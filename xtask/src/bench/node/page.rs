//! Tables in a page, between two marks: what stands there is made, not typed.

use std::path::Path;

use anyhow::{Context, Result};

/// Before minutes of measuring: whether it could be written then.
///
/// # Errors
/// If the page cannot be read, or has no such marks.
pub fn check(page: &Path, section: &str) -> Result<()> {
    made(page, section, "").map(|_| ())
}

/// Replaces what is between the marks of `section`.
///
/// # Errors
/// If the page cannot be read or written, or has no such marks.
pub fn write(page: &Path, section: &str, text: &str) -> Result<()> {
    let after = made(page, section, text)?;
    std::fs::write(page, after).with_context(|| format!("write {}", page.display()))
}

fn made(page: &Path, section: &str, text: &str) -> Result<String> {
    let before = std::fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    replaced(&before, section, text).with_context(|| {
        format!("{} has no lines `{}` and `{}`", page.display(), start(section), end(section))
    })
}

fn start(section: &str) -> String {
    format!("<!-- bench {section} -->")
}

fn end(section: &str) -> String {
    format!("<!-- end of bench {section} -->")
}

fn replaced(page: &str, section: &str, text: &str) -> Option<String> {
    let (head, rest) = page.split_once(&start(section))?;
    let (_, tail) = rest.split_once(&end(section))?;
    Some(format!("{head}{}\n\n{}\n\n{}{tail}", start(section), text.trim(), end(section)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced_and_the_rest_stays() {
        let page = "# Page\n<!-- bench a -->\nold\n<!-- end of bench a -->\nrest\n<!-- bench b -->\n<!-- end of bench b -->\n";
        let expected = "# Page\n<!-- bench a -->\n\n| new |\n\n<!-- end of bench a -->\nrest\n<!-- bench b -->\n<!-- end of bench b -->\n";
        let once = replaced(page, "a", "| new |\n").unwrap();
        assert_eq!(once, expected);
        assert_eq!(replaced(&once, "a", "| new |").unwrap(), expected);
    }

    #[test]
    fn a_page_without_marks_is_left_alone() {
        assert_eq!(replaced("# Page\n<!-- bench a -->\n", "a", "x"), None);
    }
}
