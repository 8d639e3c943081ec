//! Empty kernel programs. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use observer_harness::{EmptyPrograms, SimNode};

/// Hooks of this process's kernel programs on a cgroup, as /proc tells (Documentation/filesystems/proc.rst, fdinfo):
/// 0 is what sockets receive, 1 what they send, 3 what becomes of TCP.
fn hooks(cgroup_id: u64) -> BTreeSet<u32> {
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let texts = infos.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let hook = |text: String| {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        (field("cgroup_id:")? == cgroup_id).then(|| field("attach_type:"))?
    };
    texts.filter_map(hook).map(|hook| hook as u32).collect()
}

#[test]
fn empty_programs_hang_on_all_hooks_of_the_node_and_stop_nothing() {
    let node = SimNode::builder().start().unwrap();
    let id = fs::metadata(node.cgroup_root()).unwrap().ino();
    let programs = EmptyPrograms::attach(node.cgroup_root()).unwrap();
    assert_eq!(hooks(id), BTreeSet::from([0, 1, 3]));

    let (client, server) =
        (node.pod("a", "client").start().unwrap(), node.pod("a", "server").start().unwrap());
    let mut command = std::process::Command::new("python3");
    command.args(["-m", "http.server", "8080", "--directory", "/proc/self/ns"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _server = server.spawn(command).unwrap();
    server.wait_listening(8080).unwrap();
    client.run_ok(["curl", "-sSf", "-m", "5", &format!("http://{}:8080/", server.ip4)]).unwrap();

    drop(programs);
    assert_eq!(hooks(id), BTreeSet::new());
}
