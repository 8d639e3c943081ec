//! What tshark reads of the same packets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use observer_integration::Reading as Captured;

use crate::reading::{Count, Field, Reading};

const FIELDS: [&str; 25] = [
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "frame.protocols",
    "http.request.method",
    "http.request.version",
    "http.authorization",
    "http.proxy_authorization",
    "http.response.code",
    "http2.headers.method",
    "http2.headers.authorization",
    "http2.headers.status",
    "http2.headers.content_type",
    "tls.handshake.type",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.extensions_server_name",
    "tls.handshake.extensions_alpn_str",
    "x509ce.uniformResourceIdentifier",
    "x509ce.dNSName",
    "tls.record.content_type",
    "tls.record.opaque_type",
    "quic.version",
    "http2.header.value",
];

/// Dissectors, and what observer calls what they read.
const NAMED: [(&str, &str); 16] = [
    ("pgsql", "postgres"),
    ("mysql", "mysql"),
    ("resp", "redis"),
    ("memcache", "memcached"),
    ("mongo", "mongodb"),
    ("cql", "cassandra"),
    ("kafka", "kafka"),
    ("amqp", "amqp"),
    ("mqtt", "mqtt"),
    ("smtp", "smtp"),
    ("imap", "imap"),
    ("pop", "pop3"),
    ("ftp", "ftp"),
    ("ldap", "ldap"),
    ("ssh", "ssh"),
    ("dns", "dns"),
];

/// RFC 8446 section 5.1 and B.3.
const CHANGE_CIPHER_SPEC: &str = "20";
const APPLICATION_DATA: &str = "23";
const CLIENT_HELLO: &str = "1";
const SERVER_HELLO: &str = "2";
const CERTIFICATE_VERIFY: &str = "15";

/// One connection, as its frames told it.
#[derive(Default)]
struct Connection {
    layers: BTreeSet<String>,
    http_version: Option<String>,
    methods: Vec<String>,
    credentials: u64,
    statuses: Vec<u64>,
    grpc: bool,
    grpc_refused: u64,
    /// SNI and ALPN of the first ClientHello.
    hello: Option<(String, String)>,
    version: Option<&'static str>,
    client_proved: bool,
    identity: Vec<String>,
    /// Of the client, of the server: record types.
    records: [BTreeSet<String>; 2],
    quic: Option<String>,
}

/// What was read of each server port, a reading for each connection.
pub fn read(captured: &Captured, dialects: &[String]) -> Result<BTreeMap<u16, Vec<Reading>>> {
    let ports: BTreeSet<u16> = captured
        .values("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.srcport")?
        .into_iter()
        .map(|port| port.parse().context("a port"))
        .collect::<Result<_>>()?;
    let mut all: BTreeMap<(u16, u16), Connection> = BTreeMap::new();
    for frame in captured.rows_as("tcp.len > 0 || udp", &FIELDS, dialects)? {
        let number = |at: usize| -> Option<u16> { frame[at].first()?.parse().ok() };
        let (Some(from), Some(to)) = (number(0).or(number(2)), number(1).or(number(3))) else { continue };
        // Of datagrams only those of a client are looked at.
        let to_server = ports.contains(&to) || !frame[2].is_empty();
        let key = if to_server { (to, from) } else { (from, to) };
        all.entry(key).or_default().take(to_server, &frame[4..]);
    }
    let mut readings: BTreeMap<u16, Vec<Reading>> = BTreeMap::new();
    for ((server, _), connection) in all {
        if let Some(reading) = connection.reading() {
            readings.entry(server).or_default().push(reading);
        }
    }
    Ok(readings)
}

