//! Relative links of Markdown files lead somewhere.

use super::Problem;
use super::tree::{File, Tree};

pub fn check(tree: &Tree) -> Vec<Problem> {
    tree.with_extension("md").flat_map(|file| check_file(tree, file)).collect()
}

fn check_file(tree: &Tree, file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut fence = None;
    for (index, line) in file.text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        if fence.is_some() {
            continue;
        }
        for target in targets(&without_code(line)) {
            if !leads_somewhere(tree, &file.path, &target) {
                problems.push(Problem::at(
                    &file.path,
                    index + 1,
                    format!("the link to `{target}` leads nowhere"),
                ));
            }
        }
    }
    problems
}

/// The line without its `code spans`.
fn without_code(line: &str) -> String {
    let parts: Vec<_> = line.split('`').collect();
    // An odd number of backticks: the last one opens nothing.
    let last = parts.len() - 1;
    let outside = parts.iter().enumerate().filter(|(at, _)| at % 2 == 0 || (*at == last && last % 2 == 1));
    outside.map(|(_, part)| *part).collect::<Vec<_>>().join(" ")
}

/// Inline links `[text](target "title")`, images alike, and definitions `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line.match_indices("](").filter_map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        if let Some(bracketed) = rest.strip_prefix('<') {
            return bracketed.split('>').next();
        }
        rest.split(')').next()?.split_whitespace().next()
    });
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let definition = definition.and_then(|(_, target)| target.split_whitespace().next());
    inline.chain(definition).map(str::to_owned).collect()
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
    if path.is_empty() || has_scheme || target.starts_with("//") {
        return true;
    }
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return false;
        }
    }
    tree.has(&parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<Problem> {
        check(&Tree::of(&[("docs/a.md", text), ("README.md", ""), ("deploy/helm/Chart.yaml", "")]))
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for text in [
            "[x](b.md)",
            "text ![x](picture.png \"title\")",
            "[x]: ../docs/c.md",
            "`code` [x](<b c.md>)",
            "[x](../../README.md)",
            "[x](b.md#part)",
        ] {
            assert_eq!(problems(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn links_to_files_directories_addresses_and_headings_pass() {
        for text in [
            "[x](../README.md#part)",
            "[x](../deploy/helm/) [y](../deploy)",
            "[x](/README.md)",
            "[x](https://example.org/b.md) [y](mailto:a@example.org) [z](#part)",
            "[x]: a.md",
            "`[x](b.md)`",
            "```\n[x](b.md)\n```",
        ] {
            assert_eq!(problems(text), [], "{text}");
        }
    }
}
