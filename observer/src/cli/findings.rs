//! `observer findings`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line};
use super::explain::explain;
use super::filter::{FilterArgs, now};
use super::output::{Ended, Format, Printer};
use crate::sink::query::{FilterRequest, FindingView, Request};
use crate::sink::table::{Cell, Tone, moment};

#[derive(Args, Clone, Debug)]
pub struct FindingsArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

pub(super) fn run<W: Write>(args: &FindingsArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let request = Request::Findings(FilterRequest { filter: args.filter.filter(now()) });
    let answer = Answer::to(&request, &args.filter.socket)?;
    Ended::or_error(print(answer, args.output, out))
}

const COLUMNS: [&str; 7] = ["KIND", "CLIENT", "SERVER", "PORT", "FLOWS", "LAST-SEEN", "EXPLANATION"];

fn print<W: Write>(mut answer: Answer, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    let mut rows = vec![COLUMNS.map(|name| Cell::new(name, Tone::Faint))];
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        match format {
            Format::Json => out.print(&line)?,
            Format::Table => rows.push(row(&answer.read(&line)?)),
        }
    }
    if format == Format::Table {
        out.table(&rows, "no findings")?;
    }
    out.flush()
}

fn row(finding: &FindingView) -> [Cell; 7] {
    let reason = finding.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    [
        Cell::new(finding.kind.as_str(), Tone::Bad),
        Cell::from(finding.client.principal.as_str()),
        Cell::from(finding.server.principal.as_str()),
        Cell::from(finding.port.to_string()),
        Cell::from(finding.flows.to_string()),
        Cell::new(moment(finding.last_seen), Tone::Faint),
        Cell::from(format!("{}{reason}", explain(finding.kind))),
    ]
}
