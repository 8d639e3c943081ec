//! The daemon in a container that has what the chart gives it: capabilities, seccomp profile, namespaces, mounts.
//! Needs root, and fails without.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_deployment::{Container, InCluster, Rendered, Running, Runtime, render};
use observer_harness::{Place, SimNode};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Directory, documents};
use observer_kubernetes::Scene;
use serde_json::Value;

const READY_WITHIN: Duration = Duration::from_secs(20);
const RECORD_WITHIN: Duration = Duration::from_secs(10);

/// As the kubelet's readiness probe does it.
fn wait_ready(daemon: &mut Running, probe: impl Fn() -> Result<Output>) -> Result<()> {
    let started = Instant::now();
    while !probe()?.status.success() {
        ensure!(daemon.is_running()?, "it ended: {:?}", daemon.logs());
        ensure!(started.elapsed() < READY_WITHIN, "not ready: {:?}", daemon.logs());
        thread::sleep(Duration::from_millis(50));
    }
    eprintln!("ready after {:?}", started.elapsed());
    Ok(())
}

/// A request with a credential to port 8080 of `server`, and its record as `kubectl exec` shows it: the binary is on the
/// image's PATH, the socket where both expect it.
fn call(daemon: &Running, client: &Place, server: &str) -> Result<Value> {
    let head = wire::get(&[("Authorization", "Bearer not-a-token")]);
    wire::talk(client, server, 8080, &[Step::Send(head.as_bytes()), Step::Hear])?;
    let deadline = Instant::now() + RECORD_WITHIN;
    loop {
        let output = daemon.exec(&["observer", "flows", "--output", "json", "--to", "shop/payments"])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let records = said.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        if let Some(record) = records.into_iter().find(|record| record["requests"]["total"] == 1) {
            return Ok(record);
        }
        ensure!(Instant::now() < deadline, "no record: {output:?} {:?}", daemon.logs());
        thread::sleep(Duration::from_millis(100));
    }
}

fn report(output: &Output) -> Result<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{}: {said}", output.status))
}

/// The state of one of the doctor's checks.
fn state<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().into_iter().flatten();
    checks.filter(|line| line["name"] == check).find_map(|line| line["state"].as_str()).unwrap_or("absent")
}

fn doctor(chart: &Rendered, runtime: Runtime) -> Result<Value> {
    // A network namespace as the CNI leaves it: with loopback.
    let node = SimNode::builder().start()?;
    let pod = node.pod("observer", "observer").start()?;
    let container = Container::new(chart, runtime, Some(pod.netns_name()))?;
    report(&container.run(&["doctor", "--output", "json", "--cgroup-root", "/host/sys/fs/cgroup"])?)
}

/// proc_pid_status(5) of every thread; since Linux 5.19 no capability is needed any more.
fn has_given_up_everything(pid: u64) -> Result<()> {
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let is =
            |line: &str| status.lines().any(|there| there.split_whitespace().eq(line.split_whitespace()));
        for line in ["CapPrm: 0000000000000000", "CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"] {
            ensure!(is(line), "not {line}: {status}");
        }
        threads += 1;
    }
    ensure!(threads > 2, "{threads} threads");
    Ok(())
}

#[test]
fn the_daemon_observes_the_node_with_what_the_chart_gives_it() -> Result<()> {
    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").start()?;
    let orders = node.pod("shop", "orders").start()?;
    let own = node.pod("observer", "observer").start()?;
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let files = Directory::new()?;
    files.write("inventory.yaml", node.inventory_yaml())?;
    let path = files.path().display();
    let chart = render(&[
        "config.inventory=/inventory/inventory.yaml",
        "extraVolumes[0].name=inventory",
        &format!("extraVolumes[0].hostPath.path={path}"),
        "extraVolumeMounts[0].name=inventory",
        "extraVolumeMounts[0].mountPath=/inventory",
    ])?;
    let mut daemon = Container::new(&chart, Runtime::Containerd, Some(own.netns_name()))?.start()?;
    let ready = format!("http://{}:9464/readyz", own.ip4);
    wait_ready(&mut daemon, || node.host().run(["curl", "-sf", "--max-time", "3", &ready]))?;
    let record = call(&daemon, &orders, &payments.ip4.to_string())?;
    assert_eq!(record["client"]["principal"], "shop/orders", "{record:#}");
    assert_eq!(record["server"]["principal"], "shop/payments", "{record:#}");
    assert_eq!(record["encryption"]["status"], "plaintext", "{record:#}");
    assert_eq!(record["authentication"]["status"], "present", "{record:#}");
    assert_eq!(record["node"], "n1", "{record:#}");
    let deadline = Instant::now() + RECORD_WITHIN;
    // As `kubectl logs` has it; stdout is flushed within a second.
    let [_, log] = loop {
        let logs = daemon.logs();
        if logs[0].contains("\"shop/orders\"") {
            break logs;
        }
        ensure!(Instant::now() < deadline, "no record on stdout: {logs:?}");
        thread::sleep(Duration::from_millis(100));
    };
    ensure!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");

    has_given_up_everything(daemon.pid()?)?;
    let mut typed = 0;
    for typed_there in documents::commands()? {
        let Some(words) = typed_there.after("kubectl --namespace observer exec daemonset/observer -- ")
        else {
            continue;
        };
        typed += 1;
        let output = daemon.exec(&words)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(typed_there.is_answered_by(&said), "{typed_there:?}: {output:?}");
        // Some ask for what is not here: that is well, and told.
        let told = output.stdout.len() + output.stderr.len() > 0;
        let well = output.status.success() || !typed_there.answer.is_empty();
        ensure!(well && told, "{typed_there:?}: {output:?}");
    }
    ensure!(typed > 1, "the pages have {typed} commands of `kubectl exec`");

    // Beside the daemon, and finding the hierarchy by itself: as a person would call it.
    let output = daemon.exec(&["observer", "doctor", "--output", "json"])?;
    let report = report(&output)?;
    ensure!(output.status.success(), "{report:#}");
    assert_eq!(report["verdict"], "ok", "{report:#}");
    assert_eq!(state(&report, "cgroup-scope"), "ok", "{report:#}");
    Ok(())
}

