use anyhow::{Result, ensure};
use observer_integration::{Daemon, proven};

use crate::scene::{Scene, wait_until};

/// Each leaves more than 1 KiB in the ring of 8 MiB, at both ends.
const CONNECTIONS: u32 = 12_000;

fn signal(daemon: &Daemon, signal: &str) -> Result<()> {
    let status = std::process::Command::new("kill").args([signal, &daemon.pid().to_string()]).status()?;
    ensure!(status.success(), "kill {signal}");
    Ok(())
}

#[test]
fn when_the_ring_overflows_traffic_goes_on_and_the_loss_is_counted() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::builder().arguments(["--flow-rate", "0"]).start(&scene.node)?;
    let traffic = scene.traffic()?;
    // Nobody empties the ring.
    signal(&daemon, "-STOP")?;
    let flooded = scene.flood(CONNECTIONS);
    signal(&daemon, "-CONT")?;
    flooded?;
    let lost = |stage: &str| daemon.metric("observer_lost_events_total", &[&format!("stage=\"{stage}\"")]);
    wait_until("lost events are counted", || Ok(daemon.metric("observer_lost_events_total", &[])? > 100.0))?;
    scene.is_well(&daemon)?;
    let before = daemon.metric("observer_lost_events_total", &[])?;
    scene.flood(200)?;
    scene.is_well(&daemon)?;
    ensure!((daemon.metric("observer_lost_events_total", &[])? - before).abs() < 0.5, "it goes on losing");
    let count = traffic.end()?;
    proven!(
        Fault,
        "the ring overflows: 12,000 connections while nobody drains it",
        "{count} downloads byte for byte; {} events of connections and {} payloads counted as lost; none in the next 200",
        lost("kernel_connection")?,
        lost("kernel_payload")?
    );
    Ok(())
}
