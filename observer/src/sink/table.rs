//! Records as lines for people: aligned columns that grow with what they hold.

use crate::model::{EncryptionStatus, Evidence, FlowRecord, Timestamp};

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

/// Columns that are as wide as the widest cell so far, for tables whose end nobody knows.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    widths: [usize; N],
    colour: bool,
}

impl<const N: usize> Table<N> {
    /// `widths`: what the columns start with, in characters.
    #[must_use]
    pub fn new(widths: [usize; N], colour: bool) -> Self {
        Self { widths, colour }
    }

    /// Makes room for a row before any is printed.
    pub fn measure(&mut self, row: &[Cell; N]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }

    /// One line with its newline.
    pub fn line(&mut self, row: &[Cell; N]) -> String {
        self.measure(row);
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(self.widths).enumerate() {
            // Names come from the cluster: they must not steer somebody's terminal.
            let text: String = cell.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let tint = self.colour && cell.tone != Tone::Plain;
            if tint {
                line.extend(["\x1b[", cell.tone.sgr(), "m"]);
            }
            line.push_str(&text);
            if tint {
                line.push_str("\x1b[0m");
            }
            if column + 1 < N {
                let gap = width.saturating_sub(text.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        line.push('\n');
        line
    }
}

/// The table of flow records, with its heading before the first.
#[derive(Clone, Debug)]
pub struct FlowTable {
    table: Table<9>,
    begun: bool,
}

const FLOW_COLUMNS: [(&str, usize); 9] = [
    ("TIME", 12),
    ("CLIENT", 24),
    ("SERVER", 24),
    ("PORT", 5),
    ("PROTOCOL", 8),
    ("ENCRYPTION", 10),
    ("AUTH", 8),
    ("DECLARATION", 11),
    ("FINDINGS", 8),
];

impl FlowTable {
    #[must_use]
    pub fn new(colour: bool) -> Self {
        Self { table: Table::new(FLOW_COLUMNS.map(|(_, width)| width), colour), begun: false }
    }

    /// The record's line, after the heading if it is the first.
    pub fn lines(&mut self, record: &FlowRecord) -> String {
        let row = flow_row(record);
        self.table.measure(&row);
        let mut lines = String::new();
        if !self.begun {
            self.begun = true;
            lines = self.table.line(&FLOW_COLUMNS.map(|(name, _)| Cell::new(name, Tone::Faint)));
        }
        lines.push_str(&self.table.line(&row));
        lines
    }
}

fn flow_row(record: &FlowRecord) -> [Cell; 9] {
    use crate::model::AuthenticationStatus as Auth;
    use crate::model::DeclarationStatus as Declared;

    let encryption = &record.encryption;
    let detail = match (encryption.evidence, encryption.version.as_deref()) {
        (Some(Evidence::Inferred), _) => " (inferred)".to_owned(),
        (_, Some(version)) => format!(" {version}"),
        _ => String::new(),
    };
    let encryption_tone = match encryption.status {
        EncryptionStatus::Plaintext => Tone::Warning,
        EncryptionStatus::Tls | EncryptionStatus::Mtls => Tone::Good,
        EncryptionStatus::Unknown => Tone::Faint,
    };
    let authentication = record.authentication.as_ref().map_or_else(
        || Cell::new("-", Tone::Faint),
        |authentication| {
            let tone = match authentication.status {
                Auth::None => Tone::Warning,
                Auth::Present => Tone::Plain,
                Auth::Verified => Tone::Good,
                Auth::Invalid => Tone::Bad,
                Auth::Unknown => Tone::Faint,
            };
            Cell::new(authentication.status.as_str(), tone)
        },
    );
    let declaration_tone = match record.declaration.status {
        Declared::Allowed => Tone::Good,
        Declared::Unexpected => Tone::Bad,
        Declared::Ungoverned | Declared::Unevaluable => Tone::Faint,
    };
    let findings: Vec<&str> = record.findings.iter().map(|kind| kind.as_str()).collect();
    [
        Cell::new(clock(record.time), Tone::Faint),
        Cell::from(&*record.client.principal),
        Cell::from(&*record.server.principal),
        Cell::from(record.server.port.to_string()),
        Cell::from(protocol(record)),
        Cell::new(format!("{}{detail}", encryption.status.as_str()), encryption_tone),
        authentication,
        Cell::new(record.declaration.status.as_str(), declaration_tone),
        if findings.is_empty() {
            Cell::new("-", Tone::Faint)
        } else {
            Cell::new(findings.join(","), Tone::Bad)
        },
    ]
}

/// The word that the record has for it.
fn protocol(record: &FlowRecord) -> String {
    match serde_json::to_value(record.protocol) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// The time of day in UTC, to the millisecond: `11:43:41.123`.
fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('T').and_then(|(_, clock)| clock.get(..12)).unwrap_or(&text).to_owned()
}

/// The moment in UTC, to the second.
#[must_use]
pub fn moment(time: Timestamp) -> String {
    Timestamp::from_seconds(time.seconds()).to_string().replace(".000000", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;

    #[test]
    fn columns_are_aligned_and_grow_with_what_they_hold() {
        let mut table = FlowTable::new(false);
        let first = table.lines(&fixture::record(1));
        let mut long = fixture::record(2);
        long.client.principal = "a-rather-long-namespace/with-a-long-service-account".into();
        let second = table.lines(&long);
        let third = table.lines(&fixture::record(3));
        let (heading, row) = first.split_once('\n').unwrap();
        assert_eq!(heading.find("SERVER"), row.find("shop/payments"));
        assert!(second.find("shop/payments") > row.find("shop/payments"));
        assert_eq!(third.find("shop/payments"), second.find("shop/payments"));
        assert!(!third.contains("TIME"));
    }

    #[test]
    fn colour_is_only_where_it_is_asked_for() {
        let mut record = fixture::record(1);
        record.findings = vec![crate::model::FindingKind::Unencrypted];
        assert!(!FlowTable::new(false).lines(&record).contains('\x1b'));
        assert!(FlowTable::new(true).lines(&record).contains("\x1b[31munencrypted\x1b[0m"));
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut record = fixture::record(1);
        record.client.principal = "shop/\x1b]0;evil\x07".into();
        let line = FlowTable::new(false).lines(&record);
        assert!(line.contains("shop/?]0;evil?"), "{line:?}");
    }

    #[test]
    fn times_are_utc() {
        // date -u -d @1700000000 +%FT%TZ
        let time = Timestamp(1_700_000_000_123_456_789);
        assert_eq!(clock(time), "22:13:20.123");
        assert_eq!(moment(time), "2023-11-14T22:13:20Z");
    }
}
