//! `observer flows`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line, SocketArgs};
use super::filter::{FilterArgs, FlowFilterArgs, StatusArgs, now};
use super::output::{Ended, Format, OutputArgs, Printer};
use crate::model::FlowRecord;
use crate::sink::flow_table::{FlowTable, Width};
use crate::sink::query::{FlowsRequest, Request};

/// Records shown if nothing says how many.
const DEFAULT_LAST: usize = 20;

#[derive(Args, Clone, Debug)]
pub struct FlowsArgs {
    /// Go on with new records until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// The newest N kept records [default: 20; with --since or --until: all; with --follow: none]
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub status: StatusArgs,
    #[command(flatten)]
    pub flow_filter: FlowFilterArgs,
}

impl FlowsArgs {
    fn request(&self) -> Result<Request, CliError> {
        let filter = self.filter.filter(Some(&self.status), Some(&self.flow_filter), now())?;
        let default = match (filter.since.or(filter.until), self.follow) {
            (Some(_), _) => usize::MAX,
            (None, true) => 0,
            (None, false) => DEFAULT_LAST,
        };
        Ok(Request::Flows(FlowsRequest {
            follow: self.follow,
            last: Some(self.last.unwrap_or(default)),
            filter,
        }))
    }
}

pub(super) fn run<W: Write>(args: &FlowsArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let answer = Answer::to(&args.request()?, &args.socket)?;
    Ended::or_error(print(answer, args.output.output, out))
}

fn print<W: Write>(mut answer: Answer, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    let width = if format == Format::Wide { Width::Wide } else { Width::Narrow };
    let mut table = FlowTable::new(width, out.colour);
    while let Some(line) = answer.next()? {
        match (line, format) {
            (Line::Item(line), Format::Json) => out.print(&line)?,
            (Line::Item(line), Format::Table | Format::Wide) => {
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
