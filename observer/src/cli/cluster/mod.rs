//! `kubectl observer`: asks the observers of all nodes through the API server, and makes one answer of theirs.

mod arguments;
mod asking;
mod conversation;
mod doctor;
mod exec;
mod following;
mod merging;
mod order;
mod pods;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::CliError;
use crate::sink::query::Request;
pub(super) use arguments::plugin_command;
pub use arguments::{ClusterArgs, is_plugin};
use asking::Limits;
pub(super) use following::{Following, Heard};

/// The command that the image has for this.
const BRIDGE: &str = "socket";

/// An observer in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// Why there is no use in asking it.
    pub absent: Option<String>,
}

/// The observers of all nodes, or of those that were asked for.
pub struct Observers {
    runtime: Runtime,
    reach: Arc<exec::Exec>,
    targets: Vec<Target>,
    limits: Limits,
    /// Nodes that did not answer, each with why.
    silent: Mutex<BTreeMap<String, String>>,
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("targets", &self.targets.len()).finish_non_exhaustive()
    }
}

impl Observers {
    /// # Errors
    /// No API server, no right to list pods, or no pods: one line with the way out.
    pub fn find(args: &ClusterArgs) -> Result<Arc<Self>, CliError> {
        let limits = Limits { within: Duration::from_secs(args.request_timeout), ..Limits::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| CliError::Failed(error.to_string()))?;
        let (client, targets) = runtime
            .block_on(async {
                let client = pods::client(args).await?;
                let targets = pods::find(&client, args, limits.within).await?;
                Ok((client, targets))
            })
            .map_err(CliError::Failed)?;
        let reach = Arc::new(exec::Exec::new(client));
        Ok(Arc::new(Self { runtime, reach, targets, limits, silent: Mutex::default() }))
    }

    /// One answer of all: its lines, and the nodes that gave none. `socket` is its path in the containers.
    pub(super) fn ask(
        &self,
        request: &Request,
        socket: &Path,
    ) -> Result<(Vec<String>, Vec<String>), CliError> {
        let line = request_line(request)?;
        let mut merging = merging::Merging::of(request);
        let (mut silent, mut first_cause) = (Vec::new(), None);
        self.runtime.block_on(asking::ask_all(
            &*self.reach,
            &self.targets,
            (&bridge(socket), &line),
            self.limits,
            |node, answer| {
                let taken = answer.and_then(|lines| merging.add(&lines));
                if let Err(why) = taken {
                    first_cause.get_or_insert_with(|| format!("{node}: {why}"));
                    silent.push(node.to_owned());
                    self.note_silent(node, &why);
                }
            },
        ));
        if silent.len() == self.targets.len() {
            return Err(self.nobody(first_cause.unwrap_or_default()));
        }
        silent.sort();
        Ok((merging.lines()?, silent))
    }

    /// An answer that goes on.
    pub(super) fn follow(&self, request: &Request, socket: &Path) -> Result<Following, CliError> {
        let line = request_line(request)?;
        let _inside = self.runtime.enter();
        Ok(Following::start(self.reach.clone(), &self.targets, (bridge(socket), line), self.limits))
    }

    /// Tells of a node that did not answer: once.
    pub(super) fn note_silent(&self, node: &str, why: &str) {
        if self.silent().insert(node.to_owned(), why.to_owned()).is_none() {
            eprintln!("observer: node {node} did not answer: {}", super::one_line(why));
        }
    }

    /// Whether each node answered all that it was asked.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.silent().is_empty()
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nobody(&self, cause: String) -> CliError {
        CliError::Failed(match self.targets.len() {
            1 => format!("the only observer asked did not answer: {cause}"),
            n => format!("none of {n} observers answered; {cause}"),
        })
    }
}

fn request_line(request: &Request) -> Result<String, CliError> {
    let line = serde_json::to_string(request).map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(line + "\n")
}

fn bridge(socket: &Path) -> Vec<String> {
    ["observer", BRIDGE, "--socket", &socket.to_string_lossy()].map(str::to_owned).to_vec()
}
