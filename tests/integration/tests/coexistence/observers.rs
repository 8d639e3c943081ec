//! More than one observer.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use observer_integration::Daemon;
use observer_integration::servers::python;

use crate::scene::{CLIENT, PORT, Scene, WEB};

/// A connection with one request every few milliseconds, until stdin ends; then the ports that they came from.
const LOAD: &str = "
import select, socket, sys, time
ports = []
while not select.select([sys.stdin], [], [], 0)[0]:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    s.sendall(b'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n')
    answer = b''
    while not answer.endswith(b'ok'): answer += s.recv(4096)
    ports.append(s.getsockname()[1])
    s.close()
    time.sleep(0.002)
print(*ports)
";

/// The client's ports of all last records between the two.
fn ports(daemon: &Daemon) -> Result<Vec<u64>> {
    let finals = daemon.finals(CLIENT, WEB)?;
    let mut ports: Vec<u64> = finals.iter().filter_map(|record| record["client"]["port"].as_u64()).collect();
    ports.sort_unstable();
    Ok(ports)
}

#[test]
fn two_observers_side_by_side_tell_and_count_the_same() -> Result<()> {
    let scene = Scene::new()?;
    let daemons = [Daemon::start(&scene.node)?, Daemon::start(&scene.node)?];
    let mut sent: Vec<u64> = (0..20).map(|_| scene.request()).collect::<Result<_>>()?;
    sent.sort_unstable();
    for daemon in &daemons {
        for port in &sent {
            crate::scene::check(&daemon.wait_final_from(*port)?)?;
        }
        assert_eq!(ports(daemon)?, sent);
        let edge = ["client_service_account=\"client\"", "server_service_account=\"web\""];
        assert_eq!(daemon.metric("observer_flows_total", &edge)?, 20.0);
        assert_eq!(daemon.metric("observer_requests_total", &edge)?, 20.0);
        assert_eq!(daemon.metric("observer_lost_events_total", &[])?, 0.0);
    }
    Ok(())
}

#[test]
fn an_upgrade_that_starts_the_new_before_it_stops_the_old_misses_no_connection() -> Result<()> {
    let scene = Scene::new()?;
    let mut old = Daemon::start(&scene.node)?;
    let line = python(LOAD, &[&scene.web.ip4.to_string(), &PORT.to_string()]);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut load = scene.client.spawn(command)?;
    thread::sleep(Duration::from_secs(1));
    let new = Daemon::start(&scene.node)?;
    assert!(old.end(libc::SIGTERM)?.success());
    thread::sleep(Duration::from_secs(1));
    drop(load.child().stdin.take());
    let mut said = String::new();
    std::io::Read::read_to_string(load.child().stdout.as_mut().context("stdout")?, &mut said)?;
    let sent: Vec<u64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    assert!(sent.len() > 200, "only {} connections", sent.len());
    let last = *sent.last().context("no connection")?;
    new.wait_final_from(last)?;
    let (by_old, by_new) = (ports(&old)?, ports(&new)?);
    assert!(!by_old.contains(&last) && !by_new.contains(&sent[0]), "each saw a part");
    let told: BTreeSet<u64> = by_old.iter().chain(&by_new).copied().collect();
    let missed: Vec<_> = sent.iter().filter(|port| !told.contains(port)).collect();
    assert!(missed.is_empty(), "{} of {} are told by nobody: {missed:?}", missed.len(), sent.len());
    eprintln!("{} connections: {} by the old, {} by the new", sent.len(), by_old.len(), by_new.len());
    Ok(())
}
