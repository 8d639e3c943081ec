//! The Lease by which one observer of the cluster is the one that writes.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::follow::one_line;

/// In the namespace of the observers.
pub(super) const NAME: &str = "observer-status";
/// What a Lease tells others; they count from when they saw it change.
const SECONDS: u64 = 15;

/// As the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: String,
    pub version: String,
    transitions: i64,
}

/// What is asked of the API server for the sake of writing.
#[derive(Clone)]
pub struct Leases {
    client: Client,
    path: String,
}

impl Leases {
    #[must_use]
    pub fn of(client: Client, namespace: &str) -> Self {
        Self { client, path: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases") }
    }

    /// `None`: there is none yet.
    ///
    /// # Errors
    /// One line.
    pub async fn look(&self) -> Result<Option<Lease>, String> {
        match self.send(Method::GET, &format!("{}/{NAME}", self.path), &Value::Null).await {
            Ok(value) => Ok(Some(Lease::of(&value))),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(one_line(&error)),
        }
    }

    /// Makes `holder` the holder, in place of what `previous` says; `now` in RFC 3339 with microseconds. `None`:
    /// somebody was quicker.
    ///
    /// # Errors
    /// One line.
    pub async fn take(
        &self,
        holder: &str,
        previous: Option<&Lease>,
        now: &str,
    ) -> Result<Option<Lease>, String> {
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": SECONDS, "renewTime": now, "acquireTime": now,
            },
        });
        let answer = match previous {
            None => self.send(Method::POST, &self.path, &lease).await,
            Some(previous) => {
                let changed = i64::from(previous.holder != holder);
                lease["metadata"]["resourceVersion"] = previous.version.as_str().into();
                lease["spec"]["leaseTransitions"] = (previous.transitions + changed).into();
                self.send(Method::PUT, &format!("{}/{NAME}", self.path), &lease).await
            }
        };
        match answer {
            Ok(value) => Ok(Some(Lease::of(&value))),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(one_line(&error)),
        }
    }

    /// Writes the status of a ServiceGraph. One that is gone needs none.
    ///
    /// # Errors
    /// One line.
    pub async fn write_status(&self, namespace: &str, name: &str, status: &Value) -> Result<(), String> {
        let path = format!("/apis/observer.dev/v1alpha1/namespaces/{namespace}/servicegraphs/{name}/status");
        match self.send(Method::PATCH, &path, &json!({"status": status})).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(one_line(&error)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body);
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }
}

impl Lease {
    #[cfg(test)]
    pub(super) fn new(holder: &str, version: &str) -> Self {
        Self { holder: holder.to_owned(), version: version.to_owned(), transitions: 0 }
    }

    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            holder: text(&value["spec"]["holderIdentity"]),
            version: text(&value["metadata"]["resourceVersion"]),
            transitions: value["spec"]["leaseTransitions"].as_i64().unwrap_or_default(),
        }
    }
}
