//! Objects of a cluster, by their paths in the API and as JSON.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// An administrator's way to the API server.
pub struct Cluster {
    client: Client,
    runtime: Runtime,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// # Errors
    /// The files are no certificates.
    pub fn connect(url: &str, ca: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let config: Kubeconfig = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": ca}}],
            "users": [{"name": "test", "user": {"client-certificate": certificate, "client-key": key}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }))?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { client, runtime })
    }

    /// The client, for what is not here.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// # Errors
    /// It does not serve yet.
    pub fn ready(&self) -> Result<()> {
        let request = Request::get("/readyz").body(Vec::new())?;
        let text = self.runtime.block_on(self.client.request_text(request))?;
        if text != "ok" {
            bail!("/readyz: {text}");
        }
        Ok(())
    }

    /// # Errors
    /// As the API server has it.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, "application/json", &Value::Null)
    }

    /// # Errors
    /// As the API server has it.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, "application/json", object)
    }

    /// A merge patch (RFC 7386).
    ///
    /// # Errors
    /// As the API server has it.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch)
    }

    /// Deletes at once, as if the kubelet had confirmed it.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn delete(&self, path: &str) -> Result<Value> {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        self.send(Method::DELETE, path, "application/json", &now)
    }

    /// A namespace with its `default` ServiceAccount, which no controller makes here.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn namespace(&self, name: &str) -> Result<()> {
        if self.get(&format!("/api/v1/namespaces/{name}")).is_err() {
            self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}))?;
        }
        self.service_account(name, "default")
    }

    /// # Errors
    /// As the API server has it.
    pub fn service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        if self.get(&format!("{accounts}/{name}")).is_err() {
            self.create(&accounts, &json!({"metadata": {"name": name}}))?;
        }
        Ok(())
    }

    /// A pod on `node`, which has no address yet; answers its uid.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn pod(&self, namespace: &str, account: &str, name: &str, node: &str) -> Result<String> {
        let pod = self.create(
            &format!("/api/v1/namespaces/{namespace}/pods"),
            &json!({
                "metadata": {"name": name, "labels": {"app": account}},
                "spec": {
                    "serviceAccountName": account, "nodeName": node,
                    "containers": [{"name": "main", "image": "example.test/main:1"}],
                },
            }),
        )?;
        Ok(pod["metadata"]["uid"].as_str().context("a pod without a uid")?.to_owned())
    }

    /// Says of a pod that it runs at these addresses, as its kubelet does.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn run_pod(&self, namespace: &str, name: &str, ips: &[&str]) -> Result<()> {
        self.patch(&format!("/api/v1/namespaces/{namespace}/pods/{name}/status"), &crate::running(ips))?;
        Ok(())
    }

    /// A token of the TokenRequest API, as `kubectl create token` gets it; bound to a pod where one is named.
    ///
    /// # Errors
    /// As the API server has it.
    pub fn token(
        &self,
        namespace: &str,
        account: &str,
        pod: Option<(&str, &str)>,
        audiences: &[&str],
    ) -> Result<String> {
        let mut spec = json!({"audiences": audiences, "expirationSeconds": 3600});
        if let Some((name, uid)) = pod {
            spec["boundObjectRef"] = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let answer = self.create(&path, &request)?;
        Ok(answer["status"]["token"].as_str().context("no token in the answer")?.to_owned())
    }

    fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let what = format!("{method} {path}");
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body)?;
        self.runtime.block_on(self.client.request(request)).with_context(|| what)
    }
}
