//! `observer explain`.

use std::io::Write;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::CliError;
use super::meanings::{self, FINDINGS, FindingMeaning, Meaning, REASONS, WORDS, wrapped};
use super::output::{Color, Ended, Printer};
use crate::model::FindingKind;
use crate::sink::table::{Cell, Table, Tone};

/// Columns of text, as people read them well.
const WIDTH: usize = 96;

#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// A kind of finding or posture, a status, or a reason; without one, all of them in a line each
    #[arg(value_name = "WORD", hide_possible_values = true, value_parser = words())]
    pub word: Option<String>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

fn words() -> PossibleValuesParser {
    PossibleValuesParser::new(meanings::all_words())
}

pub(super) fn run<W: Write>(args: &ExplainArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    Ended::or_error(match args.word.as_deref() {
        Some(word) => explain(word, out),
        None => list(out),
    })
}

fn explain<W: Write>(word: &str, out: &mut Printer<W>) -> Result<(), Ended> {
    if let Ok(kind) = word.parse::<FindingKind>() {
        finding(meanings::of_finding(kind), out)?;
    }
    for meaning in meanings::of_word(word) {
        out.heading(&format!("{} ({})", meaning.word, meaning.place))?;
        out.print(&wrapped(meaning.sentence, "  ", WIDTH))?;
        let of: Vec<&str> = FINDINGS
            .iter()
            .filter(|finding| finding.reasons.contains(&word))
            .map(|finding| finding.kind.as_str())
            .collect();
        if !of.is_empty() {
            out.print(&format!("  A reason of the finding {}.\n", of.join(", ")))?;
        }
    }
    out.flush()
}

fn finding<W: Write>(finding: &FindingMeaning, out: &mut Printer<W>) -> Result<(), Ended> {
    out.heading(&format!("{} (finding)", finding.kind))?;
    out.print(&wrapped(finding.sentence, "  ", WIDTH))?;
    for (heading, text) in [("Why it matters", finding.why), ("What proves it", finding.proof)] {
        out.heading(heading)?;
        out.print(&wrapped(text, "  ", WIDTH))?;
    }
    if !finding.reasons.is_empty() {
        out.heading("Its reasons")?;
        for meaning in finding.reasons.iter().flat_map(|reason| meanings::of_word(reason)) {
            out.print(&wrapped(&format!("{}: {}", meaning.word, meaning.sentence), "  ", WIDTH))?;
        }
    }
    out.heading("What to do")?;
    out.print(&wrapped(finding.fix, "  ", WIDTH))?;
    out.heading("How to confirm")?;
    for (command, what) in finding.confirm {
        out.print(&format!("  {command}\n"))?;
        out.print(&wrapped(what, "    ", WIDTH))?;
    }
    out.heading("How to exempt")?;
    out.print(&wrapped(finding.exempt, "  ", WIDTH))?;
    out.print("  In the file of --config:\n")?;
    for line in finding.exemption().lines() {
        out.print(&format!("    {line}\n"))?;
    }
    Ok(())
}

fn list<W: Write>(out: &mut Printer<W>) -> Result<(), Ended> {
    let findings: Vec<_> =
        FINDINGS.iter().map(|finding| (finding.kind.as_str(), "", finding.sentence)).collect();
    section("Findings", &findings, out)?;
    let rows = |meanings: &'static [Meaning]| -> Vec<_> {
        meanings.iter().map(|meaning| (meaning.word, meaning.place, meaning.sentence)).collect()
    };
    section("Posture", &rows(meanings::POSTURES), out)?;
    section("Statuses", &rows(WORDS), out)?;
    section("Reasons", &rows(REASONS), out)?;
    section("Reasons of imported policies", &rows(meanings::POLICY_REASONS), out)?;
    out.flush()
}

fn section<W: Write>(
    name: &str,
    rows: &[(&'static str, &'static str, &'static str)],
    out: &mut Printer<W>,
) -> Result<(), Ended> {
    out.heading(name)?;
    let rows: Vec<Vec<Cell>> = rows
        .iter()
        .map(|(word, place, sentence)| {
            let place = (!place.is_empty()).then(|| Cell::new(*place, Tone::Faint));
            [Some(Cell::from(format!("  {word}"))), place, Some(Cell::from(*sentence))]
                .into_iter()
                .flatten()
                .collect()
        })
        .collect();
    let mut table = Table::new(Vec::new(), out.colour);
    for row in &rows {
        table.measure(row);
    }
    for row in &rows {
        out.print(&table.line(row))?;
    }
    Ok(())
}

impl<W: Write> Printer<W> {
    /// A line of its own, after an empty one unless it is the first.
    fn heading(&mut self, text: &str) -> Result<(), Ended> {
        if std::mem::replace(&mut self.begun, true) {
            self.print("\n")?;
        }
        if self.colour {
            self.print(&format!("\x1b[1m{text}\x1b[0m\n"))
        } else {
            self.print(&format!("{text}\n"))
        }
    }
}
