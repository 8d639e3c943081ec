//! What each metric is called, means and is labelled with. The exposition and docs/metrics.md are made from the same
//! table: a metric that is not in it cannot be registered.

use std::fmt::Error;

use observer_common::Counter as Kernel;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric as Registered, Registry, Unit as ClientUnit};

use super::labels::{AUTHENTICATION, DECLARATION, DIRECTION, ENCRYPTION};
use super::refusal;
use crate::model::{FindingKind, Kind, PostureKind, Transport};

/// What a family's samples do over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
}

impl Type {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// In what a family's samples are, where they are no mere numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Seconds,
}

impl Unit {
    /// As it ends the family's name (OpenMetrics 1.0, "Unit").
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
        }
    }
}

/// What a label can hold.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These, each with its meaning where the word alone does not tell.
    Words(fn() -> Vec<(&'static str, &'static str)>),
    /// What these words describe.
    Text(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    pub values: Values,
}

const fn words(name: &'static str, values: fn() -> Vec<(&'static str, &'static str)>) -> Label {
    Label { name, values: Values::Words(values) }
}

const fn text(name: &'static str, values: &'static str) -> Label {
    Label { name, values: Values::Text(values) }
}

fn bare<T>(
    values: impl IntoIterator<Item = T>,
    word: fn(T) -> &'static str,
) -> Vec<(&'static str, &'static str)> {
    values.into_iter().map(|value| (word(value), "")).collect()
}

fn kinds() -> Vec<(&'static str, &'static str)> {
    bare([Kind::Pod, Kind::Node, Kind::External, Kind::Unknown], Kind::as_str)
}

/// The labels of an edge, in their order.
pub const EDGE: [Label; 8] = [
    text("client_namespace", "the namespace of the pod that opened the connection; empty unless it is a pod"),
    text("client_service_account", "its ServiceAccount; empty unless it is a pod"),
    words("client_kind", kinds),
    text("server_namespace", "the namespace of the pod that accepted it; empty unless it is a pod"),
    text("server_service_account", "its ServiceAccount; empty unless it is a pod"),
    words("server_kind", kinds),
    text("server_port", "the port that the server listens on, or `ephemeral`"),
    words("transport", || bare([Transport::Tcp, Transport::Udp], Transport::as_str)),
];

/// A metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Without the `_total` of a counter's samples, with its unit.
    pub name: &'static str,
    pub kind: Type,
    pub unit: Option<Unit>,
    /// One sentence, without its full stop.
    pub help: &'static str,
    /// It has the labels of [`EDGE`] first.
    pub edge: bool,
    pub labels: &'static [Label],
    /// What it means that a sample is 0, or not there.
    pub zero: &'static str,
    /// What has to be looked at before it is believed.
    pub beside: &'static [Metric],
}

impl Family {
    /// The name that its samples have.
    #[must_use]
    pub fn sample_name(&self) -> String {
        let suffix = if self.kind == Type::Counter { "_total" } else { "" };
        format!("{}{suffix}", self.name)
    }

    /// All its labels, in their order.
    pub fn all_labels(&self) -> impl Iterator<Item = &Label> {
        EDGE.iter().filter(|_| self.edge).chain(self.labels)
    }

    /// What the client library has to be given: it adds the unit by itself.
    fn name_without_unit(&self) -> &'static str {
        let Some(unit) = self.unit else { return self.name };
        let without = self.name.strip_suffix(unit.as_str()).and_then(|rest| rest.strip_suffix('_'));
        without.unwrap_or(self.name)
    }

    fn client_unit(&self) -> Option<ClientUnit> {
        self.unit.map(|unit| match unit {
            Unit::Bytes => ClientUnit::Bytes,
            Unit::Seconds => ClientUnit::Seconds,
        })
    }
}

macro_rules! families {
    ($($metric:ident: $family:expr;)*) => {
        /// Every metric there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $($metric),*
        }

        impl Metric {
            /// In the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$metric),*];

            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$metric => {
                        const FAMILY: Family = $family;
                        FAMILY
                    })*
                }
            }
        }
    };
}

/// A family without unit, edge and labels, for the table to begin with.
const fn plain(name: &'static str, kind: Type, help: &'static str, zero: &'static str) -> Family {
    Family { name, kind, unit: None, help, edge: false, labels: &[], zero, beside: &[] }
}

