//! Wakes threads that wait for something new, whatever it is.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

// === impl Bell ===

impl Bell {
    pub(super) fn ring(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.rung.notify_all();
    }

    /// Waits until it has rung more often than was heard, and tells how often. What is looked at
    /// afterwards is at least as new as that. `None` was never heard.
    pub(super) fn wait(&self, heard: Option<u64>) -> u64 {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_while(rings, |rings| Some(*rings) == heard);
        *waited.unwrap_or_else(PoisonError::into_inner)
    }
}
