//! cargo-fuzz: builds the fuzz targets with libFuzzer's instrumentation. It needs no other compiler than everybody's:
//! sanitizers do, and safe Rust has little for them to find.

use anyhow::{Result, anyhow};

use super::{Step, is_noted};
use crate::{process, workspace};

const VERSION: &str = "0.13.2";

pub struct CargoFuzz;

impl Step for CargoFuzz {
    fn name(&self) -> String {
        format!("cargo-fuzz {VERSION}")
    }

    fn present(&self) -> Result<Option<String>> {
        let note = std::fs::read_to_string(workspace::tools().join(".crates.toml")).unwrap_or_default();
        let there =
            is_noted(&note, "cargo-fuzz", VERSION) && workspace::tools().join("bin/cargo-fuzz").is_file();
        Ok(there.then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        let tools = workspace::tools();
        let build = tools.join("build");
        process::run(
            process::cargo()
                .args(["install", "cargo-fuzz", "--version", VERSION, "--locked", "--force", "--root"])
                .arg(&tools)
                .env("CARGO_TARGET_DIR", &build)
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        )
        .map_err(|_| {
            anyhow!(
                "cargo install failed; once its cause is mended, run: \
                 cargo install cargo-fuzz --version {VERSION} --locked --force --root target/tools"
            )
        })?;
        let _ = std::fs::remove_dir_all(build);
        Ok(())
    }
}
