//! Flow records as lines for people.

use super::table::{Cell, Table, Tone};
use crate::model::{
    AuthenticationStatus, CloseReason, DeclarationStatus, EncryptionStatus, Evidence, FindingKind,
    FlowRecord, Link, Party, Timestamp,
};

/// How much of a record is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// What fits on a terminal.
    Narrow,
    /// What a person wants who looks for the cause of something.
    Wide,
}

/// The table of flow records, with its heading before the first.
#[derive(Clone, Debug)]
pub struct FlowTable {
    table: Table,
    width: Width,
    begun: bool,
}

/// A column: its name, its width to start with, what it shows.
type Column = (&'static str, usize, fn(&FlowRecord) -> Cell);

const NARROW: &[Column] = &[
    ("TIME", 12, |record| Cell::new(clock(record.time), Tone::Faint)),
    ("CLIENT", 24, |record| Cell::from(&*record.client.principal)),
    ("SERVER", 24, |record| Cell::from(&*record.server.principal)),
    ("PORT", 5, |record| Cell::from(record.server.port.to_string())),
    ("PROTOCOL", 8, |record| Cell::from(record.protocol.as_str())),
    ("ENCRYPTION", 10, encryption),
    ("AUTH", 8, |record| authentication(record, false)),
    ("DECLARATION", 11, |record| declaration(record, false)),
    ("FINDINGS", 8, |record| findings(&record.findings)),
];

const WIDE: &[Column] = &[
    ("TIME", 24, |record| Cell::new(milliseconds(record.time), Tone::Faint)),
    ("CLIENT", 16, |record| principal(&record.client)),
    ("CLIENT-WORKLOAD", 15, |record| workload(&record.client)),
    ("CLIENT-POD", 16, |record| optional(record.client.pod.as_deref())),
    ("CLIENT-ADDRESS", 16, |record| address(&record.client)),
    ("SERVER", 16, |record| principal(&record.server)),
    ("SERVER-WORKLOAD", 15, |record| workload(&record.server)),
    ("SERVER-POD", 16, |record| optional(record.server.pod.as_deref())),
    ("SERVER-ADDRESS", 16, |record| address(&record.server)),
    ("SERVICE", 8, |record| optional(record.server.service.as_deref())),
    ("TRANSPORT", 9, |record| Cell::from(record.transport.as_str())),
    ("PROTOCOL", 8, |record| Cell::from(record.protocol.as_str())),
    ("ENCRYPTION", 10, encryption_in_full),
    ("AUTH", 8, |record| authentication(record, true)),
    ("TOKEN-OF", 8, token_of),
    ("REQUESTS", 8, requests),
    ("LAST", 8, last_request),
    ("DECLARATION", 11, |record| declaration(record, true)),
    ("HOP", 10, |record| Cell::from(record.hop.as_str())),
    ("SENT", 6, |record| Cell::from(record.bytes_sent.to_string())),
    ("RECEIVED", 8, |record| Cell::from(record.bytes_received.to_string())),
    ("DURATION", 8, |record| Cell::from(format!("{}ms", record.duration_ms))),
    ("CLOSE", 7, close),
    ("REPORTER", 8, |record| Cell::new(format!("{}@{}", record.reporter.as_str(), record.node), Tone::Faint)),
    ("FINDINGS", 8, |record| findings(&record.findings)),
];

impl FlowTable {
    #[must_use]
    pub fn new(width: Width, colour: bool) -> Self {
        let table = Table::new(columns(width).iter().map(|(_, width, _)| *width).collect(), colour);
        Self { table, width, begun: false }
    }

    /// The record's line, after the heading if it is the first.
    pub fn lines(&mut self, record: &FlowRecord) -> String {
        let columns = columns(self.width);
        let row: Vec<Cell> = columns.iter().map(|(_, _, show)| show(record)).collect();
        self.table.measure(&row);
        let mut lines = String::new();
        if !self.begun {
            self.begun = true;
            let headings: Vec<Cell> = columns.iter().map(|(name, ..)| Cell::heading(name)).collect();
            lines = self.table.line(&headings);
        }
        lines.push_str(&self.table.line(&row));
        lines
    }
}

const fn columns(width: Width) -> &'static [Column] {
    match width {
        Width::Narrow => NARROW,
        Width::Wide => WIDE,
    }
}

fn optional(text: Option<&str>) -> Cell {
    text.map_or_else(Cell::absent, Cell::from)
}

