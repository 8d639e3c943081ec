//! `cargo xtask fuzz`: each target of tests/fuzz under libFuzzer, from its corpus and the real captures.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{process, workspace};

const DIRECTORY: &str = "tests/fuzz";
/// Longer inputs find little that these do not.
const LONGEST_INPUT: &str = "-max_len=16384";
/// What is slower, or needs more, is a finding too.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

#[derive(Args)]
pub struct Arguments {
    /// How long to run each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Afterwards put into the corpus what covers something new, and leave out what does not any more
    #[arg(long)]
    keep: bool,
    /// All of them by default
    target: Vec<String>,
}

/// What libFuzzer says at the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    coverage: u64,
    features: u64,
}

/// The command itself.
///
/// # Errors
/// If a target crashes: the message says where its input lies and how to run it again.
pub fn run(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    let wanted = if arguments.target.is_empty() { &known } else { &arguments.target };
    if let Some(unknown) = wanted.iter().find(|target| !known.contains(target)) {
        bail!("there is no target `{unknown}`; there are: {}", known.join(", "));
    }
    setup::ensure(Purpose::Fuzz)?;
    let programs: Vec<PathBuf> = wanted.iter().map(|target| build(target)).collect::<Result<_>>()?;
    let mut results = Vec::new();
    for (n, (target, program)) in wanted.iter().zip(programs).enumerate() {
        eprintln!("\n==> [{}/{}] {target}, {} s", n + 1, wanted.len(), arguments.seconds);
        let places = Places::of(target)?;
        results.push((target, fuzz(target, &program, &places, arguments.seconds)?));
        if arguments.keep {
            keep(&program, &places)?;
        }
    }
    eprintln!("\n{:<8}{:>14}{:>10}{:>10}", "target", "executions", "coverage", "features");
    for (target, Outcome { executions, coverage, features }) in &results {
        eprintln!("{target:<8}{executions:>14}{coverage:>10}{features:>10}");
    }
    Ok(())
}

