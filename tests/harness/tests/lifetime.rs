//! What is left of a node after its end: nothing, however it ends. Needs root.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use observer_harness::{Process, SimNode};

/// Set for the copies of this test program that hold a node until they are killed.
const HOLDER: &str = "OBSERVER_HARNESS_TEST_HOLDER";

/// What the machine shows of a node: namespaces, cgroups, state. Empty when nothing is left.
fn traces(id: &str, cgroup_root: &Path) -> Vec<PathBuf> {
    let directories = ["/run/netns", "/run/observer-harness"].map(Path::new);
    let directories = directories.into_iter().chain(cgroup_root.parent());
    let entries = directories.flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(id)).collect()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended, even if nobody has waited for it.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A node with a pod, a host-network pod, a Service and an outside host, and a process in each place.
fn populated() -> (SimNode, Vec<Process>) {
    let node = SimNode::builder().start().unwrap();
    let pod = node.pod("shop", "orders").start().unwrap();
    let agent = node.pod("kube-system", "agent").host_network().start().unwrap();
    node.service("shop", "orders").port(80, 8080).backend(&pod).start().unwrap();
    let outside = node.external("browser").unwrap();
    let places = [&*pod, &*agent, &*outside, node.host()];
    let processes = places.map(|place| place.spawn(sleeper()).unwrap());
    (node, processes.into())
}

#[test]
fn nothing_is_left_after_a_node_is_dropped() {
    let (node, processes) = populated();
    let (id, root) = (node.id().to_owned(), node.cgroup_root().to_owned());
    // Its state, node, pod and outside namespaces, and two cgroup trees: the oracle below can see them.
    assert_eq!(traces(&id, &root).len(), 6, "{:?}", traces(&id, &root));
    assert!(processes.iter().all(|process| is_alive(process.pid())));
    drop(node);
    assert_eq!(traces(&id, &root), Vec::<PathBuf>::new());
    assert!(!processes.iter().any(|process| is_alive(process.pid())));
}

/// Not a test: the body of the copies that [`Holder::start`] starts.
#[test]
#[ignore = "run by the tests of this file, in a process of its own"]
fn holder() {
    if std::env::var_os(HOLDER).is_none() {
        return;
    }
    let (node, processes) = populated();
    let pids: Vec<String> = processes.iter().map(|process| process.pid().to_string()).collect();
    println!("\nholding {} {} {}", node.id(), node.cgroup_root().display(), pids.join(" "));
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Another process that holds a node.
struct Holder {
    process: Child,
    id: String,
    root: PathBuf,
    pids: Vec<u32>,
    output: BufReader<std::process::ChildStdout>,
}

impl Holder {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder", "--ignored", "--nocapture"])
            .env(HOLDER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("holding ") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the holder ended early");
        }
        let mut words = line.split_whitespace().skip(1);
        let (id, root) = (words.next().unwrap().to_owned(), words.next().unwrap().into());
        let pids = words.map(|pid| pid.parse().unwrap()).collect();
        Self { process, id, root, pids, output }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn wait_gone(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let traces = traces(&self.id, &self.root);
            let alive: Vec<_> = self.pids.iter().filter(|pid| is_alive(**pid)).collect();
            if traces.is_empty() && alive.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left after {patience:?}: {traces:?}, processes {alive:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process that cleans up after the holder.
    fn guardian(&self) -> i32 {
        let state = format!("/run/observer-harness/{}", self.id);
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_guardian = |pid: &i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument == state.as_bytes())
        };
        pids.into_iter().find(is_guardian).expect("the holder has a guardian")
    }
}

#[test]
fn nothing_is_left_five_seconds_after_the_owner_is_killed() {
    let mut holder = Holder::start();
    assert_eq!(traces(&holder.id, &holder.root).len(), 6);
    assert_eq!(holder.pids.len(), 4);
    assert!(holder.pids.iter().all(|pid| is_alive(*pid)));
    holder.kill();
    holder.wait_gone(Duration::from_secs(5));
}

#[test]
fn the_next_node_cleans_up_after_an_owner_killed_together_with_its_guardian() {
    let mut holder = Holder::start();
    let bystander = Holder::start();
    // SAFETY: kill takes two integers; the guardian was found by the state directory of a node of this test.
    assert_eq!(unsafe { libc::kill(holder.guardian(), libc::SIGKILL) }, 0);
    holder.kill();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(
        traces(&holder.id, &holder.root).len(),
        6,
        "somebody else cleaned up: the test proves nothing"
    );
    let node = SimNode::builder().start().unwrap();
    holder.wait_gone(Duration::from_secs(1));
    drop(node);
    // A node whose owner lives is nobody else's business.
    assert_eq!(traces(&bystander.id, &bystander.root).len(), 6);
    let mut bystander = bystander;
    bystander.kill();
    bystander.wait_gone(Duration::from_secs(5));
}

#[test]
fn the_guardian_keeps_no_pipe_of_its_owner_open() {
    let mut holder = Holder::start();
    // Stopped, the guardian can close nothing: only what it holds itself could keep the pipe open.
    let guardian = holder.guardian();
    // SAFETY: kill takes two integers; the guardian is this test's.
    assert_eq!(unsafe { libc::kill(guardian, libc::SIGSTOP) }, 0);
    holder.process.kill().unwrap();
    let mut rest = String::new();
    while holder.output.read_line(&mut rest).unwrap() != 0 {}
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(guardian, libc::SIGCONT) }, 0);
    holder.process.wait().unwrap();
    holder.wait_gone(Duration::from_secs(5));
}

