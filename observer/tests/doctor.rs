//! `observer doctor` and what a daemon leaves behind, on the running kernel. Needs root, and fails without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use observer::probe::CgroupRoot;
use serde_json::Value;

const OBSERVER: &str = env!("CARGO_BIN_EXE_observer");
const NODE: &str = "\
apiVersion: v1
kind: Node
metadata: {name: test}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
";
const PATIENCE: Duration = Duration::from_secs(10);

struct Cgroup(PathBuf);

impl Cgroup {
    fn create(name: &str) -> Self {
        let root = CgroupRoot::find().unwrap();
        let path = root.path.join(format!("observer-doctor-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}; run as root", path.display()));
        Self(path)
    }

    /// Ids of the programs attached here.
    fn programs(&self) -> Vec<u64> {
        bpftool(&["cgroup", "show", &self.0.display().to_string()])
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn bpftool(arguments: &[&str]) -> Vec<u64> {
    let output = Command::new("bpftool").arg("--json").args(arguments).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    list.as_array().into_iter().flatten().filter_map(|program| program["id"].as_u64()).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn state<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|line| line["name"] == check).unwrap()["state"].as_str().unwrap()
}

fn doctor(root: &Path) -> Command {
    let mut command = Command::new(OBSERVER);
    command.args(["doctor", "--output", "json", "--cgroup-root"]).arg(root);
    command
}

#[test]
fn the_doctor_sees_its_canary_in_a_subtree_that_it_is_not_in_and_leaves_nothing() {
    let cgroup = Cgroup::create("subtree");
    let output = doctor(&cgroup.0).output().unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{report:#}");
    for check in ["sock_ops", "cgroup_skb/ingress", "cgroup_skb/egress", "ring-buffer", "self-test"] {
        assert_eq!(state(&report, check), "ok", "{report:#}");
    }
    assert_eq!(state(&report, "cgroup-scope"), "degraded");
    assert_eq!(report["verdict"], "degraded");
    assert!(fs::read_dir(&cgroup.0).unwrap().all(|entry| entry.unwrap().file_type().unwrap().is_file()));
    assert!(cgroup.programs().is_empty());
}

#[test]
fn without_privileges_the_doctor_says_what_is_missing_and_fails() {
    let cgroup = Cgroup::create("bare");
    let inner = doctor(&cgroup.0);
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", OBSERVER])
        .args(inner.get_args())
        .output()
        .unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!((state(&report, "capabilities"), state(&report, "sock_ops")), ("missing", "missing"));
    assert_eq!(report["verdict"], "missing");
    for line in report["checks"].as_array().unwrap() {
        assert_eq!(line["state"] == "ok", line["remedy"].is_null(), "{line}");
    }
}

#[test]
fn a_directory_that_is_no_cgroup_is_named() {
    let output = doctor(Path::new("/tmp")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(state(&report(&output), "cgroup2"), "missing");
}

/// Killed when dropped, with its files.
struct Daemon {
    process: Child,
    files: PathBuf,
}

impl Daemon {
    fn start(cgroup: &Cgroup, name: &str) -> Self {
        let files = std::env::temp_dir().join(format!("observer-doctor-test-{}-{name}", std::process::id()));
        fs::create_dir(&files).unwrap();
        let inventory = files.join("inventory.yaml");
        fs::write(&inventory, NODE).unwrap();
        let process = Command::new(OBSERVER)
            .args(["run", "--node-name", "test", "--listen", "127.0.0.1:0", "--output", "none"])
            .arg("--inventory")
            .arg(inventory)
            .arg("--socket")
            .arg(files.join("socket"))
            .arg("--cgroup-root")
            .arg(&cgroup.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, files }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.files);
    }
}

#[test]
fn nothing_of_a_daemon_remains_in_the_kernel_however_it_ends() {
    for signal in ["TERM", "KILL"] {
        let cgroup = Cgroup::create(signal);
        let mut daemon = Daemon::start(&cgroup, signal);
        until("three programs attached", || cgroup.programs().len() == 3);
        let programs = cgroup.programs();
        let kill = Command::new("kill").args(["-s", signal, &daemon.process.id().to_string()]).status();
        assert!(kill.unwrap().success());
        daemon.process.wait().unwrap();
        until("the kernel let go of them", || {
            let left = bpftool(&["prog", "list"]);
            cgroup.programs().is_empty() && !programs.iter().any(|program| left.contains(program))
        });
    }
}
