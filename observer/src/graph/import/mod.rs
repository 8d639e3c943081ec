//! Policies that clusters already hold, compiled to the one form. A file for each kind of source.

mod cilium;
#[cfg(test)]
mod cluster;
mod istio;
mod linkerd;
mod network_policy;
#[cfg(test)]
pub(super) mod trial;

use std::sync::Arc;

use serde_json::Value;

use super::kinds::GraphKind;
use super::policy::Policy;

/// What is wrong with an object: the key, and what to do about it.
pub(super) type Fault = (String, String);

/// One object of a kind that is imported: checked, and as far as it can be, compiled by itself.
#[derive(Clone, Debug)]
pub(super) enum Imported {
    /// Needs no other object.
    Policies(Vec<Policy>),
    Istio(istio::Object),
    Linkerd(linkerd::Object),
}

/// An object's own name, as records tell it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub kind: GraphKind,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Named {
    /// `NetworkPolicy shop/default-deny`.
    pub fn source(&self) -> Arc<str> {
        format!("{} {}/{}", self.kind.kind(), self.namespace, self.name).into()
    }
}

/// Checks an object.
///
/// # Errors
/// It is not what its kind may say.
pub(super) fn read(named: &Named, value: &Value) -> Result<Imported, Fault> {
    match named.kind {
        GraphKind::ServiceGraph => Err(("kind".to_owned(), "is read elsewhere".to_owned())),
        GraphKind::NetworkPolicy => network_policy::read(named, value).map(Imported::Policies),
        GraphKind::CiliumNetworkPolicy => cilium::read(named, value).map(Imported::Policies),
        GraphKind::IstioAuthorizationPolicy | GraphKind::IstioPeerAuthentication => {
            istio::read(named, value).map(Imported::Istio)
        }
        GraphKind::LinkerdServer
        | GraphKind::LinkerdAuthorizationPolicy
        | GraphKind::LinkerdServerAuthorization
        | GraphKind::LinkerdMeshTlsAuthentication
        | GraphKind::LinkerdNetworkAuthentication => linkerd::read(named, value).map(Imported::Linkerd),
    }
}

/// All objects together.
pub(super) fn compile<'a>(objects: impl Iterator<Item = &'a Imported>) -> Vec<Policy> {
    let (mut policies, mut istio, mut linkerd) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        match object {
            Imported::Policies(own) => policies.extend(own.iter().cloned()),
            Imported::Istio(object) => istio.push(object),
            Imported::Linkerd(object) => linkerd.push(object),
        }
    }
    policies.extend(istio::compile(&istio));
    policies.extend(linkerd::compile(&linkerd));
    policies
}

/// The part `key` of an object, read as its type has it; absent reads as null.
fn part<T: serde::de::DeserializeOwned>(value: &Value, key: &str) -> Result<T, Fault> {
    let part = value.get(key).cloned().unwrap_or(Value::Null);
    serde_path_to_error::deserialize(part).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { key.to_owned() } else { format!("{key}.{path}") };
        (at, error.inner().to_string())
    })
}