#[test]
fn a_deleted_pod_is_gone_and_its_node_goes_on() {
    let node = SimNode::builder().start().unwrap();
    let doomed = node.pod("shop", "orders").name("doomed").start().unwrap();
    let process = doomed.spawn(sleeper()).unwrap();
    let (netns, cgroup) = (doomed.netns_name().to_owned(), doomed.cgroup().to_owned());
    doomed.delete().unwrap();
    assert!(!is_alive(process.pid()));
    assert!(!Path::new("/run/netns").join(netns).exists());
    assert!(!cgroup.exists() && !cgroup.parent().unwrap().exists());
    assert!(!node.inventory_yaml().contains("doomed"));
    node.pod("shop", "orders").name("doomed").start().unwrap();
    node.shut_down().unwrap();
}

#[test]
fn a_pod_outlives_its_node_as_a_handle_that_refuses() {
    let node = SimNode::builder().start().unwrap();
    let pod = node.pod("shop", "orders").name("orders").start().unwrap();
    let builder = node.pod("shop", "late");
    node.shut_down().unwrap();
    let error = format!("{:#}", pod.run(["true"]).unwrap_err());
    assert!(error.contains("pod shop/orders is gone"), "{error}");
    let error = format!("{:#}", builder.start().unwrap_err());
    assert!(error.contains("shut down"), "{error}");
}

#[test]
fn a_dropped_process_takes_its_group_along() {
    let node = SimNode::builder().start().unwrap();
    let pod = node.pod("shop", "orders").start().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
    let mut process = pod.spawn(command).unwrap();
    let mut line = String::new();
    BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    let grandchild: u32 = line.trim().parse().unwrap();
    assert!(process.is_running().unwrap() && is_alive(grandchild));
    drop(process);
    let deadline = Instant::now() + Duration::from_secs(1);
    while is_alive(grandchild) {
        assert!(Instant::now() < deadline, "the grandchild lives on");
    }
}

#[test]
fn errors_name_the_pod_the_port_and_the_command() {
    let node = SimNode::builder().start().unwrap();
    let pod = node.pod("shop", "orders").name("orders").start().unwrap();
    let error = format!("{:#}", pod.wait_listening(8080).unwrap_err());
    assert!(error.contains("pod shop/orders") && error.contains("port 8080"), "{error}");
    let error = format!("{:#}", pod.run_ok(["sh", "-c", "echo no such luck >&2; exit 3"]).unwrap_err());
    assert!(error.contains("pod shop/orders") && error.contains("exit status: 3"), "{error}");
    assert!(error.contains("no such luck"), "{error}");
    let error = format!("{:#}", pod.run(["no-such-program"]).unwrap_err());
    assert!(error.contains("no-such-program in pod shop/orders"), "{error}");
    let error = format!("{:#}", node.pod("shop", "orders").name("orders").start().unwrap_err());
    assert!(error.contains("exists already"), "{error}");
    let error = format!("{:#}", node.pod("shop", "Orders").start().unwrap_err());
    assert!(error.contains("\"Orders\""), "{error}");
}
