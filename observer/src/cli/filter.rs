//! The flags that choose among flows, findings and edges.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::model::{FindingKind, Timestamp};
use crate::sink::DEFAULT_SOCKET;
use crate::sink::query::Filter;

/// What is asked for, and whom.
#[derive(Args, Clone, Debug)]
pub struct FilterArgs {
    /// Not before: so long ago (30s, 5m, 1h30m, 2d), or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Client or server is in this namespace
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// The client's ServiceAccount, or node, external, unknown
    #[arg(long, value_name = "NS/SA", value_parser = principal)]
    pub from: Option<String>,
    /// The server's ServiceAccount, or node, external, unknown
    #[arg(long, value_name = "NS/SA", value_parser = principal)]
    pub to: Option<String>,
    /// With this kind of finding
    #[arg(long, value_name = "KIND")]
    pub finding: Option<FindingKind>,
    /// The socket of the observer to ask
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

impl FilterArgs {
    #[must_use]
    pub fn filter(&self, now: Timestamp) -> Filter {
        Filter {
            namespace: self.namespace.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            finding: self.finding,
            since: self.since.map(|since| since.moment(now)),
        }
    }
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

/// `namespace/service-account`, or the word for what is no pod.
pub(super) fn principal(text: &str) -> Result<String, &'static str> {
    let pod = text
        .split_once('/')
        .is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'));
    if pod || matches!(text, "node" | "external" | "unknown") {
        Ok(text.to_owned())
    } else {
        Err("write NAMESPACE/SERVICEACCOUNT, node, external or unknown")
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
    fn a_principal_is_a_service_account_or_a_word() {
        assert!(
            ["shop/orders", "node", "external", "unknown"].into_iter().all(|text| principal(text).is_ok())
        );
        assert!(
            ["", "shop", "/", "shop/", "/orders", "a/b/c", "pod"]
                .into_iter()
                .all(|text| principal(text).is_err())
        );
    }
}
