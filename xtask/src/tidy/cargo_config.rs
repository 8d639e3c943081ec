//! No `build.target` in cargo's configuration: it would build the daemon, xtask and build scripts for one target, and
//! put every artifact elsewhere than documented.

use super::Problem;
use super::tree::Tree;

pub fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files().iter().filter(|file| is_cargo_config(&file.path)) {
        let mut section = "";
        for (index, line) in file.text.lines().map(str::trim).enumerate() {
            if let Some(header) = line.strip_prefix('[') {
                section = header.split(']').next().unwrap_or(header).trim();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let key: String = key.chars().filter(|character| !character.is_whitespace()).collect();
            let inline = section.is_empty() && key == "build" && sets_target(value);
            if inline
                || (section.is_empty() && key == "build.target")
                || (section == "build" && key == "target")
            {
                problems.push(Problem::at(
                    &file.path,
                    index + 1,
                    "`build.target` sets the target of every build",
                ));
            }
        }
    }
    problems
}

fn is_cargo_config(path: &str) -> bool {
    let path = format!("/{path}");
    path.ends_with("/.cargo/config.toml") || path.ends_with("/.cargo/config")
}

/// Whether an inline table has the key `target`.
fn sets_target(table: &str) -> bool {
    table.split(['{', ',']).filter_map(|pair| pair.split_once('=')).any(|(key, _)| key.trim() == "target")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        check(&Tree::of(&[(".cargo/config.toml", text)])).len()
    }

    #[test]
    fn every_way_to_write_it_is_found() {
        assert_eq!(problems("[build]\njobs = 2\ntarget = \"x\"\n"), 1);
        assert_eq!(problems("build.target = \"x\"\n"), 1);
        assert_eq!(problems("build = { jobs = 2, target = [\"x\"] }\n"), 1);
        assert_eq!(check(&Tree::of(&[("observer/.cargo/config", "[build]\ntarget = 'x'\n")])).len(), 1);
    }

    #[test]
    fn other_keys_and_other_files_pass() {
        assert_eq!(
            problems("[build]\ntarget-dir = \"x\"\n[env]\ntarget = \"x\"\n[alias]\nbuild = \"x\"\n"),
            0
        );
        assert_eq!(check(&Tree::of(&[("a/config.toml", "[build]\ntarget = \"x\"\n")])), []);
    }
}
