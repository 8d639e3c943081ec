//! The flags that choose among flows, findings and edges.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::CliError;
use super::meanings;
use crate::model::{
    AuthenticationStatus, DeclarationStatus, EncryptionStatus, FindingKind, Protocol, Timestamp, Transport,
};
use crate::sink::query::{Filter, MAX_VALUE_LENGTH, MAX_VALUES};

pub(super) const HEADING: &str = "Filters (repeatable, or values with commas between; one flag: any of its values; several flags: all of them)";

/// What flows, findings and edges can all be chosen by.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct FilterArgs {
    /// Not before: so long ago (30s, 5m, 1h30m, 2d), or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Client or server is in this namespace
    #[arg(short, long, value_name = "NS", value_delimiter = ',', value_parser = text)]
    pub namespace: Vec<String>,
    /// The client's ServiceAccount, NS/ for all of a namespace, or node, external, unknown
    #[arg(long, value_name = "NS/SA", value_delimiter = ',', value_parser = principal)]
    pub from: Vec<String>,
    /// The server's ServiceAccount, NS/ for all of a namespace, or node, external, unknown
    #[arg(long, value_name = "NS/SA", value_delimiter = ',', value_parser = principal)]
    pub to: Vec<String>,
    /// With this kind of finding; `observer explain` tells what each means
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = finding_kinds())]
    pub finding: Vec<FindingKind>,
    #[arg(long, value_name = "TRANSPORT", value_delimiter = ',', help = "Over this transport",
        value_parser = words(&Transport::ALL, Transport::as_str))]
    pub transport: Vec<Transport>,
    /// To this port of the server
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub port: Vec<u16>,
}

/// What flows can be chosen by, and edges by what they carried.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct StatusArgs {
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = "Protected so",
        value_parser = words(&EncryptionStatus::ALL, EncryptionStatus::as_str))]
    pub encryption: Vec<EncryptionStatus>,
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = "With such a request",
        value_parser = words(&AuthenticationStatus::ALL, AuthenticationStatus::as_str))]
    pub authentication: Vec<AuthenticationStatus>,
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help = "Declared so",
        value_parser = words(&DeclarationStatus::ALL, DeclarationStatus::as_str))]
    pub declaration: Vec<DeclarationStatus>,
}

/// What only flows can be chosen by.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct FlowFilterArgs {
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',', help = "In this protocol",
        value_parser = words(&Protocol::ALL, Protocol::as_str))]
    pub protocol: Vec<Protocol>,
    /// Client or server is a pod whose name begins so
    #[arg(long, value_name = "[NS/]POD", value_delimiter = ',', value_parser = text)]
    pub pod: Vec<String>,
    /// Before: as --since
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub until: Option<Since>,
}

impl FilterArgs {
    /// # Errors
    /// Usage: more values than an observer takes.
    pub(super) fn filter(
        &self,
        status: Option<&StatusArgs>,
        flow: Option<&FlowFilterArgs>,
        now: Timestamp,
    ) -> Result<Filter, CliError> {
        let mut filter = Filter {
            namespace: self.namespace.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            finding: self.finding.clone(),
            transport: self.transport.clone(),
            port: self.port.clone(),
            since: self.since.map(|since| since.moment(now)),
            ..Filter::default()
        };
        if let Some(status) = status {
            filter.encryption.clone_from(&status.encryption);
            filter.authentication.clone_from(&status.authentication);
            filter.declaration.clone_from(&status.declaration);
        }
        if let Some(flow) = flow {
            filter.protocol.clone_from(&flow.protocol);
            filter.pod.clone_from(&flow.pod);
            filter.until = flow.until.map(|until| until.moment(now));
        }
        bounded(filter)
    }
}

fn bounded(filter: Filter) -> Result<Filter, CliError> {
    let counts = [
        ("--namespace", filter.namespace.len()),
        ("--from", filter.from.len()),
        ("--to", filter.to.len()),
        ("--pod", filter.pod.len()),
        ("--finding", filter.finding.len()),
        ("--encryption", filter.encryption.len()),
        ("--authentication", filter.authentication.len()),
        ("--declaration", filter.declaration.len()),
        ("--protocol", filter.protocol.len()),
        ("--transport", filter.transport.len()),
        ("--port", filter.port.len()),
    ];
    match counts.into_iter().find(|(_, count)| *count > MAX_VALUES) {
        Some((flag, count)) => Err(CliError::Usage(format!(
            "{flag} has {count} values, and an observer takes {MAX_VALUES}; ask for fewer"
        ))),
        None => Ok(filter),
    }
}

