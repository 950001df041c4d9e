//! The way of log lines to standard error, off the threads that they come from.
//!
//! A reader that has stopped reading fills its pipe, and a write then lasts as long as the reader
//! likes. That must stop no worker and no control side: lines wait in a bounded queue for a thread
//! of their own, and what finds no room is dropped, counted and told.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::budget::PROBLEMS;

/// Lines that wait: more than the problems of a large cluster at a start.
const QUEUE: usize = 16_384;
/// How long an end waits for the lines that wait.
const LAST: Duration = Duration::from_secs(2);

/// The queue of this process. Set once, with the logger.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Writes the lines that wait when it is dropped, as far as they are taken in a short time.
#[derive(Debug, Default)]
pub struct Guard(Option<WorkerGuard>);

pub(super) fn to(writer: impl Write + Send + 'static) -> (NonBlocking, Guard) {
    let (lines, guard) = queue(QUEUE, writer);
    // A second logger is refused.
    let _ = DROPPED.set(lines.error_counter());
    (lines, guard)
}

fn queue(limit: usize, writer: impl Write + Send + 'static) -> (NonBlocking, Guard) {
    let builder = NonBlockingBuilder::default().thread_name("genkan-lines");
    let (lines, guard) = builder.lossy(true).buffered_lines_limit(limit).finish(writer);
    (lines, Guard(Some(guard)))
}

/// Lines that found no room since the process began.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// Writes one line when some were dropped since one was written.
pub(super) fn tell() {
    let now = dropped();
    let lines = now - TOLD.load(Ordering::Relaxed);
    if lines > 0 {
        tracing::warn!(target: PROBLEMS, lines, "standard error was stuck: lines were lost");
        // This one may be lost too.
        if dropped() == now {
            TOLD.store(now, Ordering::Relaxed);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (sender, done) = mpsc::channel::<()>();
        // On a thread that may stay behind: the library tells on standard output that a full queue
        // is not taken, and that is often the same pipe.
        let flush = thread::Builder::new().name("genkan-last".to_owned()).spawn(move || {
            drop(guard);
            drop(sender);
        });
        if flush.is_ok() {
            let _ = done.recv_timeout(LAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    /// A pipe whose reader may be stuck.
    #[derive(Clone, Default)]
    struct Pipe(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        stuck: bool,
        writes: usize,
        taken: usize,
    }

    impl Pipe {
        fn stuck() -> Self {
            let pipe = Self::default();
            pipe.0.0.lock().unwrap().stuck = true;
            pipe
        }

        fn read_on(&self) {
            self.0.0.lock().unwrap().stuck = false;
            self.0.1.notify_all();
        }

        fn wait_for_a_write(&self) {
            let (state, changed) = &*self.0;
            drop(changed.wait_while(state.lock().unwrap(), |state| state.writes == 0).unwrap());
        }

        fn taken(&self) -> usize {
            self.0.0.lock().unwrap().taken
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, changed) = &*self.0;
            let mut state = state.lock().unwrap();
            state.writes += 1;
            changed.notify_all();
            let mut state = changed.wait_while(state, |state| state.stuck).unwrap();
            state.taken += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_stops_nobody_and_what_it_does_not_take_is_counted() {
        let pipe = Pipe::stuck();
        let (mut lines, guard) = queue(4, pipe.clone());
        lines.write_all(b"the one that is being written\n").unwrap();
        pipe.wait_for_a_write();
        for _ in 0..10 {
            lines.write_all(b"more\n").unwrap();
        }
        let dropped = lines.error_counter();
        assert_eq!((dropped.dropped_lines(), pipe.taken()), (6, 0));
        pipe.read_on();
        drop(guard);
        assert_eq!((dropped.dropped_lines(), pipe.taken()), (6, 5));
    }

    #[test]
    fn the_end_does_not_wait_for_a_stuck_reader() {
        let pipe = Pipe::stuck();
        let (mut lines, guard) = queue(1, pipe.clone());
        for _ in 0..3 {
            lines.write_all(b"line\n").unwrap();
        }
        drop(guard);
        assert_eq!(pipe.taken(), 0);
        pipe.read_on();
    }
}
