//! `cargo xtask demo`: the real daemon watches a small shop on a simulated node, and tells what it finds.

mod alerts;
mod cast;
mod check;
mod daemon;
mod explain;
mod layout;
mod record;
mod screen;
mod stage;
mod tokens;
mod traffic;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::alerts::{Alert, Prometheus};
use self::cast::{Call, KINDS};
use self::check::Verdict;
use self::daemon::Daemon;
use self::record::Seen;
use self::screen::{Paint, Piece, Screen};
use self::stage::Stage;
use self::tokens::Key;
use self::traffic::Traffic;
use crate::scratch::Scratch;
use crate::setup::{self, Purpose};
use crate::{process, root, workspace};

/// How long the records of the last flows may take: the observer promises them within a second or two.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Arguments {
    /// Go on until Ctrl-C
    #[arg(long)]
    forever: bool,
    /// Print the flow records, one JSON object a line, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    /// Let Prometheus watch, with the rules of deploy/prometheus, and show which alerts fire
    #[arg(long)]
    alerts: bool,
    /// How long the shop does its business; at least one round of all calls is played
    #[arg(long, value_name = "N", default_value_t = 17, conflicts_with = "forever")]
    seconds: u64,
    /// Everything is set up and built: what a demo that has become root is told
    #[arg(long, hide = true)]
    prepared: bool,
}

/// The command itself.
///
/// # Errors
/// If the demo cannot be given, or the observer did not find exactly what there was to find.
pub fn run(arguments: &Arguments) -> Result<()> {
    let records = if arguments.json { Some(take_stdout()?) } else { None };
    if !arguments.prepared {
        setup::ensure(if arguments.alerts { Purpose::Alerts } else { Purpose::Demo })?;
        eprintln!("building the observer: minutes the first time, seconds later");
        process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
    }
    if root::is_root() { give(arguments, records) } else { become_root(arguments, records) }
}

/// The demo as a part of a longer run, which goes on in this process.
///
/// # Errors
/// As [`run`].
pub fn as_stage() -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program")?;
    process::run(process::command(&own).arg("demo"))?;
    process::run(process::command(&own).args(["demo", "--alerts"]))
}

/// Makes standard output the same as standard error, and returns what it was: nothing else can get between records.
fn take_stdout() -> Result<File> {
    let records = std::io::stdout().as_fd().try_clone_to_owned().context("duplicate standard output")?;
    rustix::stdio::dup2_stdout(std::io::stderr()).context("redirect standard output")?;
    Ok(records.into())
}

/// Goes on as root, in this process's place, so that Ctrl-C reaches the one that has to clean up.
fn become_root(arguments: &Arguments, records: Option<File>) -> Result<()> {
    let why = "the demo loads kernel programs and makes network namespaces, which";
    let mut command = root::command("env", why, "cargo xtask demo")?;
    // sudo passes few variables on.
    for name in ["PATH", "NO_COLOR", "TERM", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            let mut pair = std::ffi::OsString::from(format!("{name}="));
            pair.push(value);
            command.arg(pair);
        }
    }
    command.arg(std::env::current_exe().context("cannot find this program")?).args(["demo", "--prepared"]);
    if arguments.forever {
        command.arg("--forever");
    } else {
        command.args(["--seconds", &arguments.seconds.to_string()]);
    }
    if arguments.alerts {
        command.arg("--alerts");
    }
    if let Some(records) = records {
        command.arg("--json").stdout(records);
    }
    Err(command.exec()).context("sudo does not start")
}

/// The demo, as root.
fn give(arguments: &Arguments, records: Option<File>) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("handle signals")?;
    }
    let observer = workspace::release_observer()?;
    let scratch = Scratch::new("demo")?;
    eprintln!("setting the stage: a node with {} pods, a token issuer, a shop", cast::actors().count());
    let stage = Stage::set(&scratch)?;
    let issuer = Key::new(scratch.path(), "issuer")?;
    let traffic = Traffic::prepare(&stage, &issuer, &scratch)?;
    let mut daemon = Daemon::start(&observer, &stage, &issuer, &scratch)?;
    daemon.wait_ready(|| stop.load(Ordering::Relaxed))?;
    let prometheus = arguments.alerts.then(|| Prometheus::start(daemon.health, &scratch)).transpose()?;
    if arguments.forever {
        eprintln!(
            "from another terminal, as root: {} flows -f --socket {}",
            observer.display(),
            daemon.socket.display()
        );
    }

    if let Some(prometheus) = &prometheus {
        eprintln!("alerts, while this runs: {}", prometheus.page());
    }

    let mut show = Show {
        seen: Seen::default(),
        screen: Screen::stdout(records.is_none()),
        records,
        end: (!arguments.forever).then(|| Instant::now() + Duration::from_secs(arguments.seconds)),
    };
    let played = show.play(&traffic, &mut daemon, &stop)?;
    show.settle(&played, &mut daemon)?;
    let alerts = prometheus.as_ref().map(|prometheus| prometheus.firing(&played)).transpose()?;
    daemon.stop()?;
    show.drain(&daemon)?;
    drop((daemon, prometheus));
    stage.strike()?;
    drop(scratch);

    show.screen.finish(&show.seen)?;
    show.explain()?;
    let mut verdict = Verdict::of(&show.seen, &played);
    if let Some(alerts) = alerts {
        show.list(&alerts)?;
        verdict.problems.extend(alerts::problems(&alerts, &played));
    }
    if stop.load(Ordering::Relaxed) && !arguments.forever {
        bail!("interrupted: the demo did not run to its end");
    }
    show.sum_up(&verdict)
}

