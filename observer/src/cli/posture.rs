//! `observer posture`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line};
use super::output::{Ended, Format, Printer};
use crate::model::{PostureRow, PostureStatus};
use crate::sink::DEFAULT_SOCKET;
use crate::sink::query::{PostureRequest, Request};
use crate::sink::table::{Cell, Tone};

#[derive(Args, Clone, Debug)]
pub struct PostureArgs {
    /// ServiceAccounts of this namespace only, and what concerns all
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// The socket of the observer to ask
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

/// Answers whether anything was found; what is unknown does not count.
pub(super) fn run<W: Write>(args: &PostureArgs, out: &mut Printer<W>) -> Result<bool, CliError> {
    let request = Request::Posture(PostureRequest { namespace: args.namespace.clone() });
    let answer = Answer::to(&request, &args.socket)?;
    let mut found = false;
    Ended::or_error(print(answer, args.output, out, &mut found))?;
    Ok(found)
}

const COLUMNS: [&str; 5] = ["KIND", "STATUS", "SERVICEACCOUNT", "DETAIL", "FIX"];

fn print<W: Write>(
    mut answer: Answer,
    format: Format,
    out: &mut Printer<W>,
    found: &mut bool,
) -> Result<(), Ended> {
    let mut rows = vec![COLUMNS.map(|name| Cell::new(name, Tone::Faint))];
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        let row: PostureRow = answer.read(&line)?;
        *found |= row.status == PostureStatus::Found;
        match format {
            Format::Json => out.print(&line)?,
            Format::Table => rows.push(cells(&row)),
        }
    }
    if format == Format::Table {
        out.table(&rows, "nothing found")?;
    }
    out.flush()
}

fn cells(row: &PostureRow) -> [Cell; 5] {
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
    [
        Cell::new(row.kind.as_str(), tone),
        Cell::new(row.status.as_str(), Tone::Faint),
        Cell::from(account),
        Cell::from(format!("{}{more}{reason}", row.detail)),
        Cell::from(row.fix.as_str()),
    ]
}
