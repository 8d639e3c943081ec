//! Settings that change while the daemon runs, and what bounds its output.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use observer_harness::SimNode;
use observer_integration::wire::{self, Manners, Step};
use observer_integration::{Daemon, Directory};

/// The file is looked at every second, twice; the rest is for a busy machine.
const WITHIN: Duration = Duration::from_secs(15);

const SUCCESSFUL: &str = "observer_config_last_reload_successful";
const SUCCESS: &str = "observer_config_last_reload_success_timestamp_seconds";

/// A ConfigMap's volume as the kubelet keeps it: the file is a link into a directory that a link is swapped to.
struct Volume {
    directory: Directory,
    versions: u32,
}

impl Volume {
    fn new(yaml: &str) -> Result<Self> {
        let mut volume = Self { directory: Directory::new()?, versions: 0 };
        volume.becomes(yaml)?;
        symlink("..data/config.yaml", volume.file())?;
        Ok(volume)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    fn becomes(&mut self, yaml: &str) -> Result<()> {
        self.versions += 1;
        let (version, path) = (format!("..{}", self.versions), self.directory.path());
        fs::create_dir(path.join(&version))?;
        fs::write(path.join(&version).join("config.yaml"), yaml)?;
        symlink(&version, path.join("..data_tmp"))?;
        fs::rename(path.join("..data_tmp"), path.join("..data"))?;
        if self.versions > 1 {
            fs::remove_dir_all(path.join(format!("..{}", self.versions - 1)))?;
        }
        Ok(())
    }
}

fn wait(daemon: &Daemon, what: &str, met: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    while !met()? {
        if Instant::now() > deadline {
            bail!("not within {WITHIN:?}: {what}\n{}", daemon.log());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn a_changed_config_takes_effect_without_a_restart_and_a_bad_one_does_not() -> Result<()> {
    let node = SimNode::builder().start()?;
    let (server, client) = (node.pod("shop", "server").start()?, node.pod("shop", "client").start()?);
    let _servers = wire::listen(&server, &[(8080, Manners::Answer)])?;
    let mut volume = Volume::new("udp_idle: 30\n")?;
    let config = volume.file().display().to_string();
    let daemon = Daemon::builder().arguments(["--config", &config]).start(&node)?;
    let call = |times: usize| -> Result<Vec<String>> {
        let plain = wire::get(&[]);
        let steps = [Step::Send(plain.as_bytes()), Step::Hear];
        wire::talk(&client, &server.ip4.to_string(), 8080, &steps)?;
        wait(&daemon, "the flow's end", || Ok(daemon.finals("shop/client", "shop/server")?.len() == times))?;
        let last = daemon.finals("shop/client", "shop/server")?.pop().unwrap_or_default();
        let findings = last["findings"].as_array().cloned().unwrap_or_default();
        Ok(findings.iter().map(|kind| kind.as_str().unwrap_or_default().to_owned()).collect())
    };
    let says = |word: &str| daemon.log().matches(word).count();
    let started = daemon.metric(SUCCESS, &[])?;
    ensure!(daemon.metric(SUCCESSFUL, &[])? == 1.0 && started > 1.0e9, "{started}");
    ensure!(call(1)? == ["unencrypted", "unauthenticated"]);

    let exempt = "exemptions: [{kind: unauthenticated, client: shop/client, reason: migration}]\n";
    volume.becomes(exempt)?;
    wait(&daemon, "a reload", || Ok(daemon.metric(SUCCESS, &[])? > started))?;
    ensure!(call(2)? == ["unencrypted"]);
    let exempted = ["kind=\"unauthenticated\"", "reason=\"migration\""];
    ensure!(daemon.metric("observer_exempted_total", &exempted)? == 1.0);
    ensure!(daemon.metric(SUCCESSFUL, &[])? == 1.0, "{}", daemon.log());

    let reloaded = daemon.metric(SUCCESS, &[])?;
    volume.becomes("exemptions: []\nudp_idel: 3\n")?;
    wait(&daemon, "a failed reload", || Ok(daemon.metric(SUCCESSFUL, &[])? == 0.0))?;
    ensure!(daemon.metric(SUCCESS, &[])? == reloaded, "a failure is no success");
    ensure!(call(3)? == ["unencrypted"], "what was in force before stays");
    thread::sleep(Duration::from_secs(3));
    let complaints = says("config not reloaded");
    ensure!(complaints == 1 && says("unknown key \"udp_idel\"") == 1, "{}", daemon.log());

    volume.becomes(&format!("{exempt}series_budget: 2000\nlog_level: debug\n"))?;
    wait(&daemon, "a word on the restart", || Ok(says("takes effect only with a restart") == 1))?;
    ensure!(says("series_budget changed") == 1, "{}", daemon.log());
    ensure!(daemon.metric(SUCCESSFUL, &[])? == 0.0, "not all of it is in force");
    volume.becomes(exempt)?;
    wait(&daemon, "what the daemon has already", || Ok(daemon.metric(SUCCESSFUL, &[])? == 1.0))?;
    Ok(())
}

#[test]
fn the_log_level_changes_with_the_file_and_a_flag_wins_over_it() -> Result<()> {
    let node = SimNode::builder().start()?;
    let mut volume = Volume::new("{}\n")?;
    let config = volume.file().display().to_string();
    let daemon = Daemon::builder().arguments(["--config", &config, "--output", "none"]).start(&node)?;
    volume.becomes("log_level: error\noutput: text\n")?;
    wait(&daemon, "a reload", || Ok(daemon.log().contains("config reloaded")))?;
    volume.becomes("log_level: error\noutput: loud\n")?;
    wait(&daemon, "a failed reload", || Ok(daemon.metric(SUCCESSFUL, &[])? == 0.0))?;
    ensure!(!daemon.log().contains("restart"), "the flag hides what the file says: {}", daemon.log());
    ensure!(!daemon.log().contains("not reloaded"), "that is a warning: {}", daemon.log());
    Ok(())
}

#[test]
fn stdout_gets_no_more_records_than_the_rate_and_the_rest_is_counted_and_in_the_socket() -> Result<()> {
    const FLOWS: usize = 200;
    let node = SimNode::builder().start()?;
    let (server, client) = (node.pod("shop", "server").start()?, node.pod("shop", "client").start()?);
    let _servers = wire::listen(&server, &[(9000, Manners::Sink)])?;
    let daemon = Daemon::builder().arguments(["--flow-rate", "10"]).start(&node)?;
    let begun = Instant::now();
    wire::flood(&client, &server.ip4.to_string(), 9000, FLOWS)?;
    let dropped = || daemon.metric("observer_lost_events_total", &["stage=\"flow_rate\""]);
    let all = || -> Result<usize> {
        let output = daemon.ask(&["flows", "--last", "1000", "-o", "json"])?;
        Ok(String::from_utf8(output.stdout)?.lines().count())
    };
    wait(&daemon, "all flows", || Ok(daemon.metric("observer_flows_total", &[])? >= FLOWS as f64))?;
    thread::sleep(Duration::from_secs(1));
    let (written, all, dropped) = (daemon.records()?.len(), all()?, dropped()?);
    // Five seconds' worth at once, and what has come back since.
    let most = 50 + 10 * (begun.elapsed().as_secs() as usize + 1);
    ensure!((50..=most).contains(&written), "{written} of {all} records in {:?}", begun.elapsed());
    ensure!(all >= FLOWS && all == written + dropped as usize, "{all} = {written} + {dropped}");
    ensure!(daemon.metric("observer_lost_events_total", &[])? == dropped, "nothing else is lost");
    Ok(())
}

#[test]
fn series_of_pods_that_nobody_knows_go_when_they_are_idle_and_those_of_known_ones_stay() -> Result<()> {
    let node = SimNode::builder().start()?;
    let (server, client) = (node.pod("shop", "server").start()?, node.pod("shop", "client").start()?);
    let config = Directory::new()?;
    let path = config.write("config.yaml", "series_idle: 2\n")?.display().to_string();
    let daemon = Daemon::builder().arguments(["--config", &path]).start(&node)?;
    // Not in the inventory, which was written before.
    let strangers = [node.pod("late", "server").start()?, node.pod("late", "client").start()?];
    let manners = [(8080, Manners::Answer)];
    let _servers = [wire::listen(&server, &manners)?, wire::listen(&strangers[0], &manners)?];
    let plain = wire::get(&[]);
    let steps = [Step::Send(plain.as_bytes()), Step::Hear];
    let unknown = ["client_kind=\"unknown\"", "server_kind=\"unknown\""];
    let known = ["client_service_account=\"client\"", "server_service_account=\"server\""];
    let requests = |labels: &[&str]| daemon.metric("observer_requests_total", labels);
    let samples = || -> Result<usize> {
        Ok(daemon.get("/metrics")?.lines().filter(|line| line.starts_with("observer_")).count())
    };
    wire::talk(&client, &server.ip4.to_string(), 8080, &steps)?;
    wait(&daemon, "the known edge", || Ok(requests(&known)? == 1.0))?;
    daemon.wait_final("shop/client", "shop/server")?;
    let before = samples()?;
    wire::talk(&strangers[1], &strangers[0].ip4.to_string(), 8080, &steps)?;
    wait(&daemon, "the edge of strangers", || Ok(requests(&unknown)? == 1.0))?;
    ensure!(samples()? > before);
    wait(&daemon, "that edge to go", || Ok(requests(&unknown)? == 0.0))?;
    // Why its ends were not resolved stays told.
    let reasons = daemon.get("/metrics")?.matches("observer_unresolved_flows_total{").count();
    ensure!(samples()? == before + reasons, "its series were given back: {} {before} {reasons}", samples()?);
    thread::sleep(Duration::from_secs(4));
    ensure!(requests(&known)? == 1.0, "a quiet edge of pods that are there stays");
    wire::talk(&strangers[1], &strangers[0].ip4.to_string(), 8080, &steps)?;
    wait(&daemon, "the edge again", || Ok(requests(&unknown)? == 1.0))?;
    Ok(())
}

/// Refused ones, which their client's end reports: an edge for each port.
const SCAN: &str = "\
import socket, sys
for port in range(1, 2001):
    s = socket.socket()
    try: s.connect((sys.argv[1], port))
    except OSError: pass
    s.close()
";

#[test]
fn a_scan_of_ports_makes_no_more_samples_than_the_budget_and_all_of_it_is_counted() -> Result<()> {
    const BUDGET: usize = 1_000;
    let node = SimNode::builder().start()?;
    let (server, client) = (node.pod("shop", "server").start()?, node.pod("shop", "client").start()?);
    let config = Directory::new()?;
    let path = config.write("config.yaml", format!("series_budget: {BUDGET}\n"))?.display().to_string();
    let daemon = Daemon::builder().arguments(["--config", &path]).start(&node)?;
    client.run_ok(["python3", "-c", SCAN, &server.ip4.to_string()])?;
    let flows = |labels: &[&str]| daemon.metric("observer_flows_total", labels);
    wait(&daemon, "all flows", || Ok(flows(&[])? == 2_000.0))?;
    for accept in ["text/plain", "application/openmetrics-text"] {
        let answer = daemon.get_as("/metrics", accept)?;
        let samples = answer.lines().filter(|line| line.starts_with("observer_")).count();
        ensure!((BUDGET / 2..=BUDGET).contains(&samples), "{samples} samples of {BUDGET}");
    }
    let overflow = flows(&["server_port=\"_overflow\""])?;
    ensure!(overflow > 1_000.0 && daemon.metric("observer_series_overflow_total", &[])? >= overflow);
    Ok(())
}
