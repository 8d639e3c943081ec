//! Runs the rows, and tells what came of them: a line a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::Process;
use observer_integration::{Capture, Daemon};
use serde_json::Value;

use crate::judge::{Judged, judge};
use crate::reading::Reading;
use crate::row::{On, Row};
use crate::scene::{At, Scene};
use crate::witness;

/// Rows at a time: most of them wait for programs to start and to end.
const AT_ONCE: usize = 3;
const FIRST_PORT: u16 = 8000;
/// A record comes within a second of its connection's end; the rest is for a busy machine.
const RECORDS_WITHIN: Duration = Duration::from_secs(10);

/// Columns are aligned up to here; what is longer sticks out.
const WIDEST: usize = 100;

/// See the module.
pub struct Table {
    lines: Vec<Line>,
    /// Of what all rows share.
    faults: Vec<String>,
    took: Duration,
}

struct Line {
    case: String,
    ends: String,
    judged: Judged,
    notes: Vec<String>,
}

/// # Errors
/// What all rows share cannot be had; what goes wrong with a row is told in its line.
pub fn run(rows: Vec<Row>) -> Result<Table> {
    let start = Instant::now();
    let wanted = std::env::var("OBSERVER_CONFORMANCE_ROWS").unwrap_or_default();
    let rows: Vec<(u16, Row)> =
        (FIRST_PORT..).zip(rows).filter(|(_, row)| row.case.contains(&wanted)).collect();
    ensure!(!rows.is_empty(), "no row has {wanted:?} in its case");
    let scene = Scene::new(&rows)?;
    let captures = [Capture::start(&scene.server)?, Capture::start(&scene.middle)?];
    let begun = rows.iter().map(|(port, row)| begin(&scene, *port, row)).collect::<Result<Vec<_>>>()?;
    let daemon = scene.daemon()?;
    let mishaps = act(&scene, &rows, begun);

    let records = records(&daemon, &rows)?;
    let mut faults = Vec::new();
    let lost = daemon.metric("observer_lost_events_total", &[])?;
    if lost != 0.0 {
        faults.push(format!("FAIL the daemon lost {lost} events"));
    }
    if daemon.stdout().contains(&scene.token) || daemon.log().contains(&scene.token) {
        faults.push("FAIL a token is in what the daemon says".to_owned());
    }
    let dialects: Vec<String> =
        rows.iter().filter_map(|(port, row)| Some(format!("tcp.port=={port},{}", row.dialect?))).collect();
    let [server, middle] =
        captures.map(|capture| capture.stop().and_then(|all| witness::read(&all, &dialects)));
    let (server, middle) = (server?, middle?);
    let lines = rows.iter().zip(mishaps).map(|((port, row), mishap)| {
        let witness = if row.on == On::Middle { &middle } else { &server };
        let witness = witness.get(port).map_or(&[][..], Vec::as_slice);
        line(row, &records[port], witness, mishap)
    });
    Ok(Table { lines: lines.collect(), faults, took: start.elapsed() })
}

fn at<'a>(scene: &'a Scene, port: u16, row: &Row) -> At<'a> {
    // Both families, in turn, where the server listens on both.
    At { scene, port, six: row.nginx.is_some() && port % 2 == 1, on: row.on }
}

/// What a row started before the daemon: its servers, and its client, which waits.
type Begun = Option<(Vec<Process>, Process)>;

fn begin(scene: &Scene, port: u16, row: &Row) -> Result<Mutex<Begun>> {
    let begun = row.begin.as_ref().map(|begin| begin(&at(scene, port, row)));
    Ok(Mutex::new(begun.transpose().with_context(|| row.case.clone())?))
}

