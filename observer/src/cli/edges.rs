//! `observer edges`.

use std::cmp::Reverse;
use std::io::Write;

use clap::{Args, ValueEnum};

use super::CliError;
use super::client::{Answer, Line, SocketArgs};
use super::edge_totals::Totals;
use super::filter::{FilterArgs, StatusArgs, now};
use super::output::{Ended, Format, OutputArgs, Printer};
use crate::sink::query::{EdgeView, FilterRequest, Request};
use crate::sink::table::{Cell, Tone, moment};

#[derive(Args, Clone, Debug)]
pub struct EdgesArgs {
    /// What comes first; of what is equal in that, by name
    #[arg(long, value_name = "ORDER", default_value = "name")]
    pub sort: Sort,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub status: StatusArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Client, server, port
    #[default]
    Name,
    /// Most flows
    Flows,
    /// Most requests
    Requests,
    /// Most flows with findings
    Findings,
    /// Seen last
    LastSeen,
}

pub(super) fn run<W: Write>(args: &EdgesArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let filter = args.filter.filter(Some(&args.status), None, now())?;
    let answer = Answer::to(&Request::Edges(FilterRequest { filter }), &args.socket)?;
    Ended::or_error(print(answer, args.output.output, args.sort, out))
}

const COLUMNS: [&str; 10] = [
    "CLIENT",
    "SERVER",
    "PORT",
    "TRANSPORT",
    "FLOWS",
    "REQUESTS",
    "ENCRYPTION",
    "DECLARATION",
    "FINDINGS",
    "LAST-SEEN",
];
/// Beside those, at the end.
const MORE_IF_WIDE: [&str; 3] = ["FIRST-SEEN", "REJECTED", "FLOWS-BY-FINDING"];

fn print<W: Write>(
    mut answer: Answer,
    format: Format,
    sort: Sort,
    out: &mut Printer<W>,
) -> Result<(), Ended> {
    let mut edges: Vec<(EdgeView, String)> = Vec::new();
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        edges.push((answer.read(&line)?, line));
    }
    sort.apply(&mut edges);
    if format == Format::Json {
        for (_, line) in &edges {
            out.print(line)?;
        }
        return out.flush();
    }
    let wide = format == Format::Wide;
    let columns = COLUMNS.iter().chain(MORE_IF_WIDE.iter().filter(|_| wide));
    let mut rows = vec![columns.map(|name| Cell::heading(name)).collect()];
    rows.extend(edges.iter().map(|(edge, _)| row(edge, wide)));
    out.table(&rows, "no edges")?;
    if !edges.is_empty() {
        out.print("\n")?;
        for line in Totals::of(edges.iter().map(|(edge, _)| edge)).lines() {
            out.print(&line)?;
        }
    }
    out.flush()
}

impl Sort {
    /// They come sorted by name, and what is equal stays so.
    fn apply(self, edges: &mut [(EdgeView, String)]) {
        match self {
            Self::Name => {}
            Self::Flows => edges.sort_by_key(|(edge, _)| Reverse(edge.flows)),
            Self::Requests => edges.sort_by_key(|(edge, _)| Reverse(edge.requests.total)),
            Self::Findings => edges.sort_by_key(|(edge, _)| Reverse(edge.findings.values().sum::<u64>())),
            Self::LastSeen => edges.sort_by_key(|(edge, _)| Reverse(edge.last_seen)),
        }
    }
}

fn row(edge: &EdgeView, wide: bool) -> Vec<Cell> {
    let (requests, encryption, declaration) = (&edge.requests, &edge.encryption, &edge.declaration);
    let findings: Vec<&str> = edge.findings.keys().map(|kind| kind.as_str()).collect();
    let mut row = vec![
        Cell::from(edge.client.principal.as_str()),
        Cell::from(edge.server.principal.as_str()),
        Cell::from(edge.port.to_string()),
        Cell::from(edge.transport.as_str()),
        Cell::from(edge.flows.to_string()),
        Cell::from(counts(&[
            ("none", requests.none),
            ("present", requests.present),
            ("verified", requests.verified),
            ("invalid", requests.invalid),
            ("unknown", requests.unknown),
        ])),
        Cell::from(counts(&[
            ("plaintext", encryption.plaintext),
            ("tls", encryption.tls),
            ("mtls", encryption.mtls),
            ("unknown", encryption.unknown),
        ])),
        Cell::from(counts(&[
            ("allowed", declaration.allowed),
            ("unexpected", declaration.unexpected),
            ("ungoverned", declaration.ungoverned),
            ("unevaluable", declaration.unevaluable),
        ])),
        if findings.is_empty() { Cell::absent() } else { Cell::new(findings.join(","), Tone::Bad) },
        Cell::new(moment(edge.last_seen), Tone::Faint),
    ];
    if wide {
        let flows: Vec<(&str, u64)> =
            edge.findings.iter().map(|(kind, flows)| (kind.as_str(), *flows)).collect();
        row.push(Cell::new(moment(edge.first_seen), Tone::Faint));
        row.push(Cell::from(requests.rejected.to_string()));
        row.push(Cell::from(counts(&flows)));
    }
    row
}

/// Those that are not zero: `none 3, verified 9`.
fn counts(all: &[(&str, u64)]) -> String {
    let there: Vec<String> =
        all.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if there.is_empty() { "-".to_owned() } else { there.join(", ") }
}