/// What the audience gets.
struct Show {
    seen: Seen,
    screen: Screen<std::io::Stdout>,
    /// Where the records go with `--json`.
    records: Option<File>,
    end: Option<Instant>,
}

impl Show {
    /// Plays all traffic and shows meanwhile what the daemon says.
    fn play(
        &mut self,
        traffic: &Traffic,
        daemon: &mut Daemon,
        interrupted: &AtomicBool,
    ) -> Result<Vec<(&'static Call, u64)>> {
        let end = self.end;
        thread::scope(|scope| {
            let player = scope.spawn(|| traffic.play(end, interrupted));
            let mut watched = Ok(());
            while watched.is_ok() && !player.is_finished() {
                watched = self.watch(daemon);
            }
            if watched.is_err() {
                interrupted.store(true, Ordering::Relaxed);
            }
            let played = player.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            watched.and(played)
        })
    }

    /// Waits for a record, a moment at most.
    fn watch(&mut self, daemon: &mut Daemon) -> Result<()> {
        match daemon.lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => self.take(&line)?,
            Err(RecvTimeoutError::Timeout) => daemon.check_alive()?,
            Err(RecvTimeoutError::Disconnected) => {
                daemon.check_alive()?;
                bail!("the observer has closed its output");
            }
        }
        let status = match self.end {
            Some(end) => format!("{} s left", end.saturating_duration_since(Instant::now()).as_secs()),
            None => "Ctrl-C ends it".to_owned(),
        };
        self.screen.show(&self.seen, &status)?;
        Ok(())
    }

    /// Waits for the last flows' final records.
    fn settle(&mut self, played: &[(&'static Call, u64)], daemon: &mut Daemon) -> Result<()> {
        let wanted: u64 = played.iter().map(|(_, count)| count).sum();
        let deadline = Instant::now() + SETTLE;
        while self.seen.edges.values().map(record::Sighting::flows).sum::<u64>() < wanted
            && Instant::now() < deadline
        {
            self.watch(daemon)?;
        }
        Ok(())
    }

    /// Takes what the daemon wrote last.
    fn drain(&mut self, daemon: &Daemon) -> Result<()> {
        while let Ok(line) = daemon.lines.recv_timeout(Duration::from_secs(1)) {
            self.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if let Some(records) = &mut self.records {
            writeln!(records, "{line}").context("write a record")?;
        }
        self.seen.take(line)?;
        Ok(())
    }

    /// Prints a sentence for each finding.
    fn explain(&mut self) -> Result<()> {
        for (kind, sentences) in explain::all(&self.seen) {
            self.screen.print(&vec![Piece(String::new(), Paint::Plain)])?;
            self.screen.print(&vec![Piece(kind, Paint::Bold)])?;
            for sentence in sentences {
                self.screen.paragraph(2, &sentence)?;
            }
        }
        Ok(())
    }

    /// Prints the alerts that fire.
    fn list(&mut self, alerts: &[Alert]) -> Result<()> {
        self.screen.print(&vec![])?;
        let rules = "alerts that fire, by the rules of deploy/prometheus but without waiting for `for`";
        self.screen.print(&vec![Piece(rules.to_owned(), Paint::Bold)])?;
        for alert in alerts {
            self.screen.paragraph(2, &alert.sentence())?;
        }
        Ok(())
    }

    /// Prints the outcome.
    fn sum_up(&mut self, verdict: &Verdict) -> Result<()> {
        let flows: u64 = self.seen.edges.values().map(record::Sighting::flows).sum();
        let paint = if verdict.is_good() { Paint::Good } else { Paint::Bad };
        let (kinds, all) = (verdict.kinds.len(), KINDS.len());
        self.screen.print(&vec![])?;
        for problem in &verdict.problems {
            self.screen.print(&vec![Piece(problem.clone(), Paint::Bad)])?;
        }
        let summary = format!(
            "{kinds} of {all} finding kinds seen by the kernel path: {} of {} expected findings in {flows} flows, \
             {} surprises.",
            verdict.seen,
            verdict.expected,
            verdict.problems.len()
        );
        self.screen.print(&vec![Piece(summary, paint)])?;
        if !verdict.is_good() {
            bail!("the observer did not say exactly what was played");
        }
        self.screen.paragraph(
            0,
            "Nothing of it is left on this machine. Next: README.md; `cargo xtask demo --forever` and, in another \
             terminal, `observer flows -f`; `cargo xtask demo --json` for the records themselves.",
        )?;
        Ok(())
    }
}