/// The names of the files in which they stand.
fn targets() -> Result<Vec<String>> {
    let directory = workspace::top().join(DIRECTORY).join("targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn build(target: &str) -> Result<PathBuf> {
    let directory = workspace::top().join("target/fuzz");
    let host = host()?;
    process::run(
        // Without a sanitizer the stable compiler will do.
        process::cargo()
            .args(["fuzz", "build", "--fuzz-dir", DIRECTORY, "--features", "libfuzzer"])
            .args(["--sanitizer", "none", "--codegen-units", "16", "--target", &host, "--target-dir"])
            .arg(&directory)
            .arg(target)
            .env("CARGO_PROFILE_RELEASE_LTO", "off"),
    )?;
    Ok(directory.join(host).join("release").join(target))
}

fn host() -> Result<String> {
    let version = process::output(process::command("rustc").arg("-vV")).context("rustc does not start")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Where inputs come from and go to.
struct Places {
    corpus: PathBuf,
    regressions: PathBuf,
    /// Real captures.
    seeds: PathBuf,
    /// What this and earlier runs found; nobody commits it.
    found: PathBuf,
    crashes: PathBuf,
}

impl Places {
    fn of(target: &str) -> Result<Self> {
        let own = workspace::top().join("target/fuzz");
        let places = Self {
            corpus: workspace::top().join(DIRECTORY).join("corpus").join(target),
            regressions: workspace::top().join(DIRECTORY).join("regressions").join(target),
            seeds: own.join("seeds").join(target),
            found: own.join("found").join(target),
            crashes: own.join("crashes").join(target),
        };
        for directory in [&places.corpus, &places.regressions, &places.found, &places.crashes] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let seeds = ["run", "--quiet", "--package", "observer-fuzz", "--", "seeds", target];
        process::run(process::cargo().args(seeds).arg(&places.seeds))?;
        Ok(places)
    }

    /// The first is where libFuzzer puts what it finds.
    fn inputs(&self) -> [&Path; 4] {
        [&self.found, &self.seeds, &self.corpus, &self.regressions]
    }
}

fn fuzz(target: &str, program: &Path, places: &Places, seconds: u64) -> Result<Outcome> {
    let mut command = process::command(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", places.crashes.display()))
        .args([LONGEST_INPUT, "-print_final_stats=1"])
        .args(LIMITS)
        .args(places.inputs());
    let (lines, passed) = watch(&mut command)?;
    if passed {
        return Ok(read(&lines));
    }
    let written =
        lines.iter().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let Some(input) = written else { bail!("{target} ended without a crash's input: see above") };
    bail!(
        "{target} crashed; its input: {input}\n\
         run it again with: cargo run -p observer-fuzz -- replay {target} {input}\n\
         once it is mended, keep it: cp {input} {DIRECTORY}/regressions/{target}/"
    )
}

/// Runs to the end, telling what is worth telling.
fn watch(command: &mut Command) -> Result<(Vec<String>, bool)> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    let (mut lines, mut dictionary) = (Vec::new(), false);
    for line in BufReader::new(child.stderr.take().context("no standard error")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let small = ["\tNEW ", "\tREDUCE ", "\tRELOAD "].iter().any(|step| line.contains(step));
        dictionary |= line.starts_with("###### Recommended dictionary");
        if !small && !dictionary {
            eprintln!("{line}");
            lines.push(line);
        } else if line.starts_with("###### End of recommended dictionary") {
            dictionary = false;
        }
    }
    Ok((lines, child.wait()?.success()))
}

/// From `#123 DONE   cov: 45 ft: 67 ...` and `stat::number_of_executed_units: 123`.
fn read(lines: &[String]) -> Outcome {
    let number = |line: &str, before: &str| -> Option<u64> {
        let rest = line.split_once(before)?.1.trim_start();
        rest.split_whitespace().next()?.parse().ok()
    };
    let last = |before: &str| lines.iter().rev().find_map(|line| number(line, before)).unwrap_or_default();
    Outcome {
        executions: last("stat::number_of_executed_units:"),
        coverage: last("cov: "),
        features: last("ft: "),
    }
}

/// What is committed stays small: an input for each place in the code, not for each way there, and short ones. The
/// captures, which are long, are read from where they lie.
const MERGE: [&str; 3] = ["-set_cover_merge=1", "-use_counters=0", "-max_len=1024"];

/// The smallest set of inputs that reaches the same code replaces the corpus.
fn keep(program: &Path, places: &Places) -> Result<()> {
    let merged = places.found.with_extension("merged");
    let _ = fs::remove_dir_all(&merged);
    fs::create_dir_all(&merged)?;
    let mut command = process::command(program);
    command.args(MERGE).arg(&merged);
    let (_, passed) = watch(command.args(places.inputs()))?;
    if !passed {
        bail!("the corpus cannot be minimised: see above");
    }
    fs::remove_dir_all(&places.corpus)?;
    fs::create_dir_all(&places.corpus)?;
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        fs::copy(entry.path(), places.corpus.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_last_lines_are_read() {
        // What a run of libFuzzer printed.
        let lines = [
            "#1024\tpulse  cov: 10 ft: 20 corp: 3/12b exec/s: 512 rss: 40Mb",
            "#2097152\tDONE   cov: 1834 ft: 9120 corp: 901/88Kb lim: 4096 exec/s: 34379 rss: 512Mb",
            "Done 2097152 runs in 61 second(s)",
            "stat::number_of_executed_units: 2097152",
        ]
        .map(str::to_owned);
        assert_eq!(read(&lines), Outcome { executions: 2_097_152, coverage: 1834, features: 9120 });
    }

    #[test]
    fn every_target_has_its_program_in_the_manifest() {
        let manifest = fs::read_to_string(workspace::top().join(DIRECTORY).join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
        }
    }
}
