//! `posture_findings`: how many rows each ServiceAccount has, and `posture_known`: whether a kind can be judged at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::edge_metrics::Budget;
use super::families::{Metric, register};
use super::labels::{KindLabels, OVERFLOW};
use crate::model::{PostureKind, PostureRow, PostureStatus};

/// Series that rows may have at most; the rest is counted under `_overflow`.
const MAX_SERIES: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    /// Empty: all of them are meant.
    namespace: String,
    service_account: String,
}

impl Labels {
    fn overflow(kind: &'static str) -> Self {
        Self { kind, namespace: OVERFLOW.to_owned(), service_account: OVERFLOW.to_owned() }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PostureMetrics {
    findings: Family<Labels, Gauge>,
    known: Family<KindLabels, Gauge>,
    /// What has a series, out of the budget.
    shown: Mutex<BTreeMap<Labels, i64>>,
}

impl PostureMetrics {
    pub fn register(&self, registry: &mut Registry) {
        register(registry, Metric::PostureFindings, self.findings.clone());
        register(registry, Metric::PostureKnown, self.known.clone());
    }

    /// Takes the place of what was told before.
    pub fn set(&self, rows: &[PostureRow], budget: &Arc<Budget>) {
        let mut counts: BTreeMap<Labels, i64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.status == PostureStatus::Found) {
            let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
            let (namespace, service_account) = (text(&row.namespace), text(&row.service_account));
            *counts.entry(Labels { kind: row.kind.as_str(), namespace, service_account }).or_default() += 1;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|labels, _| {
            let stays = counts.contains_key(labels);
            if !stays {
                self.findings.remove(labels);
                budget.give_back(1);
            }
            stays
        });
        let mut overflow: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (labels, count) in counts {
            if !shown.contains_key(&labels) && (shown.len() >= MAX_SERIES || !budget.claim()) {
                budget.count_overflow();
                *overflow.entry(labels.kind).or_default() += count;
                continue;
            }
            self.findings.get_or_create_owned(&labels).set(count);
            shown.insert(labels, count);
        }
        for kind in PostureKind::ALL {
            let labels = Labels::overflow(kind.as_str());
            match overflow.get(kind.as_str()) {
                Some(count) => {
                    self.findings.get_or_create_owned(&labels).set(*count);
                }
                None => {
                    self.findings.remove(&labels);
                }
            }
            let known = !rows.iter().any(|row| row.kind == kind && row.reason.is_some());
            self.known.get_or_create_owned(&KindLabels { kind: kind.as_str() }).set(i64::from(known));
        }
    }
}
