//! What stands in the table, in columns.

use super::cast::{CALLS, KINDS};
use super::record::{Edge, Seen, Sighting};
use super::screen::{Line, Paint, Piece};

/// Between two columns.
const GAP: &str = "  ";
/// The narrowest column that findings are put into; in a narrower window they get lines of their own.
const FINDINGS: usize = 28;
const INDENT: usize = 4;
const TITLES: [&str; 5] = ["CLIENT", "SERVER", "ENCRYPTION", "AUTHENTICATION", "DECLARATION"];

/// The table with its header, for a window of so many columns. No line is longer.
pub fn table(seen: &Seen, columns: usize) -> Vec<Line> {
    let beside = columns >= width() + FINDINGS;
    let mut lines = vec![header(beside)];
    for edge in &seen.order {
        let Some(sighting) = seen.edges.get(edge) else { continue };
        let mut line = cells(edge, sighting);
        let (start, room) = if beside {
            (width(), columns - width())
        } else {
            (INDENT, columns.saturating_sub(INDENT).max(FINDINGS))
        };
        let mut findings = wrap(&findings(sighting), room).into_iter().map(|text| Piece(text, Paint::Bad));
        if beside {
            line.extend(findings.next());
        }
        lines.push(line);
        lines.extend(findings.map(|piece| vec![Piece(" ".repeat(start), Paint::Plain), piece]));
    }
    lines
}

/// The header and one edge's line, however long.
pub fn row(edge: &Edge, sighting: &Sighting) -> [Line; 2] {
    let mut line = cells(edge, sighting);
    line.push(Piece(findings(sighting), Paint::Bad));
    [header(true), line]
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

fn header(beside: bool) -> Line {
    let mut line: Line =
        TITLES.into_iter().zip(widths()).map(|(title, width)| padded(title, width, Paint::Bold)).collect();
    if beside {
        line.push(Piece("FINDINGS".to_owned(), Paint::Bold));
    }
    line
}

fn cells(edge: &Edge, sighting: &Sighting) -> Line {
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
    texts.into_iter().zip(widths()).map(|((text, paint), width)| padded(&text, width, paint)).collect()
}

/// `verified`, or `verified 6, none 4` where the requests of a connection differ, or `expired`.
fn authentication(sighting: &Sighting) -> (String, Paint) {
    let record = &sighting.last;
    let parts: Vec<_> = record.requests.parts().collect();
    let status = match parts[..] {
        [(name, _)] => name,
        [] if record.authentication.status.is_empty() => "unknown",
        [] => &record.authentication.status,
        _ => {
            let parts: Vec<_> = parts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            return (parts.join(", "), Paint::Warn);
        }
    };
    match (status, record.authentication.reason.as_deref()) {
        ("verified", Some(reason)) => (format!("verified, {reason}"), Paint::Bad),
        ("invalid", reason) => (reason.unwrap_or("invalid").to_owned(), Paint::Bad),
        ("verified", None) => (status.to_owned(), Paint::Good),
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
    Piece(format!("{text:width$}{GAP}"), paint)
}

/// What the columns before the findings take.
fn width() -> usize {
    widths().iter().map(|width| width + GAP.len()).sum()
}

/// Fixed by the cast, so that no column moves while the table grows.
fn widths() -> [usize; 5] {
    let widest = |text: fn(usize) -> usize| (0..CALLS.len()).map(text).max().unwrap_or(0);
    [
        widest(|index| CALLS[index].client.len()),
        widest(|index| CALLS[index].server.len() + ":65535".len() - 1),
        TITLES[2].len(),
        "verified 6, none 4".len(),
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
        for columns in [86, 100, 113, 114, 120, 200] {
            for line in table(&seen, columns) {
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
