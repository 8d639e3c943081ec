//! Whose ServiceAccount stands behind a Service's endpoints.

use super::address_history::Holder;
use super::pods::Pods;
use super::services::{Accounts, Endpoint, Key};
use crate::model::{Label, Timestamp};

impl Accounts for Pods {
    fn of(&self, endpoint: &Endpoint) -> Option<Key> {
        let pod = match endpoint {
            Endpoint::Pod(uid) => self.by_uid(uid)?,
            Endpoint::Address(ip) => match self.at(*ip, Timestamp(u64::MAX)) {
                Holder::Pod(pod) => pod,
                Holder::Nobody | Holder::Contested => return None,
            },
        };
        Some((pod.namespace.clone(), pod.service_account.clone()))
    }

    fn of_selected(&self, namespace: &str, selector: &[Label]) -> Option<Key> {
        let selected = self.living().filter(|pod| {
            *pod.namespace == *namespace
                && selector.iter().all(|(key, value)| pod.label(key) == Some(&**value))
        });
        all_equal(selected.map(|pod| (pod.namespace.clone(), pod.service_account.clone())))
    }

    fn changes(&self) -> u64 {
        Self::changes(self)
    }
}

/// The one value that all have; `None` if there is none, or two differ.
fn all_equal<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}
