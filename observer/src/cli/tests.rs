use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use tokio::sync::watch;

use super::output::Printer;
use super::{Cli, CliError, Command, FlowsArgs, completion, edges, explain, findings, flows, posture};
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
    let below: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        below,
        [
            "",
            "1 edge, 0 with findings; 2 flows, 2 requests",
            "encrypted      0 of 2 flows, 0 % (mtls 0), unknown 0",
            "authenticated  0 of 2 requests, 0 % (verified 0), unknown 0",
            "declared       0 of 2 flows, 0 % (unexpected 0, ungoverned 2), unevaluable 0",
        ]
    );
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
    assert!(error.contains("9.9.9") && error.contains("99") && error.contains("protocol 2"), "{error}");
    thread.join().unwrap();
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for (text, expected) in [
        ("", "refused to answer"),
        ("HTTP/1.1 400 Bad Request\r\n", "is no observer"),
        ("{\"protocol\":2,\"version\":\"1.2.3\"}\n", "went away"),
        (
            "{\"protocol\":2,\"version\":\"1.2.3\"}\n{\"error\":\"too many clients\"}\n",
            "says: too many clients",
        ),
        (
            "{\"protocol\":2,\"version\":\"1.2.3\"}\n{\"error\":\"not a request: unknown field `encryption`, expected `from`\"}\n",
            "is version 1.2.3 and does not know all that this one, version 0.1.0, asks for (unknown field `encryption`, expected `from`); use the same for both",
        ),
        ("{\"protocol\":2,\"version\":\"1.2.3\"}\n{\"nonsense\":1}\n", "cannot be read"),
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
        &["observer", "flows", "--color", "red"],
        &["observer", "flows", "--encryption", "rot13"],
        &["observer", "flows", "--port", "65536"],
        &["observer", "flows", "--follow", "--until", "5m"],
        &["observer", "findings", "--encryption", "tls"],
        &["observer", "edges", "--pod", "orders"],
        &["observer", "edges", "--sort", "luck"],
        &["observer", "explain", "boredom"],
        &["observer", "completion", "tcsh"],
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
fn a_word_that_is_not_known_is_answered_with_those_that_are() {
    for (command, listed) in [
        (&["observer", "flows", "--finding", "x"][..], &["unencrypted", "default-service-account"][..]),
        (&["observer", "flows", "--encryption", "x"], &["plaintext", "tls", "mtls", "unknown"]),
        (&["observer", "flows", "--authentication", "x"], &["none", "present", "verified", "invalid"]),
        (&["observer", "flows", "--declaration", "x"], &["allowed", "unevaluable"]),
        (&["observer", "flows", "--protocol", "x"], &["http/1.1", "grpc", "postgres", "opaque"]),
        (&["observer", "flows", "--transport", "x"], &["tcp", "udp"]),
        (&["observer", "flows", "-o", "x"], &["table", "wide", "json"]),
        (&["observer", "flows", "--color", "x"], &["auto", "always", "never"]),
        (&["observer", "edges", "--sort", "x"], &["name", "flows", "last-seen"]),
        (&["observer", "explain", "x"], &["unencrypted", "attached-mid-stream"]),
        (&["observer", "completion", "x"], &["bash", "zsh", "fish"]),
    ] {
        let error = Cli::try_parse_from(command).unwrap_err().to_string();
        assert!(listed.iter().all(|word| error.contains(word)), "{command:?}: {error}");
    }
}

#[test]
fn more_values_than_an_observer_takes_are_a_usage_error() {
    let ports: Vec<String> = (1..=33).map(|port| port.to_string()).collect();
    let error = print(Path::new("/nowhere"), &["flows", "--port", &ports.join(",")]).unwrap_err();
    assert!(matches!(error, CliError::Usage(_)), "{error}");
    assert_eq!(error.to_string(), "--port has 33 values, and an observer takes 32; ask for fewer");
}

#[test]
fn values_of_a_flag_are_any_of_them_and_flags_are_all_of_them() {
    let daemon = Daemon::start();
    for n in 0..4 {
        let mut record = record(n);
        record.server.port = 8080 + u16::try_from(n).unwrap();
        daemon.sinks.record(&edge(), record);
    }
    let lines = |command: &[&str]| print(&daemon.socket, command).unwrap().lines().count();
    assert_eq!(lines(&["flows", "-o", "json", "--port", "8080", "--port", "8081,8082"]), 3);
    assert_eq!(lines(&["flows", "-o", "json", "--port", "8080,8081", "--from", "shop/orders,bank/a"]), 2);
    assert_eq!(lines(&["flows", "-o", "json", "--port", "8080,8081", "--from", "bank/a"]), 0);
    assert_eq!(lines(&["flows", "-o", "json", "--from", "shop/*", "--to", "shop/"]), 4);
    assert_eq!(lines(&["flows", "-o", "json", "--from", "bank/*"]), 0);
    // Record 2 is at 22:13:22.
    assert_eq!(lines(&["flows", "-o", "json", "--until", "2023-11-14T22:13:22Z"]), 2);
}

#[test]
fn edges_are_sorted_as_asked() {
    let daemon = Daemon::start();
    daemon.sinks.record(&crate::sink::fixture::edge_between("shop/a", "shop/payments", 80), record(9));
    daemon.sinks.record(&crate::sink::fixture::edge_between("shop/b", "shop/payments", 80), record(2));
    daemon.sinks.record(&crate::sink::fixture::edge_between("shop/b", "shop/payments", 80), record(3));
    let first = |sort: &str| {
        let json = print(&daemon.socket, &["edges", "-o", "json", "--sort", sort]).unwrap();
        let edge: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        edge["client"]["principal"].as_str().unwrap().to_owned()
    };
    assert_eq!(first("name"), "shop/a");
    assert_eq!(first("flows"), "shop/b");
    assert_eq!(first("requests"), "shop/b");
    assert_eq!(first("last-seen"), "shop/a");
    assert_eq!(first("findings"), "shop/a");
}

#[test]
fn wide_tables_have_more_columns_and_json_has_no_totals() {
    let daemon = Daemon::start();
    let mut bad = record(1);
    bad.findings = vec![FindingKind::LegacyToken];
    daemon.sinks.record(&edge(), bad);
    for (command, columns) in [
        ("flows", &["CLIENT-POD", "SERVER-ADDRESS", "HOP", "CLOSE", "REPORTER"][..]),
        ("findings", &["FIRST-SEEN", "REASON", "FIX"]),
        ("edges", &["FIRST-SEEN", "REJECTED", "FLOWS-BY-FINDING"]),
    ] {
        let (table, wide) = (
            print(&daemon.socket, &[command]).unwrap(),
            print(&daemon.socket, &[command, "-o", "wide"]).unwrap(),
        );
        for column in columns {
            let has =
                |text: &str| text.lines().next().unwrap().split_whitespace().any(|name| name == *column);
            assert!(has(&wide) && !has(&table), "{command}: {column}\n{table}{wide}");
        }
        let json = print(&daemon.socket, &[command, "-o", "json"]).unwrap();
        assert!(json.lines().all(|line| line.starts_with('{')), "{json}");
    }
}

/// What a command prints that asks nobody.
fn print_alone(command: &[&str]) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out);
    match Cli::try_parse_from(["observer"].iter().chain(command)).unwrap().command {
        Command::Explain(args) => explain::run(&args, &mut printer).unwrap(),
        Command::Completion(args) => completion::run(&args, &mut printer).unwrap(),
        other => panic!("{other:?}"),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn explain_tells_all_parts_of_a_finding() {
    for kind in FindingKind::ALL {
        let text = print_alone(&["explain", kind.as_str()]);
        for heading in ["Why it matters", "What proves it", "What to do", "How to confirm", "How to exempt"] {
            assert!(text.lines().any(|line| line == heading), "{heading}: {text}");
        }
        assert!(text.contains(&format!("kind: {kind},")), "{text}");
        assert!(
            text.lines().filter(|line| !line.starts_with("    ")).all(|line| line.len() <= 100),
            "{text}"
        );
    }
    assert!(print_alone(&["explain", "identity-mismatch"]).contains("\n  replayed: "));
}

#[test]
fn a_word_of_several_places_is_explained_for_each() {
    let text = print_alone(&["explain", "unknown"]);
    for place in ["encryption.status", "authentication.status", "client.principal"] {
        assert!(text.contains(&format!("unknown ({place})")), "{text}");
    }
    let text = print_alone(&["explain", "unexpected"]);
    assert!(
        text.contains("unexpected (finding)") && text.contains("unexpected (declaration.status)"),
        "{text}"
    );
    assert!(print_alone(&["explain", "expired"]).contains("A reason of the finding invalid-token."));
}

#[test]
fn explain_alone_lists_each_word_in_a_line() {
    let text = print_alone(&["explain"]);
    for word in super::meanings::all_words() {
        let lines = text.lines().filter(|line| line.starts_with(&format!("  {word} ")));
        assert!(lines.count() >= 1, "{word}");
    }
}

#[test]
fn every_command_has_examples_that_it_takes() {
    use clap::Command;
    let mut cli = Cli::command();
    cli.build();
    let for_people = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    // Of those that are only a name for others, the others.
    let leaves = cli.get_subcommands().filter(for_people).flat_map(|command| {
        let below: Vec<&Command> = command.get_subcommands().filter(for_people).collect();
        if below.is_empty() { vec![command] } else { below }
    });
    for command in leaves {
        let help = command.clone().render_long_help().to_string();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
        assert!(!examples.is_empty(), "{}", command.get_name());
        for example in examples {
            let words = example.trim_start_matches("source <(").trim_end_matches(')');
            let words = words.split_whitespace().take_while(|word| !word.starts_with('>'));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
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
        for _ in 0..4 {
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
    let (_, wide) = ask(&["posture", "-o", "wide"]);
    let columns: Vec<&str> = wide.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(columns[4..], ["FIX", "WORKLOADS", "POWERS", "FLOWS", "SINCE", "NODE"]);
    observing.join().unwrap();
}
