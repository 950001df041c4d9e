//! A bound on what one place of the code may write.
//!
//! Each call site has [`LINES`] lines in [`WINDOW`]; what is more is dropped and counted, and told in
//! one line by [`tell`]. Debug and trace lines have no bound, because somebody asked for them, nor
//! have problems of objects, which are written once per change by a place that writes for all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Target of lines without a bound.
pub const PROBLEMS: &str = "genkan::problems";
/// How often [`tell`](super::tell) is to be called.
pub const WINDOW: Duration = Duration::from_secs(10);
const LINES: u64 = 20;

/// The layer that enforces it.
pub(super) struct Budget;

/// Call sites that have written something lately.
#[derive(Default)]
struct Ledger {
    sites: HashMap<Identifier, Site>,
}

struct Site {
    metadata: &'static Metadata<'static>,
    begun: Instant,
    written: u64,
    dropped: u64,
}

static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines dropped since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writes one line for each call site that was cut short since the last call.
pub(super) fn tell() {
    let cut = ledger(|ledger| ledger.settle(Instant::now()));
    for (metadata, lines) in cut {
        let (file, line) = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or(0));
        tracing::warn!(
            target: PROBLEMS,
            from = metadata.target(),
            place = format_args!("{file}:{line}"),
            lines,
            "more of the same was not logged"
        );
    }
}

fn ledger<T>(look: impl FnOnce(&mut Ledger) -> T) -> T {
    look(&mut LEDGER.lock().unwrap_or_else(PoisonError::into_inner))
}

// === impl Budget ===

impl<S: Subscriber> Layer<S> for Budget {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == PROBLEMS {
            return true;
        }
        let admitted = ledger(|ledger| ledger.admit(metadata, Instant::now()));
        if !admitted {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

// === impl Ledger ===

impl Ledger {
    fn admit(&mut self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let fresh = Site { metadata, begun: now, written: 0, dropped: 0 };
        let site = self.sites.entry(metadata.callsite()).or_insert(fresh);
        if now.duration_since(site.begun) >= WINDOW {
            (site.begun, site.written) = (now, 0);
        }
        let admitted = site.written < LINES;
        if admitted {
            site.written += 1;
        } else {
            site.dropped += 1;
        }
        admitted
    }

    /// What was dropped, and forgets who has been quiet.
    fn settle(&mut self, now: Instant) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut cut = Vec::new();
        self.sites.retain(|_, site| {
            if site.dropped > 0 {
                cut.push((site.metadata, std::mem::take(&mut site.dropped)));
            }
            now.duration_since(site.begun) < WINDOW
        });
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> &'static Metadata<'static> {
        let span = tracing::info_span!("any call site");
        span.metadata().expect("the tests have no filter")
    }

    /// Lines that a logger wrote.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_beyond_the_bound_are_told_as_a_number() {
        use tracing_subscriber::layer::SubscriberExt;

        let written = Lines::default();
        let out = written.clone();
        let layer =
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || out.clone());
        let subscriber = tracing_subscriber::registry().with(Budget).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..50 {
                tracing::warn!("much of the same {number}");
                tracing::warn!(target: PROBLEMS, "a problem {number}");
                tracing::debug!("in detail {number}");
            }
            tell();
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(count("much of the same"), 20, "{text}");
        assert_eq!((count("a problem"), count("in detail")), (50, 50), "{text}");
        assert_eq!(count("lines=30"), 1, "{text}");
    }

    #[test]
    fn one_place_writes_so_many_lines_and_the_rest_is_counted() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            let (mut ledger, site, start) = (Ledger::default(), site(), Instant::now());
            let admitted = (0..2 * LINES).filter(|_| ledger.admit(site, start)).count();
            assert_eq!(admitted as u64, LINES);
            let cut = ledger.settle(start);
            assert_eq!(cut.iter().map(|(_, lines)| *lines).collect::<Vec<_>>(), [LINES]);
            assert!(ledger.settle(start).is_empty());
            assert!(ledger.admit(site, start + WINDOW), "a new window");
            ledger.settle(start + 3 * WINDOW);
            assert!(ledger.sites.is_empty());
        });
    }
}
