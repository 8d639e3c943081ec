//! Programs of other owners at the same cgroups.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_integration::Daemon;

use crate::foreign::{Foreign, Mode, attached};
use crate::scene::Scene;

/// Ingress, egress and sock_ops, of each owner.
const HOOKS: usize = 3;

#[test]
fn programs_attached_before_and_after_ours_go_on_while_we_are_there_and_after_we_left() -> Result<()> {
    for foreign_first in [true, false] {
        let scene = Scene::new()?;
        let attach = || Foreign::attach(scene.root(), Mode::Multi, "skb,sock_ops");
        let (mut foreign, mut daemon) = if foreign_first {
            let foreign = attach()?;
            (foreign, Daemon::start(&scene.node)?)
        } else {
            let daemon = Daemon::start(&scene.node)?;
            (attach()?, daemon)
        };
        assert_eq!(attached(scene.root())?, 2 * HOOKS, "foreign first: {foreign_first}");
        let mut last = foreign.counts()?;
        for observed in [true, false] {
            if observed {
                scene.request_is_told(&daemon)?;
            } else {
                assert!(daemon.end(libc::SIGTERM)?.success());
                assert_eq!(attached(scene.root())?, HOOKS, "the daemon takes its own along and no other");
                scene.request()?;
            }
            let now = foreign.counts()?;
            // curl's handshake, request, answer and end, at both ends.
            let packets = (now.ingress - last.ingress, now.egress - last.egress);
            assert!(packets.0 >= 8 && packets.1 >= 8, "{packets:?}, first: {foreign_first}, {observed}");
            assert_eq!(now.established - last.established, 2, "first: {foreign_first}, {observed}");
            last = now;
        }
    }
    Ok(())
}

#[test]
fn what_others_asked_of_a_socket_they_get_while_we_are_there_and_after_we_left() -> Result<()> {
    for foreign_first in [true, false] {
        let scene = Scene::new()?;
        let attach = || Foreign::attach(scene.root(), Mode::Multi, "sock_ops");
        let (mut foreign, mut daemon) = if foreign_first {
            let foreign = attach()?;
            (foreign, Daemon::start(&scene.node)?)
        } else {
            let daemon = Daemon::start(&scene.node)?;
            (attach()?, daemon)
        };
        let mut connection = scene.keep_alive()?;
        let mut last = 0;
        for observed in [true, false] {
            if !observed {
                assert!(daemon.end(libc::SIGTERM)?.success());
            }
            connection.talk()?;
            let now = foreign.counts()?.round_trips;
            // Each end has one for each of its fifty messages; the last one's may be on its way.
            assert!(now - last >= 98, "{} round trips, first: {foreign_first}, {observed}", now - last);
            last = now;
        }
    }
    Ok(())
}

#[test]
fn an_exclusive_attachment_in_our_place_is_told_in_one_line_and_left_alone() -> Result<()> {
    let scene = Scene::new()?;
    let mut foreign = Foreign::attach(scene.root(), Mode::Exclusive, "sock_ops")?;
    let error = Daemon::start(&scene.node).err().map(|error| error.to_string()).unwrap_or_default();
    let told: Vec<&str> = error.lines().filter(|line| line.contains("exclusive attachment")).collect();
    assert_eq!(told.len(), 1, "{error}");
    assert!(told[0].contains("sock_ops") && told[0].contains("bpftool cgroup tree"), "{error}");
    let doctor = scene.doctor()?;
    assert_eq!(doctor.status.code(), Some(1));
    let said = String::from_utf8(doctor.stdout)?;
    assert_eq!(said.lines().filter(|line| line.contains("exclusive attachment")).count(), 1, "{said}");
    let before = foreign.counts()?;
    scene.request()?;
    assert_eq!(foreign.counts()?.established - before.established, 2);
    assert_eq!(attached(scene.root())?, 1, "nothing of ours is left");
    Ok(())
}

#[test]
fn where_others_have_the_packets_for_themselves_connections_are_told_and_the_rest_is_unknown() -> Result<()> {
    let scene = Scene::new()?;
    let mut foreign = Foreign::attach(scene.root(), Mode::Exclusive, "skb")?;
    let daemon = Daemon::builder().unready().start(&scene.node)?;
    for (hook, mode) in [("ingress", "missing"), ("egress", "missing"), ("sock_ops", "attached")] {
        let labels = [&format!("hook=\"{hook}\"")[..], &format!("mode=\"{mode}\"")];
        assert_eq!(daemon.metric("observer_probe_info", &labels)?, 1.0, "{hook}");
    }
    let told = daemon.log().lines().filter(|line| line.contains("exclusive attachment")).count();
    assert_eq!(told, 2, "a line for each: {}", daemon.log());
    let port = scene.request()?;
    let record = daemon.wait_final_from(port)?;
    assert_eq!(record["server"]["principal"], "shop/web", "{record:#}");
    assert_eq!(record["encryption"]["status"], "unknown", "{record:#}");
    assert_eq!(record["findings"], serde_json::json!([]), "{record:#}");
    let doctor = scene.doctor()?;
    assert_eq!(doctor.status.code(), Some(0), "degraded is no failure");
    let said = String::from_utf8(doctor.stdout)?;
    assert!(said.contains("cgroup_skb/ingress  missing"), "{said}");
    assert!(foreign.counts()?.ingress > 0);
    Ok(())
}

#[test]
fn an_exclusive_attachment_to_a_pod_hides_nothing_of_the_pod() -> Result<()> {
    for foreign_first in [true, false] {
        let scene = Scene::new()?;
        let attach = || Foreign::attach(scene.web.cgroup(), Mode::Exclusive, "skb,sock_ops");
        let (mut foreign, daemon) = if foreign_first {
            let foreign = attach()?;
            (foreign, Daemon::start(&scene.node)?)
        } else {
            let daemon = Daemon::start(&scene.node)?;
            (attach()?, daemon)
        };
        scene.request_is_told(&daemon)?;
        let counts = foreign.counts()?;
        assert!(counts.ingress > 0 && counts.egress > 0, "{counts:?}, first: {foreign_first}");
        assert_eq!(counts.established, 1, "the server's end, first: {foreign_first}");
    }
    Ok(())
}

#[test]
fn an_exclusive_attachment_that_comes_after_us_is_refused_and_we_go_on() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let (_foreign, said) = Foreign::try_attach(scene.root(), Mode::Exclusive, "skb,sock_ops")?;
    // bpf(2): somebody else is there who shares.
    assert_eq!(said, "EPERM");
    assert_eq!(attached(scene.root())?, HOOKS);
    thread::sleep(Duration::from_millis(100));
    ensure!(daemon.metric("observer_probe_info", &["mode=\"attached\""])? >= 3.0);
    scene.request_is_told(&daemon)
}