const fn counter(name: &'static str, help: &'static str, zero: &'static str) -> Family {
    plain(name, Type::Counter, help, zero)
}

const fn gauge(name: &'static str, help: &'static str, zero: &'static str) -> Family {
    plain(name, Type::Gauge, help, zero)
}

const fn of_edges(family: Family) -> Family {
    Family { edge: true, ..family }
}

families! {
    Flows: Family {
        labels: &[
            words("encryption", || bare(ENCRYPTION, |status| status.as_str())),
            words("declaration", || bare(DECLARATION, |status| status.as_str())),
        ],
        beside: &[Metric::LostEvents, Metric::UnresolvedFlows, Metric::SeriesOverflow],
        ..of_edges(counter(
            "observer_flows",
            "Connections and UDP conversations, each counted once when its encryption is known or it ends",
            "Not there: no such flow was seen. A series appears with its first flow and goes when its edge is reaped \
             (`series_idle`).",
        ))
    };
    Requests: Family {
        labels: &[words("authentication", || bare(AUTHENTICATION, |status| status.as_str()))],
        beside: &[Metric::LostEvents, Metric::TruncatedPayloads, Metric::Flows],
        ..of_edges(counter(
            "observer_requests",
            "HTTP requests that were read in clear, by what they showed of their sender",
            "Not there: none was read. Requests inside TLS are never read: `observer_flows_total` with the encryption \
             `tls` or `mtls` tells how much that may hide.",
        ))
    };
    Findings: Family {
        labels: &[words("kind", || bare(FindingKind::ALL, FindingKind::as_str))],
        beside: &[
            Metric::LostEvents, Metric::UnresolvedFlows, Metric::Exempted, Metric::TruncatedPayloads, Metric::IdentityLag,
        ],
        ..of_edges(counter(
            "observer_findings",
            "Findings, each counted once for a flow and kind",
            "Not there: nothing was found in what was seen and is not exempted. It says nothing about what was lost, not \
             resolved, or inside TLS.",
        ))
    };
    Bytes: Family {
        unit: Some(Unit::Bytes),
        labels: &[words("direction", || {
            vec![(DIRECTION[0], "from client to server"), (DIRECTION[1], "from server to client")]
        })],
        beside: &[Metric::OpenFlows, Metric::LostEvents],
        ..of_edges(counter(
            "observer_bytes",
            "Payload bytes of flows that ended",
            "Not there: no flow that ended carried any. An open flow's bytes are not counted yet.",
        ))
    };
    EdgeLastSeen: Family {
        unit: Some(Unit::Seconds),
        beside: &[Metric::LostEvents],
        ..of_edges(gauge(
            "observer_edge_last_seen_timestamp_seconds",
            "When a flow of the edge last settled, changed or ended, in seconds since 1970",
            "Not there: the edge was not seen, or is reaped. Never 0.",
        ))
    };
    Exempted: Family {
        labels: &[
            words("kind", || bare(FindingKind::ALL, FindingKind::as_str)),
            text(
                "reason",
                "`intra-pod`, `sidecar`, `kubelet-probe`, `dns`, the `reason` of an entry of `exemptions`, or `_overflow`",
            ),
        ],
        ..counter(
            "observer_exempted",
            "What would have been findings but for a setting or a built-in rule",
            "Not there: nothing was exempted for this reason.",
        )
    };
    DeclaredEdges: Family {
        labels: &[words("state", || vec![("loaded", "in the graphs that were read")])],
        ..gauge(
            "observer_declared_edges",
            "Edges that the graphs declare",
            "0: no graph is loaded, and every flow is `ungoverned`.",
        )
    };
    DeclaredExceptions: Family {
        labels: &[words("state", || vec![("active", "in force"), ("expired", "over: take them out of the graph, or mend what they were for")])],
        ..gauge(
            "observer_declared_exceptions",
            "Findings that the graphs leave out for a while",
            "0: the graphs leave nothing out, or nothing is over.",
        )
    };
    LostEvents: Family {
        labels: &[words("stage", stages)],
        ..counter(
            "observer_lost_events",
            "What a stage lost or could not use",
            "0: that stage lost nothing since start. Every stage is there from the start; only with all of them at rest is a \
             zero elsewhere a zero.",
        )
    };
    TruncatedPayloads: counter(
        "observer_truncated_payloads",
        "Request heads and handshakes that were longer than what is captured",
        "0: none was. What was cut off counts as `unknown`, never as absent.",
    );
    UnresolvedFlows: Family {
        labels: &[text(
            "reason",
            "the `reason` that the flow record gives for an `unknown` principal or encryption, or why a protocol could not be \
             followed; at most 80 of them, then `_overflow`",
        )],
        ..counter(
            "observer_unresolved_flows",
            "Flows with an end or an encryption that nobody could name, or that could not be followed, once for each reason",
            "Not there: no flow was unresolved for this reason.",
        )
    };
    SeriesOverflow: counter(
        "observer_series_overflow",
        "Updates that were counted under `_overflow` because `series_budget` was used up",
        "0: every edge has series of its own. Otherwise the sums are right, and the series named `_overflow` hold what has no \
         name: raise `series_budget`, or shorten `series_idle`.",
    );
    OpenFlows: Family {
        beside: &[Metric::LostEvents],
        ..gauge("observer_open_flows", "Flows that are followed now", "0: none is open, or nothing is seen: look at `observer_probe_info`.")
    };
    Identities: Family {
        labels: &[words("kind", || {
            bare(["pod", "service", "node", "namespace", "service_account"], |kind| kind)
        })],
        beside: &[Metric::WatchUp, Metric::IdentityLag],
        ..gauge(
            "observer_identities",
            "Objects of the cluster that identities are made of",
            "0: none is known of this kind, and whoever they would name is `unknown`, `node` or `external`.",
        )
    };
    IdentityLag: Family {
        unit: Some(Unit::Seconds),
        beside: &[Metric::WatchUp],
        ..gauge(
            "observer_identity_lag_seconds",
            "How far what is known of the cluster lies behind the API server",
            "0: up to date, or identities come from files (`--inventory`) and nothing is watched.",
        )
    };
    ProbeInfo: Family {
        labels: &[
            text("hook", "a kernel program, or `self_test`"),
            words("mode", || {
                vec![
                    ("attached", "the program runs"),
                    ("missing", "the kernel refused it; `observer doctor` says what that costs"),
                    ("passed", "`self_test`: a connection made for it was seen"),
                    ("failed", "`self_test`: it was not; nothing here can be trusted"),
                    ("skipped", "`self_test`: it could not be made"),
                ]
            }),
        ],
        ..gauge(
            "observer_probe_info",
            "How each kernel hook is attached; always 1",
            "Not there: the hook is in another mode.",
        )
    };
    WatchUp: Family {
        labels: &[text("resource", "a collection of the API server, such as `pods` or `endpointslices`")],
        ..gauge(
            "observer_watch_up",
            "Whether the watch of a resource is up",
            "0: the resource is not watched now, and what is known of it goes stale. Not there: identities come from files, or it is a kind that declares edges, such as `servicegraphs.observer.dev`, and the cluster never had it.",
        )
    };
    MalformedObjects: Family {
        labels: &[text("kind", "the object's kind, such as `Pod`")],
        ..counter(
            "observer_malformed_objects",
            "Objects of the cluster that could not be used",
            "0: all could. Not there: identities come from files, where a malformed object is an error at start.",
        )
    };
    PostureFindings: Family {
        labels: &[
            words("kind", || bare(PostureKind::ALL, PostureKind::as_str)),
            text("namespace", "the ServiceAccount's namespace; empty: all are meant; `_overflow`: beyond 2,000 series"),
            text("service_account", "its name; empty or `_overflow` likewise"),
        ],
        beside: &[Metric::PostureKnown],
        ..gauge(
            "observer_posture_findings",
            "What is weaker than it need be of a ServiceAccount, as `observer posture` lists it",
            "Not there: nothing was found at the last look, a minute ago at most.",
        )
    };
    PostureKnown: Family {
        labels: &[words("kind", || bare(PostureKind::ALL, PostureKind::as_str))],
        ..gauge(
            "observer_posture_known",
            "Whether all that posture findings of the kind are made of could be read",
            "0: `observer_posture_findings` of this kind may lack some; `observer posture` says why.",
        )
    };
    RefusedClients: Family {
        labels: &[words("server", refusal::servers), words("reason", refusal::reasons)],
        ..counter(
            "observer_refused_clients",
            "Clients of the daemon's own servers that were turned away",
            "0: everybody who asked was answered.",
        )
    };
    ConfigReloadSuccessful: gauge(
        "observer_config_last_reload_successful",
        "Whether all of the file of --config, as it was last read, is in force",
        "0: the file cannot be used and what was in force before stays, or it has changes that need a restart; the log names \
         them. 1 without a file.",
    );
    ConfigReloadSuccess: Family {
        unit: Some(Unit::Seconds),
        beside: &[Metric::ConfigReloadSuccessful],
        ..gauge(
            "observer_config_last_reload_success_timestamp_seconds",
            "When the settings in force were read as a whole, in seconds since 1970",
            "Never 0: the first reading is that at start.",
        )
    };
    BuildInfo: Family {
        labels: &[
            text("version", "this program's"),
            text("revision", "its source's; absent where the build knew none"),
        ],
        ..gauge("observer_build_info", "What this program is; always 1", "Never 0, and always there.")
    };
}

