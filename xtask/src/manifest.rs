//! `cargo xtask manifest`: the chart as one file, for those who have `kubectl` and no `helm`.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{process, workspace};

const CHART: &str = "deploy/helm";
const MANIFEST: &str = "deploy/observer.yaml";
const HEADER: &str = "# Made from deploy/helm by `cargo xtask manifest`: change that, not this.\n";

#[derive(Args)]
pub struct Arguments {
    /// Write nothing; fail if the file is not what the chart renders
    #[arg(long)]
    check: bool,
}

/// The command itself.
///
/// # Errors
/// If helm is missing, or refuses the chart.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Purpose::Chart)?;
    if arguments.check {
        return check();
    }
    std::fs::write(workspace::top().join(MANIFEST), render()?)
        .with_context(|| format!("cannot write {MANIFEST}"))
}

/// Whether the file is what the chart renders.
///
/// # Errors
/// It is not.
pub fn check() -> Result<()> {
    let there = std::fs::read_to_string(workspace::top().join(MANIFEST)).unwrap_or_default();
    if there != render()? {
        bail!("{MANIFEST} is not what {CHART} renders; run `cargo xtask manifest`");
    }
    Ok(())
}

fn render() -> Result<String> {
    let mut helm = process::command("helm");
    helm.args(["template", "observer", CHART, "--namespace", "observer", "--include-crds"]);
    helm.args(["--set", "namespace.create=true"]);
    let output = helm.output().context("helm does not start; `cargo xtask setup` installs it")?;
    if !output.status.success() {
        bail!("helm template: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let rendered = String::from_utf8(output.stdout).context("helm template: not UTF-8")?;
    Ok(format!("{HEADER}{rendered}"))
}
