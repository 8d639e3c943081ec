//! What the index knows of ServiceAccounts.

use std::collections::HashSet;
use std::sync::Arc;

use super::index::{Account, Index};

impl Index {
    /// Whether the cluster has, or uses, this ServiceAccount.
    #[must_use]
    pub fn knows_service_account(&self, namespace: &str, name: &str) -> bool {
        let key = (Arc::from(namespace), Arc::from(name));
        self.service_accounts.contains_key(&key) || self.templates.has_service_account(namespace, name)
    }

    /// What this ServiceAccount says of its tokens; `None` if nothing is known of it.
    #[must_use]
    pub fn account(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<Account> {
        self.service_accounts.get(&(namespace.clone(), name.clone())).map(|(account, _)| *account)
    }

    /// The ServiceAccounts, by namespace and name, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, Account)> {
        self.service_accounts.iter().map(|((namespace, name), (account, _))| (namespace, name, *account))
    }

    /// The ServiceAccounts, by namespace and name, that some pod runs as, now or until lately.
    #[must_use]
    pub fn accounts_of_pods(&self) -> HashSet<(&str, &str)> {
        self.pods.service_accounts().collect()
    }
}
