//! In which version the API server serves a collection: whoever installs a CRD chooses.

use http::Request;
use kube::Client;
use serde::Deserialize;

/// A collection that is served.
pub struct Served {
    /// `/apis/cilium.io/v2/ciliumnetworkpolicies`
    pub path: String,
    /// `cilium.io/v2`
    pub api_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    preferred_version: Version,
    versions: Vec<Version>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    resources: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

/// Finds a collection, the version that the API server prefers first; `None`: it serves none.
///
/// # Errors
/// The API server does not answer.
pub async fn find(client: &Client, group: &str, plural: &str) -> Result<Option<Served>, kube::Error> {
    let Some(known) = ask::<Group>(client, &format!("/apis/{group}")).await? else { return Ok(None) };
    let preferred = known.preferred_version.version;
    let others = known.versions.into_iter().map(|version| version.version);
    let others = others.filter(|version| *version != preferred);
    for version in std::iter::once(preferred.clone()).chain(others).filter(|version| !version.is_empty()) {
        let api_version = format!("{group}/{version}");
        let resources = ask::<Resources>(client, &format!("/apis/{api_version}")).await?.unwrap_or_default();
        if resources.resources.iter().any(|resource| resource.name == plural) {
            return Ok(Some(Served { path: format!("/apis/{api_version}/{plural}"), api_version }));
        }
    }
    Ok(None)
}

/// `None`: there is no such thing.
async fn ask<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>, kube::Error> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request(request).await {
        Ok(answer) => Ok(Some(answer)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
