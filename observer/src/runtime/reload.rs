//! The config file is looked at again and again; what has changed in it takes effect, or is told to need a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::clock;
use crate::cli::{ConfigFile, LogLevel, RunSettings, Source, one_line};
use crate::model::Timestamp;
use crate::sink::Metrics;

/// Between two looks at the file. Its content is compared, not its times: a ConfigMap's volume changes by a symbolic
/// link, and clocks are set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file's text, or why there is none.
type Content = Result<String, String>;

/// Tells when a file that is looked at from time to time has changed.
struct Watched {
    known: Content,
    /// What was there at the last look, if it was other than what is known.
    seen: Option<Content>,
}

impl Watched {
    fn new(known: String) -> Self {
        Self { known: Ok(known), seen: None }
    }

    /// The new content, once two looks in a row found the same: a file that is being written is often half there, and
    /// half a file can make sense.
    fn look(&mut self, there: Content) -> Option<Content> {
        if there == self.known {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&there) {
            self.seen = Some(there);
            return None;
        }
        self.seen = None;
        self.known.clone_from(&there);
        Some(there)
    }
}

/// What a file that has changed says, or why it cannot be used.
type Reading = Result<Box<RunSettings>, String>;

/// The observing thread's end: what is in force, and what is read.
pub struct Reload {
    readings: Option<Receiver<Reading>>,
    in_force: RunSettings,
    set_log_level: Box<dyn Fn(LogLevel) + Send>,
    metrics: Arc<Metrics>,
}

impl Reload {
    /// Starts to look at the file, if there is one.
    #[must_use]
    pub fn start(
        settings: RunSettings,
        source: Source,
        set_log_level: Box<dyn Fn(LogLevel) + Send>,
        metrics: Arc<Metrics>,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let mut readings = None;
        if let (Some(path), Some(text)) = (source.args.config.clone(), source.text.clone())
            // A pipe has nothing more to say, which is no empty file.
            && path.is_file()
        {
            let (send, receive) = channel(1);
            readings = Some(receive);
            runtime.spawn(look_after(path, source, Watched::new(text), send));
        }
        Self::new(settings, readings, set_log_level, metrics)
    }

    fn new(
        settings: RunSettings,
        readings: Option<Receiver<Reading>>,
        set_log_level: Box<dyn Fn(LogLevel) + Send>,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.config_read(clock::now(), true);
        Self { readings, in_force: settings, set_log_level, metrics }
    }

    /// The settings that have to take effect now, if any have changed.
    pub fn take(&mut self, now: Timestamp) -> Option<&RunSettings> {
        let new = match self.readings.as_mut()?.try_recv().ok()? {
            Ok(new) => new,
            Err(why) => {
                tracing::warn!("config not reloaded: {}; what was in force before stays", one_line(&why));
                self.metrics.config_read(now, false);
                return None;
            }
        };
        let changes = self.in_force.changes(&new);
        let whole = changes.restart.is_empty();
        self.metrics.config_read(now, whole);
        if !whole {
            let keys = changes.restart.join(", ");
            tracing::warn!("config: {keys} changed, which takes effect only with a restart of this observer");
        }
        if changes.live.is_empty() {
            if whole {
                tracing::info!("config reloaded: it says what is in force");
            }
            return None;
        }
        tracing::info!(changed = changes.live.join(", "), "config reloaded");
        if self.in_force.log_level != new.log_level {
            (self.set_log_level)(new.log_level);
        }
        self.in_force.take_live(&new);
        Some(&self.in_force)
    }
}

async fn look_after(path: PathBuf, mut source: Source, mut watched: Watched, readings: Sender<Reading>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let file = path.clone();
        let read = move || ConfigFile::read(&file).map_err(|error| error.to_string());
        // A volume that hangs must not hang the servers.
        let Ok(there) = tokio::task::spawn_blocking(read).await else { return };
        let Some(content) = watched.look(there) else { continue };
        let reading = content.and_then(|text| {
            source.text = Some(text);
            source.settings().map(Box::new).map_err(|error| error.to_string())
        });
        if readings.send(reading).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
