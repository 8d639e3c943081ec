//! Puts together what `observer posture` tells, every minute and when somebody asks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hearing::Hearing;
use crate::identity::{Account, Index, Inventory, ObjectKind};
use crate::model::{Pod, Timestamp, TokenMount};
use crate::posture::{AccountFacts, Facts, Full, Gaps, Rights, Seen, survey};
use crate::sink::Sinks;

/// Between two surveys that nobody asked for: metrics are scraped about as often.
const EVERY: Duration = Duration::from_secs(60);
/// Between two that somebody did ask for: capture goes first.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// See the module.
pub struct Surveyor {
    pub rights: Rights,
    node: Arc<str>,
    pub unused_after: Duration,
    last: Option<Instant>,
}

impl Surveyor {
    #[must_use]
    pub fn new(node: Arc<str>, unused_after: Duration) -> Self {
        Self { rights: Rights::default(), node, unused_after, last: None }
    }

    /// Takes in the Roles and Bindings of files. A kind that occurs in them is taken for complete.
    ///
    /// # Errors
    /// There are too many.
    pub fn read(&mut self, inventory: &Inventory) -> Result<(), Full> {
        for object in inventory.objects() {
            self.rights.apply(object)?;
            self.rights.set_complete(object.kind());
        }
        Ok(())
    }

    pub fn is_due(&self, wanted: bool) -> bool {
        let wait = if wanted { AT_MOST_EVERY } else { EVERY };
        self.last.is_none_or(|last| last.elapsed() >= wait)
    }

    /// `hearing`: where news of the cluster come from, if not from files.
    pub fn survey(
        &mut self,
        index: &Index,
        seen: &mut Seen,
        hearing: Option<&Hearing>,
        sinks: &Sinks,
        now: Timestamp,
    ) {
        sinks.board.begin();
        self.last = Some(Instant::now());
        let pods = self.worth_a_look(index);
        let here = pods.iter().filter(|pod| pod.node.as_ref() == Some(&self.node));
        seen.on_this_node(here.clone().map(|pod| pod.uid), now);
        let mut accounts = BTreeMap::new();
        for (namespace, name, account) in index.accounts().filter(|(_, _, account)| account.secrets > 0) {
            accounts.insert((namespace.clone(), name.clone()), facts(account));
        }
        for pod in here.filter(|pod| pod.token == TokenMount::Unsaid) {
            if let Some(account) = index.account(&pod.namespace, &pod.service_account) {
                accounts.insert((pod.namespace.clone(), pod.service_account.clone()), facts(account));
            }
        }
        let rows = survey(&Facts {
            gaps: self.gaps(index, hearing),
            pods,
            accounts,
            node: self.node.clone(),
            rights: &self.rights,
            seen,
            unused_after: self.unused_after,
            now,
        });
        sinks.metrics.posture(&rows);
        sinks.metrics.lost_total("posture", seen.forgotten() + self.rights.refused());
        sinks.board.pin(rows);
    }

    /// The pods of this node, and of the others one of each workload and revision: that is all that rows tell of.
    fn worth_a_look(&self, index: &Index) -> Vec<Arc<Pod>> {
        let mut templates = HashSet::new();
        let pods = index.living_pods().filter(|pod| {
            pod.node.as_ref() == Some(&self.node)
                || pod.workload.is_none()
                || templates.insert(Arc::as_ptr(&pod.template))
        });
        pods.cloned().collect()
    }

    fn gaps(&self, index: &Index, hearing: Option<&Hearing>) -> Gaps {
        let gap = |kinds: &[ObjectKind], in_files: bool| match hearing {
            Some(hearing) => hearing.gap(kinds),
            None => (!in_files).then_some("not-in-inventory"),
        };
        let rights = [
            ObjectKind::Role,
            ObjectKind::ClusterRole,
            ObjectKind::RoleBinding,
            ObjectKind::ClusterRoleBinding,
        ];
        let address = [ObjectKind::Service, ObjectKind::EndpointSlice];
        Gaps {
            pods: gap(&[ObjectKind::Pod], true),
            accounts: gap(&[ObjectKind::ServiceAccount], index.counts().service_accounts > 0),
            rights: gap(&rights, self.rights.lacks().is_none()),
            api_server: gap(&address, true)
                .or_else(|| (!index.knows_api_server()).then_some("api-server-not-known")),
        }
    }
}

fn facts(account: Account) -> AccountFacts {
    AccountFacts { automount: account.automount, secrets: account.secrets }
}
