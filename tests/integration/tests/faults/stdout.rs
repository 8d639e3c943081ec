use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use observer_integration::{Daemon, Directory, proven};

use crate::scene::{Scene, wait_until};

const LOST: &[&str] = &["stage=\"flow_log\""];

#[test]
fn records_that_stdout_has_no_room_for_are_counted_and_the_socket_has_them() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::builder().stdout(Path::new("/dev/full")).start(&scene.node)?;
    let traffic = scene.traffic()?;
    let port = scene.call(&scene.client)?.to_string();
    wait_until("the loss is counted", || Ok(daemon.metric("observer_lost_events_total", LOST)? > 0.0))?;
    scene.answers(&daemon)?;
    wait_until("the socket tells of it", || {
        let flows = daemon.ask(&["flows", "--last", "1000", "-o", "json"])?;
        Ok(String::from_utf8_lossy(&flows.stdout).contains(&format!("\"port\":{port}")))
    })?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "ENOSPC on stdout for ever",
        "{count} downloads byte for byte; {} records counted as lost; the socket has them",
        daemon.metric("observer_lost_events_total", LOST)?
    );
    Ok(())
}

#[test]
fn records_come_again_when_the_disk_behind_stdout_has_room_again() -> Result<()> {
    let scene = Scene::new()?;
    let disk = Directory::new()?;
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "small"]).arg(disk.path()).status()?;
    ensure!(mount.success(), "mount: {mount}");
    let _mounted = Mounted(disk.path());
    let file = disk.path().join("stdout");
    let daemon = Daemon::builder().stdout(&file).start(&scene.node)?;
    let traffic = scene.traffic()?;
    wait_until("the disk is full", || {
        scene.flood(400)?;
        Ok(daemon.metric("observer_lost_events_total", LOST)? > 0.0)
    })?;
    // As log rotation does it.
    fs::File::create(&file)?;
    let port = scene.call(&scene.client)?.to_string();
    wait_until(
        "records come again",
        || Ok(fs::read_to_string(&file)?.contains(&format!("\"port\":{port}"))),
    )?;
    scene.answers(&daemon)?;
    let text = fs::read_to_string(&file)?;
    let (stump, whole) = text.split_once('\n').unwrap_or_default();
    for line in whole.lines().filter(|line| line.ends_with('}')) {
        serde_json::from_str::<serde_json::Value>(line)?;
    }
    let count = traffic.end()?;
    proven!(
        Fault,
        "ENOSPC on stdout, then room again",
        "{count} downloads byte for byte; {} records counted as lost; whole lines again after a stump of {} bytes",
        daemon.metric("observer_lost_events_total", LOST)?,
        stump.len()
    );
    Ok(())
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
