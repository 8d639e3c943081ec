//! What the API server lets this process do: asked, not tried, so that the answer names the verb.

use http::Request;
use serde::Deserialize;
use serde_json::json;

use super::Resource;
use super::access::Access;
use super::follow::one_line;

/// What a watch needs.
const VERBS: [&str; 2] = ["list", "watch"];

/// The API server's answer about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub resource: Resource,
    /// Verbs that it refuses.
    pub missing: Vec<&'static str>,
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
    let mut answers = Vec::new();
    for resource in Resource::all() {
        if resource.is_optional() && is_absent(access, resource).await {
            continue;
        }
        let mut missing = Vec::new();
        for verb in VERBS {
            if !is_allowed(access, resource, verb).await? {
                missing.push(verb);
            }
        }
        answers.push(Allowed { resource, missing });
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

async fn is_allowed(access: &Access, resource: Resource, verb: &str) -> Result<bool, String> {
    let attributes = json!({"group": resource.group(), "resource": resource.name(), "verb": verb});
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
