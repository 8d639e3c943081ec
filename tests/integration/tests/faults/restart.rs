use anyhow::{Result, ensure};
use observer_integration::{Daemon, proven};

use crate::scene::Scene;

#[test]
fn after_sigkill_under_load_the_next_daemon_finds_the_connections_that_there_are() -> Result<()> {
    let scene = Scene::new()?;
    let mut first = Daemon::start(&scene.node)?;
    let traffic = scene.traffic()?;
    let kept = traffic.kept_port;
    let from_kept = |record: &serde_json::Value| record["client"]["port"] == kept;
    scene.is_well(&first)?;
    let _ = first.end(libc::SIGKILL)?;
    let second = Daemon::start(&scene.node)?;
    scene.is_well(&second)?;
    let record = second.wait_for("the kept connection", from_kept)?;
    ensure!(record["client"]["principal"] == "shop/client", "{record:#}");
    ensure!(record["server"]["principal"] == "shop/server", "{record:#}");
    let count = traffic.end()?;
    let record = second.wait_final_from(kept)?;
    ensure!(record["protocol"] == "http/1.1", "{record:#}");
    // What went by unseen is not made up: each request is one that it saw.
    let seen = record["requests"]["total"].as_u64().unwrap_or(0);
    ensure!(seen > 0 && seen < count && record["requests"]["none"] == seen, "{record:#}");
    ensure!(second.metric("observer_lost_events_total", &[])?.abs() < 0.5);
    proven!(
        Fault,
        "SIGKILL and restart under load",
        "{count} downloads byte for byte; the kept connection found again with {seen} of its requests; nothing lost since"
    );
    Ok(())
}
