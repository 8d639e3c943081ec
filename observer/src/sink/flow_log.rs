//! Flow records on stdout, written by a thread of its own: a slow reader costs records, never a stalled daemon.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::feed::Entry;
use super::flow_table::{FlowTable, Width};
use super::metrics::Metrics;
use super::rate::Rate;

/// Records that may wait for stdout: about 6 MB of them.
pub const FLOW_LOG_QUEUE: usize = 4_096;
/// The contract allows a second.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// How long the writer sleeps where nothing waits and something is to be written soon.
const NAP: Duration = Duration::from_millis(5);
/// Enough for a pipe's buffer.
const BUFFER: usize = 64 * 1024;
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// How long a stopping daemon waits for stdout.
const FINISH_WITHIN: Duration = Duration::from_secs(1);
/// The `stage` of `lost_events_total`.
const STAGE: &str = "flow_log";
/// That of records beyond the rate.
const RATE_STAGE: &str = "flow_rate";

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Json,
    /// The table that `observer flows` prints.
    Text {
        colour: bool,
    },
}

/// This process's stdout without the standard library's buffer, which would hide how much of a failed write arrived.
///
/// # Errors
/// stdout is closed.
pub fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[derive(Debug)]
enum Item {
    Entry(Arc<Entry>),
    Stop,
}

/// See the module.
#[derive(Debug)]
pub struct FlowLog {
    queue: SyncSender<Item>,
    writer: thread::JoinHandle<()>,
    metrics: Arc<Metrics>,
    style: Style,
    rate: Mutex<Rate>,
}

impl FlowLog {
    /// Writes to `out`, which is stdout in the daemon, as much as comes: see [`FlowLog::set_rate`].
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(out: impl Write + Send + 'static, style: Style, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(FLOW_LOG_QUEUE);
        let lost = metrics.clone();
        let writer = thread::Builder::new()
            .name("flow-log".into())
            .spawn(move || Writer::new(out, style, lost).run(&waiting))?;
        Ok(Self { queue, writer, metrics, style, rate: Mutex::new(Rate::new(0, Instant::now())) })
    }

    /// Writes at most so many records a second from now on, apart from bursts; zero: as many as come.
    pub fn set_rate(&self, records: u32) {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).set(records, Instant::now());
    }

    /// Never waits: what finds no room or exceeds the rate is lost and counted.
    pub fn write(&self, entry: &Arc<Entry>) {
        let allowed = {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.allows(entry.record.last, Instant::now())
        };
        if !allowed {
            self.metrics.lost(RATE_STAGE, 1);
            return;
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Item::Entry(entry.clone()))
        {
            self.metrics.lost(STAGE, 1);
        }
    }

    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Writes what waits, but gives up on a reader that has stopped reading. Blocks for a second at most.
    pub fn finish(&self) {
        let until = Instant::now() + FINISH_WITHIN;
        let mut told = false;
        while !self.writer.is_finished() && Instant::now() < until {
            told = told || !matches!(self.queue.try_send(Item::Stop), Err(TrySendError::Full(_)));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Writer<W> {
    out: W,
    text: Option<FlowTable>,
    metrics: Arc<Metrics>,
    buffer: Vec<u8>,
    /// A write failed in the middle of a line: the next one must not grow on its stump.
    stump: bool,
    complained: bool,
}

impl<W: Write> Writer<W> {
    fn new(out: W, style: Style, metrics: Arc<Metrics>) -> Self {
        let text = match style {
            Style::Json => None,
            Style::Text { colour } => Some(FlowTable::new(Width::Narrow, colour)),
        };
        Self { out, text, metrics, buffer: Vec::with_capacity(BUFFER), stump: false, complained: false }
    }

    fn run(mut self, waiting: &Receiver<Item>) {
        while let Ok(Item::Entry(entry)) = waiting.recv() {
            self.append(&entry);
            let oldest = Instant::now();
            while oldest.elapsed() < FLUSH_AFTER && self.buffer.len() < BUFFER {
                match waiting.try_recv() {
                    Ok(Item::Entry(entry)) => self.append(&entry),
                    // To be woken for each record would cost its sender more than the record does.
                    Err(TryRecvError::Empty) => thread::sleep(NAP),
                    Ok(Item::Stop) | Err(TryRecvError::Disconnected) => return self.flush(),
                }
            }
            self.flush();
        }
        self.flush();
    }

    fn append(&mut self, entry: &Entry) {
        match &mut self.text {
            None => self.buffer.extend_from_slice(entry.line().as_bytes()),
            Some(table) => self.buffer.extend_from_slice(table.lines(&entry.record).as_bytes()),
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.stump {
            self.buffer.insert(0, b'\n');
        }
        let mut written = 0;
        let result = loop {
            match self.out.write(&self.buffer[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares this pipe made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
                Err(error) => break Err(error),
            }
            if written == self.buffer.len() {
                break Ok(());
            }
        };
        if let Err(error) = result {
            let lost = self.buffer[written..].iter().filter(|byte| **byte == b'\n').count();
            // The newline that ends a stump is no record.
            let lost = lost - usize::from(self.stump && written == 0);
            self.metrics.lost(STAGE, lost as u64);
            if !self.complained {
                self.complained = true;
                tracing::warn!(%error, lost, "flow-log-write-failed");
            }
        }
        self.stump = match written {
            0 => self.stump,
            n => self.buffer[n - 1] != b'\n',
        };
        self.buffer.clear();
    }
}

#[cfg(test)]
#[path = "flow_log_tests.rs"]
mod tests;
