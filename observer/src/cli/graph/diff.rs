//! `observer graph diff`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::export::all;
use super::prometheus;
use crate::cli::CliError;
use crate::cli::client::SocketArgs;
use crate::cli::filter::{Since, now};
use crate::cli::output::{Ended, Format, OutputArgs, Printer};
use crate::crd::DeclaredEdge;
use crate::review::{self, Against, DiffRow, Difference, SeenEdge};
use crate::sink::query::{CoverageView, FilterRequest, ObservedEdge, Request};
use crate::sink::table::{Cell, Tone, moment};

/// How far back a Prometheus is asked, unless somebody says.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// What was seen before does not count: so long ago (30s, 5m, 1h30m, 2d), or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Edges with an end in this namespace only
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Declared edges of files, instead of those that the observer has; repeatable
    #[arg(long, value_name = "FILE|DIR")]
    pub graph: Vec<PathBuf>,
    /// What all observers of the cluster saw, of the Prometheus that scrapes them [default window: 1d]
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Answers whether there is a difference.
pub(super) fn run<W: Write>(args: &DiffArgs, out: &mut Printer<W>) -> Result<bool, CliError> {
    let now = now();
    let since = args.since.map(|since| since.moment(now));
    let declared: Vec<DeclaredEdge> = match args.graph.as_slice() {
        [] => all(&Request::Declared, &args.socket)?,
        paths => {
            review::declared_in(paths).map_err(|error| CliError::Failed(crate::cli::with_causes(&error)))?
        }
    };
    let (seen, looked_since) = match &args.prometheus {
        Some(url) => {
            let from = since.unwrap_or(now - DEFAULT_WINDOW);
            let answer = prometheus::ask(url, now.since(from))?;
            if answer.overflow > 0 {
                eprintln!(
                    "observer: {} series are summed up as _overflow: what is in them cannot be compared; raise series_budget",
                    answer.overflow
                );
            }
            (answer.edges, answer.since.max(from))
        }
        None => {
            let observed: Vec<ObservedEdge> =
                all(&Request::Observed(FilterRequest::default()), &args.socket)?;
            let coverage: Vec<CoverageView> = all(&Request::Coverage, &args.socket)?;
            let looked_since = coverage.first().map_or(now, |coverage| coverage.since);
            (observed.into_iter().map(SeenEdge::from).collect(), looked_since)
        }
    };
    let against = Against { declared: &declared, is_in_force: args.graph.is_empty() };
    let rows = review::diff(against, &seen, (looked_since, since), args.namespace.as_deref());
    Ended::or_error(print(&rows, args.output.output, out))?;
    Ok(!rows.is_empty())
}

const COLUMNS: [&str; 6] = ["DIFFERENCE", "CLIENT", "SERVER", "PORTS", "DETAIL", "LAST-SEEN"];
/// Beside those, at the end.
const MORE_IF_WIDE: [&str; 3] = ["TRANSPORT", "SOURCE", "CLAUSE"];

fn print<W: Write>(rows: &[DiffRow], format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    if format == Format::Json {
        for row in rows {
            let line = serde_json::to_string(row).map_err(|error| CliError::Failed(error.to_string()))?;
            out.print(&format!("{line}\n"))?;
        }
        return out.flush();
    }
    let wide = format == Format::Wide;
    let columns = COLUMNS.iter().chain(MORE_IF_WIDE.iter().filter(|_| wide));
    let mut table: Vec<Vec<Cell>> = vec![columns.map(|name| Cell::heading(name)).collect()];
    table.extend(rows.iter().map(|row| cells(row, wide)));
    out.table(&table, "no difference")?;
    out.flush()
}

fn cells(row: &DiffRow, wide: bool) -> Vec<Cell> {
    let ports: Vec<String> = row.ports.iter().map(ToString::to_string).collect();
    let (tone, detail) = match row.difference {
        Difference::Undeclared => {
            let counts = [("unexpected", row.unexpected), ("ungoverned", row.ungoverned)];
            let there = counts.into_iter().filter_map(|(word, n)| n.filter(|n| *n > 0).map(|n| (word, n)));
            let detail: Vec<String> = there.map(|(word, n)| format!("{word} {n}")).collect();
            (Tone::Bad, detail.join(", "))
        }
        Difference::Stale => {
            let since = row.not_seen_since.map_or_else(String::new, moment);
            (Tone::Warning, format!("not seen since {since}"))
        }
    };
    let or_absent = |text: Option<&str>| text.map_or_else(Cell::absent, Cell::from);
    let mut cells = vec![
        Cell::new(row.difference.as_str(), tone),
        Cell::from(row.client.as_str()),
        Cell::from(row.server.as_str()),
        if ports.is_empty() { Cell::from("any") } else { Cell::from(ports.join(",")) },
        Cell::from(detail),
        row.last_seen.map_or_else(Cell::absent, |last| Cell::new(moment(last), Tone::Faint)),
    ];
    if wide {
        cells.push(or_absent(row.transport.map(|transport| transport.as_str())));
        cells.push(or_absent(row.source.as_deref()));
        cells.push(or_absent(row.clause.as_deref()));
    }
    cells
}
