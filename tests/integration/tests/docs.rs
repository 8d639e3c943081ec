//! What README.md tells people to type works as it stands there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::SimNode;
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Directory, TokenIssuer, release_binary};
use serde_json::Value;

/// Where the README says the build puts it.
const BINARY: &str = "target/release/observer";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

/// The fenced blocks of one language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if fence == language {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

/// The commands of all `console` blocks, without their prompts.
fn commands() -> Result<Vec<String>> {
    let readme = read("README.md")?;
    let lines: Vec<String> =
        blocks(&readme, "console").iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "README.md has no console block");
    lines
        .iter()
        .map(|line| Ok(line.strip_prefix("$ ").with_context(|| format!("no prompt: {line}"))?.to_owned()))
        .collect()
}

#[test]
fn ci_runs_the_readmes_own_commands() -> Result<()> {
    ensure!(
        read(".ci/run")?.lines().any(|line| line == "exec cargo xtask ci"),
        ".ci/run does not run `cargo xtask ci`"
    );
    let stages = read("xtask/src/ci.rs")?;
    let tests = read("xtask/src/test.rs")?;
    let mut seen = Vec::new();
    for command in commands()? {
        if let Some(xtask) = command.strip_prefix("cargo xtask ") {
            let called = format!("{xtask}::");
            let is_called = |line: &str| line.contains(&called) && line.contains("stages");
            ensure!(stages.lines().chain(tests.lines()).any(is_called), "CI has no stage of `{command}`");
            seen.push(xtask.to_owned());
        } else if command == "cargo build --release -p observer" {
            let build = "[\"build\", \"--release\", \"--package\", \"observer\"]";
            ensure!(tests.contains(build), "CI does not `{command}`");
        } else {
            // tests/deploy runs what is for a cluster.
            let runs = [BINARY, "helm install ", "kubectl "].iter().any(|start| command.starts_with(start));
            ensure!(runs, "nobody runs `{command}`: neither CI nor a test");
        }
    }
    ensure!(seen == ["demo", "test", "image"], "the README's xtask commands are {seen:?}");
    Ok(())
}

#[test]
fn the_readmes_daemon_starts_with_the_readmes_graph_and_answers_its_commands() -> Result<()> {
    let readme = read("README.md")?;
    let commands = commands()?;
    let of_observer = |command: &String| command.strip_prefix(BINARY).map(|rest| rest.trim().to_owned());
    let mut commands: Vec<String> = commands.iter().filter_map(of_observer).collect();
    let run = commands.iter().position(|command| command.starts_with("run ")).context("no `observer run`")?;
    let run = commands.remove(run);
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
    for command in &commands {
        let follows = command.split_whitespace().any(|word| word == "--follow" || word == "-f");
        let mut words =
            vec!["nsenter", "--mount", "--target", &pid, "timeout", if follows { "2" } else { "30" }];
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
        let wanted = if follows { 124 } else { 0 };
        let told = format!(
            "`observer {command}`: {}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(output.status.code() == Some(wanted), "{told}");
        let shows = match command.split_whitespace().next() {
            Some("doctor") => "cgroup",
            // Nothing is wrong here, and files without Roles leave something to be known.
            Some("posture") => "cluster-admin",
            _ => "shop/orders",
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
