use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use observer_integration::{Daemon, Directory, proven};
use serde_json::Value;

use crate::scene::Scene;

/// libfaketime, as dpkg lays it down: it steps the daemon's wall clock and nobody else's.
fn library() -> Result<String> {
    let output = std::process::Command::new("dpkg").args(["-L", "libfaketime"]).output()?;
    let files = String::from_utf8(output.stdout)?;
    let file = files.lines().find(|line| line.ends_with("libfaketimeMT.so.1"));
    Ok(file.context("libfaketime is not installed; `cargo xtask setup` does it")?.to_owned())
}

fn seconds() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

/// date(1) reads it, and so need not we.
fn time_of(record: &Value) -> Result<i64> {
    let time = record["time"].as_str().context("time")?;
    let output = std::process::Command::new("date").args(["-d", time, "+%s"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

#[test]
fn when_the_clock_is_set_nothing_ends_early_and_records_have_the_new_time() -> Result<()> {
    let scene = Scene::new()?;
    let directory = Directory::new()?;
    let step = directory.write("step", "+0")?;
    let daemon = Daemon::builder()
        .environment("LD_PRELOAD", &library()?)
        .environment("FAKETIME_TIMESTAMP_FILE", &step.display().to_string())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start(&scene.node)?;
    let traffic = scene.traffic()?;
    for hours in [0, 2, -3, 24] {
        directory.write("step", format!("{}{}h", if hours < 0 { "" } else { "+" }, hours))?;
        // The offset between the clocks is read once a second at least.
        thread::sleep(Duration::from_millis(2_500));
        let port = scene.call(&scene.client)?;
        let record = daemon.wait_final_from(port)?;
        Scene::is_right(&record)?;
        let ahead = time_of(&record)? - seconds()?;
        ensure!((ahead - hours * 3600).abs() < 10, "{ahead} s ahead, stepped by {hours} h: {record:#}");
        ensure!(record["duration_ms"].as_u64().is_some_and(|ms| ms < 5_000), "{record:#}");
        scene.answers(&daemon)?;
        let kept = daemon
            .records()?
            .into_iter()
            .find(|record| record["client"]["port"] == traffic.kept_port && record["final"] == true);
        ensure!(kept.is_none(), "ended by a step of {hours} h: {kept:?}");
    }
    let kept = traffic.kept_port;
    let count = traffic.end()?;
    let record = daemon.wait_final_from(kept)?;
    ensure!(record["close"] == "fin", "{record:#}");
    ensure!(daemon.metric("observer_lost_events_total", &[])?.abs() < 0.5);
    ensure!(daemon.metric("observer_flows_total", &[])? >= 5.0, "series were reaped");
    proven!(
        Fault,
        "the wall clock is set: 2 h ahead, 3 h back, 24 h ahead",
        "{count} downloads byte for byte; records had the new time within 2.5 s; no flow ended by it, none lost"
    );
    Ok(())
}
