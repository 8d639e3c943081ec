use std::process::Command;

use anyhow::{Result, ensure};
use observer_harness::{Pod, SimNode};
use observer_integration::{Daemon, proven};

use crate::scene::Scene;

/// In the daemon's own view of the file system.
fn inside(daemon: &Daemon, line: &[&str]) -> Result<()> {
    let pid = daemon.pid().to_string();
    let status = Command::new("nsenter").args(["--target", &pid, "--mount"]).args(line).status()?;
    ensure!(status.success(), "{line:?}: {status}");
    Ok(())
}

fn agent(node: &SimNode, name: &str) -> Result<Pod> {
    node.pod("shop", "agent").name(name).host_network().start()
}

#[test]
fn without_the_cgroup_tree_pods_are_known_by_address_and_the_rest_is_unknown_until_it_is_back() -> Result<()>
{
    let scene = Scene::new()?;
    let agents = [agent(&scene.node, "agent-0")?, agent(&scene.node, "agent-1")?];
    let daemon =
        Daemon::builder().under(&["unshare", "--mount", "--propagation", "private"]).start(&scene.node)?;
    let traffic = scene.traffic()?;
    let root = scene.node.cgroup_root().display().to_string();
    inside(&daemon, &["mount", "-t", "tmpfs", "nothing", &root])?;
    // Its cgroup comes to be where it cannot be seen.
    let late = scene.node.pod("shop", "late").host_network().start()?;
    let unseen = daemon.wait_final_from(scene.call(&late)?)?;
    ensure!(unseen["client"]["reason"] == "cgroup-not-found", "{unseen:#}");
    let counted = ["reason=\"cgroup-not-found\""];
    ensure!(daemon.metric("observer_unresolved_flows_total", &counted)? > 0.0);
    scene.is_well(&daemon)?;
    inside(&daemon, &["umount", &root])?;
    for agent in &agents {
        let known = daemon.wait_final_from(scene.call(agent)?)?;
        ensure!(known["client"]["principal"] == "shop/agent", "{known:#}");
    }
    scene.is_well(&daemon)?;
    let count = traffic.end()?;
    proven!(
        Fault,
        "/sys/fs/cgroup cannot be read",
        "{count} downloads byte for byte, their pods told by address; one with the node's address is `unknown` and counted until it is back"
    );
    Ok(())
}
