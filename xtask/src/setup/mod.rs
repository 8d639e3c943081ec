//! `cargo xtask setup`: what build, tests and demo need. Looks first, installs only what is missing.

mod cargo_deny;
mod cargo_fuzz;
mod ebpf;
mod go;
mod go_module;
mod gungraun;
mod helm;
mod istio;
mod linker;
mod node_modules;
mod operator;
mod packages;
mod servers;

use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::stage::seconds;

#[derive(Args)]
pub struct Arguments {
    /// What the machine is set up for
    #[arg(long = "for", value_enum, default_value_t = Purpose::All)]
    purpose: Purpose,
}

/// What a machine is set up for. `Test`, `Demo`, `Fuzz`, `Bench` and `Instructions` include `Build`; `Alerts` is `Demo` with Prometheus; `Vm` is what `vm-test` needs;
/// `Chart` is helm alone; `Page` is what the page of `observer ui` is made with; `All` is what `cargo xtask ci` needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    Build,
    Test,
    Vm,
    Demo,
    Alerts,
    Fuzz,
    /// Build, and what makes load
    Bench,
    /// Build, and what counts instructions
    Instructions,
    Chart,
    Page,
    All,
}

/// One thing that has to be there.
trait Step {
    fn name(&self) -> String;

    /// What is there already, in a few words, or `None` if something is missing. Takes milliseconds.
    fn present(&self) -> Result<Option<String>>;

    /// Installs it. The error names the command to run by hand.
    fn install(&self) -> Result<()>;
}

/// The command itself: tells every step.
///
/// # Errors
/// If something can be neither found nor installed.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare(arguments.purpose, true)
}

/// What the other commands call first: says nothing when there is nothing to do.
///
/// # Errors
/// If something can be neither found nor installed.
pub fn ensure(purpose: Purpose) -> Result<()> {
    prepare(purpose, false)
}

fn prepare(purpose: Purpose, tell_all: bool) -> Result<()> {
    let steps = steps(purpose)?;
    let count = steps.len();
    for (index, step) in steps.iter().enumerate() {
        let title = format!("[{}/{count}] {}", index + 1, step.name());
        if let Some(found) = step.present()? {
            if tell_all {
                eprintln!("{title} ... already there ({found})");
            }
            continue;
        }
        eprintln!("{title} ... installing");
        let start = Instant::now();
        step.install().with_context(|| format!("setup, {}", step.name()))?;
        eprintln!("{title} ... installed in {}", seconds(start.elapsed()));
    }
    Ok(())
}

fn steps(purpose: Purpose) -> Result<Vec<Box<dyn Step>>> {
    if purpose == Purpose::Chart {
        return helm_steps();
    }
    if purpose == Purpose::Page {
        return Ok(vec![Box::new(packages::Packages::of_page()), Box::new(node_modules::NodeModules::PAGE)]);
    }
    let toolchain = ebpf::choose()?;
    let mut steps: Vec<Box<dyn Step>> = vec![
        Box::new(packages::Packages::of(&toolchain, purpose)),
        Box::new(ebpf::Linked(toolchain.clone())),
        Box::new(linker::BpfLinker(toolchain)),
    ];
    if matches!(purpose, Purpose::Test | Purpose::All) {
        steps.extend(helm_steps()?);
        let servers = servers::Servers::read()?;
        let (operator, istio) = (operator::OperatorCrds::read()?, istio::IstioCrds::read()?);
        // One compiler serves all.
        let compilers = [servers.compiler()?, operator.compiler()?, istio.compiler()?];
        if let Some(go) = compilers.into_iter().flatten().next() {
            steps.push(Box::new(go));
        }
        steps.push(Box::new(servers));
        steps.push(Box::new(operator));
        steps.push(Box::new(istio));
        steps.push(Box::new(node_modules::NodeModules::PAGE));
        steps.push(Box::new(node_modules::NodeModules::TESTS));
    }
    if purpose == Purpose::All {
        steps.push(Box::new(cargo_deny::Components));
        steps.push(Box::new(cargo_deny::CargoDeny));
    }
    if purpose == Purpose::Fuzz {
        steps.push(Box::new(cargo_fuzz::CargoFuzz));
    }
    if purpose == Purpose::Instructions {
        steps.push(Box::new(gungraun::Gungraun::read()?));
    }
    Ok(steps)
}

fn helm_steps() -> Result<Vec<Box<dyn Step>>> {
    let helm = helm::Helm::read()?;
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    if let Some(go) = helm.compiler()? {
        steps.push(Box::new(go));
    }
    steps.push(Box::new(helm));
    Ok(steps)
}

/// Whether cargo's own note of what it installed in a directory names this version of a program.
fn is_noted(note: &str, program: &str, version: &str) -> bool {
    note.lines().any(|line| line.starts_with(&format!("\"{program} {version} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_not_the_one_asked_for() {
        let note = "[v1]\n\"cargo-deny 0.20.2 (registry+https://example.org/index)\" = [\"cargo-deny\"]\n";
        assert!(is_noted(note, "cargo-deny", "0.20.2"));
        assert!(!is_noted(note, "cargo-deny", "0.20.1"));
        assert!(!is_noted(note, "cargo-fuzz", "0.20.2"));
        assert!(!is_noted("", "cargo-deny", "0.20.2"));
    }
}
