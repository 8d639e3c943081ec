//! The table of edges: redrawn in place on a terminal, appended line by line anywhere else.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::record::{Edge, Seen, Sighting};
use super::{explain, layout};

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(100);
/// How long one sentence stands below the table.
const SENTENCE: Duration = Duration::from_secs(4);

/// How something looks, where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Paint {
    /// ECMA-48 "Select Graphic Rendition".
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// A piece of a line.
pub struct Piece(pub String, pub Paint);

/// A line, in pieces whose text holds no control codes.
pub type Line = Vec<Piece>;

/// Where the table goes.
pub struct Screen<W> {
    out: W,
    /// Redraw in place.
    live: bool,
    colour: bool,
    /// Lines of the last drawing that the next one replaces.
    drawn: usize,
    last: Option<Instant>,
    started: Instant,
    /// What was appended of each edge.
    told: BTreeMap<Edge, String>,
}

impl Screen<std::io::Stdout> {
    /// Standard output; `redraw` if that is wanted at all.
    pub fn stdout(redraw: bool) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        // https://no-color.org: present and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::new(out, terminal && redraw, terminal && !plain)
    }
}

impl<W: Write> Screen<W> {
    fn new(out: W, live: bool, colour: bool) -> Self {
        Self { out, live, colour, drawn: 0, last: None, started: Instant::now(), told: BTreeMap::new() }
    }