#[test]
fn in_a_cluster_it_reads_who_is_who_with_the_charts_own_rights() -> Result<()> {
    let scene = Scene::start()?;
    let payments = scene.pod("shop", "payments", "payments-0")?;
    let orders = scene.pod("shop", "orders", "orders-0")?;
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let control_plane = &scene.control_plane;
    let token = control_plane.cluster().token("observer", "observer", None, &[])?;
    let address = ([127, 0, 0, 1], control_plane.port()).into();
    let cluster = InCluster::new(address, control_plane.ca(), "observer", &token)?;
    // In this network, where the API server is, somebody may have the usual port.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let chart = render(&[&format!("metrics.port={port}"), "metrics.address=127.0.0.1"])?;
    let container = Container::new(&chart, Runtime::Containerd, None)?.in_cluster(&cluster)?;
    let mut daemon = container.start()?;
    let ready = format!("http://127.0.0.1:{port}/readyz");
    wait_ready(&mut daemon, || {
        Ok(Command::new("curl").args(["-sf", "--max-time", "3", &ready]).output()?)
    })?;
    let record = call(&daemon, &orders, &payments.ip4.to_string())?;
    assert_eq!(record["client"]["principal"], "shop/orders", "{record:#}");
    assert_eq!(record["client"]["pod"], "orders-0", "{record:#}");
    assert_eq!(record["server"]["principal"], "shop/payments", "{record:#}");
    let report = report(&daemon.exec(&["observer", "doctor", "--output", "json"])?)?;
    assert_eq!(report["verdict"], "ok", "{report:#}");
    assert_eq!(state(&report, "cluster-role"), "ok", "{report:#}");
    let [stdout, log] = daemon.logs();
    let (signed, _) = token.rsplit_once('.').context("no JWT")?;
    ensure!(!stdout.contains(signed) && !log.contains(signed), "the logs have the token");
    Ok(())
}

#[test]
fn without_any_one_of_the_capabilities_something_is_missing() -> Result<()> {
    let whole = doctor(&render(&[])?, Runtime::Containerd)?;
    assert_eq!(whole["verdict"], "ok", "{whole:#}");
    for (rest, lost) in [
        ("{PERFMON,NET_ADMIN}", ["capabilities", "sock_ops"].as_slice()),
        ("{BPF,PERFMON}", &["capabilities", "sock_ops"]),
        ("{BPF,NET_ADMIN}", &["perfmon", "sock_ops"]),
    ] {
        let report = doctor(&render(&[&format!("capabilities={rest}")])?, Runtime::Containerd)?;
        for check in lost {
            assert_eq!(state(&report, check), "missing", "{rest}: {report:#}");
        }
        assert_eq!(report["verdict"], "missing", "{rest}: {report:#}");
    }
    Ok(())
}

#[test]
fn where_the_profile_of_the_runtime_forbids_bpf_the_doctor_names_the_way_out() -> Result<()> {
    let report = doctor(&render(&[])?, Runtime::CriO)?;
    assert_eq!(report["verdict"], "missing", "{report:#}");
    assert_eq!(state(&report, "capabilities"), "ok", "{report:#}");
    assert_eq!(state(&report, "seccomp"), "missing", "{report:#}");
    let checks = report["checks"].as_array().context("no checks")?;
    let sock_ops = checks.iter().find(|line| line["name"] == "sock_ops").context("no sock_ops")?;
    let remedy = sock_ops["remedy"].as_str().unwrap_or_default();
    ensure!(remedy.contains("seccompProfile"), "{report:#}");
    Ok(())
}
