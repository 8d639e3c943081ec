use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use tokio::sync::watch;

use super::output::Printer;
use super::{Cli, CliError, Command, FlowsArgs, edges, findings, flows, posture};
use crate::model::{FindingKind, FlowRecord};
use crate::sink::fixture::{TempDir, edge, metrics, record};
use crate::sink::{BoundSocket, Sinks, StoreLimits, api};

/// A daemon's sinks behind a real socket.
struct Daemon {
    sinks: Sinks,
    socket: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
    _stop: watch::Sender<bool>,
    _dir: TempDir,
}

impl Daemon {
    fn start() -> Self {
        let dir = TempDir::new();
        let socket = dir.path().join("observer.sock");
        let sinks = Sinks::new(Arc::new(metrics()), StoreLimits::default(), None);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let bound = {
            let _inside = runtime.enter();
            BoundSocket::bind(&socket).unwrap()
        };
        runtime.spawn(api::serve(
            bound,
            (sinks.feed.clone(), sinks.board.clone()),
            sinks.metrics.clone(),
            "1.2.3",
            stopped,
        ));
        Self { sinks, socket, runtime: Some(runtime), _stop: stop, _dir: dir }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn parse(socket: &Path, command: &[&str]) -> Command {
    let socket = ["--socket", socket.to_str().unwrap()];
    Cli::try_parse_from(["observer"].iter().chain(command).chain(&socket)).unwrap().command
}

fn print(socket: &Path, command: &[&str]) -> Result<String, CliError> {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out);
    match parse(socket, command) {
        Command::Flows(args) => flows::run(&args, &mut printer),
        Command::Findings(args) => findings::run(&args, &mut printer),
        Command::Edges(args) => edges::run(&args, &mut printer),
        Command::Posture(args) => posture::run(&args, &mut printer).map(drop),
        other => panic!("{other:?}"),
    }?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn json_is_printed_as_the_daemon_sent_it() {
    let daemon = Daemon::start();
    daemon.sinks.record(&edge(), record(1));
    daemon.sinks.record(&edge(), record(2));
    let text = print(&daemon.socket, &["flows", "-o", "json", "--last", "1"]).unwrap();
    assert_eq!(text, serde_json::to_string(&record(2)).unwrap() + "\n");
}

#[test]
fn flows_shows_the_last_twenty_unless_told_otherwise() {
    let daemon = Daemon::start();
    for n in 0..30 {
        daemon.sinks.record(&edge(), record(n));
    }
    let lines = |command: &[&str]| print(&daemon.socket, command).unwrap().lines().count();
    assert_eq!(lines(&["flows"]), 1 + 20);
    assert_eq!(lines(&["flows", "--last", "3"]), 1 + 3);
    // Record 10 is at 22:13:30.
    assert_eq!(lines(&["flows", "--since", "2023-11-14T22:13:30Z"]), 1 + 20);
    assert_eq!(lines(&["flows", "--since", "2000-01-01T00:00:00Z"]), 1 + 30);
    assert_eq!(lines(&["flows", "--since", "5m"]), 0);
    assert_eq!(lines(&["flows", "-n", "nowhere"]), 0);
}

#[test]
fn findings_are_a_table_with_a_sentence_each() {
    let daemon = Daemon::start();
    let mut bad = record(1);
    bad.findings = vec![FindingKind::LegacyToken, FindingKind::Unencrypted];
    daemon.sinks.record(&edge(), bad);
    let text = print(&daemon.socket, &["findings"]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let heading: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(heading, ["KIND", "CLIENT", "SERVER", "PORT", "FLOWS", "LAST-SEEN", "EXPLANATION"]);
    let row = "unencrypted   shop/orders  shop/payments  8080  1      2023-11-14T22:13:21Z  ";
    assert!(lines[1].starts_with(row), "{text}");
    assert!(lines[1].ends_with('.') && lines[2].ends_with('.'));
    let one = print(&daemon.socket, &["findings", "--finding", "legacy-token", "-o", "json"]).unwrap();
    assert_eq!(one.lines().count(), 1);
    assert!(one.starts_with("{\"kind\":\"legacy-token\","));
}

#[test]
fn edges_sum_up_what_they_carried() {
    let daemon = Daemon::start();
    daemon.sinks.record(&edge(), record(1));
    daemon.sinks.record(&edge(), record(2));
    let text = print(&daemon.socket, &["edges"]).unwrap();
    let row: Vec<&str> =
        text.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect();
    assert_eq!(
        row,
        [
            "shop/orders",
            "shop/payments",
            "8080",
            "tcp",
            "2",
            "none 2",
            "plaintext 2",
            "ungoverned 2",
            "-",
            "2023-11-14T22:13:22Z"
        ]
    );
}

/// Gives up after so many lines, as `head` does.
struct Head(Vec<u8>, usize);

impl std::io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.iter().filter(|byte| **byte == b'\n').count() >= self.1 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn follow_prints_what_comes_and_ends_quietly_with_its_reader() {
    let daemon = Daemon::start();
    daemon.sinks.record(&edge(), record(1));
    let socket = daemon.socket.clone();
    let reader = std::thread::spawn(move || {
        let Command::Flows(args) = parse(&socket, &["flows", "-f", "-o", "json"]) else { panic!() };
        let args: FlowsArgs = args;
        let mut printer = Printer::new(Head(Vec::new(), 2));
        let result = flows::run(&args, &mut printer);
        (result, printer.into_inner().0)
    });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut n = 2;
    while !reader.is_finished() {
        assert!(std::time::Instant::now() < until);
        daemon.sinks.record(&edge(), record(n));
        n += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (result, text) = reader.join().unwrap();
    assert!(result.is_ok(), "{result:?}");
    let records: Vec<FlowRecord> =
        String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert!(records[0].time > record(1).time, "nothing older than the question");
}

#[test]
fn no_daemon_is_one_line_that_names_the_path_and_the_way_out() {
    let dir = TempDir::new();
    let path = dir.path().join("observer.sock");
    let error = print(&path, &["flows"]).unwrap_err();
    assert!(matches!(error, CliError::Failed(_)), "exit 1");
    let text = error.to_string();
    assert!(
        text.contains(path.to_str().unwrap()) && text.contains("observer run") && text.contains("--socket")
    );
    assert!(!text.contains('\n'));
}

/// Something that answers with `text` and closes.
fn impostor(text: &'static str) -> (TempDir, PathBuf, std::thread::JoinHandle<()>) {
    let dir = TempDir::new();
    let path = dir.path().join("observer.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (dir, path, thread)
}

#[test]
fn a_daemon_of_another_version_is_named_as_such() {
    let (_dir, path, thread) = impostor("{\"protocol\":99,\"version\":\"9.9.9\"}\n");
    let error = print(&path, &["edges"]).unwrap_err().to_string();
    assert!(error.contains("9.9.9") && error.contains("99") && error.contains("protocol 1"), "{error}");
    thread.join().unwrap();
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for (text, expected) in [
        ("", "refused to answer"),
        ("HTTP/1.1 400 Bad Request\r\n", "is no observer"),
        ("{\"protocol\":1,\"version\":\"1.2.3\"}\n", "went away"),
        (
            "{\"protocol\":1,\"version\":\"1.2.3\"}\n{\"error\":\"too many clients\"}\n",
            "says: too many clients",
        ),
        ("{\"protocol\":1,\"version\":\"1.2.3\"}\n{\"nonsense\":1}\n", "cannot be read"),
    ] {
        let (_dir, path, thread) = impostor(text);
        let error = print(&path, &["edges"]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        thread.join().unwrap();
    }
}

#[test]
fn usage_errors_leave_with_2() {
    for command in [
        &["observer", "flows", "--finding", "nonsense"][..],
        &["observer", "flows", "--from", "orders"],
        &["observer", "flows", "--since", "yesterday"],
        &["observer", "flows", "-o", "xml"],
        &["observer", "run", "--listen", "nowhere"],
        &["observer", "run", "--nonsense"],
        &["observer"],
    ] {
        let error = Cli::try_parse_from(command).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{command:?}");
    }
    assert_eq!(
        format!("{:?}", CliError::Usage(String::new()).exit_code()),
        format!("{:?}", std::process::ExitCode::from(2))
    );
}

#[test]
fn posture_is_what_the_observing_thread_pins_and_says_whether_anything_was_found() {
    use crate::model::{PostureKind, PostureRow, PostureStatus};
    let daemon = Daemon::start();
    let row = |status, account: &str| PostureRow {
        kind: PostureKind::SharedServiceAccount,
        status,
        reason: None,
        namespace: Some(account.split_once('/').unwrap().0.into()),
        service_account: Some(account.split_once('/').unwrap().1.into()),
        workloads: vec!["Deployment/a".to_owned(), "Deployment/b".to_owned()],
        powers: Vec::new(),
        node: None,
        since: None,
        seconds: None,
        flows: None,
        detail: "shared".to_owned(),
        fix: "one each".to_owned(),
    };
    let pinned = vec![row(PostureStatus::Found, "shop/orders"), row(PostureStatus::Unknown, "bank/vault")];
    let board = daemon.sinks.board.clone();
    let observing = std::thread::spawn(move || {
        for _ in 0..3 {
            while !board.is_wanted() {
                std::thread::yield_now();
            }
            board.begin();
            board.pin(pinned.clone());
        }
    });
    let ask = |command: &[&str]| {
        let Command::Posture(args) = parse(&daemon.socket, command) else { unreachable!() };
        let mut out = Vec::new();
        let found = posture::run(&args, &mut Printer::new(&mut out)).unwrap();
        (found, String::from_utf8(out).unwrap())
    };
    let (found, text) = ask(&["posture"]);
    assert!(found && text.contains("shop/orders") && text.contains("Deployment/a, Deployment/b"), "{text}");
    let (found, text) = ask(&["posture", "-n", "bank"]);
    assert!(!found && !text.contains("shop/orders"), "{text}");
    let (_, json) = ask(&["posture", "-o", "json", "-n", "shop"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["service_account"], "orders");
    observing.join().unwrap();
}
