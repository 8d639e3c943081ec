//! The keys of a flow record and what their values may be, written down from the contract, not from the program.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// What a value must be.
pub enum Is {
    Text,
    /// RFC 3339 in UTC.
    Time,
    Ip,
    Count,
    True,
    Word(&'static [&'static str]),
    Texts,
    Words(&'static [&'static str]),
    Object(&'static [Key]),
}

/// Name, whether it is always there, and its value.
pub struct Key(&'static str, bool, Is);

use Is::{Count, Ip, Object, Text, Texts, Time, True, Word, Words};

const ALWAYS: bool = true;
const MAYBE: bool = false;

pub const FINDINGS: &[&str] = &[
    "unencrypted",
    "unauthenticated",
    "unexpected",
    "credential-in-cleartext",
    "identity-mismatch",
    "invalid-token",
    "wrong-audience",
    "api-audience-token",
    "legacy-token",
    "default-service-account",
];
const PROTOCOLS: &[&str] = &[
    "http/1.0",
    "http/1.1",
    "http/2",
    "grpc",
    "websocket",
    "tls",
    "quic",
    "postgres",
    "redis",
    "mysql",
    "kafka",
    "dns",
    "opaque",
    "unknown",
];
const WORKLOAD: &[Key] = &[Key("kind", ALWAYS, Text), Key("name", ALWAYS, Text)];
const KINDS: &[&str] = &["pod", "node", "external", "unknown"];
const CLIENT: &[Key] = &[
    Key("principal", ALWAYS, Text),
    Key("kind", ALWAYS, Word(KINDS)),
    Key("reason", MAYBE, Text),
    Key("namespace", MAYBE, Text),
    Key("service_account", MAYBE, Text),
    Key("workload", MAYBE, Object(WORKLOAD)),
    Key("pod", MAYBE, Text),
    Key("ip", ALWAYS, Ip),
    Key("port", ALWAYS, Count),
];
const SERVER: &[Key] = &[
    Key("principal", ALWAYS, Text),
    Key("kind", ALWAYS, Word(KINDS)),
    Key("reason", MAYBE, Text),
    Key("namespace", MAYBE, Text),
    Key("service_account", MAYBE, Text),
    Key("workload", MAYBE, Object(WORKLOAD)),
    Key("pod", MAYBE, Text),
    Key("service", MAYBE, Text),
    Key("ip", ALWAYS, Ip),
    Key("port", ALWAYS, Count),
];
const MESH_TARGET: &[Key] = &[
    Key("service", MAYBE, Text),
    Key("namespace", MAYBE, Text),
    Key("port", MAYBE, Count),
    Key("service_account", MAYBE, Text),
];
const ENCRYPTION: &[Key] = &[
    Key("status", ALWAYS, Word(&["plaintext", "tls", "mtls", "unknown"])),
    Key("reason", MAYBE, Text),
    Key("version", MAYBE, Word(&["1.0", "1.1", "1.2", "1.3"])),
    Key("sni", MAYBE, Text),
    Key("alpn", MAYBE, Texts),
    Key("ech", MAYBE, True),
    Key("client_identity", MAYBE, Texts),
    Key("mesh_target", MAYBE, Object(MESH_TARGET)),
    Key("mesh", MAYBE, Word(&["istio", "ambient", "linkerd", "consul"])),
    Key("evidence", MAYBE, Word(&["proven", "inferred"])),
    Key("link", ALWAYS, Word(&["wireguard", "ipsec", "none", "unknown"])),
];
const TOKEN: &[Key] = &[
    Key("kind", ALWAYS, Word(&["bound", "legacy", "jwt-svid", "jwt", "opaque"])),
    Key("issuer", MAYBE, Text),
    Key("subject", MAYBE, Text),
    Key("service_account", MAYBE, Text),
    Key("pod_uid", MAYBE, Text),
    Key("audiences", MAYBE, Texts),
    Key("expires_at", MAYBE, Time),
    Key("key_id", MAYBE, Text),
];
const AUTHENTICATION: &[Key] = &[
    Key("status", ALWAYS, Word(&["none", "present", "verified", "invalid", "unknown"])),
    Key("scheme", MAYBE, Word(&["bearer", "basic", "digest", "negotiate", "other"])),
    Key("reason", MAYBE, Text),
    Key("token", MAYBE, Object(TOKEN)),
];
const REQUESTS: &[Key] = &[
    Key("total", ALWAYS, Count),
    Key("none", ALWAYS, Count),
    Key("present", ALWAYS, Count),
    Key("verified", ALWAYS, Count),
    Key("invalid", ALWAYS, Count),
    Key("unknown", ALWAYS, Count),
    Key("rejected", ALWAYS, Count),
];
pub const RECORD: &[Key] = &[
    Key("time", ALWAYS, Time),
    Key("node", ALWAYS, Text),
    Key("reporter", ALWAYS, Word(&["server", "client"])),
    Key("transport", ALWAYS, Word(&["tcp", "udp"])),
    Key("protocol", ALWAYS, Word(PROTOCOLS)),
    Key("client", ALWAYS, Object(CLIENT)),
    Key("server", ALWAYS, Object(SERVER)),
    Key("encryption", ALWAYS, Object(ENCRYPTION)),
    Key("authentication", MAYBE, Object(AUTHENTICATION)),
    Key("requests", MAYBE, Object(REQUESTS)),
    Key("last_request", MAYBE, Object(&[Key("method", MAYBE, Text), Key("status", MAYBE, Count)])),
    Key(
        "declaration",
        ALWAYS,
        Object(&[
            Key("status", ALWAYS, Word(&["allowed", "unexpected", "ungoverned", "unevaluable"])),
            Key("source", MAYBE, Text),
            Key("clause", MAYBE, Text),
            Key("against", MAYBE, Texts),
            Key("reason", MAYBE, Text),
        ]),
    ),
    Key("findings", ALWAYS, Words(FINDINGS)),
    Key(
        "hop",
        ALWAYS,
        Word(&["pod-to-pod", "intra-pod", "sidecar", "node-local", "kubelet-probe", "external"]),
    ),
    Key("bytes_sent", ALWAYS, Count),
    Key("bytes_received", ALWAYS, Count),
    Key("duration_ms", ALWAYS, Count),
    Key("close", ALWAYS, Word(&["open", "fin", "reset", "refused", "timeout", "aborted", "unknown"])),
    Key("final", MAYBE, True),
];

/// Fails on a key that is not in `keys`, one that is missing, and a value of another type.
pub fn check(value: &Value, keys: &[Key]) -> Result<()> {
    let object = value.as_object().context("no object")?;
    for (name, value) in object {
        let Some(Key(_, _, is)) = keys.iter().find(|Key(key, ..)| key == name) else {
            bail!("the contract has no key {name}")
        };
        check_value(value, is).with_context(|| format!("{name}: {value}"))?;
    }
    for Key(name, always, _) in keys {
        ensure!(!always || object.contains_key(*name), "{name} is missing");
    }
    Ok(())
}

fn check_value(value: &Value, is: &Is) -> Result<()> {
    let text = || value.as_str().filter(|text| !text.is_empty()).context("no text");
    let among = |words: &[&str], text: &str| -> Result<()> {
        ensure!(words.contains(&text), "not one of {words:?}");
        Ok(())
    };
    match is {
        Text => text().map(drop),
        Time => {
            let shape: String = text()?.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            let (date, fraction) = shape.trim_end_matches('Z').split_once('.').unwrap_or((&shape, ""));
            ensure!(
                date.trim_end_matches('Z') == "0000-00-00T00:00:00" && shape.ends_with('Z'),
                "no UTC time"
            );
            ensure!(fraction.trim_matches('0').is_empty(), "no fraction of a second");
            Ok(())
        }
        Ip => Ok(text()?.parse::<std::net::IpAddr>().map(drop)?),
        Count => value.as_u64().map(drop).context("no count"),
        True => {
            ensure!(*value == true, "only true or absent");
            Ok(())
        }
        Word(words) => among(words, text()?),
        Texts => {
            let all = value.as_array().filter(|all| !all.is_empty()).context("no array, or an empty one")?;
            all.iter().try_for_each(|value| check_value(value, &Text))
        }
        Words(words) => {
            let all = value.as_array().context("no array")?;
            all.iter().try_for_each(|value| check_value(value, &Word(words)))
        }
        Object(keys) => check(value, keys),
    }
}
