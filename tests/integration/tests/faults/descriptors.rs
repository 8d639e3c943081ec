use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_integration::{Daemon, proven};

use crate::scene::Scene;

fn limit(daemon: &Daemon, files: usize) -> Result<()> {
    let (pid, files) = (daemon.pid().to_string(), format!("--nofile={files}:"));
    ensure!(Command::new("prlimit").args(["--pid", &pid, &files]).status()?.success(), "prlimit");
    Ok(())
}

fn is_open(daemon: &Daemon, number: usize) -> bool {
    std::fs::symlink_metadata(format!("/proc/{}/fd/{number}", daemon.pid())).is_ok()
}

#[test]
fn without_file_descriptors_it_observes_on_and_answers_when_there_are_some_again() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    scene.is_well(&daemon)?;
    // The limit is one of numbers: below it none is free.
    let numbers: Vec<usize> = (0..).take_while(|n| is_open(&daemon, *n)).collect();
    limit(&daemon, numbers.len())?;
    let mut waits = TcpStream::connect(daemon.address())?;
    waits.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    waits.set_read_timeout(Some(Duration::from_secs(1)))?;
    ensure!(waits.read(&mut [0; 16]).is_err(), "answered without a descriptor");
    // What it does for its living needs none.
    for _ in 0..5 {
        let port = scene.call(&scene.client)?;
        Scene::is_right(&daemon.wait_final_from(port)?)?;
    }
    limit(&daemon, 1024)?;
    waits.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = String::new();
    waits.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    scene.is_well(&daemon)?;
    let failed = ["server=\"http\"", "reason=\"accept-failed\""];
    let failed = daemon.metric("observer_refused_clients_total", &failed)?;
    ensure!(failed > 0.0, "not counted");
    ensure!(daemon.metric("observer_lost_events_total", &[])?.abs() < 0.5);
    let count = traffic.end()?;
    proven!(
        Fault,
        "no file descriptor is left",
        "{count} downloads byte for byte; 5 of 5 calls told meanwhile; {failed} failed accepts counted; who waited was answered"
    );
    Ok(())
}
