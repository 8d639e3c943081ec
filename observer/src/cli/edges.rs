//! `observer edges`.

use std::io::Write;

use clap::Args;

use super::CliError;
use super::client::{Answer, Line};
use super::filter::{FilterArgs, now};
use super::output::{Ended, Format, Printer};
use crate::sink::query::{EdgeView, FilterRequest, Request};
use crate::sink::table::{Cell, Tone, moment};

#[derive(Args, Clone, Debug)]
pub struct EdgesArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

pub(super) fn run<W: Write>(args: &EdgesArgs, out: &mut Printer<W>) -> Result<(), CliError> {
    let request = Request::Edges(FilterRequest { filter: args.filter.filter(now()) });
    let answer = Answer::to(&request, &args.filter.socket)?;
    Ended::or_error(print(answer, args.output, out))
}

const COLUMNS: [&str; 10] = [
    "CLIENT",
    "SERVER",
    "PORT",
    "TRANSPORT",
    "FLOWS",
    "REQUESTS",
    "ENCRYPTION",
    "DECLARATION",
    "FINDINGS",
    "LAST-SEEN",
];

fn print<W: Write>(mut answer: Answer, format: Format, out: &mut Printer<W>) -> Result<(), Ended> {
    let mut rows = vec![COLUMNS.map(|name| Cell::new(name, Tone::Faint))];
    while let Some(line) = answer.next()? {
        let Line::Item(line) = line else { continue };
        match format {
            Format::Json => out.print(&line)?,
            Format::Table => rows.push(row(&answer.read(&line)?)),
        }
    }
    if format == Format::Table {
        out.table(&rows, "no edges")?;
    }
    out.flush()
}

fn row(edge: &EdgeView) -> [Cell; 10] {
    let (requests, encryption, declaration) = (&edge.requests, &edge.encryption, &edge.declaration);
    let findings: Vec<&str> = edge.findings.keys().map(|kind| kind.as_str()).collect();
    [
        Cell::from(edge.client.principal.as_str()),
        Cell::from(edge.server.principal.as_str()),
        Cell::from(edge.port.to_string()),
        Cell::from(edge.transport.as_str()),
        Cell::from(edge.flows.to_string()),
        Cell::from(counts(&[
            ("none", requests.none),
            ("present", requests.present),
            ("verified", requests.verified),
            ("invalid", requests.invalid),
            ("unknown", requests.unknown),
        ])),
        Cell::from(counts(&[
            ("plaintext", encryption.plaintext),
            ("tls", encryption.tls),
            ("mtls", encryption.mtls),
            ("unknown", encryption.unknown),
        ])),
        Cell::from(counts(&[
            ("allowed", declaration.allowed),
            ("unexpected", declaration.unexpected),
            ("ungoverned", declaration.ungoverned),
            ("unevaluable", declaration.unevaluable),
        ])),
        if findings.is_empty() {
            Cell::new("-", Tone::Faint)
        } else {
            Cell::new(findings.join(","), Tone::Bad)
        },
        Cell::new(moment(edge.last_seen), Tone::Faint),
    ]
}

/// Those that are not zero: `none 3, verified 9`.
fn counts(all: &[(&str, u64)]) -> String {
    let there: Vec<String> =
        all.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if there.is_empty() { "-".to_owned() } else { there.join(", ") }
}
