//! Where and how the commands print.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::ValueEnum;

use super::CliError;
use crate::sink::table::{Cell, Table};

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    #[default]
    Table,
    /// A JSON object a line, as the observer sent it
    Json,
}

/// A place to print to.
pub(super) struct Printer<W> {
    out: W,
    /// Whether it shows colours.
    pub colour: bool,
}

/// stdout; colours only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>).
pub(super) fn stdout() -> Printer<BufWriter<StdoutLock<'static>>> {
    let out = io::stdout().lock();
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = out.is_terminal() && !unwanted;
    Printer { out: BufWriter::new(out), colour }
}

/// The reader has had enough, or the place is full.
#[derive(Debug)]
pub(super) enum Ended {
    /// As `head` does it: no error.
    ByReader,
    ByError(CliError),
}

impl From<CliError> for Ended {
    fn from(error: CliError) -> Self {
        Self::ByError(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ByReader,
            _ => Self::ByError(CliError::Failed(format!("cannot write to stdout: {error}"))),
        }
    }
}

impl Ended {
    pub fn or_error(result: Result<(), Self>) -> Result<(), CliError> {
        match result {
            Ok(()) | Err(Self::ByReader) => Ok(()),
            Err(Self::ByError(error)) => Err(error),
        }
    }
}

impl<W: Write> Printer<W> {
    #[cfg(test)]
    pub fn new(out: W) -> Self {
        Self { out, colour: false }
    }

    #[cfg(test)]
    pub fn into_inner(self) -> W {
        self.out
    }

    /// `text` brings its newline.
    pub fn print(&mut self, text: &str) -> Result<(), Ended> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    pub fn flush(&mut self) -> Result<(), Ended> {
        Ok(self.out.flush()?)
    }

    /// All rows, the first of which is the heading, aligned; without others, `nothing` on stderr.
    pub fn table<const N: usize>(&mut self, rows: &[[Cell; N]], nothing: &str) -> Result<(), Ended> {
        if rows.len() < 2 {
            eprintln!("{nothing}");
            return Ok(());
        }
        let mut table = Table::new([0; N], self.colour);
        for row in rows {
            table.measure(row);
        }
        for row in rows {
            self.print(&table.line(row))?;
        }
        Ok(())
    }
}
