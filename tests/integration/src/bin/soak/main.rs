//! The daemon under mixed load, churn and faults for as long as one likes: what it holds must not grow. `cargo xtask
//! soak` builds it and calls it.
#![forbid(unsafe_code)]

mod load;
mod measure;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use observer_harness::SimNode;
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};

use crate::load::Load;
use crate::measure::{Sample, Summary};

/// A look at everything.
const EVERY: Duration = Duration::from_secs(2);
/// A line of progress.
const TOLD_EVERY: usize = 5;

fn main() -> ExitCode {
    match soak() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Arguments: minutes, and the file for the summary.
fn soak() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = arguments.next().context("how many minutes?")?.parse()?;
    let summary = PathBuf::from(arguments.next().context("which file for the summary?")?);
    let length = Duration::from_secs_f64(minutes * 60.0);

    let node = SimNode::builder().start()?;
    let issuer = TokenIssuer::new("https://issuer.test")?;
    let files = Directory::new()?;
    let load = Load::new(&node)?;
    let token =
        issuer.bound(load.client(), &Claims { audiences: vec!["shop".into()], expires_in: 86_400 })?;
    let header = files.write("header", format!("Authorization: Bearer {token}\n"))?;
    let daemon = Daemon::builder()
        .arguments(issuer.arguments())
        .arguments(["--output", "none", "--log-level", "warn"])
        .start(&node)?;
    let downloads = load.downloads()?;
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let mut samples = Vec::new();
    let (samples, troubles) = thread::scope(|scope| {
        let kinds = load.start(scope, &stop, &header, length);
        let troubles = scope.spawn(|| trouble::make(&daemon, &stop));
        while begun.elapsed() < length {
            thread::sleep(EVERY);
            // A daemon that is held still, or has no descriptor, says nothing just now.
            let Ok(sample) = Sample::take(&daemon, begun.elapsed()) else { continue };
            if samples.len() % TOLD_EVERY == 0 {
                let (gone, whole) = (begun.elapsed().as_secs_f64(), length.as_secs_f64());
                eprintln!("{gone:>5.0} s of {whole:.0}  {sample}");
            }
            samples.push(sample);
        }
        stop.store(true, Ordering::Relaxed);
        for kind in kinds {
            kind.join().map_err(|_| anyhow!("a thread of the load died"))??;
        }
        let troubles = troubles.join().map_err(|_| anyhow!("the thread of the faults died"))??;
        anyhow::Ok((samples, troubles))
    })?;
    let count = downloads.end()?;
    let log = daemon.log();
    ensure!(!log.contains("panicked"), "{log}");
    ensure!(daemon.get("/healthz")?.starts_with("HTTP/1.1 200"), "it is not well: {log}");
    let told = Summary::of(&samples, &daemon, count, &troubles, begun.elapsed())?;
    print!("{}", told.text());
    std::fs::write(&summary, told.json().to_string()).with_context(|| summary.display().to_string())?;
    Ok(told.is_flat())
}