/// The stages outside the kernel that can lose something, there from the start so that their zero is seen, each with
/// what it lost.
pub const USERSPACE_STAGES: [(&str, &str); 9] = [
    ("decode", "records of the kernel that could not be read"),
    ("conntrack", "flows that found the table full"),
    ("protocol", "halves of messages given up because those of all flows took 64 MiB together"),
    ("token", "tokens whose receivers were forgotten: `replayed` turns into `origin-unknown`"),
    ("posture", "what `observer posture` had no room for"),
    ("flow_log", "flow records that stdout's reader was too slow for, or that could not be written"),
    (
        "flow_rate",
        "flow records that stdout did not get because of `flow_rate`; metrics and the socket have them",
    ),
    ("api", "flow records that a follower on the socket was too slow for"),
    ("store", "edges and findings that the socket's summaries had no room for"),
];

fn stages() -> Vec<(&'static str, &'static str)> {
    let kernel = Kernel::ALL.map(|counter| {
        let meaning = match counter {
            Kernel::LostConnections => "connections that found the ring to user space full",
            Kernel::LostPayloads => "captured bytes that found it full",
            Kernel::SampledPayloads => {
                "captured bytes left out while it was more than half full, to keep room for connections"
            }
            Kernel::LostSockets => "sockets for whose state the kernel had no memory",
            Kernel::LostConversations => "UDP conversations that found the table full",
            Kernel::UnreadableSegments => "segments whose bytes the kernel did not hand out",
        };
        (counter.stage(), meaning)
    });
    kernel.into_iter().chain(USERSPACE_STAGES).collect()
}

