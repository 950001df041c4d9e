//! The thread that writes the access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Target};
use crate::proxy::counters::Counters;

/// What the control side wants of the writer; the last order counts.
#[derive(Debug, Default)]
pub(super) struct Orders {
    next: Mutex<Option<Order>>,
}

#[derive(Debug)]
pub(super) enum Order {
    /// Open this anew, by its name.
    Reopen(Target),
    Switch(Output),
}

#[derive(Debug)]
pub(super) enum Message {
    /// Lines, and where they are counted once they are written or lost.
    Lines { batch: Batch, of: Arc<Counters> },
    /// There is an order.
    Wake,
}

#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    orders: Arc<Orders>,
    /// The last write failed, and that was told.
    failed: bool,
}

/// An open destination.
#[derive(Debug)]
pub struct Output(Sink);

#[derive(Debug)]
enum Sink {
    Nowhere,
    Stdout,
    File(File),
}

// === impl Orders ===

impl Orders {
    pub(super) fn give(&self, order: Order) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
    }

    fn take(&self) -> Option<Order> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn open(target: Target, orders: Arc<Orders>) -> io::Result<Self> {
        Ok(Self { output: Output::open(target)?, orders, failed: false })
    }

    /// Until nobody can send any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match self.orders.take() {
                Some(Order::Reopen(target)) => self.reopen(target),
                Some(Order::Switch(output)) => self.output = output,
                None => {}
            }
            let Message::Lines { batch, of } = message else { continue };
            let count = if self.write(&batch.text) { &of.log_lines } else { &of.log_lost };
            count.add(batch.lines);
        }
    }

    /// What cannot be opened is told, and the log goes on where it was.
    fn reopen(&mut self, target: Target) {
        match Output::open(target) {
            Ok(output) => self.output = output,
            Err(error) => tracing::error!(%error, "access log not opened anew"),
        }
    }

    /// Whether all of it was written.
    fn write(&mut self, text: &[u8]) -> bool {
        let written = match &mut self.output.0 {
            Sink::Nowhere => Ok(()),
            Sink::Stdout => io::stdout().lock().write_all(text),
            Sink::File(file) => file.write_all(text),
        };
        // Told once, not per batch: a full disk must not fill the other log.
        if let Err(error) = written.as_ref()
            && !self.failed
        {
            tracing::error!(%error, "access log cannot be written");
        }
        self.failed = written.is_err();
        !self.failed
    }
}

// === impl Output ===

impl Output {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let sink = match target {
            Target::Off => Ok(Sink::Nowhere),
            Target::Stdout => Ok(Sink::Stdout),
            Target::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(&path);
                file.map(Sink::File).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })
            }
        };
        sink.map(Self)
    }
}
