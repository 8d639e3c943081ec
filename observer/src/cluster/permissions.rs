//! What the API server lets this process do: asked, not tried, so that the answer names the verb.

use http::Request;
use serde::Deserialize;
use serde_json::json;

use super::access::Access;
use super::follow::one_line;
use super::{Resource, discovery, lease};
use crate::graph::GraphKind;

/// The API server's answer about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub what: What,
    /// Verbs that it refuses.
    pub missing: Vec<&'static str>,
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Watched(Resource),
    Declaring(GraphKind),
    /// Of ServiceGraphs.
    Status,
    /// In the observer's own namespace.
    Lease,
}

impl What {
    /// As RBAC names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watched(resource) => resource.name(),
            Self::Declaring(kind) => kind.plural(),
            Self::Status => "servicegraphs/status",
            Self::Lease => "leases",
        }
    }

    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Watched(resource) => resource.group(),
            Self::Declaring(kind) => kind.group(),
            Self::Status => GraphKind::ServiceGraph.group(),
            Self::Lease => "coordination.k8s.io",
        }
    }

    const fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Watched(_) | Self::Declaring(_) => &["list", "watch"],
            Self::Status => &["patch"],
            Self::Lease => &["get", "create", "update"],
        }
    }
}

#[derive(Default, Deserialize)]
struct Review {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    allowed: bool,
}

/// Asks for each resource that is watched (SelfSubjectAccessReview, which everybody may create).
///
/// # Errors
/// The API server does not answer, or not to us: one line.
pub async fn examine(access: &Access) -> Result<Vec<Allowed>, String> {
    let mut wanted = Vec::new();
    for resource in Resource::all() {
        if !resource.is_optional() || !is_absent(access, resource).await {
            wanted.push(What::Watched(resource));
        }
    }
    for kind in GraphKind::ALL {
        let served = discovery::find(&access.client, kind.group(), kind.plural()).await;
        if served.map_err(|error| one_line(&error))?.is_some() {
            wanted.push(What::Declaring(kind));
            if kind == GraphKind::ServiceGraph {
                wanted.extend([What::Status, What::Lease]);
            }
        }
    }
    let mut answers = Vec::new();
    for what in wanted {
        let mut missing = Vec::new();
        for verb in what.verbs() {
            if !is_allowed(access, what, verb).await? {
                missing.push(*verb);
            }
        }
        answers.push(Allowed { what, missing });
    }
    Ok(answers)
}

/// The cluster does not have what the resource belongs to; whether it does, everybody may ask.
async fn is_absent(access: &Access, resource: Resource) -> bool {
    let Ok(request) = Request::get(format!("/apis/{}", resource.group())).body(Vec::new()) else {
        return false;
    };
    matches!(access.client.request_text(request).await, Err(kube::Error::Api(status)) if status.code == 404)
}

async fn is_allowed(access: &Access, what: What, verb: &str) -> Result<bool, String> {
    let (resource, subresource) = what.name().split_once('/').unwrap_or((what.name(), ""));
    let mut attributes =
        json!({"group": what.group(), "resource": resource, "subresource": subresource, "verb": verb});
    if what == What::Lease {
        attributes["namespace"] = access.namespace.as_str().into();
        if verb != "create" {
            attributes["name"] = lease::NAME.into();
        }
    }
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| error.to_string())?;
    let answer = access.client.request_text(request).await.map_err(|error| one_line(&error))?;
    let review: Review = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    Ok(review.status.allowed)
}
