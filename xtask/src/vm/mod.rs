//! `cargo xtask vm-test`: the daemon on stock kernels of Debian, each in a virtual machine of its own.

mod accelerator;
mod archive;
mod console;
mod initramfs;
mod kernel;
mod machine;
mod results;

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{process, workspace};
use initramfs::Programs;
use kernel::{Fetched, Kernel};
use results::{Run, Table};

#[derive(Args, Default)]
pub struct Arguments {
    /// Kernels to try, by version or by Debian suite: 5.10, 6.1, 6.12, sid; all unless told
    kernels: Vec<String>,
    /// Ask the mirror for newer packages, even where one was fetched before
    #[arg(long)]
    update: bool,
    /// The Debian mirror; unless told, the one that this machine's apt is configured with
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,
    /// Write the result into docs/kernels.md
    #[arg(long)]
    write_docs: bool,
}

/// How many kernels CI runs: the oldest that is supported, and one that many nodes have. Others stand in for one that
/// cannot be fetched.
const IN_CI: usize = 2;
const CI_ORDER: [&str; 4] = ["5.10", "6.12", "6.1", "sid"];

/// Names another daemon than the release build, as for the suites.
const DAEMON: &str = "OBSERVER_BIN";

/// The command itself.
///
/// # Errors
/// A scenario failed, a machine did not come up, or a kernel cannot be fetched.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Purpose::Vm)?;
    if std::env::var_os(DAEMON).is_none() {
        process::run(process::cargo().args(["build", "--release", "--package", "observer"]))?;
    }
    let kernels = kernel::chosen(&arguments.kernels)?;
    let store = kernel::Store::open(directory()?, arguments.mirror.clone(), arguments.update);
    let mut table = Table::default();
    try_all(&fetch(&store, &kernels), &mut table)?;
    table.save(&directory()?.join("results.json"))?;
    print!("\n{}", table.text());
    if arguments.write_docs {
        table.write_page(&workspace::top().join("docs/kernels.md"))?;
    }
    table.verdict(kernels.len())
}

/// As a stage of a longer run, which has built the daemon: some kernels, and a suite that cannot be had is no error as
/// long as others can.
///
/// # Errors
/// A scenario failed, or fewer than two kernels could be tried.
pub fn as_stage() -> Result<()> {
    let store = kernel::Store::open(directory()?, None, false);
    let order = kernel::chosen(&CI_ORDER.map(str::to_owned))?;
    let (first, spare) = order.split_at(IN_CI);
    let mut fetched = fetch(&store, first);
    let mut spare = spare.iter();
    while fetched.iter().filter(|one| one.is_ok()).count() < IN_CI
        && let Some(kernel) = spare.next()
    {
        fetched.extend(fetch(&store, std::slice::from_ref(kernel)));
    }
    let mut table = Table::default();
    try_all(&fetched, &mut table)?;
    table.save(&directory()?.join("results.json"))?;
    print!("\n{}", table.text());
    table.verdict(IN_CI)
}

/// Where packages, machines' logs and results are kept.
fn directory() -> Result<PathBuf> {
    let directory = workspace::target()?.join("vm-test");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}

fn daemon() -> Result<PathBuf> {
    std::env::var_os(DAEMON).map_or_else(workspace::release_observer, |path| Ok(path.into()))
}

type Attempt = Result<Fetched, (&'static Kernel, String)>;

/// All at the same time: each waits for the network more than it computes.
fn fetch(store: &kernel::Store, kernels: &[&'static Kernel]) -> Vec<Attempt> {
    thread::scope(|scope| {
        let fetching: Vec<_> = kernels
            .iter()
            .map(|kernel| {
                (
                    *kernel,
                    scope.spawn(|| store.fetch(kernel).map_err(|error| (*kernel, format!("{error:#}")))),
                )
            })
            .collect();
        let join = |(kernel, thread): (&'static Kernel, thread::ScopedJoinHandle<'_, Attempt>)| {
            thread.join().unwrap_or_else(|_| Err((kernel, "fetching it panicked".to_owned())))
        };
        fetching.into_iter().map(join).collect()
    })
}

/// Two machines at a time: each has one processor busy, and waits now and then.
const AT_A_TIME: usize = 2;

fn try_all(fetched: &[Attempt], table: &mut Table) -> Result<()> {
    let directory = directory()?;
    for (kernel, cause) in fetched.iter().filter_map(|attempt| attempt.as_ref().err()) {
        eprintln!("{}: NOT tried, it cannot be fetched: {cause}", kernel.version);
        table.add(Run::unfetched(kernel, cause.clone()));
    }
    let kernels: Vec<&Fetched> = fetched.iter().filter_map(|attempt| attempt.as_ref().ok()).collect();
    let Some(first) = kernels.first() else { return Ok(()) };
    process::run(process::cargo().args(["build", "--package", "observer-vm"]))?;
    let programs = Programs::pack(&daemon()?, &directory)?;
    let accelerator = accelerator::choose(first, &directory);
    let boot = |kernel: &Fetched| {
        eprintln!("{:<6}{}, {}", kernel.kernel.version, kernel.package, accelerator.name());
        let initramfs = programs.with_modules(kernel, &directory)?;
        machine::boot(kernel, &initramfs, accelerator, &directory)
    };
    for some in kernels.chunks(AT_A_TIME) {
        let outcomes: Vec<_> = thread::scope(|scope| {
            let machines: Vec<_> = some.iter().map(|kernel| scope.spawn(|| boot(kernel))).collect();
            machines.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for (kernel, outcome) in some.iter().zip(outcomes) {
            let outcome = outcome.unwrap_or_else(|_| bail!("the thread of a machine panicked"));
            table.add(Run::of(kernel, accelerator, outcome?));
        }
    }
    Ok(())
}
