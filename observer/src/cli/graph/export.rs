//! `observer graph export`.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::cli::CliError;
use crate::cli::client::{Answer, Line, SocketArgs};
use crate::cli::filter::{Since, now};
use crate::cli::output::{Ended, Printer};
use crate::review::{self, Scope};
use crate::sink::query::{CoverageView, Filter, FilterRequest, ObservedEdge, Request};

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "servicegraph")]
    pub format: ExportFormat,
    /// Edges that were seen not before: so long ago (30s, 5m, 1h30m, 2d), or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Declarations of this namespace only
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub socket: SocketArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum ExportFormat {
    /// The observer's own kind
    #[default]
    ServiceGraph,
    /// Kubernetes' own, of ingress: by labels and addresses
    NetworkPolicy,
    /// Istio's: by certificate, where all calls of a server have one
    AuthorizationPolicy,
}

impl From<ExportFormat> for review::ExportFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::ServiceGraph => Self::ServiceGraph,
            ExportFormat::NetworkPolicy => Self::NetworkPolicy,
            ExportFormat::AuthorizationPolicy => Self::AuthorizationPolicy,
        }
    }
}

/// Answers whether something was left out because of findings.
pub(super) fn run<W: Write>(args: &ExportArgs, out: &mut Printer<W>) -> Result<bool, CliError> {
    let scope =
        Scope { since: args.since.map(|since| since.moment(now())), namespace: args.namespace.clone() };
    let filter = Filter {
        since: scope.since,
        namespace: scope.namespace.clone().into_iter().collect(),
        ..Filter::default()
    };
    let observed: Vec<ObservedEdge> = all(&Request::Observed(FilterRequest { filter }), &args.socket)?;
    let coverage: Vec<CoverageView> = all(&Request::Coverage, &args.socket)?;
    let coverage = coverage.into_iter().next().unwrap_or_default();
    let export = review::export(&observed, &coverage, &scope, args.format.into());
    for note in &export.notes {
        eprintln!("observer: {}", crate::cli::one_line(note));
    }
    Ended::or_error(out.print(&export.text).and_then(|()| out.flush()))?;
    Ok(export.refused)
}

/// Every item of an answer.
pub(super) fn all<T: serde::de::DeserializeOwned>(
    request: &Request,
    socket: &SocketArgs,
) -> Result<Vec<T>, CliError> {
    let mut answer = Answer::to(request, socket)?;
    let mut items = Vec::new();
    while let Some(line) = answer.next()? {
        if let Line::Item(line) = line {
            items.push(answer.read(&line)?);
        }
    }
    Ok(items)
}
