//! What stands in the table, in columns.

use super::cast::{CALLS, KINDS};
use super::record::{Edge, Seen, Sighting};
use super::screen::{Line, Paint, Piece};

/// The narrowest column that findings are put into; in a narrower window they get lines of their own.
const FINDINGS: usize = 28;
const INDENT: usize = 4;
const TITLES: [&str; 5] = ["CLIENT", "SERVER", "ENCRYPTION", "AUTHENTICATION", "DECLARATION"];

/// The table with its header, for a window of so many columns. `short` leaves out findings that ask for more than one
/// line. No line is longer than the window, unless the window is narrower than an old terminal's 80 columns.
pub fn table(seen: &Seen, columns: usize, short: bool) -> Vec<Line> {
    let gap = if columns >= width(2) { 2 } else { 1 };
    let beside = columns >= width(gap) + FINDINGS;
    let start = if beside { width(gap) } else { INDENT };
    let mut lines = vec![header(gap, beside)];
    for edge in &seen.order {
        let Some(sighting) = seen.edges.get(edge) else { continue };
        let mut line = cells(edge, sighting, gap);
        let mut found = wrap(&findings(sighting), columns.saturating_sub(start).max(FINDINGS));
        if short && found.len() > 1 {
            found.truncate(1);
            found[0] += " ...";
        }
        let mut found = found.into_iter().map(|text| Piece(text, Paint::Bad));
        if beside {
            line.extend(found.next());
        }
        lines.push(line);
        lines.extend(found.map(|piece| vec![Piece(" ".repeat(start), Paint::Plain), piece]));
    }
    lines
}

/// The header and one edge's line, however long.
pub fn row(edge: &Edge, sighting: &Sighting) -> [Line; 2] {
    let mut line = cells(edge, sighting, 2);
    line.push(Piece(findings(sighting), Paint::Bad));
    [header(2, true), line]
}

/// Text in lines of at most `room` characters, broken at spaces; a longer word stays whole.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn header(gap: usize, beside: bool) -> Line {
    let mut line: Line = TITLES
        .into_iter()
        .zip(widths())
        .map(|(title, width)| padded(title, width + gap, Paint::Bold))
        .collect();
    if beside {
        line.push(Piece("FINDINGS".to_owned(), Paint::Bold));
    }
    line
}

fn cells(edge: &Edge, sighting: &Sighting, gap: usize) -> Line {
    let record = &sighting.last;
    let encryption = match (&*record.encryption.status, &record.encryption.version) {
        ("tls" | "mtls", Some(version)) => format!("{} {version}", record.encryption.status),
        (status, _) => status.to_owned(),
    };
    let encrypted = match &*record.encryption.status {
        "tls" | "mtls" => Paint::Good,
        "plaintext" => Paint::Warn,
        _ => Paint::Dim,
    };
    let (authentication, authenticated) = authentication(sighting);
    let declared = match &*record.declaration.status {
        "allowed" => Paint::Good,
        "unexpected" => Paint::Bad,
        _ => Paint::Dim,
    };
    let texts = [
        (edge.client.clone(), Paint::Plain),
        (format!("{}:{}", edge.server, edge.port), Paint::Plain),
        (encryption, encrypted),
        (authentication, authenticated),
        (record.declaration.status.clone(), declared),
    ];
    texts.into_iter().zip(widths()).map(|((text, paint), width)| padded(&text, width + gap, paint)).collect()
}

/// `verified`, or `verified 6 of 10` where the requests of a connection differ, or what is wrong: `expired`.
fn authentication(sighting: &Sighting) -> (String, Paint) {
    let record = &sighting.last;
    let mut parts = record.requests.parts();
    let status = match parts.next() {
        Some((name, count)) if count < record.requests.total => {
            return (format!("{name} {count} of {}", record.requests.total), Paint::Warn);
        }
        Some((name, _)) => name,
        None if record.authentication.status.is_empty() => "unknown",
        None => &record.authentication.status,
    };
    match (status, record.authentication.reason.as_deref()) {
        ("verified" | "invalid", Some(reason)) => (reason.to_owned(), Paint::Bad),
        ("verified", None) => (status.to_owned(), Paint::Good),
        ("invalid", None) => (status.to_owned(), Paint::Bad),
        ("none", _) => (status.to_owned(), Paint::Warn),
        _ => (status.to_owned(), Paint::Dim),
    }
}

/// Most serious first.
fn findings(sighting: &Sighting) -> String {
    let known = KINDS.iter().filter(|kind| sighting.findings.contains(**kind)).map(|kind| (*kind).to_owned());
    let others = sighting.findings.iter().filter(|kind| !KINDS.contains(&kind.as_str())).cloned();
    let all: Vec<_> = known.chain(others).collect();
    all.join(", ")
}

fn padded(text: &str, width: usize, paint: Paint) -> Piece {
    Piece(format!("{text:width$}"), paint)
}

/// What the columns before the findings take, with `gap` spaces after each.
fn width(gap: usize) -> usize {
    widths().iter().map(|width| width + gap).sum()
}

/// Fixed by the cast, so that no column moves while the table grows.
fn widths() -> [usize; 5] {
    let widest = |text: fn(usize) -> usize| (0..CALLS.len()).map(text).max().unwrap_or(0);
    [
        widest(|index| CALLS[index].client.len()),
        widest(|index| CALLS[index].server.len() + ":65535".len() - 1),
        TITLES[2].len(),
        "verified 6 of 10".len(),
        TITLES[4].len(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_line_of_the_table_is_longer_than_the_window() {
        let mut seen = Seen::default();
        for call in &CALLS {
            let record = json!({
                "client": {"principal": call.client, "port": 1},
                "server": {"principal": call.server, "port": call.port()},
                "encryption": {"status": call.encryption}, "declaration": {"status": call.declaration},
                "authentication": {
                    "status": if call.requests.invalid > 0 { "invalid" } else { "verified" },
                    "reason": call.reason,
                },
                "findings": KINDS,
            });
            seen.take(&record.to_string()).unwrap();
        }
        for (columns, short) in
            [(80, true), (80, false), (100, false), (113, false), (114, true), (200, false)]
        {
            for line in table(&seen, columns, short) {
                let text: String = line.iter().map(|piece| piece.0.as_str()).collect();
                assert!(text.trim_end().chars().count() <= columns, "{columns}: {text}");
            }
        }
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-word-that-is-longer b", 5), ["a-word-that-is-longer", "b"]);
        assert!(wrap("", 5).is_empty());
    }
}