impl Connection {
    fn take(&mut self, of_client: bool, frame: &[Vec<String>]) {
        let [protocols, methods, versions, authorization, proxy, codes, methods2, authorization2, rest @ ..] =
            frame
        else {
            return;
        };
        let [status2, content_type2, handshake, version, supported, sni, alpn, uris, names, rest @ ..] = rest
        else {
            return;
        };
        let [types, opaque, quic, values2] = rest else { return };
        self.layers.extend(protocols.iter().flat_map(|stack| stack.split(':')).map(str::to_owned));
        let first = |values: &[String]| values.first().cloned().unwrap_or_default();
        self.records[usize::from(!of_client)].extend(types.iter().chain(opaque).cloned());
        self.quic = self.quic.take().or_else(|| quic.first().cloned());
        let has = |kind: &str| handshake.iter().any(|found| found == kind);
        if of_client {
            self.http_version = self.http_version.take().or_else(|| versions.first().cloned());
            self.methods.extend(methods.iter().chain(methods2).cloned());
            self.credentials += (authorization.len() + proxy.len() + authorization2.len()) as u64;
            self.grpc |= content_type2.iter().any(|kind| kind.starts_with("application/grpc"));
            if has(CLIENT_HELLO) && self.hello.is_none() {
                self.hello = Some((first(sni), alpn.join(" ")));
            }
            if has(CERTIFICATE_VERIFY) {
                self.client_proved = true;
                self.identity = [uris.as_slice(), names].concat();
            }
        } else {
            let codes = codes.iter().chain(status2).filter_map(|code| code.parse::<u64>().ok());
            // RFC 9110 section 15.2: an interim answer is followed by another one, but for 101.
            self.statuses.extend(codes.filter(|code| *code >= 200 || *code == 101));
            // gRPC's status codes: 7 is PERMISSION_DENIED, 16 is UNAUTHENTICATED. No other header here is so short.
            self.grpc_refused +=
                values2.iter().filter(|value| matches!(value.as_str(), "7" | "16")).count() as u64;
            if has(SERVER_HELLO) {
                // RFC 8446 section 4.2.1: the extension decides, where there is one.
                self.version = Some(match supported.first().or(version.first()).map(String::as_str) {
                    Some("0x0304") => "1.3",
                    Some("0x0303") => "1.2",
                    Some("0x0302") => "1.1",
                    Some("0x0301") => "1.0",
                    _ => "another",
                });
            }
        }
    }

    fn name(&self) -> Option<String> {
        let has = |layer: &str| self.layers.contains(layer);
        if let Some((_, name)) = NAMED.iter().find(|(layer, _)| has(layer)) {
            return Some((*name).to_owned());
        }
        if self.hello.is_some() {
            return Some("tls".to_owned());
        }
        match () {
            () if self.quic.is_some() => Some("quic".to_owned()),
            () if has("websocket") => Some("websocket".to_owned()),
            () if self.grpc => Some("grpc".to_owned()),
            () if has("http2") => Some("http/2".to_owned()),
            () => self.http_version.as_ref().map(|version| version.to_lowercase()),
        }
    }

    /// Whether both sides went on under new keys.
    fn is_encrypted(&self) -> bool {
        let proof = if self.version == Some("1.3") { APPLICATION_DATA } else { CHANGE_CIPHER_SPEC };
        self.records.iter().all(|types| types.contains(proof))
    }

    /// Nothing, if tshark knew no protocol in it.
    fn reading(self) -> Option<Reading> {
        let mut reading = Reading::default();
        reading.set(Field::Protocol, self.name()?);
        match (&self.hello, &self.quic) {
            (_, Some(version)) => {
                reading.set(Field::Encryption, "tls");
                let version = match version.as_str() {
                    "0x00000001" => "quic-v1",
                    "0x6b3343cf" => "quic-v2",
                    other => other,
                };
                reading.set(Field::Version, version);
            }
            // What SSH does after its greeting is not asked.
            (None, None) if self.layers.contains("ssh") => {}
            (None, None) => reading.set(Field::Encryption, "plaintext"),
            (Some((sni, alpn)), None) => {
                let status = match (self.is_encrypted(), self.client_proved) {
                    (false, _) => "unknown",
                    (true, true) => "mtls",
                    (true, false) => "tls",
                };
                reading.set(Field::Encryption, status);
                if self.is_encrypted() {
                    reading.set(Field::Version, self.version.unwrap_or_default());
                }
                reading.set(Field::Evidence, if status == "mtls" { "proven" } else { "" });
                reading.set(Field::Sni, sni.as_str());
                reading.set(Field::Alpn, alpn.as_str());
                reading.set(Field::Identity, self.identity.join(" "));
            }
        }
        if let Some(method) = self.methods.last() {
            let answered = self.statuses.len() >= self.methods.len();
            let status = self.statuses.last().filter(|_| answered);
            let status = status.map_or_else(|| "unanswered".to_owned(), u64::to_string);
            reading.set(Field::LastRequest, format!("{method} {status}"));
            let refused = self.statuses.iter().filter(|status| matches!(status, 401 | 403)).count() as u64;
            let refused = if self.grpc { self.grpc_refused } else { refused };
            let total = self.methods.len() as u64;
            reading.counts.extend([
                (Count::Requests, total),
                (Count::Credentials, self.credentials),
                (Count::Rejected, refused),
            ]);
        }
        Some(reading)
    }
}