    /// Shows what is new. `status` is the line below the table, on a terminal.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show(&mut self, seen: &Seen, status: &str) -> std::io::Result<()> {
        if !self.live {
            return self.append(seen);
        }
        if self.last.is_some_and(|last| last.elapsed() < FRAME) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let (columns, rows) = size();
        let mut lines = layout::table(seen, columns, false);
        lines.push(Line::new());
        lines.extend(self.sentence(seen, columns));
        // Lines that have scrolled away cannot be drawn again: the whole of it comes at the end.
        if lines.len() + 1 >= rows {
            lines = layout::table(seen, columns, true);
            lines.truncate(rows.saturating_sub(3));
            lines.push(Line::new());
        }
        lines.push(vec![Piece(status.to_owned(), Paint::Dim)]);
        self.draw(&lines, columns)
    }

    /// Draws the table for the last time, whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self, seen: &Seen) -> std::io::Result<()> {
        if !self.live {
            return self.append(seen);
        }
        let (columns, _) = size();
        self.draw(&layout::table(seen, columns, false), columns)
    }

    /// Prints a line below everything.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn print(&mut self, line: &Line) -> std::io::Result<()> {
        let text = self.painted(line, usize::MAX);
        writeln!(self.out, "{text}")
    }

    /// Prints text in lines no longer than the window, each after as many spaces.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn paragraph(&mut self, indent: usize, text: &str) -> std::io::Result<()> {
        let columns = if self.live { size().0 } else { 110 };
        for line in layout::wrap(text, columns.saturating_sub(indent).max(20)) {
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    /// One of the findings' sentences, in turn.
    fn sentence(&self, seen: &Seen, columns: usize) -> Vec<Line> {
        let all: Vec<_> = explain::all(seen)
            .into_iter()
            .flat_map(|(kind, sentences)| {
                sentences.into_iter().take(1).map(move |text| format!("{kind}: {text}"))
            })
            .collect();
        let turn = usize::try_from(self.started.elapsed().as_secs() / SENTENCE.as_secs()).unwrap_or(0);
        let text = if all.is_empty() { String::new() } else { all[turn % all.len()].clone() };
        // Two lines always, so that the line below does not jump.
        let mut lines: Vec<Line> =
            layout::wrap(&text, columns).into_iter().map(|line| vec![Piece(line, Paint::Plain)]).collect();
        lines.resize_with(2, Line::new);
        lines
    }

    fn draw(&mut self, lines: &[Line], columns: usize) -> std::io::Result<()> {
        // ECMA-48: cursor up, erase to the end of the line, erase to the end of the screen.
        let mut text = if self.drawn > 0 { format!("\x1b[{}A\r", self.drawn) } else { String::new() };
        for line in lines {
            text += &self.painted(line, columns);
            text += "\x1b[K\n";
        }
        text += "\x1b[J";
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// One line for each edge that has changed.
    fn append(&mut self, seen: &Seen) -> std::io::Result<()> {
        let is_first = self.told.is_empty();
        for edge in &seen.order {
            let Some(sighting) = seen.edges.get(edge) else { continue };
            let [header, row] = layout::row(edge, sighting);
            let text = self.painted(&row, usize::MAX);
            if self.told.get(edge) == Some(&text) || !is_settled(sighting) {
                continue;
            }
            if is_first && self.told.is_empty() {
                let header = self.painted(&header, usize::MAX);
                writeln!(self.out, "{header}")?;
            }
            writeln!(self.out, "{text}")?;
            self.told.insert(edge.clone(), text);
        }
        self.out.flush()
    }

    fn painted(&self, line: &Line, columns: usize) -> String {
        let (mut text, mut room) = (String::new(), columns);
        for Piece(piece, paint) in line {
            let piece: String = piece.chars().take(room).collect();
            room -= piece.chars().count();
            if self.colour && !paint.code().is_empty() && !piece.trim().is_empty() {
                text += &format!("\x1b[{}m{piece}\x1b[0m", paint.code());
            } else {
                text += &piece;
            }
        }
        text.trim_end().to_owned()
    }
}

/// Lines that say less than the next one of the same flow will are not worth appending.
fn is_settled(sighting: &Sighting) -> bool {
    sighting.flows() > 0
}

/// Columns and rows of the window.
fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen() -> Seen {
        let mut seen = Seen::default();
        for (client, server, findings) in [
            ("shop/frontend", "shop/orders", vec!["unencrypted", "unauthenticated"]),
            ("client-ns/curl-sa", "server-ns/default", vec!["api-audience-token"]),
        ] {
            let record = json!({
                "client": {"principal": client, "port": 1}, "server": {"principal": server, "port": 8080},
                "encryption": {"status": "plaintext"}, "declaration": {"status": "allowed"},
                "requests": {"total": 2, "none": 2, "present": 0, "verified": 0, "invalid": 0, "unknown": 0},
                "findings": findings, "final": true
            });
            seen.take(&record.to_string()).unwrap();
        }
        seen
    }

    fn shown(live: bool, colour: bool, times: usize) -> String {
        let mut screen = Screen::new(Vec::new(), live, colour);
        for _ in 0..times {
            screen.show(&seen(), "10 s left").unwrap();
        }
        screen.finish(&seen()).unwrap();
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn off_a_terminal_there_are_no_control_codes_and_each_edge_comes_once() {
        let text = shown(false, false, 3);
        assert!(!text.contains('\x1b') && !text.contains('\r'), "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn columns_begin_at_the_same_place_in_every_line() {
        let text = shown(false, false, 1);
        let lines: Vec<&str> = text.lines().collect();
        for (title, cells) in [
            ("SERVER", ["shop/orders:8080", "server-ns/default:8080"]),
            ("ENCRYPTION", ["plaintext", "plaintext"]),
            ("DECLARATION", ["allowed", "allowed"]),
            ("FINDINGS", ["unauthenticated, unencrypted", "api-audience-token"]),
        ] {
            let at = lines[0].find(title).unwrap();
            for (line, cell) in lines[1..].iter().zip(cells) {
                assert!(line[at..].starts_with(cell), "{title}: {line}");
            }
        }
    }

    #[test]
    fn colours_do_not_move_columns() {
        let strip = |text: &str| {
            let mut parts = text.split("\x1b[");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
        };
        let coloured = shown(false, true, 1);
        assert!(coloured.contains("\x1b[31m"), "{coloured:?}");
        assert_eq!(strip(&coloured), shown(false, false, 1));
    }

    #[test]
    fn on_a_terminal_the_next_drawing_begins_where_the_last_one_did() {
        let mut screen = Screen::new(Vec::new(), true, false);
        screen.show(&seen(), "10 s left").unwrap();
        let first = String::from_utf8(std::mem::take(&mut screen.out)).unwrap();
        screen.finish(&seen()).unwrap();
        let second = String::from_utf8(screen.out).unwrap();
        assert!(second.starts_with(&format!("\x1b[{}A", first.matches('\n').count())), "{second:?}");
    }
}
