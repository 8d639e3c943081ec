//! `replay TARGET PATH...` runs inputs without libFuzzer; `seeds TARGET DIRECTORY` writes the first ones down.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use observer_fuzz::{TARGETS, Target, replay, seeds};

const USAGE: &str = "usage: observer-fuzz replay TARGET PATH...\n       observer-fuzz seeds TARGET DIRECTORY";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, target, paths @ ..] = arguments.as_slice() else { return usage(USAGE) };
    let Some(target) = TARGETS.iter().find(|known| known.name == target) else {
        return usage(&format!(
            "{target} is no target; there are: {}",
            TARGETS.map(|target| target.name).join(", ")
        ));
    };
    let done = match (command.as_str(), paths) {
        ("replay", [_, ..]) => run(target, paths),
        ("seeds", [directory]) => write(target, Path::new(directory)),
        _ => return usage(USAGE),
    };
    match done {
        Ok(count) => {
            eprintln!("{}: {count} inputs", target.name);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(2)
}

fn run(target: &Target, paths: &[String]) -> std::io::Result<usize> {
    let mut count = 0;
    for path in paths {
        for (path, input) in replay::inputs(Path::new(path))? {
            // Before, so that a crash is after its name.
            eprintln!("{}: {} bytes", path.display(), input.len());
            (target.run)(&input);
            count += 1;
        }
    }
    Ok(count)
}

fn write(target: &Target, directory: &Path) -> std::io::Result<usize> {
    let seeds = seeds::of(target.name)?;
    std::fs::create_dir_all(directory)?;
    for (name, input) in &seeds {
        std::fs::write(directory.join(name), input)?;
    }
    Ok(seeds.len())
}