/// With the reason, where it is unknown.
fn principal(party: &Party) -> Cell {
    match party.reason.as_deref() {
        Some(reason) => Cell::new(format!("{} ({reason})", party.principal), Tone::Faint),
        None => Cell::from(&*party.principal),
    }
}

fn workload(party: &Party) -> Cell {
    match &party.workload {
        Some(workload) => Cell::from(format!("{}/{}", workload.kind, workload.name)),
        None => Cell::absent(),
    }
}

fn address(party: &Party) -> Cell {
    Cell::from(std::net::SocketAddr::new(party.ip, party.port).to_string())
}

fn encryption(record: &FlowRecord) -> Cell {
    let encryption = &record.encryption;
    let detail = match (encryption.evidence, encryption.version.as_deref()) {
        (Some(Evidence::Inferred), _) => " (inferred)".to_owned(),
        (_, Some(version)) => format!(" {version}"),
        _ => String::new(),
    };
    let tone = match encryption.status {
        EncryptionStatus::Plaintext => Tone::Warning,
        EncryptionStatus::Tls | EncryptionStatus::Mtls => Tone::Good,
        EncryptionStatus::Unknown => Tone::Faint,
    };
    Cell::new(format!("{}{detail}", encryption.status.as_str()), tone)
}

/// With the reason, or the name that the client asked for, and what encrypts the link.
fn encryption_in_full(record: &FlowRecord) -> Cell {
    let Cell { mut text, tone } = encryption(record);
    let encryption = &record.encryption;
    if let Some(reason) = encryption.reason.as_deref() {
        text.extend([" (", reason, ")"]);
    }
    if let Some(sni) = encryption.sni.as_deref() {
        text.extend([" ", sni]);
    }
    match encryption.link {
        Link::Wireguard => text.push_str(" over wireguard"),
        Link::Ipsec => text.push_str(" over ipsec"),
        Link::None | Link::Unknown => {}
    }
    Cell { text, tone }
}

fn authentication(record: &FlowRecord, in_full: bool) -> Cell {
    use AuthenticationStatus as Status;
    let Some(authentication) = &record.authentication else { return Cell::absent() };
    let tone = match authentication.status {
        Status::None => Tone::Warning,
        Status::Present => Tone::Plain,
        Status::Verified => Tone::Good,
        Status::Invalid => Tone::Bad,
        Status::Unknown => Tone::Faint,
    };
    with_reason(authentication.status.as_str(), authentication.reason.as_deref().filter(|_| in_full), tone)
}

fn with_reason(status: &str, reason: Option<&str>, tone: Tone) -> Cell {
    match reason {
        Some(reason) => Cell::new(format!("{status} ({reason})"), tone),
        None => Cell::new(status, tone),
    }
}

/// Whose token the last request had, as that says itself.
fn token_of(record: &FlowRecord) -> Cell {
    let token = record.authentication.as_ref().and_then(|authentication| authentication.token.as_ref());
    optional(token.and_then(|token| token.service_account.as_deref().or(token.subject.as_deref())))
}

fn requests(record: &FlowRecord) -> Cell {
    match record.requests {
        Some(requests) if requests.rejected > 0 => {
            Cell::from(format!("{} ({} rejected)", requests.total, requests.rejected))
        }
        Some(requests) => Cell::from(requests.total.to_string()),
        None => Cell::absent(),
    }
}

fn last_request(record: &FlowRecord) -> Cell {
    let Some(request) = &record.last_request else { return Cell::absent() };
    let status = request.status.map(|status| status.to_string());
    let parts: Vec<&str> = request.method.as_deref().into_iter().chain(status.as_deref()).collect();
    if parts.is_empty() { Cell::absent() } else { Cell::from(parts.join(" ")) }
}

fn declaration(record: &FlowRecord, in_full: bool) -> Cell {
    let declaration = &record.declaration;
    let tone = match declaration.status {
        DeclarationStatus::Allowed => Tone::Good,
        DeclarationStatus::Unexpected => Tone::Bad,
        DeclarationStatus::Ungoverned | DeclarationStatus::Unevaluable => Tone::Faint,
    };
    let reason = declaration.reason.as_deref().filter(|_| in_full);
    let mut cell = with_reason(declaration.status.as_str(), reason, tone);
    if let Some(source) = declaration.source.as_deref().filter(|_| in_full) {
        cell.text.extend([" by ", source]);
    }
    cell
}

