//! Lines for people: aligned columns that grow with what they hold.

use crate::model::Timestamp;

/// Whether a terminal does something else with it than to show it: a control character, or one that changes the order of
/// what is read (Unicode Standard Annex #9, section 2).
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How a cell looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Tone {
    /// ECMA-48 SGR parameters.
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

impl Cell {
    #[must_use]
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl Cell {
    /// Something that is not there.
    #[must_use]
    pub fn absent() -> Self {
        Self::new("-", Tone::Faint)
    }

    /// The heading of a column.
    #[must_use]
    pub fn heading(name: &str) -> Self {
        Self::new(name, Tone::Faint)
    }
}

/// Columns that are as wide as the widest cell so far, for tables whose end nobody knows.
#[derive(Clone, Debug)]
pub struct Table {
    widths: Vec<usize>,
    colour: bool,
}

impl Table {
    /// `widths`: what the columns start with, in characters.
    #[must_use]
    pub fn new(widths: Vec<usize>, colour: bool) -> Self {
        Self { widths, colour }
    }

    /// Makes room for a row before any is printed.
    pub fn measure(&mut self, row: &[Cell]) {
        if self.widths.len() < row.len() {
            self.widths.resize(row.len(), 0);
        }
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }

    /// One line with its newline.
    pub fn line(&mut self, row: &[Cell]) -> String {
        self.measure(row);
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            // Names come from the cluster: they must not steer somebody's terminal.
            let text: String = cell.text.chars().map(|c| if misleads(c) { '?' } else { c }).collect();
            let tint = self.colour && cell.tone != Tone::Plain;
            if tint {
                line.extend(["\x1b[", cell.tone.sgr(), "m"]);
            }
            line.push_str(&text);
            if tint {
                line.push_str("\x1b[0m");
            }
            if column + 1 < row.len() {
                let gap = width.saturating_sub(text.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        line.push('\n');
        line
    }
}

/// The moment in UTC, to the second.
#[must_use]
pub fn moment(time: Timestamp) -> String {
    Timestamp::from_seconds(time.seconds()).to_string().replace(".000000", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        // date -u -d @1700000000 +%FT%TZ
        assert_eq!(moment(Timestamp(1_700_000_000_123_456_789)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_row_with_more_cells_than_those_before_is_aligned_too() {
        let mut table = Table::new(Vec::new(), false);
        table.measure(&["a".into(), "long".into(), "c".into()]);
        assert_eq!(table.line(&["a".into(), "b".into(), "c".into()]), "a  b     c\n");
    }
}
