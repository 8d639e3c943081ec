//! The stages of `observer/src` depend on each other only as ARCHITECTURE.md states, in a block like this:
//!
//! ````text
//! ```tidy-modules
//! model:
//! decode: model
//! runtime: *
//! ```
//! ````
//!
//! A line names a stage and, with spaces or commas between them, the stages that its code may name; `*` is all.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{File, Tree};
use super::{Problem, rust};

const DOCUMENT: &str = "ARCHITECTURE.md";
const FENCE: &str = "```tidy-modules";
const SOURCE: &str = "observer/src/";

/// For each stage, the stages that it may name.
type Table<'a> = BTreeMap<&'a str, Allowed<'a>>;

struct Allowed<'a> {
    line: usize,
    stages: BTreeSet<&'a str>,
}

impl Allowed<'_> {
    fn contains(&self, stage: &str) -> bool {
        self.stages.contains(stage) || self.stages.contains("*")
    }
}

pub fn check(tree: &Tree) -> Vec<Problem> {
    let Some(document) = tree.get(DOCUMENT) else {
        return vec![Problem::whole(DOCUMENT, "missing: it has to state the module dependencies")];
    };
    let table = match table(&document.text) {
        Ok(table) => table,
        Err(problem) => return vec![problem],
    };
    let mut problems = Vec::new();
    let stages: BTreeSet<_> = tree.with_extension("rs").filter_map(|file| stage(&file.path)).collect();
    for (name, allowed) in &table {
        let unknown = std::iter::once(name)
            .chain(&allowed.stages)
            .filter(|name| **name != "*" && !stages.contains(*name));
        problems.extend(unknown.map(|name| {
            Problem::at(DOCUMENT, allowed.line, format!("there is no stage `{name}` in {SOURCE}"))
        }));
    }
    for name in stages.iter().filter(|name| !table.contains_key(*name)) {
        problems
            .push(Problem::whole(DOCUMENT, format!("stage `{name}` is missing in the block tidy-modules")));
    }
    for file in tree.with_extension("rs") {
        let Some(own) = stage(&file.path) else { continue };
        let Some(allowed) = table.get(own) else { continue };
        for (line, named) in references(file) {
            if named != own && stages.contains(named.as_str()) && !allowed.contains(&named) {
                let message =
                    format!("`{own}` must not name `{named}`: {DOCUMENT} does not list that dependency");
                problems.push(Problem::at(&file.path, line, message));
            }
        }
    }
    problems
}

fn table(document: &str) -> Result<Table<'_>, Problem> {
    let mut lines = document.lines().zip(1..).skip_while(|(line, _)| line.trim() != FENCE);
    if lines.next().is_none() {
        return Err(Problem::whole(
            DOCUMENT,
            format!("has no block {FENCE}, which states the module dependencies"),
        ));
    }
    let mut table = Table::new();
    for (line, number) in lines.take_while(|(line, _)| line.trim() != "```") {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let Some((stage, stages)) = line.split_once(':') else {
            return Err(Problem::at(DOCUMENT, number, "expected `stage: other stages`"));
        };
        let stages = stages.split([' ', ',']).filter(|name| !name.is_empty()).collect();
        table.insert(stage.trim(), Allowed { line: number, stages });
    }
    Ok(table)
}

/// `decode` for `observer/src/decode/mod.rs` and `observer/src/decode.rs`; none for the crate's roots.
fn stage(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(SOURCE)?;
    match inside.split_once('/') {
        Some((stage, _)) => Some(stage),
        None => inside.strip_suffix(".rs").filter(|name| !matches!(*name, "lib" | "main")),
    }
}

/// The top-level modules that a file names, and where: `crate::x`, `crate::{x::A, y}`, and `super::super::x`.
fn references(file: &File) -> Vec<(usize, String)> {
    let code = rust::code(&file.text);
    let mut found = Vec::new();
    for (line, rest) in rust::words(&code, "crate") {
        if let Some(rest) = rest.trim_start().strip_prefix("::") {
            found.extend(first_names(rest.trim_start()).into_iter().map(|name| (line, name)));
        }
    }
    // rustfmt leaves a module's own `use` unindented; an indented one belongs to a module within the file.
    let up = "super::".repeat(depth(&file.path));
    for (line, number) in code.lines().zip(1..) {
        let used = line.strip_prefix("use ").or_else(|| line.strip_prefix("pub use "));
        if let Some(rest) = used.and_then(|path| path.strip_prefix(&up)) {
            found.extend(first_names(rest).into_iter().map(|name| (number, name)));
        }
    }
    found
}

