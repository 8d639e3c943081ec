//! How the daemon comes, goes, and lives beside others.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, release_binary};
use serde_json::Value;

const PORT: u16 = 8080;
/// The contract's times are for a machine that has nothing else to do.
const SLACK: u32 = 3;

/// A node with a client and a server that answers.
struct Scene {
    node: SimNode,
    client: Pod,
    server: Pod,
    _listener: Process,
}

impl Scene {
    fn new() -> Result<Self> {
        let node = SimNode::builder().start()?;
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let listener = wire::listen(&server, &[(PORT, Manners::Answer)])?;
        Ok(Self { node, client, server, _listener: listener })
    }

    fn request(&self) -> Result<()> {
        let head = wire::get(&[]);
        wire::talk(
            &self.client,
            &self.server.ip4.to_string(),
            PORT,
            &[Step::Send(head.as_bytes()), Step::Hear],
        )
    }
}

/// What of a daemon the kernel knows, from the daemon's own descriptors (proc_pid_fdinfo(5)).
#[derive(Debug, Default)]
struct KernelObjects {
    programs: BTreeSet<u64>,
    maps: BTreeSet<u64>,
    links: BTreeSet<u64>,
}

impl KernelObjects {
    fn of(pid: u32) -> Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // A descriptor may be closed in between.
            for line in fs::read_to_string(entry?.path()).unwrap_or_default().lines() {
                let mut words = line.split_whitespace();
                let (Some(key), Some(Ok(id))) = (words.next(), words.next().map(str::parse)) else {
                    continue;
                };
                match key {
                    "prog_id:" => found.programs.insert(id),
                    "map_id:" => found.maps.insert(id),
                    "link_id:" => found.links.insert(id),
                    _ => false,
                };
            }
        }
        Ok(found)
    }

    /// Those of `self` that bpftool still lists.
    fn left(&self) -> Result<String> {
        let mut left = String::new();
        for (kind, ids) in [("prog", &self.programs), ("map", &self.maps), ("link", &self.links)] {
            for object in bpftool(kind)? {
                if object["id"].as_u64().is_some_and(|id| ids.contains(&id)) {
                    left += &format!("{kind} {object}\n");
                }
            }
        }
        Ok(left)
    }
}

fn bpftool(kind: &str) -> Result<Vec<Value>> {
    let output = Command::new("bpftool").args(["-j", kind, "list"]).output().context("bpftool")?;
    ensure!(output.status.success(), "bpftool {kind} list: {}", String::from_utf8_lossy(&output.stderr));
    match serde_json::from_slice(&output.stdout)? {
        Value::Array(objects) => Ok(objects),
        // Of nothing it prints an empty object.
        _ => Ok(Vec::new()),
    }
}

/// Ends the daemon while it works, and waits until the kernel has forgotten it.
fn ends_without_a_trace(signal: i32) -> Result<()> {
    let scene = Scene::new()?;
    let mut daemon = Daemon::start(&scene.node)?;
    scene.request()?;
    daemon.wait_final("shop/client", "shop/server")?;
    let objects = KernelObjects::of(daemon.pid())?;
    let named = |object: &Value| {
        object["id"].as_u64().is_some_and(|id| objects.programs.contains(&id))
            && object["name"].as_str().is_some_and(|name| name.starts_with("observer_"))
    };
    let programs: Vec<Value> = bpftool("prog")?.into_iter().filter(named).collect();
    ensure!(programs.len() >= 3, "bpftool does not show the programs of {objects:?}");
    ensure!(!objects.maps.is_empty() && !objects.links.is_empty(), "{objects:?}");
    let _ = daemon.end(signal)?;
    // The kernel frees them after a grace period. An array of programs that bpftool opens just then is forgotten there
    // (two urefs dropped before the kernel's work item ran), so it gets a moment.
    thread::sleep(Duration::from_secs(1));
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = objects.left()?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "left after signal {signal}:\n{left}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn after_sigterm_the_kernel_holds_nothing_of_the_daemon() -> Result<()> {
    ends_without_a_trace(libc::SIGTERM)
}

#[test]
fn after_sigkill_the_kernel_holds_nothing_of_the_daemon() -> Result<()> {
    ends_without_a_trace(libc::SIGKILL)
}

