//! The log on stderr: a line an event, whatever the event quotes.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::cli::LogLevel;

/// Starts the log; what is answered changes its level.
pub fn to_stderr(level: LogLevel) -> Box<dyn Fn(LogLevel) + Send> {
    let named = EnvFilter::try_from_env("OBSERVER_LOG");
    let is_named = named.is_ok();
    let colour = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(named.unwrap_or_else(|_| filter(level)))
        .with_writer(|| Lines(io::stderr()))
        .with_ansi(colour)
        .with_filter_reloading();
    let reload = builder.reload_handle();
    // A second subscriber, in tests, is no reason to stop.
    let _ = builder.try_init();
    Box::new(move |level| {
        // The environment wins, as it does at start.
        if !is_named {
            let _ = reload.reload(filter(level));
        }
    })
}

fn filter(level: LogLevel) -> EnvFilter {
    // The watches tell of what the client fails at, once and in one line.
    EnvFilter::new(match level {
        LogLevel::Debug | LogLevel::Trace => level.as_str().to_owned(),
        _ => format!("{},kube_client=off", level.as_str()),
    })
}

/// Takes each event in one write. The subscriber escapes what drives a terminal; what would begin a line of its own, or
/// turn the text around, is escaped here: names and messages come from others.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        if line.contains(misleads) {
            let mut escaped = String::with_capacity(event.len() + 16);
            for c in line.chars() {
                if misleads(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
            }
            self.0.write_all(escaped.as_bytes())?;
            self.0.write_all(end.as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Line ends of any kind, and marks that change the order of what is read (Unicode Standard Annex #9, section 2).
fn misleads(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str) -> String {
        let mut lines = Lines(Vec::new());
        lines.write_all(event.as_bytes()).unwrap();
        String::from_utf8(lines.0).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        assert_eq!(
            written("WARN shop/a\n2026 INFO forged\r\u{202e}x\n"),
            "WARN shop/a\\n2026 INFO forged\\r\\u{202e}x\n"
        );
        assert_eq!(written("INFO caf\u{e9}\n"), "INFO caf\u{e9}\n");
    }
}
