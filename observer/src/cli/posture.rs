//! `observer posture`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line, SocketArgs};
use super::output::{Ended, Format, OutputArgs, Printer};
use crate::model::{PostureRow, PostureStatus};
use crate::sink::query::{PostureRequest, Request};
use crate::sink::table::{Cell, Tone, moment};

#[derive(Args, Clone, Debug)]
pub struct PostureArgs {
    /// ServiceAccounts of this namespace only, and what concerns all
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Answers whether anything was found; what is unknown does not count.
pub(super) fn run<W: Write>(args: &PostureArgs, out: &mut Printer<W>) -> Result<bool, CliError> {
    let request = Request::Posture(PostureRequest { namespace: args.namespace.clone() });
    let answer = Answer::to(&request, &args.socket)?;
    let mut found = false;
    Ended::or_error(print(answer, args.output.output, out, &mut found))?;
    Ok(found)
}

const COLUMNS: [&str; 5] = ["KIND", "STATUS", "SERVICEACCOUNT", "DETAIL", "FIX"];
/// Beside those, at the end.
const MORE_IF_WIDE: [&str; 5] = ["WORKLOADS", "POWERS", "FLOWS", "SINCE", "NODE"];

fn print<W: Write>(
    mut answer: Answer,
    format: Format,
    out: &mut Printer<W>,
    found: &mut bool,
) -> Result<(), Ended> {
    let wide = format == Format::Wide;
    let columns = COLUMNS.iter().chain(MORE_IF_WIDE.iter().filter(|_| wide));
    let mut rows = vec![columns.map(|name| Cell::heading(name)).collect()];
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        let row: PostureRow = answer.read(&line)?;
        *found |= row.status == PostureStatus::Found;
        match format {
            Format::Json => out.print(&line)?,
            Format::Table => rows.push(cells(&row)),
            Format::Wide => rows.push([cells(&row), more_cells(&row)].concat()),
        }
    }
    if format != Format::Json {
        out.table(&rows, "nothing found")?;
    }
    out.flush()
}

fn cells(row: &PostureRow) -> Vec<Cell> {
    let account = match (row.namespace.as_deref(), row.service_account.as_deref()) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (Some(namespace), None) => format!("{namespace}/*"),
        (None, _) => "*".to_owned(),
    };
    let tone = if row.status == PostureStatus::Found { Tone::Bad } else { Tone::Faint };
    let reason = row.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let more = match row.workloads.as_slice() {
        [] | [_] => String::new(),
        several => format!(": {}", several.join(", ")),
    };
    vec![
        Cell::new(row.kind.as_str(), tone),
        Cell::new(row.status.as_str(), Tone::Faint),
        Cell::from(account),
        Cell::from(format!("{}{more}{reason}", row.detail)),
        Cell::from(row.fix.as_str()),
    ]
}

fn more_cells(row: &PostureRow) -> Vec<Cell> {
    let list = |texts: &[String]| match texts {
        [] => Cell::absent(),
        several => Cell::from(several.join(", ")),
    };
    vec![
        list(&row.workloads),
        list(&row.powers),
        row.flows.map_or_else(Cell::absent, |flows| Cell::from(flows.to_string())),
        row.since.map_or_else(Cell::absent, |since| Cell::new(moment(since), Tone::Faint)),
        row.node.as_deref().map_or_else(Cell::absent, Cell::from),
    ]
}
