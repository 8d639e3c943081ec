//! The core scenarios on the kernel that runs: meant for a virtual machine of its own, whose cgroup hierarchies it
//! mounts and unmounts. `cargo xtask vm-test` packs it, boots it and reads what it reports on stdout.
#![forbid(unsafe_code)]

mod datagrams;
mod hierarchies;
mod report;
mod scenarios;
mod scene;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => return run(),
        ["echo", port] => datagrams::echo(port),
        ["talk", address, port] => datagrams::talk(address, port),
        _ => Err(anyhow::anyhow!("usage: vm-scenarios [echo PORT | talk ADDRESS PORT]")),
    };
    if let Err(error) = done {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> ExitCode {
    let mut report = Report::begin();
    hierarchies::unified(&mut report);
    hierarchies::legacy(&mut report);
    hierarchies::hybrid(&mut report);
    if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
