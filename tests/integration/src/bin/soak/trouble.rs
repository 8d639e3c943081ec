//! Faults in turn, with rest between them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_integration::Daemon;

const REST: Duration = Duration::from_secs(6);
const LASTS: Duration = Duration::from_secs(3);
/// What the daemon has as its soft limit otherwise.
const FILES: usize = 1_024;

pub type Troubles = BTreeMap<&'static str, u32>;

/// Until it is stopped; how often each came up.
pub fn make(daemon: &Daemon, stop: &AtomicBool) -> Result<Troubles> {
    type Fault = (&'static str, fn(&Daemon) -> Result<()>);
    const FAULTS: [Fault; 6] = [
        ("100 clients of /metrics that do not read", stuck),
        ("100 slow requests", slow),
        ("a follower that does not read", follower),
        ("garbage on the socket", garbage),
        ("held still for a second", held),
        ("no file descriptor", starved),
    ];
    let mut troubles = Troubles::new();
    for (name, fault) in FAULTS.iter().cycle() {
        let rested = Instant::now();
        while rested.elapsed() < REST {
            if stop.load(Ordering::Relaxed) {
                return Ok(troubles);
            }
            thread::sleep(Duration::from_millis(100));
        }
        fault(daemon)?;
        *troubles.entry(name).or_default() += 1;
    }
    Ok(troubles)
}

fn clients(daemon: &Daemon, said: &[u8]) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = TcpStream::connect(daemon.address())?;
        client.set_nonblocking(true)?;
        let _ = client.write(said);
        clients.push(client);
    }
    thread::sleep(LASTS);
    Ok(())
}

fn stuck(daemon: &Daemon) -> Result<()> {
    clients(daemon, &b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000))
}

fn slow(daemon: &Daemon) -> Result<()> {
    clients(daemon, b"GET /metrics HTTP/1.1\r\nX-Sl")
}

fn on_socket(daemon: &Daemon, said: &[u8]) -> Result<()> {
    let mut stream = UnixStream::connect(daemon.directory().join("observer.sock"))?;
    let _ = stream.write_all(said);
    thread::sleep(LASTS);
    Ok(())
}

fn follower(daemon: &Daemon) -> Result<()> {
    on_socket(daemon, b"{\"flows\":{\"follow\":true}}\n")
}

fn garbage(daemon: &Daemon) -> Result<()> {
    on_socket(daemon, b"{\"flows\": 7}\n\0\0\0\xff")
}

fn held(daemon: &Daemon) -> Result<()> {
    let pid = daemon.pid().to_string();
    run(&["kill", "-STOP", &pid])?;
    thread::sleep(Duration::from_secs(1));
    run(&["kill", "-CONT", &pid])
}

fn starved(daemon: &Daemon) -> Result<()> {
    let pid = daemon.pid().to_string();
    run(&["prlimit", "--pid", &pid, "--nofile=8:"])?;
    thread::sleep(LASTS);
    run(&["prlimit", "--pid", &pid, &format!("--nofile={FILES}:")])
}

fn run(line: &[&str]) -> Result<()> {
    let status = Command::new(line[0]).args(&line[1..]).status()?;
    ensure!(status.success(), "{line:?}: {status}");
    Ok(())
}
