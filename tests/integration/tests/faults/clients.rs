use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_integration::{Daemon, proven};

use crate::scene::{Scene, descriptors, memory, wait_until};

const QUESTION: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
/// The chart's probes wait 3 s.
const PROBE_WITHIN: Duration = Duration::from_secs(3);

fn refused(daemon: &Daemon, reason: &str) -> Result<f64> {
    daemon.metric("observer_refused_clients_total", &["server=\"http\"", &format!("reason=\"{reason}\"")])
}

/// What the kubelet asks is answered as long as this goes on.
fn probe(scene: &Scene, daemon: &Daemon, slowest: &mut Duration) -> Result<()> {
    let asked = Instant::now();
    scene.answers(daemon)?;
    *slowest = (*slowest).max(asked.elapsed());
    ensure!(*slowest < PROBE_WITHIN, "a probe took {slowest:?}");
    Ok(())
}

#[test]
fn clients_of_metrics_that_do_not_read_keep_nobody_out_and_are_ended() -> Result<()> {
    const CLIENTS: usize = 70;
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    scene.is_well(&daemon)?;
    let (files, before) = (descriptors(daemon.pid())?, memory(daemon.pid())?);
    let mut slowest = Duration::ZERO;
    let mut stuck = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(daemon.address())?;
        stream.set_nonblocking(true)?;
        // Answers to all these are more than the buffers between us hold.
        let questions = QUESTION.repeat(1_500);
        match stream.write(&questions) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        stuck.push(stream);
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        probe(&scene, &daemon, &mut slowest)?;
        thread::sleep(Duration::from_millis(100));
    }
    let grown = memory(daemon.pid())?.saturating_sub(before);
    ensure!(grown < 48 * 1024, "{grown} KiB more");
    wait_until("they are ended and counted", || {
        Ok(descriptors(daemon.pid())? <= files + 2
            && refused(&daemon, "too-slow")? + refused(&daemon, "too-many")? >= CLIENTS as f64)
    })?;
    drop(stuck);
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "70 clients of /metrics that do not read",
        "{count} downloads byte for byte; probes answered within {} ms; all ended, counted; {grown} KiB more memory",
        slowest.as_millis()
    );
    Ok(())
}

#[test]
fn of_1000_clients_of_metrics_each_is_answered_or_counted_and_probes_are_served() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    scene.is_well(&daemon)?;
    let (files, before) = (descriptors(daemon.pid())?, memory(daemon.pid())?);
    let mut slowest = Duration::ZERO;
    let mut clients = Vec::new();
    for n in 0..1_000 {
        let mut client = TcpStream::connect(daemon.address())?;
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        clients.push(client);
        if n % 100 == 0 {
            probe(&scene, &daemon, &mut slowest)?;
        }
    }
    let mut answered = 0;
    for mut client in clients {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        answered += usize::from(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"# EOF\n"));
    }
    let counted = refused(&daemon, "too-many")?;
    ensure!(answered as f64 + counted >= 1_000.0, "{answered} answered, {counted} refused");
    wait_until("descriptors are given back", || Ok(descriptors(daemon.pid())? <= files + 2))?;
    let grown = memory(daemon.pid())?.saturating_sub(before);
    ensure!(grown < 32 * 1024, "{grown} KiB more");
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "1,000 clients at once on /metrics",
        "{count} downloads byte for byte; {answered} answered, {counted} turned away and counted; probes within {} ms; {grown} KiB more memory",
        slowest.as_millis()
    );
    Ok(())
}

#[test]
fn slow_and_oversize_requests_for_metrics_are_ended_and_counted_while_probes_are_served() -> Result<()> {
    const CLIENTS: usize = 200;
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    let mut slowest = Duration::ZERO;
    let mut slow = Vec::new();
    for n in 0..CLIENTS {
        let mut client = TcpStream::connect(daemon.address())?;
        client.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ")?;
        slow.push(client);
        if n % 20 == 0 {
            probe(&scene, &daemon, &mut slowest)?;
        }
    }
    // A byte each half second, as slowloris does it.
    for _ in 0..14 {
        thread::sleep(Duration::from_millis(500));
        for client in &mut slow {
            let _ = client.write(b"a");
        }
        probe(&scene, &daemon, &mut slowest)?;
    }
    wait_until("all are counted", || {
        Ok(refused(&daemon, "too-slow")? + refused(&daemon, "too-many")? >= CLIENTS as f64)
    })?;
    ensure!(refused(&daemon, "too-slow")? > 0.0, "none was too slow");
    let mut oversize = TcpStream::connect(daemon.address())?;
    let _ =
        oversize.write_all(format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1 << 20)).as_bytes());
    let _ = oversize.read_to_end(&mut Vec::new());
    ensure!(refused(&daemon, "too-large")? > 0.0, "the oversize request is not counted");
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "200 clients that send a byte at a time, and a request of 1 MiB, on /metrics",
        "{count} downloads byte for byte; all ended, counted; probes answered within {} ms",
        slowest.as_millis()
    );
    Ok(())
}
