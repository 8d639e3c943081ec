//! What a Prometheus has scraped of all observers: instant queries of its HTTP API (`/api/v1/query`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::cli::CliError;
use crate::model::{EdgeEnd, EdgeKey, EdgePort, Kind, Timestamp, Transport};
use crate::review::SeenEdge;
use crate::sink::query::{DeclarationCounts, PortView};

/// The labels of an edge.
const EDGE: &str = "client_namespace, client_service_account, client_kind, server_namespace, server_service_account, \
                    server_kind, server_port, transport";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A series is some 400 bytes of JSON, and observers make 50,000 each at most.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// What it knows.
#[derive(Debug)]
pub(super) struct Seen {
    pub edges: Vec<SeenEdge>,
    /// Since when, within the window, it has scraped observers.
    pub since: Timestamp,
    /// Series that stand for many.
    pub overflow: usize,
}

#[derive(Debug, Deserialize)]
struct Reply {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    /// A time, and the value as text.
    value: (f64, String),
}

/// Asks of the last `window`.
///
/// # Errors
/// The address is none, nobody answers, or no observer was scraped.
pub(super) fn ask(url: &str, window: Duration) -> Result<Seen, CliError> {
    let uri = address(url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    let seconds = window.as_secs().max(1);
    let step = (seconds / 200).max(15);
    let query = |text: String| -> Result<Vec<Sample>, CliError> { runtime.block_on(query(&uri, &text)) };
    let begun = query(format!("min_over_time(min(timestamp(observer_build_info))[{seconds}s:{step}s])"))?;
    let Some(since) = begun.first().and_then(|sample| moment(&sample.value.1)) else {
        return Err(CliError::Failed(format!(
            "{url} has scraped no observer in that time; name the Prometheus that does, or a longer --since"
        )));
    };
    let last = query(format!(
        "max by ({EDGE}) (max_over_time(observer_edge_last_seen_timestamp_seconds[{seconds}s]))"
    ))?;
    let flows = query(format!(
        "sum by ({EDGE}, declaration) (max_over_time(observer_flows_total{{declaration=~\"unexpected|ungoverned\"}}[{seconds}s]))"
    ))?;
    Ok(join(last, flows, since))
}

fn join(last: Vec<Sample>, flows: Vec<Sample>, since: Timestamp) -> Seen {
    let mut counts: HashMap<EdgeKey, DeclarationCounts> = HashMap::new();
    for sample in flows {
        let Some(edge) = edge(&sample.metric) else { continue };
        let count = sample.value.1.parse::<f64>().unwrap_or_default().max(0.0).round() as u64;
        let counts = counts.entry(edge).or_default();
        match sample.metric.get("declaration").map(String::as_str) {
            Some("unexpected") => counts.unexpected += count,
            Some("ungoverned") => counts.ungoverned += count,
            _ => {}
        }
    }
    let mut seen = Seen { edges: Vec::new(), since, overflow: 0 };
    for sample in last {
        let (Some(edge), Some(last_seen)) = (edge(&sample.metric), moment(&sample.value.1)) else {
            seen.overflow += 1;
            continue;
        };
        seen.edges.push(SeenEdge {
            client: (&edge.client).into(),
            server: (&edge.server).into(),
            port: PortView(edge.port),
            transport: edge.transport,
            declaration: counts.get(&edge).copied().unwrap_or_default(),
            last_seen,
            client_addresses: Vec::new(),
            server_addresses: Vec::new(),
        });
    }
    seen
}

/// Nothing where a label holds no value of an edge's, such as `_overflow`.
fn edge(labels: &BTreeMap<String, String>) -> Option<EdgeKey> {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    let end = |side: &str| {
        let kind: Kind = word(label(&format!("{side}_kind")))?;
        let named = |key: &str| match kind {
            Kind::Pod => Arc::from(label(&format!("{side}_{key}"))),
            _ => Arc::from(""),
        };
        Some(EdgeEnd { namespace: named("namespace"), service_account: named("service_account"), kind })
    };
    let port = match label("server_port") {
        "ephemeral" => EdgePort::Ephemeral,
        number => EdgePort::Number(number.parse().ok()?),
    };
    let transport: Transport = word(label("transport"))?;
    Some(EdgeKey { client: end("client")?, server: end("server")?, port, transport })
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

/// Seconds since 1970, with a fraction.
fn moment(text: &str) -> Option<Timestamp> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0)
        .then(|| Timestamp::default() + Duration::from_secs_f64(seconds.min(1e11)))
}

