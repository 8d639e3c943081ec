//! What a running daemon has given up. Needs root, and fails without.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, proven, release_binary};

/// The number in `linux/capability.h`.
const CAP_BPF: u32 = 39;
/// What the chart gives (`capabilities` in its values), and nothing that root has besides.
const AS_THE_CHART: [&str; 3] =
    ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+bpf,+perfmon,+net_admin"];

/// Fields of proc_pid_status(5) of every thread, with its name.
fn threads(pid: u32) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        let name = fs::read_to_string(thread.join("comm"))?.trim().to_owned();
        found.push((name, fs::read_to_string(thread.join("status"))?));
    }
    ensure!(found.len() > 2, "{found:?}");
    Ok(found)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
}

/// Before Linux 5.19 reading a map takes CAP_BPF (commit c8644cd0efe7).
fn may_keep() -> Result<u64> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("{release} is no version");
    };
    Ok(if (major, minor) < (5, 19) { 1 << CAP_BPF } else { 0 })
}

fn has_given_up(daemon: &Daemon, gains_by_exec: bool) -> Result<usize> {
    let may_keep = may_keep()?;
    let threads = threads(daemon.pid())?;
    for (name, status) in &threads {
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let held = u64::from_str_radix(field(status, set), 16)?;
            // No other thread touches a map.
            let may_keep = if name == "observe" { may_keep } else { 0 };
            ensure!(held & !may_keep == 0, "{name} has {set} {held:x}");
        }
        if !gains_by_exec {
            ensure!(u64::from_str_radix(field(status, "CapBnd"), 16)? == 0, "{name}: {status}");
        }
        // 2 is SECCOMP_MODE_FILTER.
        ensure!(field(status, "NoNewPrivs") == "1" && field(status, "Seccomp") == "2", "{name}: {status}");
    }
    Ok(threads.len())
}

fn observes(node: &SimNode, daemon: &Daemon) -> Result<()> {
    let server = node.pod("shop", "server").start()?;
    let client = node.pod("shop", "client").start()?;
    let _server = wire::listen(&server, &[(8080, Manners::Answer)])?;
    let request = wire::get(&[]);
    wire::talk(&client, &server.ip4.to_string(), 8080, &[Step::Send(request.as_bytes()), Step::Hear])?;
    let record = daemon.wait_for("a request", |record| record["requests"]["total"] == 1)?;
    ensure!(record["encryption"]["status"] == "plaintext", "{record:#}");
    Ok(())
}

#[test]
fn no_thread_of_a_running_daemon_has_a_capability_or_can_gain_one() -> Result<()> {
    let node = SimNode::builder().start()?;
    let mut daemon = Daemon::start(&node)?;
    observes(&node, &daemon)?;
    let threads = has_given_up(&daemon, false)?;
    eprintln!("{threads} threads");
    ensure!(daemon.log().contains("privileges given up"), "{}", daemon.log());
    let status = daemon.end(libc::SIGTERM)?;
    ensure!(status.success(), "{status}: {}", daemon.log());
    proven!(
        Privilege,
        "started as root",
        "{threads} threads: no capability but what reading maps needs here, no_new_privs, seccomp filter"
    );
    Ok(())
}

#[test]
fn with_the_charts_capabilities_alone_it_observes_and_gives_them_up() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::builder().under(&AS_THE_CHART).start(&node)?;
    observes(&node, &daemon)?;
    // Nobody but CAP_SETPCAP empties the bounding set; no_new_privs keeps it from mattering.
    has_given_up(&daemon, true)?;
    proven!(
        Privilege,
        "started with the chart's capabilities alone",
        "observes, and keeps none that reading maps does not need"
    );
    Ok(())
}

#[test]
fn without_the_filter_capabilities_are_given_up_all_the_same() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::builder().seccomp("allow").start(&node)?;
    for (name, status) in threads(daemon.pid())? {
        ensure!(field(&status, "Seccomp") == "0" && field(&status, "NoNewPrivs") == "1", "{name}: {status}");
        let held = u64::from_str_radix(field(&status, "CapPrm"), 16)?;
        ensure!(held & !may_keep()? == 0, "{name} has {held:x}");
    }
    proven!(Privilege, "started with seccomp: allow", "no filter, and no capability");
    Ok(())
}

/// The sockets that a process has open, by inode, as `socket:[4711]` names them.
fn sockets(pid: u32) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = fs::read_link(descriptor?.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            found.insert(inode.to_owned());
        }
    }
    Ok(found)
}

/// Lines of `ss` about sockets that wait for others: of all kinds, with inodes (ss(8), `-e`).
fn listeners(pid: u32) -> Result<Vec<String>> {
    let own = sockets(pid)?;
    let output =
        Command::new("ss").args(["-H", "-n", "-e", "-l", "-t", "-u", "-w", "-0", "-x", "-S"]).output()?;
    let said = String::from_utf8(output.stdout)?;
    let is_own = |line: &str| {
        let inode = line.split_whitespace().find_map(|word| word.strip_prefix("ino:").map(str::to_owned));
        // Unix sockets have their inode after the path.
        let unix = line.split_whitespace().any(|word| line.starts_with("u_") && own.contains(word));
        unix || inode.is_some_and(|inode| own.contains(&inode))
    };
    Ok(said.lines().filter(|line| is_own(line)).map(str::to_owned).collect())
}

#[test]
fn nothing_listens_but_what_the_flags_say() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::start(&node)?;
    observes(&node, &daemon)?;
    ensure!(daemon.ask(&["flows"])?.status.success(), "{}", daemon.log());
    let listening = listeners(daemon.pid())?;
    let (mut http, mut api) = (0, 0);
    for line in &listening {
        http += usize::from(line.starts_with("tcp") && line.contains(&daemon.address().to_string()));
        api += usize::from(line.starts_with("u_str") && line.contains("observer.sock"));
    }
    ensure!((http, api, listening.len()) == (1, 1, 2), "{listening:#?}");
    proven!(
        Privilege,
        "sockets of the daemon that wait for others",
        "the address of --listen and the socket of --socket; {} in all",
        listening.len()
    );
    Ok(())
}

#[test]
fn another_user_who_reaches_the_socket_is_refused_in_one_line() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::start(&node)?;
    let directory = daemon.directory();
    let open_to_all = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    open_to_all(directory, 0o755)?;
    let socket = directory.join("observer.sock");
    // Somebody was careless: the file lets everybody in.
    open_to_all(&socket, 0o777)?;
    let binary = directory.join("observer");
    // By a program: a file that this one writes could be inherited, still open, by what other tests start meanwhile.
    let copied = Command::new("cp").arg(release_binary()?).arg(&binary).status()?;
    ensure!(copied.success(), "cp: {copied}");
    let ask = |user: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(&binary);
        command.args(["flows", "--socket"]).arg(&socket).output().context("setpriv")
    };
    let root = ask("0")?;
    ensure!(root.status.success(), "{}{}", String::from_utf8_lossy(&root.stderr), daemon.log());
    let refused = ask("65534")?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        refused.status.code() == Some(1) && refused.stdout.is_empty() && said.lines().count() == 1,
        "{said}"
    );
    ensure!(said.contains("refused to answer: it answers root and its own user alone"), "{said}");
    proven!(Privilege, "another user asks a socket that its file lets everybody into", "refused in one line");
    Ok(())
}
