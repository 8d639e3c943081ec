//! The signatures of service meshes in a ClientHello. Their proxies always show each other certificates, which TLS 1.3
//! hides: that they did is inferred from what only they say.

use std::sync::Arc;

use super::hello::Offer;
use crate::model::{Encryption, EncryptionStatus, Evidence, Mesh, MeshTarget};

/// The mesh whose proxy says this, and whom it means to reach.
pub fn signature(offer: &Offer) -> Option<(Mesh, Option<MeshTarget>)> {
    let sni = offer.sni.as_deref().unwrap_or_default();
    let speaks = |protocols: &[&str]| offer.alpn.iter().any(|offered| protocols.contains(&&**offered));
    let istio = istio_name(sni);
    // Pilot names the first four in an upstream's TLS context, Envoy's Istio filter the HTTP ones.
    if istio.is_some()
        || speaks(&["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"])
    {
        return Some((Mesh::Istio, istio));
    }
    if let Some(target) = linkerd_name(sni) {
        return Some((Mesh::Linkerd, Some(target)));
    }
    // Said for opaque and multicluster traffic.
    if speaks(&["transport.l5d.io/v1"]) {
        return Some((Mesh::Linkerd, None));
    }
    consul_name(sni).map(|target| (Mesh::Consul, Some(target)))
}

/// `outbound_.<port>_.<subset>_.<host>`.
fn istio_name(sni: &str) -> Option<MeshTarget> {
    let rest = sni.strip_prefix("outbound_.").or_else(|| sni.strip_prefix("inbound_."))?;
    let (port, rest) = rest.split_once("_.")?;
    let (_subset, host) = rest.split_once("_.")?;
    let port = port.parse().ok()?;
    let mut labels = host.split('.');
    // Outside names have no namespace.
    let (service, namespace) = match (labels.next()?, labels.next(), labels.next()) {
        (service, Some(namespace), Some("svc")) => (service, Some(namespace)),
        _ => (host, None),
    };
    (!service.is_empty()).then(|| MeshTarget {
        service: Some(service.into()),
        namespace: namespace.map(Arc::from),
        port: Some(port),
        service_account: None,
    })
}

/// `<sa>.<ns>.serviceaccount.identity.<control plane's namespace>.<trust domain>`.
fn linkerd_name(sni: &str) -> Option<MeshTarget> {
    let (owner, rest) = sni.split_once(".serviceaccount.identity.")?;
    // A ServiceAccount's name may hold dots, a namespace's may not.
    let (account, namespace) = owner.rsplit_once('.')?;
    let has_domain = rest.split_once('.').is_some_and(|(_, domain)| !domain.is_empty());
    (has_domain && !account.is_empty() && !namespace.is_empty()).then(|| MeshTarget {
        service_account: Some(format!("{namespace}/{account}").into()),
        namespace: Some(namespace.into()),
        ..MeshTarget::default()
    })
}

/// `[<subset>.]<svc>.<ns>.<dc>.internal.<trust>.consul`, or with the partition before the datacenter and
/// `internal-v1`.
fn consul_name(sni: &str) -> Option<MeshTarget> {
    let labels: Vec<&str> = sni.strip_suffix(".consul")?.split('.').collect();
    // The trust domain is a UUID.
    let [rest @ .., kind, _trust] = labels.as_slice() else { return None };
    let (service, namespace) = match (*kind, rest) {
        ("internal", [.., service, namespace, _dc])
        | ("internal-v1", [.., service, namespace, _, _dc])
        | ("query", [service, namespace, _dc]) => (*service, *namespace),
        _ => return None,
    };
    (!service.is_empty()).then(|| MeshTarget {
        service: Some(service.into()),
        namespace: Some(namespace.into()),
        ..MeshTarget::default()
    })
}

/// Where ztunnels listen for each other (HBONE).
const HBONE_PORT: u16 = 15008;

/// Ambient's tunnels have no name of their own: they are told by the port they go to, the one protocol they offer, and
/// that they ask for no name.
pub fn infer_tunnel(encryption: &mut Encryption, server_port: u16) {
    let looks_so =
        encryption.sni.is_none() && matches!(encryption.alpn.as_slice(), [only] if &**only == "h2");
    let open = match encryption.status {
        EncryptionStatus::Tls => encryption.version.as_deref() == Some("1.3"),
        EncryptionStatus::Mtls => encryption.mesh.is_none(),
        EncryptionStatus::Plaintext | EncryptionStatus::Unknown => false,
    };
    if server_port == HBONE_PORT && looks_so && open {
        encryption.status = EncryptionStatus::Mtls;
        encryption.mesh = Some(Mesh::Ambient);
        encryption.evidence.get_or_insert(Evidence::Inferred);
    }
}
