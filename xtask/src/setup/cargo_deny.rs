//! What checks the source: rustfmt and clippy, and cargo-deny for the dependencies' licences and origins.

use anyhow::{Result, anyhow};

use super::{Step, is_noted};
use crate::{process, workspace};

/// The newest that rustc 1.95 builds.
const VERSION: &str = "0.20.2";

pub struct Components;

impl Step for Components {
    fn name(&self) -> String {
        "rustfmt and clippy".to_owned()
    }

    fn present(&self) -> Result<Option<String>> {
        let list = process::output(process::command("rustup").args(["component", "list", "--installed"]));
        Ok(list.filter(|list| has(list, "rustfmt") && has(list, "clippy")).map(|_| "rustup's".to_owned()))
    }

    fn install(&self) -> Result<()> {
        process::run(process::command("rustup").args(["component", "add", "rustfmt", "clippy"]))
    }
}

fn has(list: &str, component: &str) -> bool {
    list.lines()
        .any(|line| line.strip_prefix(component).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

pub struct CargoDeny;

impl Step for CargoDeny {
    fn name(&self) -> String {
        format!("cargo-deny {VERSION}")
    }

    fn present(&self) -> Result<Option<String>> {
        // cargo's own note of what it installed there is the stamp.
        let note = std::fs::read_to_string(workspace::tools().join(".crates.toml")).unwrap_or_default();
        let there =
            is_noted(&note, "cargo-deny", VERSION) && workspace::tools().join("bin/cargo-deny").is_file();
        Ok(there.then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        let tools = workspace::tools();
        let build = tools.join("build");
        // Unoptimised, it builds in one minute instead of several, and checks our crates in a second all the same.
        process::run(
            process::cargo()
                .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--force", "--root"])
                .arg(&tools)
                .env("CARGO_TARGET_DIR", &build)
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        )
        .map_err(|_| {
            anyhow!(
                "cargo install failed; once its cause is mended, run: \
                 cargo install cargo-deny --version {VERSION} --locked --force --root target/tools"
            )
        })?;
        let _ = std::fs::remove_dir_all(build);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_known_by_its_name_with_or_without_a_target() {
        assert!(has("clippy-x86_64-unknown-linux-gnu\nrustfmt\n", "clippy"));
        assert!(has("clippy-x86_64-unknown-linux-gnu\nrustfmt\n", "rustfmt"));
        assert!(!has("rust-std-x86_64-unknown-linux-gnu\n", "rustfmt"));
    }
}
