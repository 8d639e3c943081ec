//! Where and how the commands print.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::{Args, ValueEnum};

use super::CliError;
use crate::sink::table::{Cell, Table};

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    #[default]
    Table,
    /// Aligned columns, with more of them
    Wide,
    /// A JSON object a line, as the observer sent it
    Json,
}

/// When colours are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the variable `NO_COLOR` is set
    #[default]
    Auto,
    /// Also into pipes and files
    Always,
    /// Nowhere
    Never,
}

/// How a command prints its answer.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// A place to print to.
pub(super) struct Printer<W> {
    out: W,
    /// Whether it shows colours.
    pub colour: bool,
    /// Something with a heading was printed.
    pub begun: bool,
}

/// stdout.
pub(super) fn stdout(color: Color) -> Printer<BufWriter<StdoutLock<'static>>> {
    let out = io::stdout().lock();
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = color.on(out.is_terminal(), unwanted);
    Printer { out: BufWriter::new(out), colour, begun: false }
}

impl Color {
    /// A flag says more than the variable (<https://no-color.org>).
    const fn on(self, terminal: bool, unwanted: bool) -> bool {
        match self {
            Self::Auto => terminal && !unwanted,
            Self::Always => true,
            Self::Never => false,
        }
    }
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
        Self { out, colour: false, begun: false }
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
    pub fn table(&mut self, rows: &[Vec<Cell>], nothing: &str) -> Result<(), Ended> {
        if rows.len() < 2 {
            eprintln!("{nothing}");
            return Ok(());
        }
        let mut table = Table::new(Vec::new(), self.colour);
        for row in rows {
            table.measure(row);
        }
        for row in rows {
            self.print(&table.line(row))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Color;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        assert!(Color::Auto.on(true, false));
        assert!(!Color::Auto.on(true, true) && !Color::Auto.on(false, false));
        assert!(Color::Always.on(false, true));
        assert!(!Color::Never.on(true, false));
    }
}
