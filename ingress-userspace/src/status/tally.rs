//! What was written, for metrics and status.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::Counter;

/// Written by the thread that writes to the cluster, read by everybody.
#[derive(Debug, Default)]
pub struct Tally {
    holds: AtomicBool,
    /// Ingresses that wait for their address.
    pub awaited: Counter,
    pub addresses: Counter,
    pub events: Counter,
    pub reports: Counter,
    /// Of all kinds.
    pub failures: Counter,
}

// === impl Tally ===

impl Tally {
    /// Whether this process holds the lease.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    pub(super) fn set_holds(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
    }
}