#[test]
fn sigterm_ends_it_within_two_seconds_with_its_last_records_written() -> Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let scene = Scene::new()?;
        let mut daemon = Daemon::start(&scene.node)?;
        let socket = daemon.directory().join("observer.sock");
        let file = fs::symlink_metadata(&socket)?;
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
        for _ in 0..3 {
            scene.request()?;
        }
        let told = Instant::now();
        let status = daemon.end(signal)?;
        eprintln!("ended {:?} after signal {signal}", told.elapsed());
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        assert!(told.elapsed() < Duration::from_secs(2) * SLACK);
        assert_eq!(daemon.finals("shop/client", "shop/server")?.len(), 3, "{}", daemon.stdout());
        assert!(daemon.stdout().ends_with('\n'));
        assert!(!socket.exists());
    }
    Ok(())
}

#[test]
fn it_observes_within_two_seconds_and_writes_within_one() -> Result<()> {
    let scene = Scene::new()?;
    let started = Instant::now();
    let daemon = Daemon::start(&scene.node)?;
    let ready = started.elapsed();
    let asked = Instant::now();
    scene.request()?;
    daemon.wait_final("shop/client", "shop/server")?;
    let written = asked.elapsed();
    eprintln!("ready after {ready:?}; a record {written:?} after its client's start");
    assert!(ready < Duration::from_secs(2) * SLACK, "ready after {ready:?}");
    assert!(written < Duration::from_secs(1) * SLACK, "written after {written:?}");
    Ok(())
}

#[test]
fn of_a_connection_from_before_its_start_it_tells_what_it_saw_alone() -> Result<()> {
    let scene = Scene::new()?;
    let head = wire::get(&[]);
    let steps = [
        Step::Send(head.as_bytes()),
        Step::Hear,
        Step::Pause(6_000),
        Step::Send(head.as_bytes()),
        Step::Hear,
    ];
    let (client, ip) = (scene.client.clone(), scene.server.ip4.to_string());
    thread::scope(|scope| {
        let talk = scope.spawn(|| wire::talk(&client, &ip, PORT, &steps));
        thread::sleep(Duration::from_millis(800));
        let daemon = Daemon::start(&scene.node)?;
        let record = daemon.wait_final("shop/client", "shop/server")?;
        talk.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        // What came before it is not made up: one request was seen, at a turn that proves HTTP.
        assert_eq!(record["protocol"], "http/1.1", "{record:#}");
        assert_eq!(record["requests"]["total"], 1, "{record:#}");
        assert_eq!(record["requests"]["none"], 1, "{record:#}");
        Ok(())
    })
}

#[test]
fn two_daemons_on_two_nodes_do_not_see_each_others_traffic() -> Result<()> {
    let (here, there) = (Scene::new()?, Scene::new()?);
    let (daemon, other) = (Daemon::start(&here.node)?, Daemon::start(&there.node)?);
    here.request()?;
    daemon.wait_final("shop/client", "shop/server")?;
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(daemon.metric("observer_flows_total", &[])?, 1.0);
    assert_eq!(other.stdout(), "");
    assert_eq!(other.metric("observer_flows_total", &[])?.abs(), 0.0);
    there.request()?;
    other.wait_final("shop/client", "shop/server")?;
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(daemon.finals("shop/client", "shop/server")?.len(), 1);
    Ok(())
}

#[test]
fn two_daemons_on_one_node_both_see_all_traffic() -> Result<()> {
    let scene = Scene::new()?;
    let first = Daemon::start(&scene.node)?;
    let mut second = Daemon::start(&scene.node)?;
    scene.request()?;
    for daemon in [&first, &second] {
        let record = daemon.wait_final("shop/client", "shop/server")?;
        assert_eq!(record["last_request"]["status"], 200, "{record:#}");
    }
    // One goes; the other stays as it was.
    let _ = second.end(libc::SIGKILL)?;
    scene.request()?;
    first.wait_for("the second flow", |_| {
        first.finals("shop/client", "shop/server").is_ok_and(|finals| finals.len() == 2)
    })?;
    Ok(())
}

#[test]
fn at_rest_it_keeps_24_mib_of_memory_at_most() -> Result<()> {
    let scene = Scene::new()?;
    let daemon = Daemon::start(&scene.node)?;
    scene.request()?;
    daemon.wait_final("shop/client", "shop/server")?;
    daemon.get("/metrics")?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    eprintln!("RssAnon at rest: {kib} KiB");
    // A debug build is no measure.
    let release = release_binary()?.components().any(|part| part.as_os_str() == "release");
    assert!(!release || kib <= 24 * 1024, "{kib} KiB");
    Ok(())
}
