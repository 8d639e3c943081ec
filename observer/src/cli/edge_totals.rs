//! What all edges carried together, below the table of `observer edges`.

use crate::model::RequestCounts;
use crate::sink::query::{DeclarationCounts, EdgeView, EncryptionCounts};

#[derive(Debug, Default)]
pub(super) struct Totals {
    edges: u64,
    flows: u64,
    requests: RequestCounts,
    encryption: EncryptionCounts,
    declaration: DeclarationCounts,
    /// Edges that have had a finding.
    with_findings: u64,
}

impl Totals {
    pub fn of<'a>(edges: impl Iterator<Item = &'a EdgeView>) -> Self {
        let mut all = Self::default();
        for edge in edges {
            all.edges += 1;
            all.flows += edge.flows;
            all.with_findings += u64::from(!edge.findings.is_empty());
            for (sum, n) in [
                (&mut all.requests.total, edge.requests.total),
                (&mut all.requests.present, edge.requests.present),
                (&mut all.requests.verified, edge.requests.verified),
                (&mut all.requests.unknown, edge.requests.unknown),
                (&mut all.encryption.plaintext, edge.encryption.plaintext),
                (&mut all.encryption.tls, edge.encryption.tls),
                (&mut all.encryption.mtls, edge.encryption.mtls),
                (&mut all.encryption.unknown, edge.encryption.unknown),
                (&mut all.declaration.allowed, edge.declaration.allowed),
                (&mut all.declaration.unexpected, edge.declaration.unexpected),
                (&mut all.declaration.ungoverned, edge.declaration.ungoverned),
                (&mut all.declaration.unevaluable, edge.declaration.unevaluable),
            ] {
                *sum += n;
            }
        }
        all
    }

    /// Shares are of what is known; what is not stands beside them.
    pub fn lines(&self) -> [String; 4] {
        let (encryption, requests, declaration) = (&self.encryption, &self.requests, &self.declaration);
        let encrypted = encryption.tls + encryption.mtls;
        let credentials = requests.verified + requests.present;
        let seen = requests.total.saturating_sub(requests.unknown);
        let declared = declaration.allowed;
        let evaluated = declared + declaration.unexpected + declaration.ungoverned;
        [
            format!(
                "{}, {} with findings; {}, {}\n",
                counted(self.edges, "edge"),
                self.with_findings,
                counted(self.flows, "flow"),
                counted(requests.total, "request")
            ),
            format!(
                "encrypted      {} (mtls {}), unknown {}\n",
                share(encrypted, encrypted + encryption.plaintext, "flow"),
                encryption.mtls,
                encryption.unknown
            ),
            format!(
                "authenticated  {} (verified {}), unknown {}\n",
                share(credentials, seen, "request"),
                requests.verified,
                requests.unknown
            ),
            format!(
                "declared       {} (unexpected {}, ungoverned {}), unevaluable {}\n",
                share(declared, evaluated, "flow"),
                declaration.unexpected,
                declaration.ungoverned,
                declaration.unevaluable
            ),
        ]
    }
}

/// `3 of 8 flows, 38 %`.
fn share(part: u64, whole: u64, what: &str) -> String {
    let of = format!("{part} of {}", counted(whole, what));
    match (200 * part + whole).checked_div(2 * whole) {
        // Nearly all is not all, and nearly none is not none.
        Some(100) if part < whole => format!("{of}, >99 %"),
        Some(0) if part > 0 => format!("{of}, <1 %"),
        Some(percent) => format!("{of}, {percent} %"),
        None => of,
    }
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_is_known_and_rounds_neither_to_all_nor_to_none() {
        assert_eq!(share(0, 0, "flow"), "0 of 0 flows");
        assert_eq!(share(3, 8, "flow"), "3 of 8 flows, 38 %");
        assert_eq!(share(1, 1, "flow"), "1 of 1 flow, 100 %");
        assert_eq!(share(999, 1000, "flow"), "999 of 1000 flows, >99 %");
        assert_eq!(share(1, 1000, "flow"), "1 of 1000 flows, <1 %");
        assert_eq!(share(0, 7, "flow"), "0 of 7 flows, 0 %");
    }

    #[test]
    fn what_is_unknown_is_in_no_share_and_stands_beside_it() {
        let totals = Totals {
            edges: 2,
            flows: 10,
            requests: RequestCounts {
                total: 9,
                none: 4,
                present: 1,
                verified: 1,
                invalid: 1,
                unknown: 2,
                rejected: 0,
            },
            encryption: EncryptionCounts { plaintext: 3, tls: 2, mtls: 1, unknown: 4 },
            declaration: DeclarationCounts { allowed: 2, unexpected: 1, ungoverned: 1, unevaluable: 6 },
            with_findings: 1,
        };
        assert_eq!(
            totals.lines(),
            [
                "2 edges, 1 with findings; 10 flows, 9 requests\n",
                "encrypted      3 of 6 flows, 50 % (mtls 1), unknown 4\n",
                "authenticated  2 of 7 requests, 29 % (verified 1), unknown 2\n",
                "declared       2 of 4 flows, 50 % (unexpected 1, ungoverned 1), unevaluable 6\n",
            ]
        );
    }
}
