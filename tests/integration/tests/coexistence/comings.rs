//! Cgroups and network namespaces that come and go.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::Daemon;
use observer_integration::servers::{authority, python};

use crate::scene::{CLIENT, PORT, Scene};

/// Makes network namespaces, one after the other, each with one exchange over its loopback, and leaves them.
const CHURN: &str = "
import ctypes, fcntl, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def once():
    assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 0x41))  # SIOCSIFFLAGS: up, running
    with socket.create_server(('127.0.0.1', 8080)) as l, socket.create_connection(l.getsockname()) as c:
        s, _ = l.accept()
        c.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); s.recv(4096)
        s.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n'); c.recv(4096)
        c.close(); s.recv(1); s.close()
start = time.monotonic()
for done in range(int(sys.argv[1])):
    once()
    time.sleep(max(0, start + (done + 1) / float(sys.argv[2]) - time.monotonic()))
print(time.monotonic() - start)
";

#[test]
fn namespaces_that_come_and_go_are_seen_and_leave_nothing_behind() -> Result<()> {
    const PROCESSES: u32 = 4;
    const EACH: u32 = 250;
    const RATE: u32 = 50;
    let node = SimNode::builder().start()?;
    let churn = node.pod("shop", "churn").start()?;
    let daemon = Daemon::start(&node)?;
    let run = |count: u32| -> Result<f64> {
        let line = python(CHURN, &[&count.to_string(), &RATE.to_string()]);
        thread::scope(|scope| {
            let runs: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(|| churn.run_ok(&line))).collect();
            let mut longest: f64 = 0.0;
            for run in runs {
                let said = run.join().ok().context("panicked")??;
                longest = longest.max(said.trim().parse()?);
            }
            Ok(longest)
        })
    };
    let told = |expected: usize| -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = daemon.finals("shop/churn", "shop/churn")?.len();
            if seen == expected {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{seen} connections are told, not {expected}");
            thread::sleep(Duration::from_millis(100));
        }
    };
    // What is allocated once is there afterwards.
    run(EACH / 5)?;
    let warm = (PROCESSES * (EACH / 5)) as usize;
    told(warm)?;
    let before = (descriptors(daemon.pid())?, resident(daemon.pid())?);
    let took = run(EACH)?;
    told(warm + (PROCESSES * EACH) as usize)?;
    let after = (descriptors(daemon.pid())?, resident(daemon.pid())?);
    let rate = f64::from(PROCESSES * EACH) / took;
    eprintln!("{rate:.0} namespaces/s; descriptors and KiB before {before:?}, after {after:?}");
    assert_eq!(before.0, after.0, "file descriptors");
    assert!(after.1 < before.1 + 4096, "KiB before {}, after {}", before.1, after.1);
    assert_eq!(daemon.metric("observer_lost_events_total", &[])?, 0.0);
    // On a busy machine the kernel makes fewer than it was asked for.
    assert!(rate > 50.0, "only {rate:.0} namespaces/s");
    Ok(())
}

#[test]
fn a_pod_that_goes_with_its_cgroup_in_the_middle_of_a_connection_is_told_to_its_end() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    let mut connection = scene.keep_alive()?;
    let port = connection.talk()?;
    scene.client.clone().delete()?;
    let record = daemon.wait_final_from(port)?;
    assert_eq!(record["client"]["principal"], CLIENT, "{record:#}");
    assert_eq!(record["requests"]["total"], 50, "{record:#}");
    Ok(())
}

#[test]
fn our_own_cgroup_removed_under_us_is_told_and_makes_us_unready() -> Result<()> {
    let scene = Scene::new()?;
    let directory = scene.root().join("elsewhere");
    fs::create_dir(&directory)?;
    let daemon = Daemon::builder().cgroup_root(&directory).start(&scene.node)?;
    fs::remove_dir(&directory)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !daemon.get("/readyz")?.starts_with("HTTP/1.1 503") {
        ensure!(Instant::now() < deadline, "it is still ready: {}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
    let log = daemon.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("was removed")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("nothing is observed") && told[0].contains("restart"), "{log}");
    for hook in ["ingress", "egress", "sock_ops"] {
        let labels = [&format!("hook=\"{hook}\"")[..], "mode=\"missing\""];
        assert_eq!(daemon.metric("observer_probe_info", &labels)?, 1.0, "{hook}");
    }
    // The traffic does not mind.
    let url = format!("http://{}/", authority(scene.web.ip4, PORT));
    assert_eq!(scene.client.run_ok(["curl", "-sS", &url])?, "ok");
    Ok(())
}

fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// RssAnon, in KiB (proc_pid_status(5)).
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