/// Exports `registered` as `metric`; the registry has no prefix.
pub(super) fn register(registry: &mut Registry, metric: Metric, registered: impl Registered) {
    let family = metric.family();
    let name = family.name_without_unit();
    match family.client_unit() {
        Some(unit) => registry.register_with_unit(name, family.help, unit, registered),
        None => registry.register(name, family.help, registered),
    }
}

/// Describes `metric` in an exposition and lets `samples` write its samples.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    metric: Metric,
    samples: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let family = metric.family();
    let kind = match family.kind {
        Type::Counter => MetricType::Counter,
        Type::Gauge => MetricType::Gauge,
    };
    // The registry ends a help text with a full stop by itself; here nobody does.
    let help = format!("{}.", family.help);
    let unit = family.client_unit();
    samples(&mut encoder.encode_descriptor(family.name_without_unit(), &help, unit.as_ref(), kind)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_ends_the_name_and_what_is_in_a_unit_says_so() {
        for metric in Metric::ALL {
            let family = metric.family();
            for unit in [Unit::Bytes, Unit::Seconds] {
                let named = family.name.ends_with(&format!("_{}", unit.as_str()));
                assert_eq!(named, family.unit == Some(unit), "{}", family.name);
            }
        }
    }

    #[test]
    fn a_help_text_is_one_sentence() {
        for metric in Metric::ALL {
            let Family { name, help, .. } = metric.family();
            assert!(help.starts_with(char::is_uppercase), "{name}: {help}");
            assert!(help.len() > 15 && !help.contains(['.', '\n', '\\']), "{name}: {help}");
        }
    }
}
