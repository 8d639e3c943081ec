//! What README.md and the pages of `docs` tell people to type works as it stands there.

use std::fs::{self, File};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::documents::{self, Typed, blocks, read};
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Directory, TokenIssuer, release_binary};
use serde_json::Value;

/// Where the README says the build puts it.
const BINARY: &str = "target/release/observer ";
/// Programs of a node that pages ask about its kernel.
const OF_THE_NODE: [&str; 6] = ["bpftool", "grep", "ls", "stat", "sysctl", "uname"];
/// Takes long, or writes into the repository: `xtask` tests that it takes the arguments.
const NOT_IN_CI: [&str; 7] = ["bench", "docs", "fuzz", "manifest", "reliability", "soak", "ui"];

fn of_observer(typed: &Typed) -> Option<String> {
    typed.command.strip_prefix(BINARY).map(|rest| rest.trim().to_owned())
}

#[test]
fn every_command_of_every_page_is_run_by_somebody() -> Result<()> {
    ensure!(
        read(".ci/run")?.lines().any(|line| line == "exec cargo xtask ci"),
        ".ci/run does not run `cargo xtask ci`"
    );
    let stages = read("xtask/src/ci.rs")?;
    let tests = read("xtask/src/test.rs")?;
    let mut in_ci = Vec::new();
    for typed in documents::commands()? {
        let command = &typed.command;
        let first = command.split_whitespace().next().unwrap_or_default();
        if let Some(xtask) = typed.after("cargo xtask ") {
            let name = xtask.first().copied().unwrap_or_default();
            if NOT_IN_CI.contains(&name) {
                continue;
            }
            // CI gives the demo both ways.
            let more = xtask.get(1..).unwrap_or_default();
            ensure!(more.is_empty() || (name, more) == ("demo", &["--alerts"]), "{typed:?}: CI does not");
            let called = format!("{name}::");
            let is_called = |line: &str| line.contains(&called) && line.contains("stages");
            ensure!(stages.lines().chain(tests.lines()).any(is_called), "CI has no stage of {typed:?}");
            in_ci.push(name.to_owned());
        } else if command == "cargo build --release -p observer" {
            let build = "[\"build\", \"--release\", \"--package\", \"observer\"]";
            ensure!(tests.contains(build), "CI does not `{command}`");
        } else {
            // tests/deploy runs what is for a cluster.
            let runs = command.starts_with(BINARY)
                || ["helm", "kubectl"].contains(&first)
                || OF_THE_NODE.contains(&first);
            ensure!(runs, "nobody runs {typed:?}: neither CI nor a test");
        }
    }
    in_ci.sort_unstable();
    in_ci.dedup();
    ensure!(in_ci == ["demo", "image", "test"], "the pages' xtask commands are {in_ci:?}");
    Ok(())
}

#[test]
fn a_node_has_the_programs_that_pages_ask_about_its_kernel() -> Result<()> {
    let mut ran = 0;
    for typed in documents::commands()? {
        if typed.command.split_whitespace().next().is_some_and(|first| OF_THE_NODE.contains(&first)) {
            let output = Command::new("sh").args(["-c", &typed.command]).output()?;
            ensure!(output.status.success() && !output.stdout.is_empty(), "{typed:?}: {output:?}");
            ran += 1;
        }
    }
    ensure!(ran > 0, "the pages have no such command");
    Ok(())
}

#[test]
fn troubleshooting_has_a_part_for_each_check_of_the_doctor() -> Result<()> {
    let output = Command::new(release_binary()?).args(["doctor", "--output", "json"]).output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let checks = report["checks"].as_array().context("no checks")?;
    let mut checks: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    // Those come only where there is an API server.
    for of_the_cluster in ["api-server", "cluster-role", "token-keys"] {
        ensure!(!checks.contains(&of_the_cluster), "{of_the_cluster} without a cluster");
        checks.push(of_the_cluster);
    }
    let page = read("docs/troubleshooting.md")?;
    let mut parts: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    checks.sort_unstable();
    parts.sort_unstable();
    assert_eq!(parts, checks);
    Ok(())
}

