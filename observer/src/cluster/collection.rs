use std::hash::Hash;

use serde_json::{Value, json};

use super::Resource;
use super::wire::HeadMetadata;
use crate::graph::GraphKind;
use crate::identity::Object;

/// All objects of one kind, as the API server tells of them.
pub trait Collection: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + 'static {
    type Object: Send + std::fmt::Debug;

    /// As metrics and logs call it.
    fn name(self) -> &'static str;

    /// As objects name it.
    fn kind(self) -> &'static str;

    fn place(self) -> Place;

    /// It comes with something that not every cluster has: its absence is nothing to worry about.
    fn is_optional(self) -> bool;

    /// That the API server tells nothing of it is no less than was asked for.
    fn may_be_refused(self) -> bool;

    /// Reads one object. `api_version`: the one that was asked for.
    ///
    /// # Errors
    /// It is malformed: where, and how.
    fn read(self, api_version: &str, text: &str) -> Result<Self::Object, String>;

    /// One of which only the name is known.
    fn named(self, head: &HeadMetadata) -> Self::Object;
}

/// Where a collection is found.
pub enum Place {
    At(String),
    /// In whatever version the API server serves.
    Served {
        group: &'static str,
        plural: &'static str,
    },
}

impl Collection for Resource {
    type Object = Object;

    fn name(self) -> &'static str {
        self.name()
    }

    fn kind(self) -> &'static str {
        self.kind()
    }

    fn place(self) -> Place {
        Place::At(self.path())
    }

    fn is_optional(self) -> bool {
        self.is_optional()
    }

    fn may_be_refused(self) -> bool {
        self.is_optional()
    }

    fn read(self, _: &str, text: &str) -> Result<Object, String> {
        Object::read(self.0, text).map_err(|error| format!("{}: {}", error.path(), error.inner()))
    }

    fn named(self, head: &HeadMetadata) -> Object {
        Object::named(self.0, head.metadata())
    }
}

/// A collection of objects that declare edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Declaring(pub GraphKind);

/// An object that declares edges, as it was heard.
#[derive(Clone, Debug)]
pub struct DeclaringObject {
    pub api_version: String,
    pub value: Value,
}

impl Declaring {
    /// As `kubectl get` takes it: two of the plurals alone are ambiguous.
    const fn full_name(self) -> &'static str {
        match self.0 {
            GraphKind::ServiceGraph => "servicegraphs.observer.dev",
            GraphKind::NetworkPolicy => "networkpolicies.networking.k8s.io",
            GraphKind::CiliumNetworkPolicy => "ciliumnetworkpolicies.cilium.io",
            GraphKind::IstioAuthorizationPolicy => "authorizationpolicies.security.istio.io",
            GraphKind::IstioPeerAuthentication => "peerauthentications.security.istio.io",
            GraphKind::LinkerdServer => "servers.policy.linkerd.io",
            GraphKind::LinkerdServerAuthorization => "serverauthorizations.policy.linkerd.io",
            GraphKind::LinkerdAuthorizationPolicy => "authorizationpolicies.policy.linkerd.io",
            GraphKind::LinkerdMeshTlsAuthentication => "meshtlsauthentications.policy.linkerd.io",
            GraphKind::LinkerdNetworkAuthentication => "networkauthentications.policy.linkerd.io",
        }
    }
}

impl Collection for Declaring {
    type Object = DeclaringObject;

    fn name(self) -> &'static str {
        self.full_name()
    }

    fn kind(self) -> &'static str {
        self.0.kind()
    }

    fn place(self) -> Place {
        Place::Served { group: self.0.group(), plural: self.0.plural() }
    }

    fn is_optional(self) -> bool {
        true
    }

    fn may_be_refused(self) -> bool {
        false
    }

    fn read(self, api_version: &str, text: &str) -> Result<DeclaringObject, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // Who changed which field is often longer than all the rest.
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        Ok(DeclaringObject { api_version: api_version.to_owned(), value })
    }

    fn named(self, head: &HeadMetadata) -> DeclaringObject {
        let value = json!({"metadata": {"name": head.name, "namespace": head.namespace}});
        DeclaringObject { api_version: String::new(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_called_as_kubectl_takes_it() {
        for kind in GraphKind::ALL {
            assert_eq!(Declaring(kind).name(), format!("{}.{}", kind.plural(), kind.group()));
        }
    }
}
