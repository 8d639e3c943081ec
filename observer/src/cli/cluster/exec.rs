//! The way to an observer through the API server: a command in its container, as `kubectl exec` runs one.

use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::{Api, Client};
use tokio::io::AsyncReadExt as _;

use super::Target;
use super::conversation::{Channel, Reach};
use crate::cli::parse::{one_line, with_causes};

/// What is kept between the web socket and us, in bytes, for each stream.
const BUFFER: usize = 64 * 1024;
/// What is read of what a command complains of, in bytes.
const MAX_COMPLAINT: u64 = 4 * 1024;

pub struct Exec {
    client: Client,
}

impl Exec {
    pub const fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Reach for Exec {
    async fn open(&self, target: &Target, command: &[String]) -> Result<Channel, String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &target.namespace);
        let params = AttachParams {
            container: Some(target.container.clone()),
            stdin: true,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
            ..AttachParams::default()
        };
        let opened = pods.exec(&target.pod, command.iter().map(String::as_str), &params).await;
        let mut process = opened.map_err(|error| refused(target, &error))?;
        let (Some(input), Some(output)) = (process.stdin(), process.stdout()) else {
            return Err("the command has no input or output".to_owned());
        };
        Ok(Channel {
            input: Box::new(input),
            output: Box::new(output),
            complaint: complaint(process).boxed(),
        })
    }
}

/// What the command said on stderr, or what became of it.
async fn complaint(mut process: AttachedProcess) -> String {
    let (status, stderr) = (process.take_status(), process.stderr());
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(MAX_COMPLAINT).read_to_end(&mut said).await;
    }
    let said = one_line(String::from_utf8_lossy(&said).trim());
    let said = said.strip_prefix("observer: ").unwrap_or(&said).to_owned();
    if !said.is_empty() {
        return said;
    }
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let message = status.and_then(|status| status.message).unwrap_or_default();
    if message.is_empty() { "the connection broke off".to_owned() } else { one_line(&message) }
}

fn refused(target: &Target, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "no right to exec into pods of namespace {}: {}; ask for a Role with pods/exec: get, create",
            target.namespace,
            one_line(&status.message)
        ),
        kube::Error::Api(status) => {
            format!("pod {}/{}: {}", target.namespace, target.pod, one_line(&status.message))
        }
        error => format!("pod {}/{}: {}", target.namespace, target.pod, one_line(&with_causes(error))),
    }
}
