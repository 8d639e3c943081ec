//! Objects as they are written.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Access, Kind, Object, Reference, Server, Servers, Target, authenticated, certificate_name, identity,
    in_cluster, port_or_tunnel, service_account,
};
use crate::graph::condition::{Condition, End, Ports};
use crate::graph::import::{Fault, Named, part};
use crate::graph::kinds::GraphKind;
use crate::graph::selector::Selector;
use crate::model::Transport;

const GROUP: &str = "policy.linkerd.io";

/// Keys that this version does not know: what they ask for cannot be told.
type Others = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerSpec {
    pod_selector: Option<Selector>,
    external_workload_selector: Option<Value>,
    port: NumberOrName,
    access_policy: Option<String>,
    #[serde(rename = "proxyProtocol")]
    _proxy_protocol: Option<Value>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(u16),
    Name(Arc<str>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationSpec {
    target_ref: Ref,
    required_authentication_refs: Vec<Ref>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Ref {
    #[serde(default)]
    group: Option<String>,
    kind: String,
    #[serde(default)]
    name: Option<Arc<str>>,
    #[serde(default)]
    namespace: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeshTlsSpec {
    identities: Option<Vec<String>>,
    identity_refs: Option<Vec<Ref>>,
}

#[derive(Deserialize)]
struct NetworkSpec {
    networks: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    cidr: String,
    #[serde(default)]
    except: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ServerAuthorizationSpec {
    server: ServerRef,
    client: Client,
}

#[derive(Deserialize)]
struct ServerRef {
    name: Option<Arc<str>>,
    selector: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    networks: Option<Vec<Network>>,
    #[serde(default)]
    unauthenticated: bool,
    #[serde(rename = "meshTLS")]
    mesh_tls: Option<MeshTls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeshTls {
    #[serde(rename = "unauthenticatedTLS", default)]
    unauthenticated_tls: bool,
    identities: Option<Vec<String>>,
    service_accounts: Option<Vec<AccountRef>>,
}

#[derive(Deserialize)]
struct AccountRef {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
}

pub(in crate::graph::import) fn read(named: &Named, value: &Value) -> Result<Object, Fault> {
    let kind = match named.kind {
        GraphKind::LinkerdServer => server(value)?,
        GraphKind::LinkerdAuthorizationPolicy => authorization_policy(named, value)?,
        GraphKind::LinkerdServerAuthorization => server_authorization(named, value)?,
        GraphKind::LinkerdMeshTlsAuthentication => mesh_tls_authentication(named, value)?,
        _ => {
            let spec: NetworkSpec = part(value, "spec")?;
            if spec.networks.is_empty() {
                return Err(fault("spec.networks", "is empty; give it a network"));
            }
            Kind::NetworkAuthentication(Arc::new(networks("spec.networks", &spec.networks)?))
        }
    };
    Ok(Object { named: named.clone(), kind })
}

fn fault(key: &str, why: impl Into<String>) -> Fault {
    (key.to_owned(), why.into())
}

fn server(value: &Value) -> Result<Kind, Fault> {
    let spec: ServerSpec = part(value, "spec")?;
    if spec.pod_selector.is_none() && spec.external_workload_selector.is_none() {
        return Err(fault("spec.podSelector", "is missing; write {} for all pods of the namespace"));
    }
    if let Some(pods) = &spec.pod_selector {
        pods.check().map_err(|why| fault("spec.podSelector", why))?;
    }
    let transport = Transport::Tcp;
    let mut port = match spec.port {
        NumberOrName::Number(port) => {
            Condition::Port(Ports { transport: Some(transport), range: Some((port, port)) })
        }
        NumberOrName::Name(name) => Condition::NamedPort { name, transport },
    };
    if !spec.others.is_empty() {
        port = Condition::All(vec![port, Condition::Unseen("field-unknown")]);
    }
    let access = match spec.access_policy.as_deref() {
        None | Some("deny") => Access::Deny,
        Some("all-unauthenticated" | "audit") => Access::AllUnauthenticated,
        Some("all-authenticated") => Access::AllAuthenticated,
        Some("cluster-unauthenticated") => Access::ClusterUnauthenticated,
        Some("cluster-authenticated") => Access::ClusterAuthenticated,
        Some(_) => Access::Unknown,
    };
    let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())));
    let labels = labels.collect();
    Ok(Kind::Server(Server { pods: spec.pod_selector, labels, port: port_or_tunnel(port), access }))
}

fn authorization_policy(named: &Named, value: &Value) -> Result<Kind, Fault> {
    let spec: AuthorizationSpec = part(value, "spec")?;
    let target = spec.target_ref;
    let Some(name) = target.name else {
        return Err(fault("spec.targetRef.name", "is missing; name a Server or the namespace"));
    };
    let target = match (target.group.as_deref().unwrap_or_default(), target.kind.as_str()) {
        (GROUP, "Server") => Target::Server(name),
        ("" | "core", "Namespace") => Target::Namespace(name),
        (_, "HTTPRoute" | "GRPCRoute") => Target::Part("route-unseen"),
        (_, "EgressNetwork") => Target::Elsewhere,
        _ => Target::Part("target-unknown"),
    };
    let required = spec.required_authentication_refs.into_iter();
    let required = required.map(|reference| {
        let namespace = reference.namespace.unwrap_or_else(|| named.namespace.clone());
        match (reference.group.as_deref().unwrap_or_default(), reference.kind.as_str(), reference.name) {
            (GROUP, "MeshTLSAuthentication", Some(name)) => Reference::MeshTls(namespace, name),
            (GROUP, "NetworkAuthentication", Some(name)) => Reference::Network(namespace, name),
            ("" | "core", "ServiceAccount", name) => {
                Reference::Itself(identity(vec![service_account(&namespace, name.as_deref())]))
            }
            _ => Reference::Itself(Condition::Unseen("authentication-unknown")),
        }
    });
    let unknown = (!spec.others.is_empty()).then_some(Reference::Itself(Condition::Unseen("field-unknown")));
    let required = required.chain(unknown).collect();
    Ok(Kind::AuthorizationPolicy { target, required })
}

fn mesh_tls_authentication(named: &Named, value: &Value) -> Result<Kind, Fault> {
    let spec: MeshTlsSpec = part(value, "spec")?;
    let (identities, refs) = (spec.identities.unwrap_or_default(), spec.identity_refs.unwrap_or_default());
    if identities.is_empty() && refs.is_empty() {
        return Err(fault("spec", "names nobody; give it identities or identityRefs"));
    }
    let mut names: Vec<_> = identities.iter().map(|text| certificate_name(text)).collect();
    names.extend(refs.into_iter().map(|reference| {
        let namespace = reference.namespace.unwrap_or_else(|| named.namespace.clone());
        match (reference.group.as_deref().unwrap_or_default(), reference.kind.as_str(), reference.name) {
            ("" | "core", "ServiceAccount", name) => service_account(&namespace, name.as_deref()),
            ("" | "core", "Namespace", Some(name)) => service_account(&name, None),
            _ => Condition::Unseen("authentication-unknown"),
        }
    }));
    Ok(Kind::MeshTlsAuthentication(Arc::new(identity(names))))
}

fn server_authorization(named: &Named, value: &Value) -> Result<Kind, Fault> {
    let spec: ServerAuthorizationSpec = part(value, "spec")?;
    let servers = match (spec.server.name, spec.server.selector) {
        (Some(name), None) => Servers::Named(name),
        (None, Some(selector)) => {
            selector.check().map_err(|why| fault("spec.server.selector", why))?;
            Servers::Selected(selector)
        }
        _ => {
            return Err(fault(
                "spec.server",
                "needs one of name and selector; write one, leave the other out",
            ));
        }
    };
    let from = match &spec.client.networks {
        Some(list) if !list.is_empty() => networks("spec.client.networks", list)?,
        // By default Linkerd's own setting.
        _ => in_cluster(),
    };
    let who = match spec.client.mesh_tls {
        _ if spec.client.unauthenticated => Condition::ALWAYS,
        Some(mesh_tls) if mesh_tls.unauthenticated_tls => authenticated(Condition::ALWAYS),
        Some(mesh_tls) => {
            let mut names: Vec<_> =
                mesh_tls.identities.iter().flatten().map(|text| certificate_name(text)).collect();
            names.extend(mesh_tls.service_accounts.iter().flatten().map(|account| {
                let namespace = account.namespace.as_ref().unwrap_or(&named.namespace);
                service_account(namespace, Some(&account.name))
            }));
            identity(names)
        }
        None => {
            return Err(fault("spec.client", "names nobody; give it meshTLS, or unauthenticated: true"));
        }
    };
    Ok(Kind::ServerAuthorization { servers, client: Arc::new(Condition::All(vec![from, who])) })
}

fn networks(key: &str, list: &[Network]) -> Result<Condition, Fault> {
    let range = |at: String, text: &String| {
        let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        parsed.map_err(|_| (at, format!("`{text}` is no network; write one like 10.0.0.0/8")))
    };
    let mut any = Vec::new();
    for (place, network) in list.iter().enumerate() {
        let at = |name: &str| format!("{key}[{place}].{name}");
        let ranges = vec![range(at("cidr"), &network.cidr)?];
        let except = network.except.iter().flatten().map(|text| range(at("except"), text));
        let except = Condition::Address { end: End::Client, ranges: except.collect::<Result<_, _>>()? };
        any.push(Condition::All(vec![
            Condition::Address { end: End::Client, ranges },
            Condition::Not(Box::new(except)),
        ]));
    }
    Ok(Condition::Any(any))
}