fn close(record: &FlowRecord) -> Cell {
    let tone = match record.close {
        CloseReason::Refused | CloseReason::Timeout | CloseReason::Aborted => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell::new(record.close.as_str(), tone)
}

fn findings(kinds: &[FindingKind]) -> Cell {
    if kinds.is_empty() {
        return Cell::absent();
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    Cell::new(words.join(","), Tone::Bad)
}

/// The time of day in UTC, to the millisecond: `11:43:41.123`.
fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('T').and_then(|(_, clock)| clock.get(..12)).unwrap_or(&text).to_owned()
}

/// The moment in UTC, to the millisecond.
fn milliseconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..23).map_or_else(|| text.clone(), |start| format!("{start}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Authentication, LastRequest, RequestCounts, Workload};
    use crate::sink::fixture;

    #[test]
    fn columns_are_aligned_and_grow_with_what_they_hold() {
        let mut table = FlowTable::new(Width::Narrow, false);
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
        record.findings = vec![FindingKind::Unencrypted];
        assert!(!FlowTable::new(Width::Narrow, false).lines(&record).contains('\x1b'));
        for width in [Width::Narrow, Width::Wide] {
            assert!(FlowTable::new(width, true).lines(&record).contains("\x1b[31munencrypted\x1b[0m"));
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut record = fixture::record(1);
        record.client.principal = "shop/\x1b]0;evil\x07".into();
        for width in [Width::Narrow, Width::Wide] {
            let line = FlowTable::new(width, false).lines(&record);
            assert!(line.contains("shop/?]0;evil?"), "{line:?}");
        }
    }

    /// Cells of the heading and of the only record, by column.
    fn cells(record: &FlowRecord) -> std::collections::BTreeMap<String, String> {
        let text = FlowTable::new(Width::Wide, false).lines(record);
        let (heading, row) = text.trim_end().split_once('\n').unwrap();
        let split = |line: &str| -> Vec<String> {
            line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect()
        };
        let (names, values) = (split(heading), split(row));
        assert_eq!(names.len(), values.len(), "{text}");
        names.into_iter().zip(values).collect()
    }

    #[test]
    fn wide_shows_what_a_person_needs_who_looks_for_the_cause() {
        let mut record = fixture::record(1);
        record.client.pod = Some("orders-7d-x2".into());
        record.client.workload = Some(Workload { kind: "Deployment".into(), name: "orders".into() });
        record.server.service = Some("payments".into());
        record.authentication = Some(Authentication {
            status: AuthenticationStatus::Invalid,
            reason: Some("expired".into()),
            ..Authentication::default()
        });
        record.last_request = Some(LastRequest { method: Some("POST".into()), status: Some(401) });
        record.requests =
            Some(RequestCounts { total: 3, invalid: 3, rejected: 2, ..RequestCounts::default() });
        record.declaration.status = DeclarationStatus::Allowed;
        record.declaration.source = Some("ServiceGraph shop/shop".into());
        let cells = cells(&record);
        for (column, value) in [
            ("TIME", "2023-11-14T22:13:21.000Z"),
            ("CLIENT-POD", "orders-7d-x2"),
            ("CLIENT-WORKLOAD", "Deployment/orders"),
            ("CLIENT-ADDRESS", "10.244.0.2:40001"),
            ("SERVER-ADDRESS", "10.244.0.3:8080"),
            ("SERVER-POD", "-"),
            ("SERVICE", "payments"),
            ("AUTH", "invalid (expired)"),
            ("REQUESTS", "3 (2 rejected)"),
            ("LAST", "POST 401"),
            ("DECLARATION", "allowed by ServiceGraph shop/shop"),
            ("HOP", "pod-to-pod"),
            ("SENT", "100"),
            ("RECEIVED", "200"),
            ("DURATION", "5ms"),
            ("CLOSE", "fin"),
            ("REPORTER", "server@n1"),
        ] {
            assert_eq!(cells[column], value, "{column}");
        }
    }

    #[test]
    fn times_are_utc() {
        // date -u -d @1700000000 +%FT%TZ
        let time = Timestamp(1_700_000_000_123_456_789);
        assert_eq!(clock(time), "22:13:20.123");
        assert_eq!(milliseconds(time), "2023-11-14T22:13:20.123Z");
    }
}