/// Runs the rows; for each, what went wrong.
fn act(scene: &Scene, rows: &[(u16, Row)], begun: Vec<Mutex<Begun>>) -> Vec<Option<String>> {
    let next = AtomicUsize::new(0);
    let mishaps: Vec<Mutex<Option<String>>> = rows.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < rows.len())
        {
            let (port, row) = &rows[index];
            let mine = begun[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            let outcome = mine
                .map_or(Ok(()), go_on)
                .and_then(|()| row.act.as_ref().map_or(Ok(()), |act| act(&at(scene, *port, row))));
            if let Err(error) = outcome {
                *mishaps[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    mishaps.into_iter().map(|mishap| mishap.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn go_on((servers, mut client): (Vec<Process>, Process)) -> Result<()> {
    client.child().stdin.take().context("stdin")?.write_all(b"\n")?;
    let status = client.wait(Duration::from_secs(10))?;
    ensure!(status.success(), "the client ended with {status}");
    drop(servers);
    Ok(())
}

/// The last records of each row's connections.
fn records(daemon: &Daemon, rows: &[(u16, Row)]) -> Result<BTreeMap<u16, Vec<Value>>> {
    let deadline = Instant::now() + RECORDS_WITHIN;
    loop {
        let mut found: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
        let all = daemon.records()?;
        for (port, row) in rows {
            let principal = if row.on == On::Middle { "shop/middle" } else { "shop/server" };
            let mine = all.iter().filter(|record| {
                // A conversation of datagrams has no end that one could wait for.
                (record["final"] == true || record["transport"] == "udp")
                    && record["server"]["port"] == *port
                    && record["server"]["principal"] == principal
                    && record["client"]["principal"] != principal
            });
            let by_client: BTreeMap<Option<u64>, &Value> =
                mine.clone().map(|record| (record["client"]["port"].as_u64(), record)).collect();
            let udp = mine.clone().any(|record| record["transport"] == "udp");
            let mine: Vec<Value> =
                if udp { by_client.into_values().cloned().collect() } else { mine.cloned().collect() };
            found.insert(*port, mine);
        }
        let complete = rows.iter().all(|(port, row)| found[port].len() >= row.connections);
        if complete || Instant::now() > deadline {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn line(row: &Row, records: &[Value], witness: &[Reading], mishap: Option<String>) -> Line {
    let mut judged = judge(row, records, witness);
    judged.faults.splice(0..0, mishap);
    let mut notes: Vec<String> = row.otherwise.iter().map(|(what, why)| format!("{what}: {why}")).collect();
    notes.extend([row.unread, row.unread_at_times].into_iter().flatten().map(str::to_owned));
    Line { case: row.case.clone(), ends: format!("{} → {}", row.client, row.server), judged, notes }
}

impl Table {
    /// For each row that failed, why; and what else went wrong.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.lines.iter().filter(|line| !line.judged.faults.is_empty());
        let tell = |line: &Line| {
            let faults = line.judged.faults.join("; ");
            format!(
                "FAIL {}: {faults}\n  observer: {}\n  tshark: {}",
                line.case, line.judged.observer, line.judged.tshark
            )
        };
        failed.map(tell).chain(self.faults.clone()).collect()
    }

    /// Writes it where `cargo xtask test` looks for it, or prints it.
    pub fn publish(&self) -> Result<()> {
        match std::env::var_os("OBSERVER_CONFORMANCE_TABLE") {
            Some(file) => std::fs::write(&file, self.text()).with_context(|| format!("{}", file.display())),
            None => {
                println!("{}", self.text());
                Ok(())
            }
        }
    }

    fn text(&self) -> String {
        let width = |of: fn(&Line) -> &str| {
            self.lines.iter().map(|line| of(line).chars().count()).max().unwrap_or_default().min(WIDEST)
        };
        let (case, ends) = (width(|line| &line.case), width(|line| &line.ends));
        let (observer, tshark) = (width(|line| &line.judged.observer), width(|line| &line.judged.tshark));
        let mut text = String::new();
        let mut row = |cells: [&str; 5]| {
            let [a, b, c, d, e] = cells;
            let _ = writeln!(text, "{a:case$} | {b:ends$} | {c:observer$} | {d:tshark$} | {e}");
        };
        row(["case", "client → server", "observer", "tshark", ""]);
        for line in &self.lines {
            let result = match (line.judged.faults.is_empty(), line.notes.is_empty()) {
                (true, true) => "ok".to_owned(),
                (true, false) => format!("ok ({})", line.notes.join("; ")),
                (false, _) => format!("FAIL: {}", line.judged.faults.join("; ").replace('\n', " ")),
            };
            row([&line.case, &line.ends, &line.judged.observer, &line.judged.tshark, &result]);
        }
        let rows = self.lines.len();
        let failed = self.lines.iter().filter(|line| !line.judged.faults.is_empty()).count();
        let witnessed = self.lines.iter().filter(|line| line.judged.tshark != "-").count();
        let _ = writeln!(
            text,
            "{rows} rows: {} ok, {failed} failed; tshark read {witnessed} of them; {:.1} s",
            rows - failed,
            self.took.as_secs_f64()
        );
        self.faults.iter().for_each(|fault| text = format!("{text}{fault}\n"));
        text
    }
}
