//! `exempted_total`: what settings and built-in rules held back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::edge_metrics::Budget;
use super::labels::{ExemptedLabels, OVERFLOW};
use crate::model::{FindingKind, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct Exempted {
    counters: Family<ExemptedLabels, Counter>,
    /// What has a series, out of the budget.
    known: Mutex<HashMap<ExemptedLabels, Known>>,
    budget: Arc<Budget>,
    most: usize,
}

#[derive(Debug, Default)]
struct Known {
    total: u64,
    /// The total at the last look, and when that was first seen to be so.
    looked: Option<(u64, Timestamp)>,
}

impl Exempted {
    pub fn new(budget: Arc<Budget>, most: usize) -> Self {
        Self { counters: Family::default(), known: Mutex::default(), budget, most }
    }

    /// The same counters, to be registered.
    pub fn family(&self) -> Family<ExemptedLabels, Counter> {
        self.counters.clone()
    }

    pub fn count(&self, kind: FindingKind, reason: &str) {
        let mut labels = ExemptedLabels { kind, reason: Arc::from(reason) };
        // Held to the end: a pair must not be reaped between the look and the count.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = known.get_mut(&labels) {
            there.total += 1;
        } else if known.len() < self.most && self.budget.claim() {
            known.insert(labels.clone(), Known { total: 1, looked: None });
        } else {
            labels.reason = Arc::from(OVERFLOW);
            self.budget.count_overflow();
        }
        self.counters.get_or_create_owned(&labels).inc();
    }

    /// Gives the series back that had no update for `idle` and whose reason is not in force any more.
    pub fn reap(&self, now: Timestamp, idle: Duration, in_force: &dyn Fn(&str) -> bool) -> usize {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.retain(|labels, Known { total, looked }| {
            let (seen, since) = *looked.get_or_insert((*total, now));
            if seen != *total {
                *looked = Some((*total, now));
                return true;
            }
            let stays = now.since(since) < idle || in_force(&labels.reason);
            if !stays {
                self.counters.remove(labels);
            }
            stays
        });
        let given_back = before - known.len();
        self.budget.give_back(given_back);
        given_back
    }
}
