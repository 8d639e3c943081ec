//! Findings that are not worth anybody's attention, each counted instead.

use std::sync::Arc;

use crate::model::{EdgeEnd, FindingKind, FindingSet, Hop, Protocol, Timestamp};

use super::{Demand, Demands, Situation, Verdict};

/// Why a finding was held back: the value of the label `reason`.
pub type Reason = Arc<str>;

/// One entry of the setting `exemptions`. What is absent matches everything.
#[derive(Clone, Debug, Default)]
pub struct Exemption {
    pub kind: Option<FindingKind>,
    /// `namespace/service-account`, `node`, `external` or `unknown`.
    pub client: Option<String>,
    pub server: Option<String>,
    /// Matches a request's path up to a `/` or its end.
    pub path_prefix: Option<String>,
    pub until: Option<Timestamp>,
    pub reason: Reason,
}

/// The built-in exemptions and the configured ones.
pub struct Exemptions {
    configured: Vec<Exemption>,
    intra_pod: Reason,
    sidecar: Reason,
    kubelet_probe: Reason,
    dns: Reason,
    optional: Reason,
}

impl Exemptions {
    #[must_use]
    pub fn new(configured: Vec<Exemption>) -> Self {
        Self {
            configured,
            intra_pod: Arc::from("intra-pod"),
            sidecar: Arc::from("sidecar"),
            kubelet_probe: Arc::from("kubelet-probe"),
            dns: Arc::from("dns"),
            optional: Arc::from("declared-optional"),
        }
    }

    /// Whether a request's path can make a difference.
    #[must_use]
    pub fn wants_paths(&self) -> bool {
        self.configured.iter().any(|exemption| exemption.path_prefix.is_some())
    }

    /// Whether something may still be exempted for this reason.
    #[must_use]
    pub fn has_reason(&self, reason: &str) -> bool {
        let built_in = [&self.intra_pod, &self.sidecar, &self.kubelet_probe, &self.dns, &self.optional];
        let configured = self.configured.iter().map(|exemption| &exemption.reason);
        built_in.into_iter().chain(configured).any(|known| **known == *reason)
    }

    pub(super) fn apply(&self, found: FindingSet, situation: &Situation<'_>, path: Option<&str>) -> Verdict {
        if found.is_empty() {
            return Verdict::default();
        }
        let built_in = self.built_in(situation);
        let mut verdict = Verdict::default();
        for kind in found.iter() {
            let configured =
                || self.configured.iter().find(|exemption| exemption.matches(kind, situation, path));
            let reason = built_in
                .or_else(|| self.declared(kind, &situation.demands))
                .or_else(|| configured().map(|exemption| &exemption.reason));
            match reason {
                Some(reason) => verdict.exempted.push((kind, reason.clone())),
                None => verdict.findings.insert(kind),
            }
        }
        verdict
    }

    /// What the graph says that it does without.
    fn declared<'a>(&'a self, kind: FindingKind, demands: &Demands<'a>) -> Option<&'a Reason> {
        let optional = match kind {
            FindingKind::Unencrypted => demands.encryption == Demand::Optional,
            FindingKind::Unauthenticated => demands.authentication == Demand::Optional,
            _ => false,
        };
        let exception = || demands.exceptions.iter().find(|(excepted, _)| *excepted == kind);
        if optional { Some(&self.optional) } else { exception().map(|(_, reason)| reason) }
    }

    fn built_in(&self, situation: &Situation<'_>) -> Option<&Reason> {
        match situation.hop {
            Hop::IntraPod => Some(&self.intra_pod),
            Hop::Sidecar => Some(&self.sidecar),
            Hop::KubeletProbe => Some(&self.kubelet_probe),
            _ if situation.protocol == Protocol::Dns => Some(&self.dns),
            _ => None,
        }
    }
}

impl Exemption {
    fn matches(&self, kind: FindingKind, situation: &Situation<'_>, path: Option<&str>) -> bool {
        let end_matches = |wanted: &Option<String>, end: &EdgeEnd| {
            wanted.as_ref().is_none_or(|wanted| match wanted.split_once('/') {
                Some((namespace, "*")) => *end.namespace == *namespace,
                Some((namespace, name)) => *end.namespace == *namespace && *end.service_account == *name,
                None => wanted == end.kind.as_str(),
            })
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && end_matches(&self.client, &situation.edge.client)
            && end_matches(&self.server, &situation.edge.server)
            && self.until.is_none_or(|until| situation.now < until)
            && self.path_prefix.as_ref().is_none_or(|prefix| path.is_some_and(|path| is_below(path, prefix)))
    }
}

/// `/healthz` covers itself and `/healthz/live`, not `/healthzoo`, and not `/healthz/../admin`: what a server makes
/// of dot segments is its own business, so nothing is exempt that has any.
fn is_below(path: &str, prefix: &str) -> bool {
    if path.split('/').any(is_dot_segment) {
        return false;
    }
    path.strip_prefix(prefix.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `.` or `..`, also where its dots are percent-encoded (RFC 3986 sections 3.3 and 6.2.2.2), with parameters or after
/// an encoded slash or a backslash, which some servers take for a separator.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    plain.split(['/', '\\']).any(|part| matches!(part.split(';').next(), Some("." | "..")))
}
