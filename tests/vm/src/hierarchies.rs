//! The three ways in which hosts have their cgroups: v2 alone, v1 alone, and v1 with v2 beside it.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use observer_integration::release_binary;
use serde_json::Value;

use crate::report::Report;
use crate::scenarios;
use crate::scene::Scene;

const CGROUP: &str = "/sys/fs/cgroup";
/// Hierarchies of a v1 host. `net_cls,net_prio` comes last: before Linux 5.15 the kernel forgets, as soon as somebody
/// mounts it, which v2 cgroup a socket belongs to, and there is no way back.
const CONTROLLERS: [&str; 5] = ["cpu,cpuacct", "memory", "pids", "devices", "net_cls,net_prio"];

const INVENTORY: &str = "/tmp/inventory.yaml";
const NODE: &str = "{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}\n";

/// v2 alone, as on most nodes: all scenarios.
pub fn unified(report: &mut Report) {
    report.scenario("doctor", || doctor_is_content(report_to_notes));
    if let Some(scene) = report.scenario("start", Scene::start) {
        scenarios::run(&scene, report);
    }
}

/// v1 alone: there is nothing to attach to, and that is said with the way out.
pub fn legacy(report: &mut Report) {
    report.scenario("v1 alone", || {
        run("umount", &[CGROUP])?;
        run("mount", &["-t", "tmpfs", "tmpfs", CGROUP])?;
        for controllers in CONTROLLERS {
            let directory = format!("{CGROUP}/{controllers}");
            fs::create_dir(&directory)?;
            // Not every kernel has every one of them.
            let _ = run("mount", &["-t", "cgroup", "-o", controllers, "cgroup", &directory]);
        }
        let checks = doctor(Some(1))?;
        let cgroup2 = check(&checks, "cgroup2")?;
        ensure!(cgroup2["state"] == "missing", "{cgroup2}");
        ensure!(remedy(cgroup2).contains(MOUNT), "{cgroup2}");
        fs::write(INVENTORY, NODE)?;
        let output = observer(&["run", "--inventory", INVENTORY])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(last.contains("no cgroup v2 hierarchy is mounted") && last.contains(MOUNT), "{said}");
        Ok(())
    });
}

/// The way out that the last scenario was told, taken.
const MOUNT: &str = "mount -t cgroup2 none /sys/fs/cgroup/unified";

pub fn hybrid(report: &mut Report) {
    report.scenario("v1 and v2", || {
        fs::create_dir(format!("{CGROUP}/unified"))?;
        let words: Vec<&str> = MOUNT.split(' ').collect();
        run(words[0], &words[1..])?;
        let scene = Scene::start()?;
        scenarios::attached(&scene)?;
        scenarios::http_without(&scene)
    });
}

fn report_to_notes(check: &Value) {
    let word = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    println!("# doctor {} {} {}", word("name"), word("state"), word("detail"));
    for key in ["cost", "remedy"] {
        if check[key].is_string() {
            println!("# doctor {} {key} {}", word("name"), word(key));
        }
    }
}

/// Everything works; `tell` gets each check.
fn doctor_is_content(tell: fn(&Value)) -> Result<()> {
    let checks = doctor(None)?;
    checks.iter().for_each(tell);
    let unwell: Vec<&Value> = checks.iter().filter(|check| check["state"] != "ok").collect();
    ensure!(unwell.is_empty(), "the doctor is not content: {unwell:?}");
    Ok(())
}

/// What `observer doctor` finds; `code` is the exit code that it must have.
fn doctor(code: Option<i32>) -> Result<Vec<Value>> {
    let output = observer(&["doctor", "--output", "json"])?;
    ensure!(code.is_none() || output.status.code() == code, "{output:?}");
    let mut report: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok(report["checks"].as_array_mut().context("no checks")?.split_off(0))
}

fn check<'a>(checks: &'a [Value], name: &str) -> Result<&'a Value> {
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("no check {name}"))
}

fn remedy(check: &Value) -> &str {
    check["remedy"].as_str().unwrap_or_default()
}

fn observer(arguments: &[&str]) -> Result<Output> {
    Command::new(release_binary()?).args(arguments).output().context("observer does not start")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    let line = arguments.join(" ");
    ensure!(output.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
