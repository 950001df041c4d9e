//! Waiting for a state instead of sleeping: polled until it holds, or until the deadline fails the
//! test with what was waited for.

use std::time::{Duration, Instant};

/// Far beyond what a loaded machine needs; only a broken promise reaches it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `holds` until it is true.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    eventually_some(what, || holds().then_some(()));
}

/// Polls `value` until it gives one.
pub fn eventually_some<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