/// How many `super` lead from a file to the crate's root.
fn depth(path: &str) -> usize {
    let inside = path.strip_prefix(SOURCE).unwrap_or(path);
    let parts = inside.split('/').count();
    if inside.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// The first names of a path that may be a group: `x::y` gives x; `{x::{y, z}, w}` gives x and w.
fn first_names(path: &str) -> Vec<String> {
    let first =
        |path: &str| path.trim_start().chars().take_while(|character| rust::is_word(*character)).collect();
    let Some(group) = path.strip_prefix('{') else { return vec![first(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.push(first(&group[start..at]));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT_TEXT: &str =
        "# Map\n```tidy-modules\nmodel:\ndecode: model # a comment\nconntrack: model\nruntime: *\n```\n";

    fn messages(path: &str, text: &str) -> Vec<String> {
        let mut files = vec![
            (DOCUMENT, DOCUMENT_TEXT),
            ("observer/src/main.rs", "use observer::runtime;"),
            ("observer/src/lib.rs", "pub mod model;"),
            ("observer/src/model/mod.rs", ""),
            ("observer/src/decode/mod.rs", ""),
            ("observer/src/conntrack/mod.rs", ""),
            ("observer/src/runtime/mod.rs", "use crate::{conntrack, decode, model};"),
        ];
        files.retain(|(other, _)| *other != path);
        files.push((path, text));
        check(&Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let text = "use crate::model::Event;\nuse crate::decode::x;\n/// [`crate::conntrack::Table`]\nuse super::wire;\n";
        assert_eq!(messages("observer/src/decode/tcp.rs", text), [""; 0]);
    }

    #[test]
    fn a_dependency_that_is_not_listed_is_found_however_it_is_written() {
        for text in [
            "use crate::conntrack::Table;",
            "fn f() { crate::conntrack::g() }",
            "use crate::{model::{Event, Time}, conntrack};",
            "use crate::{\n    model::Event,\n    conntrack::Table,\n};",
            "use super::super::conntrack;",
            "use super::super::{model, conntrack};",
        ] {
            let messages = messages("observer/src/decode/tcp.rs", text);
            assert_eq!(messages.len(), 1, "{text}: {messages:?}");
            assert!(
                messages[0].starts_with("observer/src/decode/tcp.rs:1: `decode` must not name `conntrack`")
            );
        }
    }

    #[test]
    fn super_leads_to_the_root_from_a_stages_own_file_only() {
        assert_eq!(messages("observer/src/decode/mod.rs", "use super::conntrack;\n").len(), 1);
        assert_eq!(
            messages("observer/src/decode/mod.rs", "mod tests {\n    use super::conntrack;\n}\n"),
            [""; 0]
        );
        assert_eq!(messages("observer/src/decode/tcp.rs", "use super::conntrack;\n"), [""; 0]);
    }

    #[test]
    fn nobody_but_main_names_the_composition_root() {
        assert_eq!(messages("observer/src/conntrack/mod.rs", "use crate::runtime::run;").len(), 1);
    }

    #[test]
    fn a_missing_document_block_or_stage_is_found() {
        assert_eq!(check(&Tree::of(&[("observer/src/lib.rs", "")])).len(), 1);
        assert_eq!(messages(DOCUMENT, "# Map\n").len(), 1);
        assert_eq!(
            messages("observer/src/sink/mod.rs", ""),
            ["ARCHITECTURE.md: stage `sink` is missing in the block tidy-modules"]
        );
        let gone = DOCUMENT_TEXT.replace("model:\n", "model:\nghost: model\n");
        assert_eq!(
            messages(DOCUMENT, &gone),
            ["ARCHITECTURE.md:4: there is no stage `ghost` in observer/src/"]
        );
    }
}
