//! `observer graph check`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::CliError;
use crate::cli::filter::now;
use crate::cli::output::{Ended, Format, OutputArgs, Printer};
use crate::review::{self, CheckRow, Level, Report};
use crate::sink::table::{Cell, Tone};

#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Files and directories with ServiceGraphs and policies of all kinds
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Kubernetes objects as `kubectl get -o yaml` prints them: who there is
    #[arg(long, value_name = "FILE|DIR")]
    pub inventory: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Answers whether the check failed.
pub(super) fn run<W: Write>(args: &CheckArgs, out: &mut Printer<W>) -> Result<bool, CliError> {
    let report = review::check(&args.files, args.inventory.as_deref(), now()).map_err(CliError::Failed)?;
    Ended::or_error(print(&report, args.output.output, out))?;
    Ok(report.rows.iter().any(|row| row.level.fails()))
}

fn print<W: Write>(report: &Report, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    if format == Format::Json {
        for row in &report.rows {
            let line = serde_json::to_string(row).map_err(|error| CliError::Failed(error.to_string()))?;
            out.print(&format!("{line}\n"))?;
        }
        return out.flush();
    }
    let mut columns = vec!["LEVEL", "FILE", "OBJECT", "KEY", "MESSAGE"];
    if format == Format::Wide {
        columns.push("REASON");
    }
    let mut rows: Vec<Vec<Cell>> = vec![columns.into_iter().map(Cell::heading).collect()];
    rows.extend(report.rows.iter().map(|row| cells(row, format)));
    if rows.len() > 1 {
        out.table(&rows, "")?;
        out.print("\n")?;
    }
    let count = |level| report.rows.iter().filter(|row| row.level == level).count() as u64;
    out.print(&format!(
        "{}, {}: {}, {}, {}, {} unevaluable\n",
        counted(report.objects as u64, "object"),
        counted(report.edges as u64, "edge"),
        counted(count(Level::Error), "error"),
        counted(count(Level::Conflict), "conflict"),
        counted(count(Level::Warning), "warning"),
        count(Level::Unevaluable)
    ))?;
    out.flush()
}

fn cells(row: &CheckRow, format: Format) -> Vec<Cell> {
    let tone = match row.level {
        Level::Error | Level::Conflict => Tone::Bad,
        Level::Warning => Tone::Warning,
        Level::Unevaluable => Tone::Faint,
    };
    let or_absent = |text: Option<String>| text.map_or_else(Cell::absent, Cell::from);
    let mut cells = vec![
        Cell::new(row.level.as_str(), tone),
        or_absent(row.file.as_ref().map(|file| file.display().to_string())),
        or_absent(row.object.clone()),
        or_absent(row.key.clone()),
        Cell::from(row.message.as_str()),
    ];
    if format == Format::Wide {
        cells.push(or_absent(row.reason.clone()));
    }
    cells
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