fn address(url: &str) -> Result<Uri, CliError> {
    let usage = |why: &str| CliError::Usage(format!("--prometheus {url}: {why}"));
    let uri: Uri = url.parse().map_err(|_| usage("no URL; write http://HOST:PORT"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(uri),
        (Some("https"), _) => Err(usage(
            "https is not spoken here; name an http address, such as that of `kubectl port-forward`",
        )),
        _ => Err(usage("write http://HOST:PORT")),
    }
}

async fn query(uri: &Uri, text: &str) -> Result<Vec<Sample>, CliError> {
    let failed = |why: String| CliError::Failed(format!("the Prometheus at {uri} {why}"));
    let answer = tokio::time::timeout(ANSWER_WITHIN, get(uri, text)).await;
    let body = answer
        .map_err(|_| failed(format!("does not answer within {} s", ANSWER_WITHIN.as_secs())))?
        .map_err(|why| failed(format!("cannot be asked: {why}; see whether it runs there")))?;
    let reply: Reply = serde_json::from_slice(&body)
        .map_err(|_| failed("answers what no Prometheus does; name the root of its pages".to_owned()))?;
    match (reply.status.as_str(), reply.data) {
        ("success", Some(data)) => Ok(data.result),
        _ => Err(failed(format!("says: {}", reply.error.unwrap_or_else(|| reply.status.clone())))),
    }
}

async fn get(uri: &Uri, text: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_start_matches('[').trim_end_matches(']'), port)).await?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let path = format!("{}/api/v1/query?query={}", uri.path().trim_end_matches('/'), escaped(text));
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    // Names before an `@` are no part of a Host (RFC 9110 section 7.2).
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let request = http::Request::get(path).header("host", authority).body(Empty::<Bytes>::new())?;
    let response = send.send_request(request).await?;
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    driving.abort();
    Ok(body)
}

/// As a query's value (RFC 3986 section 2.3: the rest is escaped).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_edges_and_what_overflowed_is_counted() {
        let sample = |kind: &str, declaration: Option<&str>, value: &str| {
            let mut metric: BTreeMap<String, String> = [
                ("client_namespace", "shop"),
                ("client_service_account", "orders"),
                ("client_kind", kind),
                ("server_namespace", ""),
                ("server_service_account", ""),
                ("server_kind", "external"),
                ("server_port", "443"),
                ("transport", "tcp"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            metric.extend(declaration.map(|word| ("declaration".to_owned(), word.to_owned())));
            Sample { metric, value: (0.0, value.to_owned()) }
        };
        let last = vec![sample("pod", None, "1700000000.5"), sample("_overflow", None, "1")];
        let flows = vec![sample("pod", Some("ungoverned"), "7"), sample("pod", Some("unexpected"), "2")];
        let seen = join(last, flows, Timestamp::default());
        assert_eq!((seen.edges.len(), seen.overflow), (1, 1));
        let edge = &seen.edges[0];
        assert_eq!(
            (edge.client.principal.as_str(), edge.server.principal.as_str()),
            ("shop/orders", "external")
        );
        assert_eq!((edge.declaration.ungoverned, edge.declaration.unexpected), (7, 2));
        assert_eq!(edge.last_seen, Timestamp(1_700_000_000_500_000_000));
    }

    #[test]
    fn an_address_is_plain_http_or_says_what_to_do() {
        assert!(address("http://127.0.0.1:9090/prometheus").is_ok());
        for wrong in ["https://prometheus", "prometheus:9090", "", "/x", "ftp://x"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(escaped("a{b=~\"c|d\"}[5m]"), "a%7Bb%3D~%22c%7Cd%22%7D%5B5m%5D");
    }
}
