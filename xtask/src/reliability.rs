//! `cargo xtask reliability`: runs the tests that prove something of it, and writes docs/reliability.md from what they
//! noted, from the last `cargo xtask soak` and from the last `cargo xtask vm-test`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::setup::{self, Purpose};
use crate::{process, test, workspace};

/// Where the tests are told to write their rows.
pub const FOLDER_VARIABLE: &str = "OBSERVER_RELIABILITY";
/// What the soak run writes there.
pub const SOAK: &str = "soak.json";
pub const PAGE: &str = "docs/reliability.md";
/// Ends such a test.
pub const PROVEN: &str = "proven!(";
/// The kinds of rows, each with its heading.
const HEADINGS: [(&str, &str); 4] =
    [("fault", "Faults"), ("input", "Hostile inputs"), ("secret", "Secrets"), ("privilege", "Privileges")];

#[derive(Args)]
pub struct Arguments {
    /// Run nothing: write the page from what earlier runs left
    #[arg(long)]
    page_only: bool,
}

/// # Errors
/// There is no target directory.
pub fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join("reliability"))
}

/// The command itself.
///
/// # Errors
/// A test fails, or the page cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.page_only {
        setup::ensure(Purpose::Test)?;
        process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
        for (package, name) in suites(&workspace::top())? {
            process::run(&mut test::one_suite(&package, &name)?)?;
        }
    }
    let page = workspace::top().join(PAGE);
    let mut text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let date = process::output(process::command("date").args(["-u", "+%F"])).context("date")?;
    let rows = rows(&folder()?)?;
    for (kind, heading) in HEADINGS {
        let mut rows: Vec<&Value> = rows.iter().filter(|row| row["kind"] == kind).collect();
        // By the file and what stands in it, so that two runs differ in what was seen alone.
        rows.sort_by_key(|row| (row["file"].to_string(), row["test"].to_string()));
        if let Some(first) = rows.first() {
            let kernel = first["kernel"].as_str().unwrap_or_default();
            let table = table(&rows);
            text = replace(&text, heading, &format!("{}, Linux {kernel}.\n\n{table}", date.trim()))?;
        }
    }
    if let Some(soak) = read(&folder()?.join(SOAK))? {
        text = replace(&text, "Soak", &soak_section(&soak, date.trim()))?;
    }
    if let Some(kernels) = read(&workspace::target()?.join("vm-test/results.json"))? {
        text = replace(&text, "Kernels", &kernels_section(&kernels))?;
    }
    fs::write(&page, text)?;
    eprintln!("{} is written", page.display());
    Ok(())
}

/// The packages and test programs whose files prove something.
fn suites(top: &Path) -> Result<BTreeSet<(String, String)>> {
    let mut suites = BTreeSet::new();
    for package in fs::read_dir(top.join("tests"))? {
        let package = package?.path();
        let Ok(programs) = fs::read_dir(package.join("tests")) else { continue };
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for program in programs {
            let program = program?.path();
            let files: Vec<PathBuf> = match program.is_dir() {
                true => fs::read_dir(&program)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?,
                false => vec![program.clone()],
            };
            if files.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(PROVEN))) {
                let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                suites.insert((format!("observer-{name}"), stem));
            }
        }
    }
    Ok(suites)
}

fn read(path: &Path) -> Result<Option<Value>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?)),
        Err(_) => Ok(None),
    }
}

fn rows(folder: &Path) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != SOAK) {
            rows.extend(read(&path)?);
        }
    }
    Ok(rows)
}

fn cell(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('|', "\\|").replace('\n', " ")
}

fn table(rows: &[&Value]) -> String {
    let mut table = "| what was done | what was seen | test |\n|---|---|---|\n".to_owned();
    for row in rows {
        let (what, shown) = (cell(&row["what"]), cell(&row["shown"]));
        let _ =
            writeln!(table, "| {what} | {shown} | [`{}`](../{}) |", cell(&row["test"]), cell(&row["file"]));
    }
    table
}

fn soak_section(soak: &Value, date: &str) -> String {
    let minutes = soak["seconds"].as_u64().unwrap_or(0) / 60;
    let verdict = if soak["flat"] == true { "nothing grew" } else { "**something grew**" };
    let mut text = format!("{date}, {minutes} minutes: {verdict}.\n\n");
    text += "| | first third | last third | may grow by | most |\n|---|---|---|---|---|\n";
    for row in soak["rows"].as_array().into_iter().flatten() {
        let name = cell(&row["name"]);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            row["first"], row["last"], row["allowed"], row["most"]
        );
    }
    text.push('\n');
    for line in soak["told"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "- {}: {}", cell(&line[0]), cell(&line[1]));
    }
    text
}

fn kernels_section(results: &Value) -> String {
    let mut text = format!(
        "{}.\n\n| kernel | scenarios | result | seconds |\n|---|---|---|---|\n",
        cell(&results["date"])
    );
    for run in results["runs"].as_array().into_iter().flatten() {
        let scenarios = run["scenarios"].as_array().map(Vec::as_slice).unwrap_or_default();
        let passed = scenarios.iter().filter(|scenario| scenario["passed"] == true).count();
        let failed: Vec<String> = scenarios
            .iter()
            .filter(|scenario| scenario["passed"] != true)
            .map(|scenario| cell(&scenario["name"]))
            .collect();
        let result = match (run["passed"] == true, failed.is_empty()) {
            (true, _) => "passed".to_owned(),
            (false, true) => "**failed**".to_owned(),
            (false, false) => format!("**failed**: {}", failed.join(", ")),
        };
        let seconds = run["seconds"].as_f64().unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {} | {passed} of {} | {result} | {seconds:.0} |",
            cell(&run["release"]),
            scenarios.len()
        );
    }
    text
}

/// Puts another body under a heading of the second level.
fn replace(page: &str, heading: &str, body: &str) -> Result<String> {
    let mark = format!("\n## {heading}\n");
    let Some(at) = page.find(&mark) else { bail!("{PAGE} has no heading `## {heading}`") };
    let start = at + mark.len();
    let end = page[start..].find("\n## ").map_or(page.len(), |end| start + end);
    Ok(format!("{}\n{}\n{}", &page[..start], body.trim_end(), &page[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let page = "# R\n\n## Faults\n\nold\n\n## Soak\n\nkept\n";
        let new = replace(page, "Faults", "new\n").unwrap();
        assert_eq!(new, "# R\n\n## Faults\n\nnew\n\n## Soak\n\nkept\n");
        assert_eq!(replace(&new, "Soak", "x").unwrap(), "# R\n\n## Faults\n\nnew\n\n## Soak\n\nx\n");
        assert!(replace(page, "Nothing", "x").is_err());
    }

    #[test]
    fn a_row_is_one_line_whatever_stands_in_it() {
        let row = json!({"what": "a|b", "shown": "c\nd", "test": "t", "file": "tests/x.rs"});
        assert!(table(&[&row]).ends_with("\n| a\\|b | c d | [`t`](../tests/x.rs) |\n"));
    }
}