/// The words of a status, so that help, completions and complaints list them.
fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(move |value| word(*value)))
        .try_map(move |text| all.iter().copied().find(|value| word(*value) == text).ok_or("no such word"))
}

fn finding_kinds() -> impl TypedValueParser<Value = FindingKind> {
    let value = |kind: FindingKind| {
        PossibleValue::new(kind.as_str()).help(meanings::of_finding(kind).sentence.trim_end_matches('.'))
    };
    PossibleValuesParser::new(FindingKind::ALL.map(value)).try_map(|text| text.parse::<FindingKind>())
}

/// A moment, or a distance from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    #[must_use]
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now - duration,
            Self::At(moment) => moment,
        }
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(duration) = duration(text) {
            return Ok(Self::Ago(duration));
        }
        let moment: jiff::Timestamp =
            text.parse().map_err(|_| "neither like 5m nor like 2026-01-31T12:00:00Z")?;
        let nanoseconds = u64::try_from(moment.as_nanosecond()).map_err(|_| "before 1970")?;
        Ok(Self::At(Timestamp(nanoseconds)))
    }
}

/// Numbers with their units: `1h30m`.
fn duration(mut text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = text[..digits].parse().ok()?;
        let mut rest = text[digits..].chars();
        let seconds = match rest.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        text = rest.as_str();
    }
    Some(sum)
}

/// `namespace/service-account`, `namespace/` (also written `namespace/*`), or the word for what is no pod.
pub(super) fn principal(text: &str) -> Result<String, String> {
    let text = self::text(text)?;
    let pod =
        text.split_once('/').is_some_and(|(namespace, name)| !namespace.is_empty() && !name.contains('/'));
    if pod {
        Ok(text.strip_suffix('*').filter(|namespace| namespace.ends_with('/')).unwrap_or(&text).to_owned())
    } else if matches!(text.as_str(), "node" | "external" | "unknown") {
        Ok(text)
    } else {
        Err("write NAMESPACE/SERVICEACCOUNT, NAMESPACE/ for all of it, node, external or unknown".to_owned())
    }
}

/// A name that an observer takes.
fn text(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("write a name".to_owned()),
        1..=MAX_VALUE_LENGTH => Ok(text.to_owned()),
        _ => Err(format!("no name has more than {MAX_VALUE_LENGTH} characters")),
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::default() + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_distance_or_a_moment() {
        let minutes = |n: u64| Ok(Since::Ago(Duration::from_secs(n * 60)));
        assert_eq!("5m".parse(), minutes(5));
        assert_eq!("1h30m".parse(), minutes(90));
        assert_eq!("2d".parse(), minutes(2 * 24 * 60));
        // date -u -d 2023-11-14T22:13:20Z +%s
        let moment = Ok(Since::At(Timestamp::from_seconds(1_700_000_000)));
        assert_eq!("2023-11-14T22:13:20Z".parse(), moment);
        assert_eq!("2023-11-15T00:13:20+02:00".parse(), moment);
        for nonsense in [
            "",
            "5",
            "m",
            "5x",
            "5m5",
            "-5m",
            "99999999999999999999d",
            "yesterday",
            "5µ",
            "1900-01-01T00:00:00Z",
        ] {
            assert!(nonsense.parse::<Since>().is_err(), "{nonsense}");
        }
        assert_eq!(Since::Ago(Duration::from_secs(60)).moment(Timestamp::from_seconds(100)).seconds(), 40);
    }

    #[test]
    fn a_principal_is_a_service_account_a_namespace_or_a_word() {
        for text in ["shop/orders", "shop/", "node", "external", "unknown"] {
            assert_eq!(principal(text).as_deref(), Ok(text));
        }
        assert_eq!(principal("shop/*").as_deref(), Ok("shop/"));
        let long = format!("shop/{}", "a".repeat(MAX_VALUE_LENGTH));
        for text in ["", "shop", "/", "/orders", "a/b/c", "pod", "*", &long] {
            assert!(principal(text).is_err(), "{text}");
        }
    }
}
