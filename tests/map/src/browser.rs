//! Runs a script of `browser/` with node: it drives Chromium, and says by its exit code whether all is well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use observer_integration::Directory;

/// A script that hangs, hangs the suite.
const ENDS_WITHIN: Duration = Duration::from_secs(150);
/// Set where the pictures in the documents are to be made anew.
const PICTURES: &str = "OBSERVER_PICTURES";

/// Runs `browser/<script>` with these variables. While it runs, it may ask for something to be done: `please` does it.
///
/// # Errors
/// The script fails, or does not end; or what it asked for fails.
pub fn look(
    script: &str,
    variables: &[(&str, &str)],
    mut please: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    ensure!(
        here.join("node_modules/playwright-core").is_dir(),
        "tests/map/node_modules is missing; `cargo xtask test --only ui` fetches it"
    );
    let directory = Directory::new()?;
    let asked = directory.path().join("please");
    // A file that is there only when it is whole.
    let own = pictures(&directory)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "node"]).arg(here.join("browser").join(script));
    command.env("PLEASE", &asked).env("PICTURES", own).envs(variables.iter().copied());
    let mut child = command.spawn().context("setpriv does not start")?;
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{script}: {status}");
            return Ok(());
        }
        let what = fs::read_to_string(&asked).unwrap_or_default();
        let done =
            if what.is_empty() { Ok(()) } else { please(&what).and_then(|()| Ok(fs::remove_file(&asked)?)) };
        if done.is_err() || Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            done.with_context(|| format!("{script} asked for {what}"))?;
            bail!("{script} does not end within {ENDS_WITHIN:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Where pictures go: a test's own directory, unless somebody wants those of the documents.
///
/// # Errors
/// There is no place for them.
pub fn pictures(own: &Directory) -> Result<PathBuf> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
    let place = if std::env::var_os(PICTURES).is_some() { documents } else { own.path().join("images") };
    fs::create_dir_all(&place)?;
    Ok(place)
}
