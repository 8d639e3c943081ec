//! PeerAuthentication: where plaintext is not taken.
//!
//! It says who may not call without a certificate, and never who may call: what it does not forbid, it does not govern.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{ROOT_NAMESPACE, ambient, proxied, sidecar};
use crate::graph::condition::Condition;
use crate::graph::import::{Fault, Named, part};
use crate::graph::mesh::{PeerMode, PeerModes, Setting, WorkloadModes};
use crate::graph::policy::{Action, Direction, Policy, Rule, SourceKind, Subject};
use crate::graph::selector::Selector;

#[derive(Clone, Debug)]
pub(in crate::graph) struct PeerAuthentication {
    named: Named,
    /// RFC 3339 in UTC, as the API server writes it: the older counts. Empty in files that leave it out.
    created: String,
    /// Empty: the whole namespace, or mesh.
    pods: Selector,
    whole: Option<PeerMode>,
    ports: BTreeMap<u16, PeerMode>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    selector: Option<Selector>,
    mtls: Option<Mtls>,
    port_level_mtls: Option<BTreeMap<String, Mtls>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mtls {
    mode: Option<String>,
}

pub(super) fn read(named: &Named, value: &Value) -> Result<PeerAuthentication, Fault> {
    let spec = part::<Option<Spec>>(value, "spec")?.unwrap_or_default();
    let pods = spec.selector.unwrap_or_default();
    pods.check().map_err(|why| ("spec.selector".to_owned(), why))?;
    let mut ports = BTreeMap::new();
    for (text, mtls) in spec.port_level_mtls.unwrap_or_default() {
        let port = text.parse().map_err(|_| {
            let why = format!("`{text}` is no port; write a number up to 65535");
            ("spec.portLevelMtls".to_owned(), why)
        })?;
        ports.extend(mode_of(&mtls).map(|mode| (port, mode)));
    }
    Ok(PeerAuthentication {
        named: named.clone(),
        created: value["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
        pods,
        whole: spec.mtls.as_ref().and_then(mode_of),
        ports,
    })
}

/// Absent: it is inherited.
fn mode_of(mtls: &Mtls) -> Option<PeerMode> {
    match mtls.mode.as_deref() {
        None | Some("" | "UNSET") => None,
        Some("STRICT") => Some(PeerMode::Strict),
        Some("PERMISSIVE" | "DISABLE") => Some(PeerMode::Lax),
        Some(_) => Some(PeerMode::Unknown),
    }
}

pub(super) fn compile(mut objects: Vec<&PeerAuthentication>) -> Vec<Policy> {
    objects.sort_by(|a, b| {
        let key = |object: &PeerAuthentication| (object.created.is_empty(), object.created.clone());
        (key(a), &a.named.namespace, &a.named.name).cmp(&(key(b), &b.named.namespace, &b.named.name))
    });
    let mut modes = PeerModes::default();
    let mut numbers = 0;
    let mut drafts = Vec::new();
    for object in objects {
        let mut settings = Vec::new();
        let mut setting = |clause: String, mode: PeerMode| {
            let setting = Setting { mode, number: numbers };
            numbers += 1;
            if mode != PeerMode::Lax {
                settings.push((clause, setting.number));
            }
            setting
        };
        let whole = object.whole.map(|mode| setting("spec.mtls".to_owned(), mode));
        let whole_mesh = *object.named.namespace == *ROOT_NAMESPACE;
        if object.pods.is_empty() {
            // Ports are only told apart where workloads are selected.
            let place = match whole_mesh {
                true => &mut modes.mesh,
                false => &mut modes.namespaces.entry(object.named.namespace.clone()).or_default().whole,
            };
            *place = place.or(whole);
        } else if whole_mesh {
            // Workloads are selected in regular namespaces alone.
            continue;
        } else {
            let ports = object
                .ports
                .iter()
                .map(|(port, mode)| (*port, setting(format!("spec.portLevelMtls.{port}"), *mode)));
            let workload = WorkloadModes { pods: object.pods.clone(), ports: ports.collect(), whole };
            let namespace = modes.namespaces.entry(object.named.namespace.clone()).or_default();
            namespace.workloads.push(workload);
        }
        if !settings.is_empty() {
            drafts.push((object, whole_mesh, settings));
        }
    }
    let modes = Arc::new(modes);
    drafts
        .into_iter()
        .map(|(object, whole_mesh, settings)| policy(object, whole_mesh, &settings, &modes))
        .collect()
}

fn policy(
    object: &PeerAuthentication,
    whole_mesh: bool,
    settings: &[(String, usize)],
    modes: &Arc<PeerModes>,
) -> Policy {
    let strict = |setting: usize| Condition::Strict { modes: modes.clone(), setting };
    // Nobody but the mesh's proxies asks for certificates. What a ztunnel took out of its tunnel looks like plaintext.
    let asks =
        Condition::Any(vec![sidecar(), Condition::All(vec![ambient(), Condition::Unseen("ambient-hop")])]);
    let when = Condition::All(vec![
        Condition::Not(Box::new(Condition::MutualTls)),
        Condition::Any(settings.iter().map(|(_, setting)| strict(*setting)).collect()),
        asks,
        proxied(),
    ]);
    Policy {
        kind: SourceKind::Istio,
        source: object.named.source(),
        direction: Direction::Ingress,
        subject: Subject {
            namespace: (!whole_mesh).then(|| object.named.namespace.clone()),
            pods: object.pods.clone(),
            when: Some(when),
            ..Subject::default()
        },
        denies_by_default: true,
        rules: settings
            .iter()
            .map(|(clause, setting)| Rule {
                action: Action::Deny,
                clause: clause.as_str().into(),
                when: strict(*setting),
            })
            .collect(),
    }
}
