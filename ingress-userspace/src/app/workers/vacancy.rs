//! When a place that has lost its worker gets another one: at once the first time, after longer and
//! longer pauses when workers do not last or cannot be started.

use std::time::{Duration, Instant};

/// A worker that lived for so long has ended for a reason of its own.
const LASTS: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Of one place.
#[derive(Debug, Default)]
pub(super) struct Vacancy {
    /// When the place is to be filled; absent while it has a worker.
    due: Option<Instant>,
    /// Workers in a row that did not last, and tries to start one that failed.
    failures: u32,
}

// === impl Vacancy ===

impl Vacancy {
    /// The worker has ended, having `lived` for so long.
    pub(super) fn begin(&mut self, lived: Duration, now: Instant) {
        if lived >= LASTS {
            self.failures = 0;
        }
        self.go_on(now);
    }

    /// The place stays empty for the next pause.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.due = Some(now + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// The place has a worker again.
    pub(super) fn end(&mut self) {
        self.due = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

fn pause(failures: u32) -> Duration {
    let Some(doubled) = failures.checked_sub(1) else { return Duration::ZERO };
    FIRST_PAUSE.saturating_mul(1 << doubled.min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_loss_is_made_good_at_once_and_the_next_ones_after_longer_pauses() {
        let (now, mut vacancy) = (Instant::now(), Vacancy::default());
        assert!(!vacancy.is_due(now), "a place with a worker");
        let mut pauses = (0..12).map(|_| {
            vacancy.begin(Duration::from_millis(1), now);
            vacancy.due().unwrap() - now
        });
        assert_eq!(pauses.next(), Some(Duration::ZERO));
        let pauses: Vec<Duration> = pauses.collect();
        assert_eq!(pauses[..2], [FIRST_PAUSE, FIRST_PAUSE * 2]);
        assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
        vacancy.end();
        assert!(!vacancy.is_due(now + LONGEST_PAUSE));
        vacancy.begin(LASTS, now);
        assert!(vacancy.is_due(now), "one that has lasted");
    }

    #[test]
    fn place_that_cannot_be_filled_is_tried_again() {
        let (now, mut vacancy) = (Instant::now(), Vacancy::default());
        vacancy.begin(LASTS, now);
        for failures in 1..10_000 {
            vacancy.go_on(now);
            let due = vacancy.due().unwrap();
            assert!(now < due && due <= now + LONGEST_PAUSE, "{failures}");
        }
    }
}
