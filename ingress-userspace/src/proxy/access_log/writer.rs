//! The thread that writes the access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Target};

/// What the control side wants of the writer; the last order counts.
#[derive(Debug, Default)]
pub(super) struct Orders {
    next: Mutex<Option<Target>>,
}

#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    orders: Arc<Orders>,
    /// The last write failed, and that was told.
    failed: bool,
}

#[derive(Debug)]
enum Output {
    Nowhere,
    Stdout,
    File(File),
}

// === impl Orders ===

impl Orders {
    pub(super) fn give(&self, target: Target) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    fn take(&self) -> Option<Target> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn open(target: Target, orders: Arc<Orders>) -> io::Result<Self> {
        Ok(Self { output: Output::open(target)?, orders, failed: false })
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        for batch in batches {
            if let Some(target) = self.orders.take() {
                self.reopen(target);
            }
            self.write(&batch.text);
        }
    }

    /// What cannot be opened is told, and the log goes on where it was.
    fn reopen(&mut self, target: Target) {
        match Output::open(target) {
            Ok(output) => self.output = output,
            Err(error) => tracing::error!(%error, "access log not opened anew"),
        }
    }

    fn write(&mut self, text: &[u8]) {
        let written = match &mut self.output {
            Output::Nowhere => Ok(()),
            Output::Stdout => io::stdout().lock().write_all(text),
            Output::File(file) => file.write_all(text),
        };
        // Told once, not per batch: a full disk must not fill the other log.
        if let Err(error) = written.as_ref()
            && !self.failed
        {
            tracing::error!(%error, "access log cannot be written");
        }
        self.failed = written.is_err();
    }
}

// === impl Output ===

impl Output {
    fn open(target: Target) -> io::Result<Self> {
        match target {
            Target::Off => Ok(Self::Nowhere),
            Target::Stdout => Ok(Self::Stdout),
            Target::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(&path);
                file.map(Self::File).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })
            }
        }
    }
}
