//! The access log: one JSON line per request, and per connection that sent no readable request.
//!
//! A worker formats lines into its own buffer and hands over whole batches through a bounded
//! channel; one thread writes them. A worker never waits for the log: what the thread cannot take
//! is dropped and counted.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use super::counters::Counters;
use super::worker::Clock;

mod entry;

pub use entry::Entry;

/// Batches that wait for the writer, of all workers.
const QUEUE: usize = 256;
/// A batch is handed over at this size, or after [`LATEST`].
const BATCH: usize = 16 << 10;
const LATEST: Duration = Duration::from_millis(100);

/// The way to the writer thread. The thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct AccessLog {
    batches: SyncSender<Batch>,
}

/// The log of one worker.
#[derive(Debug)]
pub struct Recorder {
    log: AccessLog,
    worker: usize,
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
    /// Starts the writer: to a file, which is appended to, or to standard output.
    pub fn start(file: Option<&Path>) -> io::Result<(Self, JoinHandle<()>)> {
        let file =
            file.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        let (sender, batches) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("genkan-log".to_owned())
            .spawn(move || write(file, &batches))?;
        Ok((Self { batches: sender }, thread))
    }

    pub fn recorder(&self, worker: usize, counters: Arc<Counters>) -> Recorder {
        Recorder {
            log: self.clone(),
            worker,
            batch: RefCell::default(),
            begun: Notify::new(),
            counters,
        }
    }
}

// === impl Recorder ===

impl Recorder {
    pub fn record(&self, entry: &Entry<'_>, clock: &Clock) {
        let mut batch = self.batch.borrow_mut();
        if batch.lines == 0 {
            self.begun.notify_one();
        }
        batch.lines += 1;
        entry.write(self.worker, clock, &mut batch.text);
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
        match self.log.batches.try_send(full) {
            Ok(()) => self.counters.log_lines.add(lines),
            Err(_) => self.counters.log_dropped.add(lines),
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

fn write(mut file: Option<File>, batches: &Receiver<Batch>) {
    let mut failed = false;
    for batch in batches {
        let written = match &mut file {
            Some(file) => file.write_all(&batch.text),
            None => io::stdout().lock().write_all(&batch.text),
        };
        // Told once, not per batch: a full disk must not fill the other log.
        if let Err(error) = written.as_ref()
            && !failed
        {
            tracing::error!(%error, "access log cannot be written");
        }
        failed = written.is_err();
    }
}

#[cfg(test)]
mod tests;
