//! `observer flows`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line};
use super::filter::{FilterArgs, now};
use super::output::{Ended, Format, Printer};
use crate::model::FlowRecord;
use crate::sink::query::{FlowsRequest, Request};
use crate::sink::table::FlowTable;

/// Records shown if nothing says how many.
const DEFAULT_LAST: usize = 20;

#[derive(Args, Clone, Debug)]
pub struct FlowsArgs {
    /// Go on with new records until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// The newest N kept records [default: 20; with --since: all; with --follow: none]
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

impl FlowsArgs {
    fn request(&self) -> Request {
        let default = match (self.filter.since, self.follow) {
            (Some(_), _) => usize::MAX,
            (None, true) => 0,
            (None, false) => DEFAULT_LAST,
        };
        Request::Flows(FlowsRequest {
            follow: self.follow,
            last: Some(self.last.unwrap_or(default)),
            filter: self.filter.filter(now()),
        })
    }
}

pub(super) fn run<W: Write>(args: &FlowsArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let answer = Answer::to(&args.request(), &args.filter.socket)?;
    Ended::or_error(print(answer, args.output, out))
}

fn print<W: Write>(mut answer: Answer, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    let mut table = FlowTable::new(out.colour);
    while let Some(line) = answer.next()? {
        match (line, format) {
            (Line::Item(line), Format::Json) => out.print(&line)?,
            (Line::Item(line), Format::Table) => {
                let record: FlowRecord = answer.read(&line)?;
                out.print(&table.lines(&record))?;
            }
            (Line::Dropped(n), _) => eprintln!("{n} records were lost: this command reads too slowly"),
        }
        if answer.is_drained() {
            out.flush()?;
        }
    }
    out.flush()
}