#[test]
fn the_readmes_daemon_starts_with_the_readmes_graph_and_answers_its_commands() -> Result<()> {
    let readme = read("README.md")?;
    let mut commands: Vec<(Typed, String)> = documents::commands()?
        .into_iter()
        .filter_map(|typed| of_observer(&typed).map(|command| (typed, command)))
        .collect();
    let is_run = |(_, command): &(Typed, String)| command.starts_with("run ");
    let (_, run) = commands.remove(commands.iter().position(is_run).context("no `observer run`")?);
    ensure!(!commands.iter().any(is_run), "a second `observer run`: say here how it is tested");
    let graphs: Vec<String> =
        blocks(&readme, "yaml").into_iter().filter(|block| block.contains("kind: ServiceGraph")).collect();
    ensure!(graphs.len() == 1 && !commands.is_empty(), "README.md: {} graphs", graphs.len());

    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").start()?;
    let orders = node.pod("shop", "orders").start()?;
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let issuer = TokenIssuer::new("https://kubernetes.default.svc")?;
    let directory = Directory::new()?;
    directory.write("cluster.yaml", node.inventory_yaml())?;
    directory.write("shop.yaml", &graphs[0])?;
    fs::copy(issuer.jwks(), directory.path().join("keys.json"))?;

    // The default port and the default socket, but in namespaces of their own: this machine's may be taken.
    let binary = release_binary()?.display().to_string();
    let mut daemon = Command::new("unshare");
    daemon.args(["--mount", "--propagation", "private", "sh", "-c"]);
    daemon.arg(format!("mount -t tmpfs tmpfs /run && exec {binary} {run}")).current_dir(directory.path());
    let log = directory.path().join("stderr");
    let out = directory.path().join("stdout");
    daemon.stdout(File::create(&out)?).stderr(File::create(&log)?);
    let mut daemon = node.host_spawn(daemon)?;
    let ready = || node.host().run(["curl", "-sSf", "http://127.0.0.1:9464/readyz"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready()?.status.success() {
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(daemon.is_running()?, "`observer {run}` ended: {}", said());
        ensure!(Instant::now() < deadline, "`observer {run}` is not ready: {}", said());
        thread::sleep(Duration::from_millis(50));
    }

    let pid = daemon.pid().to_string();
    let call = || {
        let head = wire::get(&[]);
        wire::talk(&orders, &payments.ip4.to_string(), 8080, &[Step::Send(head.as_bytes()), Step::Hear])
    };
    call()?;
    thread::sleep(Duration::from_secs(1));
    for (typed, command) in &commands {
        let follows = command.split_whitespace().any(|word| word == "--follow" || word == "-f");
        let endless = follows || command == "ui";
        let mut words =
            vec!["nsenter", "--mount", "--target", &pid, "timeout", if endless { "2" } else { "30" }];
        words.push(&binary);
        words.extend(command.split_whitespace());
        let output = thread::scope(|scope| {
            let running = scope.spawn(|| node.host().run(&words));
            if follows {
                thread::sleep(Duration::from_millis(700));
                call()?;
            }
            running.join().map_err(|_| anyhow::anyhow!("`observer {command}` cannot be run"))?
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        // timeout(1): 124 if it had to end it.
        let wanted = if endless { 124 } else { 0 };
        let told = format!(
            "`observer {command}`: {}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(well(&output, wanted, typed), "{}, {told}", typed.page);
        let shows = match command.as_str() {
            "doctor" => "cgroup",
            // Nothing is wrong here, and files without Roles leave something to be known.
            "posture" => "cluster-admin",
            "ui" => "http://127.0.0.1:",
            "flows --follow" | "findings" | "edges" => "shop/orders",
            _ => "",
        };
        ensure!(said.contains(shows), "{shows} is not in {told}");
    }
    let metrics = node.host().run_ok(["curl", "-sSf", "http://127.0.0.1:9464/metrics"])?;
    ensure!(metrics.contains("observer_flows_total{"), "{metrics}");

    let status = daemon.stop(Duration::from_secs(10))?;
    ensure!(status.code() == Some(0), "{status}: {}", fs::read_to_string(&log)?);
    let records = fs::read_to_string(&out)?;
    let is_it = |record: &Value| record["final"] == true && record["server"]["principal"] == "shop/payments";
    let records: Vec<Value> = records.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let record = records.iter().find(|record| is_it(record)).context("no record of the call")?;
    ensure!(record["declaration"]["status"] == "allowed", "{record:#}");
    ensure!(record["declaration"]["source"] == "ServiceGraph shop/shop", "{record:#}");
    Ok(())
}

/// As the page has it: with its answer, or the code `wanted`.
fn well(output: &Output, wanted: i32, typed: &Typed) -> bool {
    let said = String::from_utf8_lossy(&output.stdout);
    typed.is_answered_by(&said) && (output.status.code() == Some(wanted) || !typed.answer.is_empty())
}
