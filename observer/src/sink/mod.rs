//! Stage `sink`: metrics, the flow log, and the socket behind the CLI. Nothing here makes the pipeline wait.

pub mod api;
mod board;
mod coverage;
mod edge_metrics;
mod ends_seen;
mod exempted;
pub mod families;
mod feed;
mod filter;
mod flow_log;
pub mod flow_table;
pub mod health;
pub mod http;
mod labels;
mod metrics;
mod posture_metrics;
pub mod query;
mod rate;
mod reference;
mod refusal;
pub mod serve;
mod socket;
mod store;
pub mod table;
mod text;
mod visitors;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod metrics_tests;
#[cfg(test)]
mod reaping_tests;

use std::sync::Arc;

use tokio::sync::watch;

pub use board::Board;
pub use edge_metrics::{DEFAULT_SERIES_BUDGET, EdgeMetrics, MIN_SERIES_BUDGET, Still};
pub use feed::{Entry, FOLLOWER_BACKLOG, Feed};
pub use flow_log::{FLOW_LOG_QUEUE, FlowLog, Style, stdout};
pub use metrics::{BuildInfo, Metrics};
pub use reference::metrics_page;
pub use socket::{BoundSocket, DEFAULT_SOCKET, SocketError};
pub use store::{Store, StoreLimits};

use crate::model::{EdgeKey, FlowRecord};

/// Everything that a flow record goes to.
#[derive(Debug)]
pub struct Sinks {
    pub metrics: Arc<Metrics>,
    pub feed: Arc<Feed>,
    pub board: Arc<Board>,
    /// Absent with `--output none`.
    pub flow_log: Option<FlowLog>,
}

impl Sinks {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, limits: StoreLimits, flow_log: Option<FlowLog>) -> Self {
        Self { metrics, feed: Arc::new(Feed::new(limits)), board: Arc::default(), flow_log }
    }

    /// Hands a record to whoever wants it; never waits. It is written as JSON at most once, and only if somebody
    /// reads it. Metrics are not touched: they count flows and requests, and a flow has several records.
    pub fn record(&self, edge: &EdgeKey, record: FlowRecord) {
        let entry = Arc::new(Entry::new(Arc::new(record)));
        if let Some(log) = &self.flow_log {
            log.write(&entry);
        }
        let forgotten = self.feed.publish(edge, entry);
        if forgotten > 0 {
            self.metrics.lost("store", forgotten);
        }
    }

    /// Writes what still waits for stdout, for a second at most.
    pub fn finish(&self) {
        if let Some(log) = &self.flow_log {
            log.finish();
        }
    }
}

/// Returns once `stop` says true, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
