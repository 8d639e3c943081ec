//! `observer findings`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line, SocketArgs};
use super::filter::{FilterArgs, now};
use super::meanings;
use super::output::{Ended, Format, OutputArgs, Printer};
use crate::sink::query::{FilterRequest, FindingView, Request};
use crate::sink::table::{Cell, Tone, moment};

#[derive(Args, Clone, Debug)]
pub struct FindingsArgs {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
}

pub(super) fn run<W: Write>(args: &FindingsArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let filter = args.filter.filter(None, None, now())?;
    let answer = Answer::to(&Request::Findings(FilterRequest { filter }), &args.socket)?;
    Ended::or_error(print(answer, args.output.output, out))
}

const COLUMNS: [&str; 7] = ["KIND", "CLIENT", "SERVER", "PORT", "FLOWS", "LAST-SEEN", "EXPLANATION"];
const WIDE: [&str; 10] =
    ["KIND", "CLIENT", "SERVER", "PORT", "TRANSPORT", "FLOWS", "FIRST-SEEN", "LAST-SEEN", "REASON", "FIX"];

fn print<W: Write>(mut answer: Answer, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    let mut rows = Vec::new();
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        match format {
            Format::Json => out.print(&line)?,
            Format::Table => rows.push(row(&answer.read(&line)?)),
            Format::Wide => rows.push(wide_row(&answer.read(&line)?)),
        }
    }
    let columns: &[&str] = if format == Format::Wide { &WIDE } else { &COLUMNS };
    if format != Format::Json {
        rows.insert(0, columns.iter().map(|name| Cell::heading(name)).collect());
        out.table(&rows, "no findings")?;
    }
    out.flush()
}

fn row(finding: &FindingView) -> Vec<Cell> {
    let reason = finding.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    vec![
        Cell::new(finding.kind.as_str(), Tone::Bad),
        Cell::from(finding.client.principal.as_str()),
        Cell::from(finding.server.principal.as_str()),
        Cell::from(finding.port.to_string()),
        Cell::from(finding.flows.to_string()),
        Cell::new(moment(finding.last_seen), Tone::Faint),
        Cell::from(format!("{}{reason}", meanings::of_finding(finding.kind).sentence)),
    ]
}

fn wide_row(finding: &FindingView) -> Vec<Cell> {
    vec![
        Cell::new(finding.kind.as_str(), Tone::Bad),
        Cell::from(finding.client.principal.as_str()),
        Cell::from(finding.server.principal.as_str()),
        Cell::from(finding.port.to_string()),
        Cell::from(finding.transport.as_str()),
        Cell::from(finding.flows.to_string()),
        Cell::new(moment(finding.first_seen), Tone::Faint),
        Cell::new(moment(finding.last_seen), Tone::Faint),
        finding.reason.as_deref().map_or_else(Cell::absent, Cell::from),
        Cell::from(meanings::of_finding(finding.kind).fix),
    ]
}
