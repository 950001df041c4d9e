//! Sampled packets on standard output, for `genkan run --events`.
//!
//! A thread of its own prints: a reader that is slow loses events, which are counted, and one that
//! is gone ends the printing, not the program.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use anyhow::Context;

/// Lines that wait for the thread.
const QUEUE: usize = 4096;

pub(super) struct Printer {
    /// `None`: nobody reads.
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
}

// === impl Printer ===

impl Printer {
    pub(super) fn start(out: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let (lines, waiting) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || match print(out, &waiting, &counted) {
                Ok(()) => {}
                Err(error) => tracing::warn!("events are printed no more: {error}"),
            })
            .context("thread that prints events")?;
        Ok(Self { lines: Some(lines), dropped })
    }

    /// Whether anybody still reads.
    pub(super) fn is_read(&self) -> bool {
        self.lines.is_some()
    }

    /// Never waits.
    pub(super) fn print(&mut self, event: &impl Display) {
        let Some(lines) = &self.lines else { return };
        match lines.try_send(event.to_string()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => self.lines = None,
        }
    }
}

/// Until the sender is gone, or the reader.
fn print(out: impl Write, lines: &Receiver<String>, dropped: &AtomicU64) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(line) = next {
            writeln!(out, "{line}")?;
            next = lines.try_recv().ok();
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => writeln!(out, "{lost} events were not printed: the reader is slow")?,
        }
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::testing::deadline::eventually;

    /// Takes a line when it is allowed to; without permission it blocks, then it is gone.
    struct Reader {
        permits: Receiver<()>,
        seen: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let _ = self.seen.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_loses_events_and_is_told_how_many() {
        let ((permit, permits), (seen, lines)) = (channel(), channel());
        let mut printer = Printer::start(Reader { permits, seen }).unwrap();
        // The thread takes some before it blocks; far more come than can wait.
        for number in 0..QUEUE * 3 {
            printer.print(&number);
        }
        assert!(printer.dropped.load(Ordering::Relaxed) > 0);
        for _ in 0..100_000 {
            permit.send(()).unwrap();
        }
        let told = lines.iter().any(|text| text.contains("events were not printed"));
        assert!(told);
        assert!(printer.is_read());
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_printing_only() {
        let ((permit, permits), (seen, _)) = (channel(), channel());
        let mut printer = Printer::start(Reader { permits, seen }).unwrap();
        drop(permit);
        eventually("the printer has noticed", || {
            printer.print(&"event");
            !printer.is_read()
        });
        printer.print(&"one more");
    }
}
