//! What meshes know of a flow's ends: names in certificates, and where mutual TLS is asked for.

use std::sync::Arc;

use super::condition::Truth;
use super::evaluate::Query;
use super::pattern::Pattern;
use super::selector::Selector;
use crate::model::HashMap;

/// Meshes call their trust domain so unless told otherwise.
const TRUST_DOMAIN: &str = "cluster.local";

/// How a mesh writes a ServiceAccount into certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    /// `cluster.local/ns/NAMESPACE/sa/NAME`: a SPIFFE ID without its scheme, as Istio's policies write it.
    Istio,
    /// `NAME.NAMESPACE.serviceaccount.identity.linkerd.cluster.local`.
    Linkerd,
}

/// What lies between namespace and trust domain in Linkerd's names.
const LINKERD: &str = ".serviceaccount.identity.linkerd.";

impl Certificate {
    /// Whether a pattern means the ServiceAccount.
    pub fn names(self, pattern: &Pattern, namespace: &str, name: &str) -> bool {
        match self {
            Self::Istio => pattern.matches_joined(&[TRUST_DOMAIN, "/ns/", namespace, "/sa/", name]),
            Self::Linkerd => pattern.matches_joined(&[name, ".", namespace, LINKERD, TRUST_DOMAIN]),
        }
    }

    /// The pattern of a name, and whether its trust domain is the usual one. If it is not, the pattern is what it would
    /// be there: only a mesh's settings tell which trust domain it has.
    pub fn pattern(self, text: &str) -> (Pattern, bool) {
        let (before, domain, after) = match self {
            Self::Istio => match text.split_once("/ns/") {
                Some((domain, account)) => ("", domain, format!("/ns/{account}")),
                None => ("", text.split('/').next().unwrap_or(text), "*".to_owned()),
            },
            Self::Linkerd => match text.split_once(LINKERD) {
                Some((account, domain)) => (account, domain, String::new()),
                None => ("*", text, String::new()),
            },
        };
        let usual = match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(end), _) => {
                TRUST_DOMAIN.ends_with(end) || LINKERD.ends_with(end) || end.ends_with(TRUST_DOMAIN)
            }
            (None, Some(start)) => TRUST_DOMAIN.starts_with(start),
            (None, None) => domain == TRUST_DOMAIN,
        };
        if usual {
            return (Pattern::of(text), true);
        }
        let between = if self == Self::Linkerd && before != "*" { LINKERD } else { "" };
        let there = format!("{before}{between}{TRUST_DOMAIN}{after}");
        (Pattern::of(&there), false)
    }
}

/// `mtls.mode` of a PeerAuthentication. What inherits is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerMode {
    Strict,
    /// PERMISSIVE or DISABLE: plaintext is welcome.
    Lax,
    /// A newer version's.
    Unknown,
}

/// A mode, and which setting of all it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub mode: PeerMode,
    pub number: usize,
}

/// All PeerAuthentications, by whom they speak of: the narrowest that says something decides.
#[derive(Debug, Default)]
pub(super) struct PeerModes {
    pub mesh: Option<Setting>,
    pub namespaces: HashMap<Arc<str>, NamespaceModes>,
}

#[derive(Debug, Default)]
pub(super) struct NamespaceModes {
    pub whole: Option<Setting>,
    /// Oldest first: the first that selects a pod is the one that counts.
    pub workloads: Vec<WorkloadModes>,
}

#[derive(Debug)]
pub(super) struct WorkloadModes {
    pub pods: Selector,
    pub whole: Option<Setting>,
    pub ports: HashMap<u16, Setting>,
}

impl PeerModes {
    /// Whether this is the setting that decides, and asks for mutual TLS.
    pub fn asks_by(&self, number: usize, query: &Query<'_>) -> Truth {
        match self.deciding(query) {
            Err(reason) => Truth::Unknown(reason),
            Ok(Some(setting)) if setting.number == number => match setting.mode {
                PeerMode::Strict => Truth::Yes,
                PeerMode::Lax => Truth::No,
                PeerMode::Unknown => Truth::Unknown("mode-unknown"),
            },
            Ok(_) => Truth::No,
        }
    }

    fn deciding(&self, query: &Query<'_>) -> Result<Option<Setting>, &'static str> {
        let Some((namespace, _)) = query.server.service_account() else { return Ok(None) };
        let Some(modes) = self.namespaces.get(namespace) else { return Ok(self.mesh) };
        let workload = match query.server.pod() {
            Some(pod) => modes.workloads.iter().find(|modes| modes.pods.matches(|key| pod.label(key))),
            None if modes.workloads.is_empty() => None,
            None => return Err("service-backend"),
        };
        let of_workload = workload.and_then(|modes| modes.ports.get(&query.port).copied().or(modes.whole));
        Ok(of_workload.or(modes.whole).or(self.mesh))
    }
}

#[cfg(test)]
mod tests {
    use super::Certificate::{Istio, Linkerd};

    #[test]
    fn a_pattern_means_names_of_the_usual_trust_domain_or_says_that_its_own_is_another() {
        // istio.io, "Authorization Policy": principals; linkerd.io, "Authorization Policy": identities.
        let rows = [
            (Istio, "cluster.local/ns/shop/sa/web", true, true),
            (Istio, "cluster.local/ns/shop/sa/api", false, true),
            (Istio, "cluster.local/ns/shop/*", true, true),
            (Istio, "cluster.local/*", true, true),
            (Istio, "*/ns/shop/sa/web", true, true),
            (Istio, "*/sa/web", true, true),
            (Istio, "*", true, true),
            (Istio, "example.com/ns/shop/sa/web", true, false),
            (Istio, "example.com/ns/shop/sa/api", false, false),
            (Istio, "*.example.com/ns/shop/sa/web", true, false),
            (Istio, "example.com/*", true, false),
            (Linkerd, "web.shop.serviceaccount.identity.linkerd.cluster.local", true, true),
            (Linkerd, "web.shops.serviceaccount.identity.linkerd.cluster.local", false, true),
            (Linkerd, "*.shop.serviceaccount.identity.linkerd.cluster.local", true, true),
            (Linkerd, "*.cluster.local", true, true),
            (Linkerd, "*", true, true),
            (Linkerd, "web.shop.serviceaccount.identity.linkerd.example.com", true, false),
            (Linkerd, "api.shop.serviceaccount.identity.linkerd.example.com", false, false),
            (Linkerd, "*.example.com", true, false),
        ];
        for (certificate, text, names, usual) in rows {
            let (pattern, is_usual) = certificate.pattern(text);
            assert_eq!((certificate.names(&pattern, "shop", "web"), is_usual), (names, usual), "{text}");
        }
    }
}
