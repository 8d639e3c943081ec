//! docs/findings.md, from the texts that `observer explain` prints.

use std::fmt::Write as _;

use super::{FINDINGS, Meaning, POLICY_REASONS, POSTURES, REASONS, WORDS};

const INTRODUCTION: &str = "\
# Findings

What each kind of finding means, what proves it, and what to do. `observer explain KIND` prints the same.

A finding is a verdict worth a person's attention. It is never made from what was not seen: that is `unknown`, with a reason
that stands below. Calls within a pod and to a mesh's own proxy, kubelet probes and DNS are exempt, and counted as such in
`observer_exempted_total`, like everything that `exemptions` leaves out.

";

/// The whole page.
#[must_use]
pub fn findings_page() -> String {
    let mut page = String::from(INTRODUCTION);
    // Writing to a String cannot fail.
    for finding in FINDINGS {
        let _ = write!(page, "## {}\n\n{} {}\n\n", finding.kind, finding.sentence, finding.why);
        let _ = write!(page, "**What proves it.** {}\n\n", finding.proof);
        if !finding.reasons.is_empty() {
            page.push_str("| reason | meaning |\n|---|---|\n");
            for reason in finding.reasons {
                let meaning = REASONS.iter().find(|meaning| meaning.word == *reason);
                let _ = writeln!(page, "| `{reason}` | {} |", meaning.map_or("", |meaning| meaning.sentence));
            }
            page.push('\n');
        }
        let _ = write!(page, "**What to do.** {}\n\n**How to look.**\n\n```console\n", finding.fix);
        for (command, _) in finding.confirm {
            let _ = writeln!(page, "$ target/release/{command}");
        }
        page.push_str("```\n\n");
        for (command, look) in finding.confirm {
            let _ = writeln!(page, "- `{command}`: {look}");
        }
        let _ =
            write!(page, "\n**Exempting it.** {}\n\n```yaml\n{}```\n\n", finding.exempt, finding.exemption());
    }
    page.push_str("## Other words\n\n");
    for (title, meanings) in [
        ("Statuses", WORDS),
        ("What `observer posture` tells", POSTURES),
        ("Reasons", REASONS),
        ("Reasons of imported policies", POLICY_REASONS),
    ] {
        table(&mut page, title, meanings);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn table(page: &mut String, title: &str, meanings: &[Meaning]) {
    let _ = write!(page, "### {title}\n\n| word | where | meaning |\n|---|---|---|\n");
    for Meaning { word, place, sentence } in meanings {
        let _ = writeln!(page, "| `{word}` | `{place}` | {sentence} |");
    }
    page.push('\n');
}
