use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_integration::{Daemon, proven};
use serde_json::Value;

use crate::scene::{Scene, descriptors, memory, wait_until};

fn ask(daemon: &Daemon, request: &str) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(daemon.directory().join("observer.sock"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

#[test]
fn a_follower_that_does_not_read_loses_records_is_told_how_many_and_they_are_counted() -> Result<()> {
    // More than its backlog and its socket hold.
    const CONNECTIONS: u32 = 6_000;
    let scene = Scene::new()?;
    let daemon = Daemon::builder().arguments(["--flow-rate", "0"]).start(&scene.node)?;
    let traffic = scene.traffic()?;
    let slow = ask(&daemon, "{\"flows\":{\"follow\":true}}\n")?;
    scene.flood(CONNECTIONS)?;
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    let (mut told, mut records) = (0, 0);
    for line in BufReader::new(slow).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        told += line["dropped"].as_u64().unwrap_or(0);
        records += u64::from(line["final"] == true);
        if told > 0 && records > 0 && line["final"] == true {
            break;
        }
    }
    let api = ["stage=\"api\""];
    wait_until("what it was told is counted", || {
        Ok((daemon.metric("observer_lost_events_total", &api)? - told as f64).abs() < 0.5)
    })?;
    ensure!(told > 0);
    proven!(
        Fault,
        "`flows -f` that does not read while 6,000 flows end",
        "{count} downloads byte for byte; it was told of {told} records that it lost, and as many were counted"
    );
    Ok(())
}

#[test]
fn of_1000_clients_on_the_socket_some_are_served_and_the_others_told_and_all_is_well_after() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    scene.is_well(&daemon)?;
    let (files, before) = (descriptors(daemon.pid())?, memory(daemon.pid())?);
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(UnixStream::connect(daemon.directory().join("observer.sock"))?);
    }
    let mut refused = 0;
    for mut client in clients {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        // One that was refused has been closed already.
        let _ = client.write_all(b"{\"flows\":{\"last\":5}}\n");
        let mut answer = String::new();
        if client.read_to_string(&mut answer).is_err() || !answer.contains("\"end\"") {
            ensure!(answer.contains("too many clients"), "neither answered nor told: {answer:?}");
            refused += 1;
        }
    }
    let counted = ["server=\"socket\"", "reason=\"too-many\""];
    let counted = daemon.metric("observer_refused_clients_total", &counted)?;
    ensure!((counted - f64::from(refused)).abs() < 0.5, "{refused} refused, {counted} counted");
    ensure!((500..1_000).contains(&refused), "{refused} refused");
    wait_until("descriptors are given back", || Ok(descriptors(daemon.pid())? <= files + 2))?;
    let grown = memory(daemon.pid())?.saturating_sub(before);
    ensure!(grown < 16 * 1024, "{grown} KiB more");
    ensure!(daemon.ask(&["flows", "--last", "1"])?.status.success());
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "1,000 clients at once on the socket",
        "{count} downloads byte for byte; {} answered, {refused} told to come again and counted; memory within 16 MiB",
        1_000 - refused
    );
    Ok(())
}

#[test]
fn slow_and_oversize_requests_on_the_socket_are_ended_and_counted() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    let mut slow = Vec::new();
    for _ in 0..32 {
        slow.push(ask(&daemon, "{\"flows\":")?);
    }
    let mut oversize = ask(&daemon, "")?;
    let told = {
        let mut told = String::new();
        let _ = oversize.read_to_string(&mut told);
        told
    };
    ensure!(told.contains("too many clients"), "all places are taken by the slow: {told}");
    let begun = Instant::now();
    for stream in &mut slow {
        let _ = stream.write_all(b" ");
        let mut rest = String::new();
        match stream.read_to_string(&mut rest) {
            // What it had not read when it hung up makes it a reset.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => drop(other.context("it is not ended")?),
        }
    }
    ensure!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let mut oversize = ask(&daemon, "")?;
    let _ = oversize.write_all("x".repeat(200_000).as_bytes());
    let _ = oversize.read_to_string(&mut String::new());
    let count_of = |reason: &str| {
        daemon
            .metric("observer_refused_clients_total", &["server=\"socket\"", &format!("reason=\"{reason}\"")])
    };
    wait_until("both are counted", || Ok(count_of("too-slow")? >= 32.0 && count_of("too-large")? >= 1.0))?;
    ensure!(daemon.ask(&["flows", "--last", "1"])?.status.success());
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "32 slow requests and one of 200 kB on the socket",
        "{count} downloads byte for byte; each ended within 8 s and counted; then others are served"
    );
    Ok(())
}
