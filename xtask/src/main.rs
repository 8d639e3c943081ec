//! `cargo xtask`: the project's own commands. Each one calls `setup` for what it needs.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod demo;
mod docs;
mod fuzz;
mod image;
mod manifest;
mod process;
mod reliability;
mod root;
mod scratch;
mod setup;
mod soak;
mod stage;
#[cfg(test)]
mod tempdir;
mod test;
mod tidy;
mod ui;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Sets the machine up, shows, tests and checks the project")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what build, tests and demo need; does nothing where it is all there
    Setup(setup::Arguments),
    /// Watch a small shop on a simulated node with the real daemon, for about 20 s; needs root
    Demo(demo::Arguments),
    /// Run all tests: unit tests, then as root the suites on a real kernel and against a real API server
    Test(test::Arguments),
    /// Boot stock Debian kernels in QEMU and run the core scenarios on each
    VmTest(vm::Arguments),
    /// Run the fuzz targets for a while each, by hand: CI only replays their corpora
    Fuzz(fuzz::Arguments),
    /// Measure, on a release build; prints tables
    Bench(bench::Arguments),
    /// Run the daemon under mixed load, churn and faults, by hand: what it holds must not grow
    Soak(soak::Arguments),
    /// Run what proves reliability, and write docs/reliability.md from what was seen
    Reliability(reliability::Arguments),
    /// Write the container image as an archive, without a container engine
    Image(image::Arguments),
    /// Render the chart into deploy/observer.yaml
    Manifest(manifest::Arguments),
    /// Write the pages in docs/ that are made from the code
    Docs(docs::Arguments),
    /// Bundle the page that `observer ui` serves
    Ui(ui::Arguments),
    /// Check the rules that the compiler does not know: module dependencies, names, links
    Tidy,
    /// Everything that has to be green: setup, format, lints, licences, tidy, tests, demo
    Ci,
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Setup(arguments) => setup::run(&arguments),
            Self::Demo(arguments) => demo::run(&arguments),
            Self::Test(arguments) => test::run(&arguments),
            Self::VmTest(arguments) => vm::run(&arguments),
            Self::Fuzz(arguments) => fuzz::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Soak(arguments) => soak::run(&arguments),
            Self::Reliability(arguments) => reliability::run(&arguments),
            Self::Image(arguments) => image::run(&arguments),
            Self::Manifest(arguments) => manifest::run(&arguments),
            Self::Docs(arguments) => docs::run(&arguments),
            Self::Ui(arguments) => ui::run(&arguments),
            Self::Tidy => tidy::run(&names()),
            Self::Ci => ci::run(&names()),
        }
    }
}

/// The subcommands there are, so that `tidy` finds the ones that only a document knows.
fn names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What a page tells people to type after `$ cargo xtask`, with the page.
    fn typed() -> Vec<(PathBuf, String)> {
        let mut pages = vec![workspace::top().join("README.md")];
        let mut folders = vec![workspace::top().join("docs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    pages.push(path);
                }
            }
        }
        let of = |page: &PathBuf| -> Vec<(PathBuf, String)> {
            let text = std::fs::read_to_string(page).unwrap();
            let commands = text.lines().filter_map(|line| line.strip_prefix("$ cargo xtask "));
            commands.map(|command| (page.clone(), command.to_owned())).collect()
        };
        pages.iter().flat_map(of).collect()
    }

    #[test]
    fn the_arguments_that_a_page_shows_are_taken() {
        let typed = typed();
        assert!(typed.len() > 3, "{typed:?}");
        for (page, command) in typed {
            let arguments = std::iter::once("xtask").chain(command.split_whitespace());
            if let Err(error) = Cli::try_parse_from(arguments) {
                panic!("{}: {error}", page.display());
            }
        }
    }
}
