//! The access log: one line per request, and per connection that sent no readable request.
//!
//! A worker formats lines into its own buffer and hands over whole batches through a bounded
//! channel; one thread writes them. A worker never waits for the log: what the thread cannot take
//! is dropped and counted. Form and destination follow the configuration while the process runs; a
//! file that was renamed is left and opened anew when that is asked for.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use super::context::ProxyContext;
use super::counters::Counters;
use super::worker::Clock;
use crate::config::access_log::{AccessLogConfig, AccessLogTarget};

mod entry;
mod line;
mod writer;

pub use entry::Entry;
pub use line::{Kept, Line, Wants};
pub use writer::Output;

use entry::Values;
use writer::{Message, Order, Orders, Writer};

/// Batches that wait for the writer, of all workers.
const QUEUE: usize = 256;
/// A batch is handed over at this size, or after [`LATEST`].
const BATCH: usize = 16 << 10;
const LATEST: Duration = Duration::from_millis(100);

/// The way to the writer thread. The thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct AccessLog {
    batches: SyncSender<Message>,
    orders: Arc<Orders>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Nothing comes, or it goes nowhere.
    Off,
    Stdout,
    /// Appended to.
    File(PathBuf),
}

/// The log of one worker.
#[derive(Debug)]
pub struct Recorder {
    log: AccessLog,
    /// Absent: the log is off.
    line: RefCell<Option<Arc<Line>>>,
    wants: Cell<Wants>,
    batch: RefCell<Batch>,
    begun: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

// === impl AccessLog ===

impl AccessLog {
    /// Starts the writer.
    pub fn start(config: &AccessLogConfig) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, batches) = sync_channel(QUEUE);
        let orders = Arc::new(Orders::default());
        let writer = Writer::open(Target::from(config), orders.clone())?;
        let thread = std::thread::Builder::new()
            .name("genkan-log".to_owned())
            .spawn(move || writer.run(&batches))?;
        Ok((Self { batches: sender, orders }, thread))
    }

    /// Opens the destination anew. Done by the writer, before its next line.
    pub fn reopen(&self, config: &AccessLogConfig) {
        self.order(Order::Reopen(Target::from(config)));
    }

    /// Opens another destination, for [`Self::switch`].
    ///
    /// # Errors
    ///
    /// When it cannot be opened; lines go on to the one before.
    pub fn open(config: &AccessLogConfig) -> io::Result<Output> {
        Output::open(Target::from(config))
    }

    /// Lines go there from now on.
    pub fn switch(&self, output: Output) {
        self.order(Order::Switch(output));
    }

    fn order(&self, order: Order) {
        self.orders.give(order);
        // Wakes the writer; one with a full queue is awake.
        let _ = self.batches.try_send(Message::Wake);
    }

    pub fn recorder(&self, line: Option<Arc<Line>>, counters: Arc<Counters>) -> Recorder {
        let recorder = Recorder {
            log: self.clone(),
            line: RefCell::default(),
            wants: Cell::default(),
            batch: RefCell::default(),
            begun: Notify::new(),
            counters,
        };
        recorder.follow(line);
        recorder
    }
}

// === impl Target ===

impl From<&AccessLogConfig> for Target {
    fn from(config: &AccessLogConfig) -> Self {
        match &config.to {
            AccessLogTarget::Off => Self::Off,
            AccessLogTarget::Stdout => Self::Stdout,
            AccessLogTarget::File(path) => Self::File(path.clone()),
        }
    }
}

// === impl Recorder ===

impl Recorder {
    /// Takes another form of the line; `None`: the log is off.
    pub fn follow(&self, line: Option<Arc<Line>>) {
        self.wants.set(line.as_ref().map(|line| line.wants()).unwrap_or_default());
        *self.line.borrow_mut() = line;
    }

    /// What has to be kept of a request for its line.
    pub fn wants(&self) -> Wants {
        self.wants.get()
    }

    pub fn record(&self, entry: &Entry<'_>, context: &ProxyContext, clock: &Clock) {
        let line = self.line.borrow();
        let Some(line) = &*line else { return };
        let mut batch = self.batch.borrow_mut();
        if batch.lines == 0 {
            self.begun.notify_one();
        }
        batch.lines += 1;
        let wanted = if line.wants().cluster { entry.outcome.cluster } else { None };
        let snapshot = wanted.map(|_| context.snapshot());
        let cluster = snapshot.as_ref().zip(wanted).and_then(|(known, id)| known.cluster(id));
        let values =
            Values { entry, cluster: cluster.map(|c| &**c), worker: context.worker, clock };
        line.write(&values, &mut batch.text);
        if batch.text.len() >= BATCH {
            drop(batch);
            self.flush();
        }
    }

    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if batch.lines == 0 {
            return;
        }
        let next = Batch { text: Vec::with_capacity(BATCH + BATCH / 4), lines: 0 };
        let full = std::mem::replace(&mut *batch, next);
        let lines = full.lines;
        // What becomes of it from here on is counted by the writer.
        let message = Message::Lines { batch: full, of: self.counters.clone() };
        if self.log.batches.try_send(message).is_err() {
            self.counters.log_dropped.add(lines);
        }
    }

    /// Hands over batches that stay small. Runs as long as the worker.
    pub async fn run(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(LATEST).await;
            self.flush();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
